"""The facts of the knowledge base by entity and relation, looked up by a question in ordinary words."""

import re
from collections.abc import Sequence

from lingyu.retrieve.attributes import Attributes, Closeness
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.evidence import Relevance, names_in
from lingyu.retrieve.support import contains, known_terms, squeezed
from lingyu.retrieve.words import words
from lingyu.text.asked_for import asked_for as kind_asked_for

# A relation in other words than the graph's must be at least this close to the question.
CLOSE = 0.5
ASKS_WHICH = re.compile(r"哪|\bwhich\b", re.IGNORECASE)
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
        self.relations = known_terms(fact.section for facts in self.facts.values() for fact in facts)
        self._attributes = Attributes(chunks)

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

    def required(self, question: str, closeness: Closeness) -> tuple[str, ...] | None:
        """Words of which a sentence must have one to answer, where the question asks for an attribute that its entity lacks."""
        return self._attributes.required(question, names_in(question, self.entities), closeness)

    def has_one(self, required: Sequence[str], headings: str, sentence: str) -> bool:
        """Whether a sentence has one of these words. One that names no relation of its own has those of the headings above it, too."""
        near = squeezed(sentence if names_in(sentence, self.relations) else f"{headings}\n{sentence}")
        return any(contains(word, near) for word in required)

    def another(self, question: str, passage: Chunk, sentence: str) -> bool:
        """Whether the question asks something of an entity, and the sentence is about other ones: a fact, or any that the question asks
        for a relation of the graph."""
        if ASKS_WHICH.search(question) or not (names_in(question, self.relations) or (passage.kind == "fact" and kind_asked_for(question))):
            return False
        names = [squeezed(passage.title)] if passage.kind == "fact" else names_in(sentence, self.entities)
        asked = squeezed(question)
        return bool(names) and not any(named(name, asked) for name in names)


def named(name: str, question: str) -> bool:
    """Whether a question in folded text names an entity, if only by its last word: 电池 is 锂聚电池, but no 电池温差."""
    if contains(name, question):
        return True
    return any(len(word) > 1 and name.endswith(word) and contains(word, question) for word in words(question))


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
