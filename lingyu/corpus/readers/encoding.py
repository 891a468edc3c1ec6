"""Text out of bytes, by evidence: a mark at the start, valid UTF-8, else the encoding that gives the commonest characters."""

import codecs

from lingyu.corpus.readers import Unreadable

# Four of five Chinese texts of more than a line have one in twenty characters among these; wrongly decoded bytes have none.
COMMON = frozenset("的一是不了在人有我他这中大来上国和说们为以到及与或等应当规定个這來們說國為與應當規個時会會可用年月日第条條")
MARKS = [(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]


def decoded(data: bytes) -> tuple[str, str]:
    """The text and the name of its encoding. Raises Unreadable when no encoding makes sense of it."""
    if not data.strip():
        raise Unreadable("empty_file", "the file has no content")
    for mark, name in MARKS:
        if data.startswith(mark):
            return strictly(data, name), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        # Cut in the middle of a character at its very end, as copied from a terminal or a stream: still UTF-8.
        if error.start > len(data) - 4 and error.reason == "unexpected end of data":
            raise Unreadable("truncated", f"the UTF-8 text breaks off in the middle of a character at byte {error.start}") from None
    scored = [(common_share(text), name, text) for name in ("gb18030", "big5", "utf-16-le", "utf-16-be") if (text := attempted(data, name))]
    share, name, text = max(scored, key=lambda guess: guess[0], default=(0.0, "", ""))
    if share >= 0.03:
        return text, name
    from charset_normalizer import from_bytes

    best = from_bytes(data[:100_000]).best()
    if best is None:
        raise Unreadable("encoding", "neither UTF-8, UTF-16, GB18030 nor Big5; save it as UTF-8")
    return strictly(data, best.encoding), best.encoding


def strictly(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise Unreadable("encoding", f"looks like {name} but byte {error.start} does not fit; save it as UTF-8") from None


def attempted(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return ""


def common_share(text: str) -> float:
    """The share of common Chinese characters among all that are not ASCII."""
    beyond = [character for character in text[:50_000] if character > "\x7f"]
    return sum(character in COMMON for character in beyond) / len(beyond) if beyond else 0.0
