"""The leak gate over whole tables: the rows of train and dev that leak a held-out row."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lingyu.files import BATCH, read_table
from lingyu.records import TABLES, Dialogue, Preference, Row
from lingyu.split.groups import NONE, PARTS, UNDATED, Tables, paragraphs_of, text_of_row
from lingyu.split.leak import OTHERS, Bounds, Gate, Item, Leak, leak_between, others_of
from lingyu.split.ngram_index import Others
from lingyu.split.parts import Part

# The groups of tables compared with one another: a question in one table leaks through another. Facts are separated by entity
# and relation only, because all of them appear in the documents.
COMPARED: list[tuple[tuple[str, ...], bool]] = [
    (("documents",), False),
    (("facts",), False),
    (("dialogues", "preferences", "exams"), True),
    (("labels",), False),
]


class Guard:
    """Compares a group of tables: each row with its part, or with the reason why it is in none."""

    def __init__(
        self, group: tuple[str, ...], passages: bool, tables: Path, parts: dict[str, bytearray], partings: Tables, bounds: Bounds
    ) -> None:
        self._tables, self._parts, self._partings = tables, parts, partings
        held: dict[Part, list[tuple[str, Item, list[str]]]] = {"dev": [], "test": []}
        learnt, drawn = sum(parts[table].count(PARTS.index("train")) for table in group), list[str]()
        seen = 0
        for table in group if group != ("facts",) else ():
            for row, part in self._rows(table):
                if part in held:
                    held[part].append((table, item_of(row), self._paragraphs(table, row)))
                elif part == "train":
                    if seen % (learnt // OTHERS + 1) == 0:
                        drawn.append(text_of_row(row))
                    seen += 1
        others = others_of(drawn if any(held.values()) else [], learnt)
        self._test = Held(held["test"], bounds, passages, others)
        leaking = self._test.leaks(held["dev"])
        self._leaking = {(table, item.id): found for (table, item, _), found in zip(held["dev"], leaking, strict=True) if found}
        self._dev = Held((one for one in held["dev"] if (one[0], one[1].id) not in self._leaking), bounds, passages, others)

    def checked(self, table: str) -> Iterator[tuple[Row, Part | None, str, Leak | None]]:
        """Every row with its part, the reason to drop it if there is one, and the evidence if it is a leak."""
        rows = iter(self._rows(table))
        while batch := list(islice(rows, BATCH)):
            learnt = [(table, item_of(row), self._paragraphs(table, row)) for row, part in batch if part == "train"]
            found_in = {"test": iter(self._test.leaks(learnt)), "dev": iter(self._dev.leaks(learnt))}
            for row, part in batch:
                found, reason = self._leaking.get((table, row.id)), "dev_leaks_test"
                if part == "train":
                    of_test, of_dev = next(found_in["test"]), next(found_in["dev"])
                    found, reason = of_test or of_dev, "train_leaks_test" if of_test else "train_leaks_dev"
                yield row, part, UNDATED if part is None else reason if found else "", found

    def _rows(self, table: str) -> Iterator[tuple[Row, Part | None]]:
        rows = read_table(self._tables / f"{table}.parquet", TABLES[table])
        for row, number in zip(rows, self._parts[table], strict=True):
            yield row, None if number == NONE else PARTS[number]

    def _paragraphs(self, table: str, row: Row) -> list[str]:
        by_paragraph = getattr(self._partings, table).by == "paragraph"
        return paragraphs_of(row) if by_paragraph and isinstance(row, Dialogue | Preference) else []


class Held:
    """Held-out rows, as (table, text, paragraphs), and finding rows that leak them."""

    def __init__(self, rows: Iterable[tuple[str, Item, list[str]]], bounds: Bounds, passages: bool, others: Others) -> None:
        self._paragraphs: dict[str, Item] = {}
        items = []
        for _, item, paragraphs in rows:
            items.append(item)
            for paragraph in paragraphs:
                self._paragraphs.setdefault(paragraph, item)
        self._gate = Gate(items, bounds, passages=passages, others=others)

    def leaks(self, rows: list[tuple[str, Item, list[str]]]) -> list[Leak | None]:
        """For each row its leak, or None."""
        found = self._gate.judged([item for _, item, _ in rows])
        return [leak or self._shared(item, paragraphs) for leak, (_, item, paragraphs) in zip(found, rows, strict=True)]

    def _shared(self, item: Item, paragraphs: list[str]) -> Leak | None:
        held = next((self._paragraphs[paragraph] for paragraph in paragraphs if paragraph in self._paragraphs), None)
        return leak_between(item, held, "paragraph", 1.0) if held else None


def item_of(row: Row) -> Item:
    return Item(row.id, text_of_row(row), row.source, row.place)
