"""Label Studio: the tasks and the interface that go out, the exports that come back. Both forms as label-studio-sdk 2.1 writes them."""

from xml.etree import ElementTree

import pytest

from lingyu.files import write_json
from lingyu.records import Dialogue, Message
from lingyu.review import label_studio
from lingyu.review.decisions import DECISIONS, read_decisions
from lingyu.review.queue import Waiting

ROW = {"source": "a.md", "place": "row 1", "licence": "CC0", "scope": "domain", "language": "zh", "task": "fact", "references": ["f"]}
MESSAGES = [Message(role="user", content="问"), Message(role="assistant", content="答")]
DATA = label_studio.tasks(
    [Waiting("instructions", Dialogue(id="i1", messages=MESSAGES, method="fact", teacher="rules", prompt_hash="", review="", **ROW))]
)[0]["data"]


def test_every_text_of_the_interface_is_in_the_tasks_and_no_control_writes_over_one():
    root = ElementTree.fromstring(label_studio.interface(DECISIONS))
    shown = {tag.get("value") for tag in root.iter("Text")}
    controls = {tag.get("name") for kind in ("Choices", "TextArea") for tag in root.iter(kind)}

    assert {f"${name}" for name in DATA} >= shown
    assert len(shown) == 6
    assert controls == {"decision", "edited", "note"}
    assert not controls & {*DATA, "id", "annotator"}
    assert [tag.get("value") for tag in root.iter("Choice")] == ["approve 通过", "edit 修改", "swap 对调", "reject 退回"]


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize(
    ("said", "person", "expected"),
    [
        ({"decision": "approve 通过"}, "li@example.com", ("approve", "答", "li@example.com", "")),
        ({"decision": "edit 修改", "edited": "改过"}, {"id": 3, "email": "li@example.com"}, ("edit", "改过", "li@example.com", "")),
        ({"decision": "edit 修改", "edited": {"text": ["一", "二"]}}, 3, ("edit", "一\n二", "Label Studio user 3", "")),
        ({"decision": "reject 退回", "note": "不对"}, {"first_name": "Wei", "last_name": "Li"}, ("reject", "答", "Wei Li", "不对")),
        ({}, 3, None),
    ],
)
def test_decisions_come_back_from_both_exports(tmp_path, minimal, said, person, expected):
    task = {**DATA, **said, "id": 7, "annotator": person} if minimal else {"id": 7, "data": DATA, "annotations": [annotation(said, person)]}
    write_json(tmp_path / "export.json", [task])

    found = [(one.decision, one.answer, one.reviewer, one.note) for one in read_decisions(tmp_path)]

    assert found == ([expected] if expected else [])


def test_of_several_annotations_the_one_marked_as_ground_truth_counts(tmp_path):
    annotations = [
        annotation({"decision": "approve 通过"}, 1),
        annotation({"decision": "reject 退回"}, 2, ground_truth=True),
        annotation({"decision": "approve 通过"}, 3, was_cancelled=True),
    ]
    write_json(tmp_path / "export.json", [{"id": 7, "data": DATA, "annotations": annotations}, {"id": 8, "data": DATA, "annotations": []}])

    (found,) = read_decisions(tmp_path)

    assert (found.id, found.decision, found.print, found.where) == ("i1", "reject", DATA["print"], "export.json task 7")


def test_two_people_who_agree_are_two_decisions(tmp_path):
    annotations = [annotation({"decision": "approve 通过"}, 1, id=number) for number in (11, 12)]
    write_json(tmp_path / "export.json", [{"id": 7, "data": DATA, "annotations": annotations}])

    assert [one.where for one in read_decisions(tmp_path)] == ["export.json task 7, annotation 11", "export.json task 7, annotation 12"]


def annotation(said, person, **more):
    """As Label Studio keeps what one person said."""
    kinds = {"decision": "choices", "edited": "text", "note": "text"}
    values = {name: text["text"] if isinstance(text, dict) else [text] for name, text in said.items()}
    result = [{"from_name": name, "to_name": "answer", "value": {kinds[name]: texts}} for name, texts in values.items()]
    return {"result": result, "completed_by": person, "was_cancelled": False, "ground_truth": False, **more}
