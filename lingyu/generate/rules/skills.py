"""A system message that names the kind of task, for a share of the rows: who deploys the model may name it too, and need not.

Its text is under `skills` in the wordings of each method, by task. Tasks that files name for themselves have none.
"""

from collections.abc import Iterable, Iterator

from lingyu.generate.stable_choice import number
from lingyu.generate.wordings import skills
from lingyu.records import Dialogue, Message


def with_skills(rows: Iterable[Dialogue], share: float, seed: int) -> Iterator[Dialogue]:
    """The rows, a share of them under the message of their task; not those that bring a system message of their own.

    A row keeps its id: what people decided about its answer holds on.
    """
    for row in rows:
        skill = skills().get(row.task)
        if skill is None or row.messages[0].role == "system" or number(seed, "skill", row.id) >= share * 2**64:
            yield row
        else:
            yield row.model_copy(update={"messages": [Message(role="system", content=skill[row.language]), *row.messages]})


def has_skill(row: Dialogue) -> bool:
    return row.messages[0].role == "system" and row.messages[0].content in skills().get(row.task, {}).values()
