"""Which attribute of an entity a question asks for, and whether the knowledge graph has it of this entity.

"苍鹰五号能带多重的货？" asks for 最大载重, which other aircraft have and this one has not: sentences about its battery answer nothing,
however close. The graph is its own example: the mean of the vectors of all facts of a relation is what a question about that relation is
close to. No list of attributes or synonyms has to be written.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import Floats
from lingyu.retrieve.support import contains, squeezed
from lingyu.retrieve.words import words
from lingyu.text.asked_for import without_asking

Closeness = Callable[[str], Floats | None]
"""Of a question to every passage; None without an embedder."""

# In deviations of the relations' closeness. LACKS: by how much another relation must be closer than those of the entity. KNOWN: how far the
# closest stands out from the mean, below which the question is about none of them. Chosen on 218 questions of the training part of
# samples/drone, half of them turned to an entity without the relation, and 50 of bench/questions/attributes.jsonl.
LACKS, KNOWN = 0.25, 1.3
ALIKE = 2  # relations that entities of one kind have in common
FEW = 3  # relations below which nothing can be compared


class Attributes:
    """The relations of the facts among the chunks, by their places."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        facts = [(place, chunk) for place, chunk in enumerate(chunks) if chunk.kind == "fact"]
        self._relations = sorted({(chunk.language, chunk.section) for _, chunk in facts})
        number = {relation: at for at, relation in enumerate(self._relations)}
        self._places = np.array([place for place, _ in facts], np.int64)
        self._numbers = np.array([number[chunk.language, chunk.section] for _, chunk in facts], np.int64)
        self._of: dict[str, set[int]] = defaultdict(set)
        for (_, chunk), at in zip(facts, self._numbers.tolist(), strict=True):
            self._of[squeezed(chunk.title)].add(at)
        self._sets = {frozenset(own) for own in self._of.values()}

    def required(self, question: str, entities: Sequence[str], closeness: Closeness) -> tuple[str, ...] | None:
        """Words of which a sentence that answers must have one; None where nothing is required.

        entities: those that the question names, in folded text. A relation that the entity lacks is required by its name; of an
        attribute that no relation is like, some word of the question.
        """
        if len(entities) != 1 or not (own := self._of.get(entities[0])):
            return None
        rest = squeezed(question).replace(entities[0], " ")
        named = [at for at in range(len(self._relations)) if contains(self._relations[at][1], rest)]
        if named:
            longest = max(named, key=lambda at: (len(self._relations[at][1]), at in own))
            return None if longest in own else (self._relations[longest][1],)
        if not words(rest) or (cosines := closeness(question)) is None:
            return None
        languages = {self._relations[at][0] for at in own}
        among = [at for at, (language, _) in enumerate(self._relations) if language in languages]
        if len(among) < FEW:
            return None
        totals = np.bincount(self._numbers, cosines[self._places], len(self._relations))
        means = totals / np.maximum(np.bincount(self._numbers, minlength=len(self._relations)), 1)
        spread = max(float(means[among].std()), 1e-6)
        best = max(own, key=lambda at: float(means[at]))
        lacking = max(self.of_kind(own) - own, key=lambda at: float(means[at]), default=best)
        if means[lacking] - means[best] > LACKS * spread:
            return (self._relations[lacking][1],)
        known = float(means[best] - means[among].mean()) >= KNOWN * spread
        said = [word for word in words(without_asking(rest)) if len(word) > 1]
        return None if known or not said else tuple(dict.fromkeys(said))

    def of_kind(self, own: set[int]) -> set[int]:
        """The relations of all entities that have ALIKE relations with this one in common."""
        return set[int]().union(*(other for other in self._sets if len(other & own) >= min(ALIKE, len(own))))
