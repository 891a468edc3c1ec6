"""Maps symbols of Office's picture fonts (Wingdings, Symbol), which are private-use codes in text, to the characters they show."""

import re

_GREEK = dict(zip("abcdefghijklmnopqrstuvwxyz", "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)) | dict(
    zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)
)
# By font codes, from the tables published by the Unicode Consortium for Symbol and by Microsoft for Wingdings.
_FONTS = {
    font: {int(pair[:2], 16): pair[2] for pair in listed.split()}
    for font, listed in {
        "wingdings": "22✂ 28☎ 2A✉ 46☞ 4A☺ 4C☹ 6C● 6D❍ 6E■ 6F□ 70□ 71❑ 72❒ 73◆ 74◆ 75◆ 76❖ 77◆ 78☒ 80⓪ 81① 82② 83③ 84④ 85⑤ 86⑥ 87⑦ 88⑧ "
        "89⑨ 8A⑩ 8B⓿ 8C❶ 8D❷ 8E❸ 8F❹ 90❺ 91❻ 92❼ 93❽ 94❾ 95❿ 9E· 9F• A1○ A2○ A3○ A4◉ A5◎ A7▪ A8☐ AB★ D8➢ DC➲ DF← E0→ E1↑ E2↓ E8➔ "
        "EF⇦ F0⇨ F1⇧ F2⇩ FB✗ FC✓ FD☒ FE☑",
        "wingdings 2": "4F✗ 50✓ 51☒ 52☑ 53☒ 54☒ 69⓪ 6A① 6B② 6C③ 6D④ 6E⑤ 6F⑥ 70⑦ 71⑧ 72⑨ 73⑩ 95· 96• 97● 98● 99◉ 9A◎ 9F▪ "
        "A0■ A1■ A2■ A3☐ AE◆ AF◇",
        "wingdings 3": "66← 67→ 68↑ 69↓ 70▲ 71▼ 75▶ 7D▶",
        "symbol": "22∀ 24∃ 27∋ 2D− 40≅ 5C∴ 5E⊥ 7E∼ A1ϒ A2′ A3≤ A5∞ A7♣ A8♦ A9♥ AA♠ AB↔ AC← AD↑ AE→ AF↓ B0° B1± B2″ B3≥ B4× B5∝ B6∂ B7• "
        "B8÷ B9≠ BA≡ BB≈ BC… C5⊕ C6∅ C7∩ C8∪ C9⊃ CA⊇ CB⊄ CC⊂ CD⊆ CE∈ CF∉ D0∠ D1∇ D2® D3© D4™ D5∏ D6√ D7· D8¬ D9∧ DA∨ DB⇔ DC⇐ "
        "DD⇑ DE⇒ DF⇓ E5∑ F2∫",
        "webdings": "61✓ 63□ 67■ 6E● 72☒",
    }.items()
}
_FONTS["symbol"] |= {ord(letter): greek for letter, greek in _GREEK.items()}
# Without the font, codes are read as Wingdings, whose bullets and boxes are most common, except Symbol's bullet and signs.
PRIVATE = {
    **{0xF000 + code: sign for code, sign in _FONTS["symbol"].items() if code >= 0xA0},
    **{0xF000 + code: sign for code, sign in _FONTS["wingdings"].items()},
    **{0xF000 + code: _FONTS["symbol"][code] for code in (0xA3, 0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB7, 0xB8, 0xB9, 0xBB)},
}
_USE = re.compile("[\ue000-\uf8ff]")
# Shapes that are bullets at the start of a line; remaining private-use codes there are bullets of unknown fonts.
_BULLET = re.compile("[\ue000-\uf8ff·•●❍■□❑❒◆❖○◉◎▪★➢➲➔→☞⇨▶](?=\\s*[^\\W_])")
_AT_START = re.compile("^[ \t\u3000]*[\ue000-\uf8ff]", re.MULTILINE)


def symbol(font: str, code: int) -> str:
    """The character that a picture font shows for a code; "" if unknown."""
    known = _FONTS.get(font.strip().lower())
    code &= 0xFF
    return known.get(code, chr(code) if font.strip().lower() == "symbol" and 0x20 <= code < 0x7F else "") if known else ""


def is_picture_font(font: str) -> bool:
    return font.strip().lower() in _FONTS


def without_private(text: str) -> str:
    """The text with private-use codes replaced by the signs they show, and by • at the start of a line."""
    if not _USE.search(text):
        return text
    if _AT_START.search(text):
        text = "\n".join(_bulleted(line) if _AT_START.match(line) else line for line in text.split("\n"))
    return text.translate(PRIVATE)


def _bulleted(line: str) -> str:
    start = line.lstrip(" \t\u3000")
    first = PRIVATE.get(ord(start[0]), start[0])
    return line[: len(line) - len(start)] + "•" + start[1:] if _BULLET.match(first + start[1:]) else line
