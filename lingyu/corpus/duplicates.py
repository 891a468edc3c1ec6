"""Rows that say what another row has said already, and facts that contradict each other."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lingyu.corpus.marks import ARTICLE
from lingyu.corpus.normalise import key
from lingyu.corpus.similar import Similar
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference, Row


@dataclass(frozen=True)
class Dropped:
    """A row not kept, why, and the row because of which."""

    row: Row
    reason: str
    because: str


def question_of(messages: list[Message]) -> str:
    """All that the person said."""
    return "\n".join(message.content for message in messages if message.role == "user")


def sameness(row: Row) -> tuple[str, ...]:
    """Two rows of a table with the same of this are one."""
    match row:
        case Document():
            return (statute(row), key(row.text))
        case Fact():
            return (key(row.entity), key(row.relation), *sorted(map(key, row.values)))
        case Dialogue():
            return tuple(key(message.content) for message in row.messages)
        case Label():
            return (row.task, key(row.text), row.label)
        case Exam():
            return (key(row.question), *map(key, row.options))
        case Preference():
            return (question_key(row), key(row.chosen), key(row.rejected))
    raise TypeError(f"no such row: {type(row)}")


def statute(row: Document) -> str:
    """The title where the row is an article, else nothing: two statutes that say the same are two sources to cite."""
    return key(row.title) if ARTICLE.fullmatch(row.section.rpartition(" / ")[2]) else ""


def question_key(row: Dialogue | Preference) -> str:
    return key(question_of(row.messages))


def duplicates(rows: list[Row]) -> Iterator[Dropped]:
    """Every row but the first of each group that says the same."""
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        if (kept := first.setdefault(sameness(row), row.id)) != row.id:
            yield Dropped(row, "duplicate", kept)


def near_duplicates(documents: list[Row], threshold: float) -> Iterator[Dropped]:
    """Documents that differ from an earlier one in few characters."""
    similar: dict[str, Similar] = defaultdict(lambda: Similar(threshold))
    for row in documents:
        if not isinstance(row, Document):
            continue
        among = similar[statute(row)]
        if found := among.matches(row.text):
            yield Dropped(row, "near_duplicate", found[0][0])
        else:
            among.add(row.id, row.text)


def conflicting_labels(labels: list[Row]) -> Iterator[Dropped]:
    """All labels of a text that has more than one class in a task: nobody can say which is right."""
    groups: dict[tuple[str, str], list[Label]] = defaultdict(list)
    for row in labels:
        if isinstance(row, Label):
            groups[row.task, key(row.text)].append(row)
    for rows in groups.values():
        if len({row.label for row in rows}) > 1:
            yield from (Dropped(row, "conflicting_label", rows[0].id) for row in rows)


def settled_facts(facts: list[Row]) -> tuple[list[Row], list[Dropped]]:
    """One fact for each entity and relation, and what was dropped for it.

    Where a relation has several values anywhere in the corpus, rows of the same entity complete each other and are merged
    into the first. Where it always has one, other values contradict: all of them go, for nobody can say which is right.
    """
    rows = [row for row in facts if isinstance(row, Fact)]
    many = {key(row.relation) for row in rows if len(row.values) > 1}
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for row in rows:
        groups[key(row.entity), key(row.relation)].append(row)
    kept: list[Row] = []
    dropped: list[Dropped] = []
    for (_, relation), group in groups.items():
        if len(group) > 1 and relation not in many:
            dropped += [Dropped(row, "conflicting_fact", group[0].id) for row in group]
            continue
        values = {key(value) or value: value for row in reversed(group) for value in reversed(row.values)}
        kept.append(group[0].model_copy(update={"values": list(reversed(values.values()))}))
        dropped += [Dropped(row, "merged_fact", group[0].id) for row in group[1:]]
    return kept, dropped
