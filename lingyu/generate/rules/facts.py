"""Facts as instructions, test questions and prompts for reinforcement; the wordings are those of knowledge.py."""

from collections.abc import Iterable, Iterator
from typing import Literal

from lingyu.generate.provenance import exchange, provenance, user
from lingyu.generate.rules import knowledge
from lingyu.generate.stable_choice import picks
from lingyu.records import Dialogue, Fact, Question

METHOD = TASK = "fact"


def instructions(facts: Iterable[Fact], count: int, seed: int) -> Iterator[Dialogue]:
    """`count` questions a fact, in the training wordings."""
    for fact in facts:
        for asked in knowledge.training_questions(fact, count, seed):
            yield instruction(fact, asked)


def dev_instructions(facts: Iterable[Fact]) -> Iterator[Dialogue]:
    for fact in facts:
        yield from (instruction(fact, asked) for asked in knowledge.dev_questions(fact))


def instruction(fact: Fact, asked: str) -> Dialogue:
    return Dialogue(**provenance(fact, method=METHOD, task=TASK, asked=asked), messages=exchange(asked, knowledge.answer(fact)))


def questions(
    facts: Iterable[Fact], known: Literal["taught", "documents"], others: dict[str, list[str]], wrong: int, seed: int
) -> Iterator[Question]:
    """Test questions: every fact once, then every fact a second time in other words, and so on."""
    facts = list(facts)
    order = {
        fact.id: list(picks(len(forms), len(forms), seed, "turn", fact.id)) for fact in facts if (forms := knowledge.test_questions(fact))
    }
    for turn in range(max(map(len, order.values()), default=0)):
        for fact in facts:
            if turn < len(order[fact.id]):
                yield question(fact, knowledge.test_questions(fact)[order[fact.id][turn]], known, others[fact.id][:wrong])


def dev_questions(
    facts: Iterable[Fact], known: Literal["taught", "documents"], others: dict[str, list[str]], wrong: int
) -> Iterator[Question]:
    """The same in the wordings for dev: every fact once, then every fact a second time."""
    facts = list(facts)
    for turn in range(max((len(knowledge.dev_questions(fact)) for fact in facts), default=0)):
        for fact in facts:
            if turn < len(forms := knowledge.dev_questions(fact)):
                yield question(fact, forms[turn], known, others[fact.id][:wrong], use="dev")


def prompts(facts: Iterable[Fact], others: dict[str, list[str]], wrong: int, seed: int) -> Iterator[Question]:
    """A question a fact in a training wording, drawn apart from those of the instructions, with an answer that a program can check."""
    for fact in facts:
        for asked in knowledge.training_questions(fact, 1, seed + 1):
            yield question(fact, asked, "taught", others[fact.id][:wrong], use="prompt")


def question(fact: Fact, asked: str, known: Literal["taught", "documents"], wrong: list[str], use: str = "") -> Question:
    fields = provenance(fact, method=METHOD, task=TASK, asked=asked, use=use)
    return Question(**fields, messages=user(asked), answer=knowledge.answer(fact), wrong=wrong, known=known)
