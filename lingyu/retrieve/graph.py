"""The facts of the knowledge base by entity and relation, looked up by a question in ordinary words."""

from collections.abc import Sequence

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.evidence import Relevance, names_in
from lingyu.retrieve.support import contains, known_terms, squeezed
from lingyu.retrieve.words import words

# A relation in other words than the graph's must be at least this close to the question.
CLOSE = 0.5
# "介绍一下苍鹰五号": what is told of an entity without a relation.
MOST = 12


class Graph:
    """The facts among the chunks."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.facts: dict[str, list[Chunk]] = {}
        for chunk in chunks:
            if chunk.kind == "fact":
                self.facts.setdefault(squeezed(chunk.title), []).append(chunk)
        self.entities = known_terms(self.facts)

    def __bool__(self) -> bool:
        return bool(self.facts)

    def look_up(self, question: str, relevance: Relevance) -> list[Chunk]:
        """The facts that the question asks for; all of an entity, up to MOST, where it asks for nothing but the entity."""
        found: list[Chunk] = []
        for name in names_in(question, self.entities):
            facts = self.facts[name]
            rest = squeezed(question).replace(name, " ")
            found += (asked_for(facts, rest, relevance) if words(rest) else facts)[:MOST]
        return found


def asked_for(facts: list[Chunk], rest: str, relevance: Relevance) -> list[Chunk]:
    """The facts whose relation the rest of the question names; otherwise those whose relation is closest to it, if close enough."""
    relations = list(dict.fromkeys(fact.section for fact in facts))
    named = [relation for relation in relations if contains(relation, rest)]
    chosen = [relation for relation in named if not any(relation != longer and relation in longer for longer in named)]
    if not chosen:
        scores = list(relevance(rest, relations))
        best = max(scores)
        chosen = [relation for relation, score in zip(relations, scores, strict=True) if score == best >= CLOSE]
    return [fact for fact in facts if fact.section in chosen]
