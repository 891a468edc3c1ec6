"""Dialogues and preferences that came with the corpus: they pass as they are; held-out ones become questions."""

from collections import Counter
from collections.abc import Iterable, Iterator

from lingyu.files import short_hash
from lingyu.generate.provenance import provenance
from lingyu.records import Dialogue, Message, Preference, Question

REASON, CHAT, PREFERRED = "reason", "chat", "preferred"
DEMONSTRATION = "demonstration"


def instructions(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """The dialogues, each with a task: "reason" where the answer has a reasoning part, else what it says, else "chat"."""
    for row in dialogues:
        yield row.model_copy(update={"task": task_of(row)})


def preferences(pairs: Iterable[Preference]) -> Iterator[Preference]:
    for row in pairs:
        yield row.model_copy(update={"task": row.task or CHAT})


def demonstrations(pairs: Iterable[Preference]) -> Iterator[Dialogue]:
    """The better replies as dialogues: what a model never says by chance, no reward can bring it to say."""
    for row in pairs:
        fields = provenance(row, method=DEMONSTRATION, task=PREFERRED, asked=row.messages[-1].content)
        yield Dialogue(**fields, messages=[*row.messages, Message(role="assistant", content=row.chosen)])


def prompts(pairs: Iterable[Preference], use: str = "") -> Iterator[Question]:
    """What the pairs ask, each once, with the better reply as the answer."""
    for row in {row.messages[-1].content: row for row in pairs}.values():
        fields = provenance(row, method="given", task=PREFERRED, asked=row.messages[-1].content, use=use)
        yield Question(**fields, messages=row.messages, answer=row.chosen, wrong=[row.rejected], known="")


def questions(dialogues: Iterable[Dialogue], most: int, use: str = "") -> Iterator[Question]:
    """What the last turn answers, asked in the very form that training uses; the answer without its reasoning. At most
    `most` of each task. use: sets their ids apart from those of the dialogues, where these are rows as well."""
    asked: Counter[str] = Counter()
    for row in instructions(dialogues):
        asked[row.task] += 1
        if asked[row.task] <= most:
            *messages, reply = row.messages
            fields = row.model_dump(exclude={"messages", "references"})
            fields["id"] = short_hash(use, row.id) if use else row.id
            yield Question(**fields, references=[row.id], messages=messages, answer=reply.content, wrong=[], known="")


def task_of(row: Dialogue) -> str:
    if row.messages[-1].reasoning:
        return REASON
    return row.task or CHAT


def texts(rows: Iterable[Dialogue | Preference]) -> Iterator[str]:
    """All that a row says, in one text a row."""
    for row in rows:
        said = [text for message in row.messages for text in (message.content, message.reasoning)]
        yield "\n".join(filter(None, [*said, *([row.chosen, row.rejected] if isinstance(row, Preference) else [])]))
