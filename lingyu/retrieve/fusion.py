"""Words, meaning and known questions as one order of the passages, with the probability that the best of them answers.

Each signal is standardised over the passages for each question, because BM25 scores and cosines have no common scale.
"""

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lingyu.retrieve.calibration import Calibration, Signals, fitted
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import Embedder, Floats
from lingyu.retrieve.prompt import passage_text
from lingyu.retrieve.questions import MOST_QUESTIONS, Asked, Examples, Keys, everyday, learnt, sampled
from lingyu.retrieve.rerank import RerankerChoice

if TYPE_CHECKING:
    from lingyu.retrieve.added import Added
    from lingyu.retrieve.retrievers import Hit
    from lingyu.retrieve.retrievers.bm25 import BM25
    from lingyu.retrieve.retrievers.dense import Vectors

NO_RERANKER = RerankerChoice()
EXACT = 1000  # of many passages, how many of the best so far are compared exactly, and as many of the closest
KNOWN = 10_000  # sentences whose vectors are kept: 15 MB
CLOSEST = 3  # everyday questions that a question is compared with
# Weights of the known questions that are tried on them, each left out in turn; 0: they do not help.
KEY_WEIGHTS = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
FEW = 20  # known questions below which nothing is learnt from them
TRIED = 1000  # known questions that the weight is tried on
ELSEWHERE = 300  # questions on other things that the calibration looks at, beside the everyday ones


@dataclass
class Parts:
    """What an order of the passages is made of."""

    count: int
    words: "BM25 | None"
    vectors: "Vectors | None"
    meaning: float
    keys: Keys | None = None
    key_weight: float = 0.0
    everyday: Floats | None = None
    seen: NDArray[np.bool_] | None = None  # the passages that may be found, where not all may; the others count for nothing

    def embedded(self, questions: Sequence[str]) -> Floats:
        """[questions, size]; without an embedder a column of zeros."""
        return self.vectors.embedder.questions(questions) if self.vectors else np.zeros((len(questions), 1), np.float32)

    def relevance(self, question: str, vector: Floats) -> tuple[Floats, Floats, Signals]:
        """The order of the passages before known questions count; what known questions add; the signals for the calibration."""
        found, learnt, signals = np.zeros(self.count, np.float32), np.zeros(self.count, np.float32), {}
        if self.words is not None:
            scores, asked = self.words.scores(question)
            found += (1 - self.meaning if self.vectors else 1) * self.standard(scores)
            signals["words"] = float(self.visible(scores).max(initial=0)) / max(asked, 1) ** 0.5
        if self.vectors is not None:
            cosines = self.vectors.cosines(vector)
            found += self.meaning * self.standard(cosines)
            if self.vectors.nearly:
                best = np.union1d(self.highest(found), self.highest(cosines))
                exact = self.vectors.exact(best, vector)
                found[best] += self.meaning * (exact - cosines[best]) / spread(self.visible(cosines))
                signals["meaning"] = float(exact.max(initial=-1))
            else:
                signals["meaning"] = float(self.visible(cosines).max(initial=-1))
            if self.everyday is not None:
                signals["elsewhere"] = float(np.sort(self.everyday @ vector)[-CLOSEST:].mean())
            if self.keys is not None:
                learnt, signals["asked"] = self.keys.scores(vector, self.count)
        return found, learnt, signals

    def visible(self, scores: Floats) -> Floats:
        return scores if self.seen is None else scores[self.seen]

    def standard(self, scores: Floats) -> Floats:
        """Standardised over the passages that may be found."""
        seen = self.visible(scores)
        found: Floats = (scores - seen.mean()) / spread(seen)
        return found

    def highest(self, scores: Floats) -> NDArray[np.int64]:
        """The places of the highest values that may be found, in no order."""
        places = np.arange(self.count) if self.seen is None else np.flatnonzero(self.seen)
        return places if len(places) <= EXACT else places[np.argpartition(scores[places], -EXACT)[-EXACT:]]


class Fused:
    """Search over an index written by `build`."""

    def __init__(self, chunks: list[Chunk], folder: Path, words: "BM25 | None", vectors: "Vectors | None") -> None:
        self.chunks = chunks
        about = json.loads((folder / "fusion.json").read_text(encoding="utf-8"))
        self._parts = Parts(len(chunks), words, vectors, about["meaning"], key_weight=about["key_weight"])
        if vectors is not None:
            self._parts.everyday = np.load(folder / "everyday.npy").astype(np.float32)
        if (folder / "keys").is_dir():
            self._parts.keys = Keys.load(folder / "keys")
        self._calibration = Calibration.model_validate(about["calibration"]) if about["calibration"] else None
        self.threshold = self._calibration.threshold if self._calibration else 1.0
        choice = RerankerChoice.model_validate(about.get("reranker", {}))
        loaded = choice.load(folder / "reranker")
        self._reranker = (loaded, choice) if loaded else None
        self._known: dict[str, Floats] = {}
        self._last: tuple[str, Floats] | None = None
        self._kinds = np.array([chunk.kind for chunk in chunks])

    def over(self, added: "Sequence[Added]", seen: NDArray[np.bool_] | None = None) -> "Fused":
        """The same search over further passages, too, and over those only that may be seen: a flag for each, the own first."""
        from lingyu.retrieve.added import AddedVectors, AddedWords

        more = [chunk for part in added for chunk in part.chunks]
        made, parts = copy(self), replace(self._parts, count=len(self.chunks) + len(more), seen=seen)
        if more and parts.words is not None:
            parts.words = AddedWords(parts.words, self.chunks, [part.words for part in added])
        if more and parts.vectors is not None:
            parts.vectors = AddedVectors(parts.vectors, len(self.chunks), [part.rows for part in added if part.rows is not None])
        made.chunks, made._parts = [*self.chunks, *more], parts
        made._kinds = np.array([chunk.kind for chunk in made.chunks])
        if made._calibration is None and more:  # an index without a passage has nothing to compare questions with
            made._calibration, _ = fitted(outside(replace(parts, seen=None), []), [])
            made.threshold = made._calibration.threshold
        return made

    def search(self, question: str, limit: int, kind: str | None = None) -> "list[Hit]":
        """The best chunks, best first. Without an embedder only those that share a word with the question."""
        return self.search_all([question], limit, kind)[0]

    @property
    def embedder(self) -> Embedder | None:
        return self._parts.vectors.embedder if self._parts.vectors else None

    def search_all(self, questions: Sequence[str], limit: int, kind: str | None = None) -> "list[list[Hit]]":
        """The same for many questions, which are embedded together."""
        if not self.chunks or not questions:
            return [[] for _ in questions]
        vectors = self._vector(questions[0])[None] if len(questions) == 1 else self._parts.embedded(questions)
        return [self._found(question, vector, limit, kind) for question, vector in zip(questions, vectors, strict=True)]

    def _found(self, question: str, vector: Floats, limit: int, kind: str | None) -> "list[Hit]":
        from lingyu.retrieve.retrievers import Hit

        seen = self._parts.seen
        if self._calibration is None or not question.strip() or (seen is not None and not seen.any()):
            return []
        found, learnt, signals = self._parts.relevance(question, vector)
        order = found + self._parts.key_weight * learnt
        possible = self._kinds == kind if kind is not None else np.ones(len(order), bool)
        if seen is not None:
            possible &= seen
        if self._parts.vectors is None and self._parts.words is not None:
            possible &= self._parts.words.scores(question)[0] > 0
        wanted = max(limit, self._reranker[1].depth) if self._reranker else limit
        best = top(np.where(possible, order, -np.inf), min(wanted, int(possible.sum())))
        if not len(best):
            return []
        sure = self._calibration.probability(question, signals)
        scores = [round(sure * float(np.exp(order[place] - order[best[0]])), 6) for place in best]
        return [Hit(self.chunks[place], score) for place, score in zip(self._reranked(question, best), scores, strict=True)][:limit]

    def _reranked(self, question: str, best: NDArray[np.int64]) -> list[int]:
        """The places in the reranker's order, where there is one: the scores stay with the ranks."""
        places = [int(place) for place in best]
        if self._reranker is None:
            return places
        read, rest = places[: self._reranker[1].depth], places[self._reranker[1].depth :]
        scores = self._reranker[0].scores(question, [passage_text(self.chunks[place]) for place in read])
        return [place for _, place in sorted(zip(scores, read, strict=True), key=lambda pair: -pair[0])] + rest

    def closeness(self, question: str) -> Floats | None:
        """The cosine of the question and each passage that may be found; None without an embedder."""
        if self._parts.vectors is None:
            return None
        return self._parts.visible(self._parts.vectors.cosines(self._vector(question)))

    def _vector(self, question: str) -> Floats:
        """The question's vector: the last one is not computed again."""
        last = self._last
        if last is None or last[0] != question:
            self._last = last = (question, self._parts.embedded([question])[0])
        return last[1]

    def relevance(self, question: str, texts: Sequence[str]) -> list[float]:
        """How close each text is to the question, from 0 to about 1: words and meaning as in `search`.

        The cosine counts from its mean over the index, 0, to that of the closest passage, 1: embedders differ in what a cosine means.
        """
        words = self._parts.words.shares(question, texts) if self._parts.words is not None else np.zeros(len(texts), np.float32)
        if self._parts.vectors is None or not texts:
            return list(map(float, words))
        vector = self._vector(question)
        cosines = self._parts.visible(self._parts.vectors.cosines(vector))
        if not len(cosines):
            return list(map(float, words))
        middle, closest = float(cosines.mean()), float(cosines.max())
        near = (self._read(self._parts.vectors.embedder, texts) @ vector - middle) / max(closest - middle, 1e-6)
        share = self._parts.meaning if self._parts.words is not None else 1.0
        return [(1 - share) * float(word) + share * min(max(float(one), 0.0), 1.0) for word, one in zip(words, near, strict=True)]

    def _read(self, embedder: Embedder, texts: Sequence[str]) -> Floats:
        """The texts' vectors: those of the sentences that were read lately are not computed again."""
        known = self._known if len(self._known) <= KNOWN else {}  # another thread may put another one in its place
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known = known | (dict(zip(new, embedder.passages(new), strict=True)) if new else {})
        self._known = known
        return np.stack([known[text] for text in texts])


def build(
    chunks: list[Chunk],
    folder: Path,
    examples: Examples,
    words: "BM25 | None",
    vectors: "Vectors | None",
    meaning: float,
    reranker: RerankerChoice = NO_RERANKER,
) -> None:
    """Write what the order is made of beside the indices of words and vectors: keys/, everyday.npy, fusion.json."""
    parts = Parts(len(chunks), words, vectors, meaning)
    about: dict[str, Any] = {"meaning": meaning, "key_weight": 0.0, "reranker": reranker.model_dump(), "calibration": None, "curve": []}
    reranker.keep(folder / "reranker")
    if vectors is not None:
        # Rounded as it is stored, so that what is calibrated is what is served.
        np.save(folder / "everyday.npy", parts.embedded(everyday()).astype(np.float16), allow_pickle=False)
        parts.everyday = np.load(folder / "everyday.npy").astype(np.float32)
    if chunks:
        places = {chunk.id: number for number, chunk in enumerate(chunks)}
        asked = [one for one in examples.learn if one.right & places.keys()]
        if vectors is not None and len(asked) >= FEW:
            asked = sampled(asked, MOST_QUESTIONS)
            questions = parts.embedded([one.question for one in asked])
            keys, left_out = learnt(asked, questions, vectors.rows, places)
            about["key_weight"] = parts.key_weight = best_weight(parts, asked, questions, left_out, places)
            if parts.key_weight:
                keys.save(folder / "keys")
                parts.keys = keys
        calibration, curve = fitted(
            outside(parts, examples.elsewhere), signals_of(parts, [one.question for one in sampled(examples.choose, TRIED)])
        )
        about |= {"calibration": calibration.model_dump(), "curve": curve}
    (folder / "fusion.json").write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def best_weight(parts: Parts, asked: list[Asked], questions: Floats, left_out: Floats, places: dict[str, int]) -> float:
    """The weight of the known questions with the best ranks, when each is answered by the others; the smallest of equals."""
    tried = sampled(range(len(asked)), TRIED)
    totals = np.zeros(len(KEY_WEIGHTS))
    for number in tried:
        found, _, _ = parts.relevance(asked[number].question, questions[number])
        right = [places[id] for id in asked[number].right if id in places]
        for column, weight in enumerate(KEY_WEIGHTS):
            totals[column] += gain(found + weight * left_out[number], right)
    return KEY_WEIGHTS[int(np.argmax((totals / len(tried)).round(4)))]


def gain(order: Floats, right: Sequence[int], depth: int = 10) -> float:
    """nDCG at a depth: 1 where the right passages come first."""
    best = top(order, min(depth, len(order)))
    found = sum(1 / np.log2(rank + 2) for rank, place in enumerate(best) if place in right)
    return float(found / sum(1 / np.log2(rank + 2) for rank in range(min(depth, len(right)))))


def outside(parts: Parts, general: Sequence[str]) -> list[tuple[str, Signals]]:
    """The signals of everyday questions, each compared with the others only, and of further questions on other things."""
    common, found = everyday(), []
    vectors = parts.embedded(common)
    for number, (question, vector) in enumerate(zip(common, vectors, strict=True)):
        signals = parts.relevance(question, vector)[2]
        if parts.everyday is not None:
            cosines = np.delete(parts.everyday @ vector, number)
            signals["elsewhere"] = float(np.sort(cosines)[-CLOSEST:].mean())
        found.append((question, signals))
    return found + signals_of(parts, sampled(list(dict.fromkeys(general)), ELSEWHERE))


def signals_of(parts: Parts, questions: Sequence[str]) -> list[tuple[str, Signals]]:
    if not questions:
        return []
    return [(question, parts.relevance(question, vector)[2]) for question, vector in zip(questions, parts.embedded(questions), strict=True)]


def spread(scores: Floats) -> float:
    return max(float(scores.std()), 1e-6)


def top(order: Floats, count: int) -> NDArray[np.int64]:
    """The places of the highest values, the first of equals first."""
    if not count:
        return np.zeros(0, np.int64)
    rounded = order.round(5)
    bound = np.partition(rounded, -count)[-count]
    candidates = np.flatnonzero(rounded >= bound)
    return candidates[np.lexsort((candidates, -rounded[candidates]))][:count]
