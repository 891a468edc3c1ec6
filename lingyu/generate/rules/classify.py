"""Labelled texts as instructions: the classes to choose from, some solved examples or none, the text; the answer is the class.

The text that is asked about is the last paragraph of the prompt; examples come from the training part only.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from lingyu.generate.provenance import exchange, provenance, user
from lingyu.generate.stable_choice import number
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Label, Language, Question

METHOD = TASK = "classify"
PROMPTED = frozenset({METHOD, "weak"})
"""The methods whose prompts have this form."""


class Forms(Phrases):
    head: Annotated[str, blanks("options")]
    between: str
    case: Annotated[str, blanks("text")]
    solved: Annotated[str, blanks("text", "label")]


WORDINGS = Wordings("classify", Forms)


@dataclass(frozen=True)
class Classes:
    """The classes of one task in one language, and by class the training texts short enough to serve as examples."""

    options: list[str]
    examples: dict[str, list[Label]]


def classes_of(train: Iterable[Label], max_chars: int) -> dict[tuple[str, Language], Classes]:
    options: dict[tuple[str, Language], set[str]] = defaultdict(set)
    examples: dict[tuple[str, Language], dict[str, list[Label]]] = defaultdict(lambda: defaultdict(list))
    for row in train:
        options[row.task, row.language].add(row.label)
        if len(row.text) <= max_chars:
            examples[row.task, row.language][row.label].append(row)
    return {key: Classes(sorted(options[key]), dict(examples[key])) for key in options}


def instructions(
    labels: Iterable[Label], classes: dict[tuple[str, Language], Classes], shots: Iterable[int], seed: int
) -> Iterator[Dialogue]:
    """A row for each text and each number of examples in `shots`."""
    shots = list(shots)
    for row, known in known_labels(labels, classes):
        for count in shots:
            chosen = examples_for(row, known, count, seed)
            prompt = prompt_of(row, known, chosen)
            references = [example.id for example in chosen]
            fields = provenance(row, method=METHOD, task=TASK, asked=prompt, references=references)
            yield Dialogue(**fields, messages=exchange(prompt, row.label))


def questions(
    labels: Iterable[Label], classes: dict[tuple[str, Language], Classes], shots: int, seed: int, use: str = ""
) -> Iterator[Question]:
    for row, known in known_labels(labels, classes):
        chosen = examples_for(row, known, shots, seed)
        prompt = prompt_of(row, known, chosen)
        references = [example.id for example in chosen]
        yield Question(
            **provenance(row, method=METHOD, task=TASK, asked=prompt, use=use, references=references),
            messages=user(prompt),
            answer=row.label,
            wrong=[option for option in known.options if option != row.label],
            known="",
        )


def known_labels(labels: Iterable[Label], classes: dict[tuple[str, Language], Classes]) -> Iterator[tuple[Label, Classes]]:
    """The labels whose class the training part has; nothing could be learnt of another."""
    for row in labels:
        known = classes.get((row.task, row.language))
        if known and row.label in known.options:
            yield row, known


def examples_for(row: Label, known: Classes, count: int, seed: int) -> list[Label]:
    """`count` examples, as many of each class as can be, never the text itself; in an order that belongs to the text."""
    ranked = []
    for label, examples in known.examples.items():
        others = [example for example in examples if example.text != row.text]
        others.sort(key=lambda example: number(seed, "example", row.id, example.id))
        ranked += [(turn, number(seed, "class", row.id, label), example) for turn, example in enumerate(others[:count])]
    return [example for _, _, example in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def prompt_of(row: Label, known: Classes, examples: Iterable[Label]) -> str:
    words = WORDINGS[row.language]
    return "\n\n".join(
        [
            words.head.format(options=words.between.join(known.options)),
            *(words.solved.format(text=one_line(example.text), label=example.label) for example in examples),
            words.case.format(text=one_line(row.text)),
        ]
    )


def one_line(text: str) -> str:
    """The text without line breaks, so that each paragraph of a prompt is one case."""
    return " ".join(text.split())


def text_asked(prompt: str, language: Language) -> str:
    """The text that a prompt of this method asks about, by itself."""
    before, after = WORDINGS[language].case.split("{text}")
    return prompt.rpartition("\n\n")[2].removeprefix(before).removesuffix(after)
