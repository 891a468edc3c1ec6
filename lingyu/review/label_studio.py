"""The queue as Label Studio tasks with their labelling interface, and reading its exports (JSON and JSON-MIN)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from lingyu.review.queue import Waiting
from lingyu.stage import StageError

# In JSON-MIN, Label Studio overwrites a field named id with the task number, and a field named like a control with the annotation.
RENAMED = {"id": "row"}
TEXTS = {
    "passage": "passage 依据的原文",
    "question": "question 问题",
    "answer": "answer 回答",
    "reasoning": "reasoning 思考",
    "other": "other 较差的回答",
    "earlier": "earlier 之前的决定",
}


def tasks(waiting: Iterable[Waiting]) -> list[dict[str, Any]]:
    return [{"data": {RENAMED.get(name, name): text for name, text in entry.texts().items()}} for entry in waiting]


def interface(choices: dict[str, str]) -> str:
    """The XML for the project settings, Labeling Interface."""
    fields = "\n".join(
        f"  <Header value={quoteattr(title)} size={quoteattr('5')}/>\n  <Text name={quoteattr(name)} value={quoteattr('$' + name)}/>"
        for name, title in TEXTS.items()
    )
    words = {word: f"{word} {chinese}" for word, chinese in choices.items()}
    buttons = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in words.values())
    return f"""\
<View>
{fields}
  <Header value="decision 决定" size="5"/>
  <Choices name="decision" toName="answer" choice="single-radio" required="true" showInLine="true">
{buttons}
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="decision" whenChoiceValue={quoteattr(words["edit"])}>
    <Header value="new answer 修改后的回答" size="5"/>
    <TextArea name="edited" toName="answer" value="$answer" rows="6" editable="true" maxSubmissions="1" required="true"/>
  </View>
  <Header value="note 备注" size="5"/>
  <TextArea name="note" toName="answer" rows="2" editable="true" maxSubmissions="1"/>
</View>
"""


def rows_of_export(path: Path, exported: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each decided task, in the form of the workbook; if an annotation is marked as ground truth, only that one."""
    if not isinstance(exported, list) or not all(isinstance(task, dict) for task in exported):
        raise StageError(f"{path} is not a Label Studio export: expected a list of tasks. Export it as JSON or JSON-MIN.")
    if not all("row" in (task["data"] if isinstance(task.get("data"), dict) else task) for task in exported):
        raise StageError(
            f"{path} has tasks without the field row; they are not from out/review/label_studio.json. "
            "Put your own decisions into a .jsonl file."
        )
    for task in exported:
        where = f"task {task.get('id', '?')}"
        if isinstance(task.get("data"), dict):
            given = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
            for annotation in [one for one in given if one.get("ground_truth")] or given:
                values = {
                    result.get("from_name"): next(iter(result.get("value", {}).values()), "") for result in annotation.get("result", [])
                }
                yield place(where, annotation.get("id")), row_of(task["data"], values, annotation.get("completed_by"))
        else:
            yield place(where, task.get("annotation_id")), row_of(task, task, task.get("annotator"))


def place(task: str, annotation: Any) -> str:
    return f"{task}, annotation {annotation}" if annotation is not None else task


def row_of(data: dict[str, Any], annotation: dict[str | None, Any] | dict[str, Any], person: Any) -> dict[str, Any]:
    decision = one_text(annotation.get("decision"))
    edit = decision.startswith("edit")
    # The interface has no field to edit the reasoning, so it is unchanged.
    row: dict[str, Any] = {name: data.get(name, "") for name in ("question", "table", "print")}
    row |= {"id": data["row"], "decision": decision, "answer": one_text(annotation.get("edited")) if edit else data.get("answer", "")}
    return row | {"note": one_text(annotation.get("note")), "reviewer": name_of(person)}


def one_text(value: Any) -> str:
    """The value of a control: a text, a list of texts, or either nested under its type."""
    if isinstance(value, dict):
        value = next(iter(value.values()), "")
    if isinstance(value, list):
        return "\n".join(map(one_text, value))
    return "" if value is None else str(value)


def name_of(person: Any) -> str:
    """The reviewer: an address or name if the export has it, otherwise the Label Studio user number."""
    if isinstance(person, dict):
        full = " ".join(filter(None, (str(person.get(part) or "") for part in ("first_name", "last_name"))))
        return full or str(person.get("email") or name_of(person.get("id")))
    return "" if person in (None, "", {}) else f"Label Studio user {person}" if isinstance(person, int) else str(person)
