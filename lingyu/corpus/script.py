"""Traditional and simplified Chinese as one, character by character, for comparing texts only."""

from functools import cache

# The blocks of Chinese characters with their extensions up to I, and those kept for compatibility.
_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2EE60))


def one_script(text: str) -> str:
    """The text in simplified characters. Words that Taiwan or Hong Kong choose otherwise (軟體, 软件) stay different."""
    return text if text.isascii() else text.translate(_table())


@cache
def _table() -> dict[int, str]:
    from opencc import OpenCC

    characters = [chr(point) for first, end in _BLOCKS for point in range(first, end)]
    converted = OpenCC("t2s").convert("\n".join(characters)).split("\n")
    return {ord(before): after for before, after in zip(characters, converted, strict=True) if before != after}
