"""What is compared: the answers of runs of `lingyu evaluate`, of candidates that evaluate or select asked, or in files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from lingyu.evaluate.answers import ID, QUESTION, first, read_answers, records_of
from lingyu.evaluate.brought import read_items
from lingyu.evaluate.scorer import Prediction
from lingyu.files import read_table, short_hash
from lingyu.generate.stable_choice import number
from lingyu.ingest.readers import Fault
from lingyu.records import Language, Message, Question
from lingyu.select.evidence import passages
from lingyu.stage import StageError
from lingyu.text.normalise import language_of

TEXTS = {"domain", "general", "preference"}  # predictions that are no replies


@dataclass(frozen=True)
class Item:
    """history: what was said before the question. passage: what the right answer rests on."""

    id: str
    question: str
    language: Language
    answer: str = ""
    passage: str = ""
    history: Sequence[Message] = ()


@dataclass(frozen=True)
class Pairing:
    """Two answers to one item, which somebody prefers one of. key: what was shown, so that a vote never passes on to other answers."""

    key: str
    item: Item
    one: str
    other: str
    replies: tuple[str, str]


@dataclass
class Comparison:
    """same: by two names, how many items both answer in the same words, which is no question of taste."""

    names: list[str]
    items: list[Item]
    replies: dict[str, dict[str, str]]  # by name and id
    unshared: int  # items that not all answer
    pairings: list[Pairing] = field(default_factory=list)
    same: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one, other in combinations(self.names, 2):
            self.same[one, other] = 0
            for item in self.items:
                replies = self.replies[one][item.id], self.replies[other][item.id]
                if " ".join(replies[0].split()) == " ".join(replies[1].split()):
                    self.same[one, other] += 1
                else:
                    self.pairings.append(Pairing(short_hash(item.id, item.question, one, other, *replies), item, one, other, replies))


def read(targets: Sequence[str], items: Path | None, out: Path, most: int = 0) -> Comparison:
    """The answers of all targets to the items that all of them answer. most: items of these, by a choice that stays; 0 for all."""
    named = names_of(targets)
    if len(named) < 2:
        raise StageError("name at least two: runs, candidates or files of answers.")
    answers, questions = {}, list[Question]()
    if items:
        questions = read_items(items).questions
    tables = candidate_tables([target for target in named.values() if is_candidate(target)], out)
    if tables and not questions:
        questions = list(read_table(out / "mix" / next(iter(tables.values()))[1] / "questions.parquet", Question))
    runs = {name: run_of(target) for name, target in named.items() if run_of(target)}
    known: list[Item] = [item_of(question) for question in questions]
    for name, target in named.items():
        if path := tables[target][0] if target in tables else runs.get(name):
            rows = [row for row in read_table(path, Prediction) if row.task not in TEXTS]
            answers[name] = {row.id: row.reply for row in rows}
            known = known or items_of_run(path, rows)
    for name, target in named.items():
        if name not in answers:
            known = known or items_of_answers(Path(target))
            answers[name] = read_answers(Path(target), [as_question(item) for item in known]).replies
    shared = [item for item in known if all(item.id in replies for replies in answers.values())]
    if not shared:
        raise StageError(f"{', '.join(named)} answer no item in common. Ids are compared; files may name the question instead.")
    if most and len(shared) > most:
        chosen = {item.id for item in sorted(shared, key=lambda item: number("compare", item.id))[:most]}
        shared = [item for item in shared if item.id in chosen]
    texts = passages(out / "clean" / "tables", questions) if tables else {}
    rests = {question.id: next((texts[id_] for id_ in question.references if id_ in texts), "") for question in questions}
    shared = [Item(item.id, item.question, item.language, item.answer, rests.get(item.id, ""), item.history) for item in shared]
    everywhere = set[str]().union(*answers.values()) | {item.id for item in known}
    return Comparison(list(named), shared, answers, len(everywhere) - len([id_ for id_ in everywhere if in_all(id_, answers)]))


def in_all(id_: str, answers: Mapping[str, Mapping[str, str]]) -> bool:
    return all(id_ in replies for replies in answers.values())


def names_of(targets: Sequence[str]) -> dict[str, str]:
    """Name and place of each target: NAME=PLACE, or the last part of the place."""
    named: dict[str, str] = {}
    for target in targets:
        name, given, place = target.partition("=")
        name, place = (name, place) if given and not Path(target).exists() else (Path(target).name, target)
        if Path(place).is_file():
            name = name if given else Path(place).stem
        if name in named:
            raise StageError(f"two are named {name}. Write NAME=PLACE for one of them: other={place}.")
        named[name] = place
    return named


def is_candidate(target: str) -> bool:
    return not Path(target).exists()


def run_of(target: str) -> Path | None:
    path = Path(target)
    file = path / "predictions.parquet" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise StageError(f"{path} is no run: it has no predictions.parquet. `lingyu evaluate … --out {path}` makes one.")
    return file if file.suffix == ".parquet" and file.exists() else None


def candidate_tables(names: Sequence[str], out: Path) -> dict[str, tuple[Path, str]]:
    """The predictions of candidates, and whether of the test or of dev: the test where select asked it all of them."""
    places = {"test": "select/test/{}.parquet", "dev": "evaluate/{}/predictions.parquet"}
    for part, place in places.items():
        found = {name: out / place.format(name) for name in names}
        if all(path.exists() for path in found.values()):
            return {name: (path, part) for name, path in found.items()}
    unknown = [name for name in names if not (out / places["dev"].format(name)).exists()]
    known = sorted(path.parent.name for path in out.glob("evaluate/*/predictions.parquet"))
    raise StageError(f"no file, run or candidate is named {', '.join(unknown)}. Candidates in {out}: {', '.join(known) or 'none'}.")


def item_of(question: Question) -> Item:
    *history, last = question.messages
    return Item(question.id, last.content.strip(), question.language, question.answer, "", history)


def as_question(item: Item) -> Question:
    """As far as `read_answers` looks at it."""
    nothing = dict.fromkeys(("source", "place", "licence", "task", "method", "teacher", "prompt_hash", "known"), "")
    kinds = {"scope": "domain", "review": "", "references": [], "wrong": [], "language": item.language, "answer": item.answer}
    return Question.model_validate({**nothing, **kinds, "id": item.id, "messages": [Message(role="user", content=item.question)]})


def items_of_run(path: Path, rows: Iterable[Prediction]) -> list[Item]:
    """The questions that a run kept, or the prompts as the model read them."""
    kept = path.with_name("questions.parquet")
    if kept.exists():
        return [item_of(question) for question in read_table(kept, Question)]
    return [Item(row.id, row.prompt, row.language, row.answer) for row in rows]


def items_of_answers(path: Path) -> list[Item]:
    """The questions that a file of answers names."""
    found: dict[str, Item] = {}
    for record in records_of(path):
        if isinstance(record, Fault):
            raise StageError(f"{path}, {record.place}: {record.detail}")
        asked = first(record.values, QUESTION)
        if asked is None:
            raise StageError(f"{path}, {record.place} has no question. Name the file of the items with --items.")
        id_ = first(record.values, ID) or short_hash(asked.strip())
        found[id_] = Item(id_, asked.strip(), language_of(asked))
    return list(found.values())
