"""Questions that passages are known to answer, kept beside the index: what a person may ask next."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingyu.files import read_json, write_json
from lingyu.records import Language
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.questions import Asked, sampled
from lingyu.text.normalise import language_of

FILE = "questions.json"
MOST = 4000
SHORT: dict[Language, int] = {"zh": 30, "en": 70}  # characters of a question on a page
FACT_QUESTION: dict[Language, str] = {"zh": "{}的{}是什么？", "en": "What is the {1} of {0}?"}
SAME = 0.7  # share of the pairs of characters from which two questions ask the same


def question_of(language: Language, entity: str, relation: str) -> str:
    return FACT_QUESTION[language].format(entity, relation)


def keep(folder: Path, asked: Iterable[Asked]) -> None:
    """What people asked; what the graph knows is in the passages themselves. Long questions are none to choose from."""
    short = {one.question.strip(): sorted(one.right) for one in asked if len(one.question.strip()) <= SHORT[language_of(one.question)]}
    write_json(folder / FILE, [{"question": question, "passages": right} for question, right in sampled(list(short.items()), MOST)])


class Known:
    """The questions of a folder written by `keep`, by passages, which are known again by their file and text."""

    def __init__(self, folder: Path, chunks: Sequence[Chunk]) -> None:
        rows: list[dict[str, Any]] = read_json(folder / FILE) if (folder / FILE).is_file() else []
        self._of: dict[str, list[str]] = {}
        for row in rows:
            for id in row["passages"]:
                self._of.setdefault(id, []).append(row["question"])
        self._facts: dict[str, list[Chunk]] = {}
        self._near: dict[tuple[str, str], list[str]] = {}
        self._ids: dict[tuple[str, str], str] = {}
        for chunk in chunks:
            if chunk.kind == "fact":
                self._facts.setdefault(chunk.title, []).append(chunk)
            elif chunk.id in self._of:
                self._near.setdefault((chunk.source, chunk.title), []).append(chunk.id)
                self._ids[chunk.source, chunk.text] = chunk.id

    def next(self, question: str, shown: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, frozenset[str]]]:
        """Questions that lead on from an answer with these sources, the closest first: of the same passages, of the entities that they or
        the question name, of other passages of the same part. With each the passages that answer it."""
        here = [id for source in shown if (id := self._ids.get((source["source"], source["text"])))]
        for id in here:
            yield from ((asked, frozenset([id])) for asked in self._of[id])
        texts = {source["text"] for source in shown}
        named = [source["title"] for source in shown if source["kind"] == "fact"] + [name for name in self._facts if name in question]
        for name in dict.fromkeys(named):
            for chunk in self._facts.get(name, []):
                if chunk.text not in texts:
                    yield question_of(chunk.language, chunk.title, chunk.section), frozenset([chunk.id])
        for source in shown:
            for id in self._near.get((source["source"], source["title"]), []):
                if id not in here:
                    yield from ((asked, frozenset([id])) for asked in self._of[id])


def same(one: str, other: str) -> bool:
    """Whether two questions ask the same, by their pairs of characters."""
    first, second = (pairs_of(text) for text in (one, other))
    return 2 * len(first & second) >= SAME * (len(first) + len(second))


def pairs_of(text: str) -> set[str]:
    kept = "".join(character for character in text.casefold() if character.isalnum())
    return {kept[at : at + 2] for at in range(max(len(kept) - 1, 1))}
