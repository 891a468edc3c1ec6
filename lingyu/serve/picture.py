"""A page of a PDF as a picture, cited sentences marked, in a process of its own: `python -m lingyu.serve.picture FILE PAGE`.

The sentences come as JSON on its input.

Made where the file is: the browser needs no reader of PDF, a phone loads one page, and a hostile file meets limits of time and memory.
"""

import io
import json
import os
import re
import resource
import subprocess
import sys
import unicodedata
from pathlib import Path

SCALE = 1.6  # of 72 pixels an inch: letters of a page of A4 can be read
MOST_PIXELS = 4_000_000
SECONDS, MEMORY = 20, 2 << 30
MARK = (255, 214, 10, 90)
TOP = Path(__file__).parents[2]
PAGE = re.compile(r"\bpage (\d+)")


def page_in(place: str) -> int | None:
    """The number of the page in a place as the reader of PDF names it."""
    found = PAGE.search(place)
    return int(found[1]) if found else None


def drawn(file: Path, number: int, sentences: list[str]) -> tuple[int, float, bytes]:
    """The number of the page, how far down the first mark is, and the PNG; the next page where a sentence stands there only.

    Raises IndexError where there is no such page.
    """
    import pypdfium2
    from PIL import Image, ImageDraw

    with pypdfium2.PdfDocument(file) as document:
        if not 1 <= number <= len(document):
            raise IndexError(number)
        marked = boxes(document[number - 1].get_textpage(), sentences)
        if not marked and sentences and number < len(document) and (after := boxes(document[number].get_textpage(), sentences)):
            number, marked = number + 1, after
        page = document[number - 1]
        width, height = page.get_size()
        scale = min(SCALE, (MOST_PIXELS / max(width * height, 1)) ** 0.5)
        picture = page.render(scale=scale).to_pil().convert("RGBA")
        marks = Image.new("RGBA", picture.size)
        brush = ImageDraw.Draw(marks)
        for left, bottom, right, top in marked:
            corners = (left * scale, (height - top) * scale, right * scale, (height - bottom) * scale)
            brush.rectangle((min(corners[0::2]), min(corners[1::2]), max(corners[0::2]), max(corners[1::2])), fill=MARK)
        made = io.BytesIO()
        Image.alpha_composite(picture, marks).convert("RGB").save(made, "PNG", optimize=True)
        down = min((1 - max(top, bottom) / height for _, bottom, _, top in marked), default=0.0)
        return number, down, made.getvalue()


def boxes(text: "object", sentences: list[str]) -> list[tuple[float, float, float, float]]:
    """Of the characters of the sentences, which the page may write with other characters and break into lines: 飞 is often ⻜."""
    places, written = list[int](), ""
    for place in range(text.count_chars()):  # type: ignore[attr-defined]  # pypdfium2 has no types
        one = bare(text.get_text_range(place, 1))  # type: ignore[attr-defined]
        written += one
        places += [place] * len(one)
    found = []
    for sentence in map(bare, sentences):
        # A sentence that goes on from the page before, or onto the next, is marked as far as it stands here.
        for part in (sentence, *halves(sentence)):
            at = written.find(part) if part else -1
            if at >= 0:
                found += [text.get_charbox(place) for place in places[at : at + len(part)]]  # type: ignore[attr-defined]
                break
    return found


def halves(sentence: str) -> list[str]:
    """Its beginnings and ends, the longer first, down to ten characters."""
    lengths = range(len(sentence) - 1, 9, -1)
    return [part for length in lengths for part in (sentence[:length], sentence[-length:])]


def bare(text: str) -> str:
    """What two ways to write the same have in common."""
    from lingyu.text.normalise import normal

    return "".join(unicodedata.normalize("NFKC", normal(text)).split()).lower()


class NotDrawn(Exception):
    """The process ended without a picture."""


def drawn_apart(file: Path, number: int, sentences: list[str]) -> tuple[int, float, bytes]:
    """The same in a process of its own. Raises NotDrawn."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LINGYU_")}
    environment = kept | {"PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lingyu.serve.picture", str(file), str(number)]
    done = subprocess.run(command, env=environment, input=json.dumps(sentences).encode(), capture_output=True, timeout=120)
    if done.returncode:
        raise NotDrawn(done.stderr.decode(errors="replace").strip().splitlines()[-1:])
    told, _, picture = done.stdout.partition(b"\n")
    shown, down = told.split()
    return int(shown), float(down), picture


def main(file: Path, number: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    shown, down, picture = drawn(file, number, json.load(sys.stdin))
    sys.stdout.buffer.write(f"{shown} {down:.4f}\n".encode() + picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
