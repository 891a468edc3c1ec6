"""How far glibc's heap grows under a step of training: what is alive, and the gaps that nothing fits into.

torch asks for blocks at multiples of 64 bytes. glibc 2.36 finds such a block only in free space that is 96 bytes longer, and what it cuts
off around it stays apart for a while; so a freed block is not found again for one of its own size, and layers whose operators make many
tensors of one size, as adapters do, need up to twice what is alive.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

ALIGNED, SEARCHED, APART = 64, 96, 128  # bytes; of a piece that stays apart at most


class Heap:
    """Free pieces by address and by size; what lies at the top grows."""

    def __init__(self) -> None:
        self.top = 0
        self.by_size: list[tuple[int, int]] = []
        self.by_start: dict[int, int] = {}
        self.by_end: dict[int, int] = {}
        self.apart: list[tuple[int, int]] = []

    def take(self, size: int) -> tuple[int, int]:
        """Start and length of a block, from the smallest piece that is long enough, or from the top."""
        length = -(-(size + 8) // 16) * 16
        place = bisect_left(self.by_size, (length + SEARCHED, -1))
        if place < len(self.by_size):
            free, piece = self.by_size[place]
            self.forget(piece, free)
            start = -(-piece // ALIGNED) * ALIGNED
            self.put(piece, start - piece)
            self.put(start + length, piece + free - start - length)
            return start, length
        piece = self.top
        if piece in self.by_end:
            piece = self.by_end[piece]
            self.forget(piece, self.by_start[piece])
        start = -(-piece // ALIGNED) * ALIGNED
        self.top = start + length
        self.put(piece, start - piece)
        return start, length

    def forget(self, piece: int, length: int) -> None:
        del self.by_start[piece], self.by_end[piece + length]
        self.by_size.pop(bisect_left(self.by_size, (length, piece)))

    def put(self, piece: int, length: int, small: bool = False) -> None:
        """Free a piece, joined with those beside it. small: one that stayed apart before."""
        if length <= 0:
            return
        if length <= APART and not small:
            self.apart.append((piece, length))
            return
        if (after := piece + length) in self.by_start:
            more = self.by_start[after]
            self.forget(after, more)
            length += more
        if piece in self.by_end:
            before = self.by_end[piece]
            more = self.by_start[before]
            self.forget(before, more)
            piece, length = before, length + more
        self.by_start[piece], self.by_end[piece + length] = length, piece
        insort(self.by_size, (length, piece))

    def settle(self) -> None:
        """What stayed apart is joined, as happens sooner or later."""
        pieces, self.apart = self.apart, []
        for piece, length in pieces:
            self.put(piece, length, small=True)


def grown(events: Sequence[tuple[int, int]], kept: Sequence[int], steps: int = 3) -> int:
    """Bytes of the heap after some steps. events: of a step, blocks by number with their size, and with 0 when freed; what is left is freed
    at its end. kept: blocks that the first update makes, for ever."""
    heap = Heap()
    for step in range(steps):
        taken: dict[int, tuple[int, int]] = {}
        for number, size in events:
            if size:
                taken[number] = heap.take(size)
            elif number in taken:
                heap.put(*taken.pop(number))
        if step == 0:
            for size in kept:
                heap.take(size)
        for block in taken.values():
            heap.put(*block)
        heap.settle()
    return heap.top
