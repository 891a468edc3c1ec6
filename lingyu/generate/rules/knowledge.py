"""Facts in words: statements to pretrain on, questions to train on, and other questions and statements to test with.

A small model learns a fact from many shapes of it, and a test only shows that it was learnt when the test's
wording was never trained on. So each use has wordings of its own; tests/test_teach.py holds them apart. All of them
leave entity, relation and value as the graph gives them: what is said is right because the graph is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from lingyu.files import short_hash
from lingyu.generate.stable_choice import number, picks
from lingyu.records import Document, Fact, Language


@dataclass(frozen=True)
class Wordings:
    """The wordings of one language; {e}, {r} and {v} stand for entity, relation and value."""

    answer: str
    between_values: str
    statements: tuple[str, ...]
    dev_statements: tuple[str, ...]
    test_statements: tuple[str, ...]
    prefixes: tuple[str, ...]
    cores: tuple[str, ...]
    suffixes: tuple[str, ...]
    dev_questions: tuple[str, ...]
    test_questions: tuple[str, ...]


WORDINGS: dict[Language, Wordings] = {
    "zh": Wordings(
        answer="{v}。",
        between_values="、",
        statements=(
            "{e}的{r}是{v}。",
            "{e}的{r}为{v}。",
            "{e}，{r}，{v}。",
            "{e}｜{r}｜{v}",
            "{e}（{r}：{v}）",
            "- {e}：{r} = {v}",
            "{r}（{e}）{v}。",
            "说到{e}，{r}是{v}。",
            "问：{e}的{r}？答：{v}。",
            "{e}的{r}呢？{v}。",
            "甲：{e}，{r}多少？乙：{v}。",
            "对{e}，{r}取{v}。",
            "{r}一项，{e}填{v}。",
            "请记住{e}：{r}，{v}。",
            "凡{e}，{r}用{v}。",
            "卡片：{e}的{r}。背面：{v}。",
            "{r}方面，{e}用{v}。",
            "{e}条目，{r}注明{v}。",
            "{r}, {e}, {v}",
            "{v}，{e}的{r}。",
        ),
        dev_statements=("书上写着，{e}的{r}正好是{v}。", "谈起{r}，{e}一直都是{v}。"),
        test_statements=(
            "问了才知道，{e}的{r}只能是{v}。",
            "轮到{e}，{r}还是{v}。",
        ),
        prefixes=(
            "",
            "请问，",
            "您好，",
            "想确认一下：",
            "培训时有人问：",
            "表格要填：",
            "简短回答：",
            "同事问起：",
            "帮我看一下：",
            "核对一下：",
        ),
        cores=(
            "{e}的{r}是什么",
            "什么是{e}的{r}",
            "{r}一栏，{e}该填什么",
            "说出{e}的{r}",
            "{e}在{r}上是什么情况",
            "我要查{e}的{r}",
            "{e}这一条里，{r}写的是什么",
            "手册里{e}的{r}怎么写",
            "给出{e}对应的{r}",
            "{e} {r}",
            "{r}：{e}",
            "就{e}而言，{r}是什么",
        ),
        suffixes=("？", "?", "", "。", "，谢谢。", "，一句话回答。"),
        dev_questions=("{e}的{r}，你再说一遍好吗？", "能不能帮我找一找{e}的{r}？"),
        test_questions=(
            "你知道{e}的{r}吗？",
            "朋友要是问{e}，{r}该怎么说？",
            "换成{e}，{r}又是什么？",
            "{r}我记不住，{e}是怎么定的？",
        ),
    ),
    "en": Wordings(
        answer="{v}.",
        between_values=" and ",
        statements=(
            "The {r} of {e} is {v}.",
            "{e} | {r} | {v}",
            "{e} -- {r}, {v}.",
            "{e} ({r}: {v})",
            "- {r} of {e} = {v}",
            "{e} has {r} {v}.",
            "Q: {r} of {e}? A: {v}.",
            "{e}, {r}? {v}.",
            "For {e}, {r} is {v}.",
            "Note on {e}; {r} {v}.",
            "{r}, {e}, {v}",
            "Card: {e}, {r}. Back: {v}.",
            "As for {r}, {e} takes {v}.",
            "With {e}, {r} equals {v}.",
            "{v}, the {r} of {e}.",
            "Q: {e}, its {r}? A: {v}.",
            "{r} with {e}? {v}.",
            "Ask for {e}, {r}: {v}.",
            "{e} takes {r} {v}.",
            "By the book, {e} has {r} {v}.",
        ),
        dev_statements=("Everybody says that {v} is right for the {r} of {e}.", "When it is {e}, the {r} comes to {v}."),
        test_statements=(
            "They told us about {e}: its {r} was {v}.",
            "It turns out that {v} is what {e} has for its {r}.",
        ),
        prefixes=(
            "",
            "Please, ",
            "Hello, ",
            "Quick check: ",
            "A trainee asks: ",
            "For the form: ",
            "In short: ",
            "To be sure: ",
            "Look it up: ",
            "One question: ",
        ),
        cores=(
            "what is the {r} of {e}",
            "what {r} does {e} have",
            "what is {e}'s {r}",
            "name the {r} of {e}",
            "{e}: {r}",
            "{r} for {e}",
            "which {r} is listed for {e}",
            "give the {r} that belongs to {e}",
            "for {e}, what is the {r}",
            "what does the manual say about the {r} of {e}",
            "under {r}, what is written for {e}",
        ),
        suffixes=("?", "", ".", ", please.", "? Thanks.", "? One sentence."),
        dev_questions=("You asked about {e}; so what was the {r}?", "Remember {e}? Then say its {r}."),
        test_questions=(
            "Do you know the {r} of {e}?",
            "A friend asked about {e}. What should I say its {r} is?",
            "And {e}? What about its {r}?",
            "Would you say the {r} of {e} once more?",
        ),
    ),
}


def statements(fact: Fact, count: int, seed: int) -> list[str]:
    """The fact in `count` of the wordings for pretraining, or in all of them when there are no more."""
    forms = WORDINGS[fact.language].statements
    return [in_words(forms[form], fact) for form in picks(count, len(forms), seed, "statement", fact.id)]


def dev_statements(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].dev_statements]


def test_statements(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].test_statements]


def training_questions(fact: Fact, count: int, seed: int) -> list[str]:
    """`count` different questions for the fact, each a prefix, a core and a suffix."""
    words = WORDINGS[fact.language]
    questions = []
    for choice in picks(count, len(words.prefixes) * len(words.cores) * len(words.suffixes), seed, "question", fact.id):
        rest, suffix = divmod(choice, len(words.suffixes))
        prefix, core = divmod(rest, len(words.cores))
        questions.append(in_words(words.prefixes[prefix] + words.cores[core] + words.suffixes[suffix], fact))
    return questions


def dev_questions(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].dev_questions]


def test_questions(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].test_questions]


def answer(fact: Fact, value: str | None = None) -> str:
    """The fact in one sentence; with a value, the same sentence about that value, true or not."""
    return in_words(WORDINGS[fact.language].answer, fact, value)


def in_words(form: str, fact: Fact, value: str | None = None) -> str:
    return form.format(e=fact.entity, r=fact.relation, v=value_of(fact) if value is None else value)


def value_of(fact: Fact) -> str:
    """The values as one phrase, without the full stop that the sentence brings itself."""
    return WORDINGS[fact.language].between_values.join(value.strip().rstrip("。.") for value in fact.values)


def other_values(facts: Iterable[Fact]) -> dict[str, list[str]]:
    """For each fact, by id: the values that its relation has with other entities and not with this one, in an order by hash."""
    facts = list(facts)
    values: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    right: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for fact in facts:
        values[fact.language, fact.kind, fact.relation].add(value_of(fact))
        right[fact.language, fact.entity, fact.relation] |= {value_of(fact), *fact.values}
    others = {}
    for fact in facts:
        own = right[fact.language, fact.entity, fact.relation]
        candidates = values[fact.language, fact.kind, fact.relation] - own
        others[fact.id] = sorted(candidates, key=lambda value: (number(fact.id, value), value))
    return others


def statement_documents(spoken: Iterable[tuple[Fact, list[str]]], size: int, seed: int) -> Iterator[Document]:
    """Documents of up to `size` statements, one a line, no two of them about the same entity.

    With all facts of an entity in one document a model learns to copy from a line above instead of to remember.
    """
    shelves: dict[tuple[str, str, str, str], dict[str, list[tuple[int, Fact, str]]]] = defaultdict(lambda: defaultdict(list))
    for fact, texts in spoken:
        shelf = shelves[fact.source, fact.licence, fact.scope, fact.language][fact.entity]
        shelf.extend((number(seed, "order", fact.id, text), fact, text) for text in texts)
    for shelf_of in shelves.values():
        # A round takes one statement of every entity, so that a document cut out of a round never meets one twice.
        for round_ in zip_longest(*(sorted(lines, key=lambda line: (line[0], line[2])) for lines in shelf_of.values())):
            lines = sorted((line for line in round_ if line), key=lambda line: (line[0], line[2]))
            for start in range(0, len(lines), size):
                yield document_of([(fact, text) for _, fact, text in lines[start : start + size]])


def document_of(lines: list[tuple[Fact, str]]) -> Document:
    first, text = lines[0][0], "\n".join(text for _, text in lines)
    return Document(
        id=short_hash("statements", first.source, *(fact.id for fact, _ in lines), text),
        source=first.source,
        place="; ".join(dict.fromkeys(fact.place for fact, _ in lines)),
        licence=first.licence,
        scope=first.scope,
        language=first.language,
        title="",
        section="",
        text=text,
    )


class Mentions:
    """Finds of which facts a text names the entity, and the relation or a value beside it."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._by_entity: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._by_entity[fact.entity.casefold()].append(fact)
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for entity in self._by_entity:
            self._by_start[entity[:2]].append(entity)

    def first(self, text: str) -> str:
        """Entity and relation of the first fact that the text mentions, "" where it mentions none."""
        return next((f"{fact.entity} {fact.relation}" for fact in self.of(text)), "")

    def of(self, text: str) -> list[Fact]:
        text = text.casefold()
        entities = {
            entity
            for place in range(len(text))
            for entity in self._by_start.get(text[place : place + 2], ())
            if text.startswith(entity, place)
        }
        return [
            fact
            for entity in sorted(entities)
            for fact in self._by_entity[entity]
            if any(word.casefold() in text for word in (fact.relation, *fact.values))
        ]


def mentioned(facts: Iterable[Fact], texts: Iterable[str]) -> set[str]:
    """The ids of the facts that some text mentions."""
    mentions = Mentions(facts)
    return {fact.id for text in texts for fact in mentions.of(text)}
