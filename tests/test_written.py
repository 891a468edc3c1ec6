"""Answers that people wrote stand in for a language model: the real methods, checks and record, no endpoint."""

import pytest
import yaml
from teaching import exchanges, lesson, reasons, teach

from lingyu.records import Document
from lingyu.stage import StageError

TEXT = "起飞前检查桨叶和电池。电量低于30%时应当返航，由机长决定备降场。"
DOCUMENT = Document(
    id="d1", source="a.md", place="一", licence="CC0", scope="domain", language="zh", title="手册", section="第一章", text=TEXT
)
ENTRIES = [
    {"asked": ["请提出", "桨叶和电池"], "answer": {"questions": ["电量还剩两成半时怎么办？", "谁决定备降到哪里？"]}},
    {
        "asked": "电量还剩两成半时怎么办？",
        "answer": {"answerable": True, "evidence": "电量低于30%时应当返航", "answer": "应当返航，因为电量低于30%。"},
    },
]


def written(folder, entries, **changes):
    file = folder / "answers.yaml"
    file.write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")
    given = lesson(DOCUMENT, reliable={"records": 1})
    return teach("", folder, given, kind="written", model="", file=str(file), **changes)


def test_a_written_answer_becomes_a_row_and_what_nobody_wrote_is_counted(tmp_path):
    done = written(tmp_path, ENTRIES)

    assert [row.messages[0].content for row in done.rows] == ["电量还剩两成半时怎么办？"]
    assert done.rows[0].messages[1].content == "应当返航，因为电量低于30%。"
    assert done.rows[0].method == "reliable"
    assert reasons(done) == ["empty_answer"]
    assert {one["model"] for one in exchanges(tmp_path)} == {"answers.yaml"}


def test_written_answers_are_checked_against_the_passage_as_any_others(tmp_path):
    wrong = [ENTRIES[0], {**ENTRIES[1], "answer": {**ENTRIES[1]["answer"], "answer": "应当返航，因为电量低于45%。"}}]

    done = written(tmp_path, wrong)

    assert done.rows == []
    assert len(done.drops) == 2


@pytest.mark.parametrize(
    ("entries", "changes", "said"),
    [
        (ENTRIES, {"revision": "0123"}, "0123"),
        ([{"asked": "甲"}], {}, "either answer or answers"),
        ([{"asked": "甲", "answer": "乙", "remark": "丙"}], {}, "remark"),
        ({"asked": "甲"}, {}, "list"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, entries, changes, said):
    with pytest.raises(StageError, match=r"answers\.yaml") as error:
        written(tmp_path, entries, **changes)

    assert said in str(error.value)


def test_an_answer_that_is_added_later_is_read(tmp_path):
    first = written(tmp_path, ENTRIES)
    more = {"asked": "谁决定备降到哪里？", "answer": {"answerable": True, "evidence": "由机长决定备降场", "answer": "由机长决定。"}}

    again = written(tmp_path, [*ENTRIES, more])

    assert len(first.rows) == 1
    assert [row.messages[1].content for row in again.rows] == ["应当返航，因为电量低于30%。", "由机长决定。"]
