"""lingyu export: other trainers' forms, loaded back by the library that they load with."""

import shutil

import pytest
import yaml

from lingyu.__main__ import main
from lingyu.export.tables import TEST, TRAINING
from lingyu.files import read_json, read_jsonl, write_table
from lingyu.records import Dialogue, Document, Message, Preference, Question

ROW = {"source": "a.md", "place": "row 1", "licence": "CC-BY-4.0", "scope": "domain", "language": "zh"}
MADE = {"task": "chat", "references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": "edited by 李工", **ROW}


def dialogue_of(*turns):
    return [Message(role={"s": "system", "u": "user", "a": "assistant"}[role], content=text) for role, text in turns]


SINGLE = Dialogue(id="i1", messages=dialogue_of(("u", "问"), ("a", "答")), **MADE)
MULTI = Dialogue(id="i2", messages=dialogue_of(("s", "简短"), ("u", "一"), ("a", "壹"), ("u", "二"), ("a", "贰")), **MADE)
THINKS = Dialogue(id="i3", messages=[*dialogue_of(("u", "想")), Message(role="assistant", content="好", reasoning="因为")], **MADE)
TWICE = Dialogue(id="i4", messages=dialogue_of(("u", "问"), ("u", "再问"), ("a", "答")), **MADE)
PARTLY = Dialogue(
    id="i5",
    messages=[
        *dialogue_of(("u", "一")),
        Message(role="assistant", content="错", learnt=False),
        *dialogue_of(("u", "二")),
        Message(role="assistant", content="贰", reasoning="因"),
    ],
    **MADE,
)
PAIR = Preference(id="p1", messages=dialogue_of(("s", "简短"), ("u", "问")), chosen="好", rejected="坏", **MADE)
PROMPT = Question(id="r1", messages=dialogue_of(("u", "问")), answer="答", wrong=[], known="", **MADE)
TEXT = Document(id="d1", title="", section="", text="正文", **ROW)


@pytest.fixture
def mixed(tmp_path):
    """Tables of mix: some with rows, the others empty."""
    rows = {"train/pretrain": [TEXT], "train/sft": [SINGLE, THINKS, TWICE, MULTI], "train/preference": [PAIR]}
    rows |= {"dev/sft": [SINGLE], "train/prompts": [PROMPT], "test/questions": [PROMPT]}
    for table in (*TRAINING, *TEST):
        write_table(tmp_path / f"out/mix/{table.path}.parquet", rows.get(table.path, []), table.row_type)
    return tmp_path


def test_llamafactory_finds_the_forms_that_it_reads(mixed, capsys):
    assert export(mixed, "llamafactory") == 0

    told = capsys.readouterr().out
    folder = mixed / "export"
    described = read_json(folder / "dataset_info.json")
    assert list(described) == [
        "lingyu_pretrain",
        "lingyu_sft",
        "lingyu_sft_sharegpt",
        "lingyu_sft_dev",
        "lingyu_sft_sharegpt_dev",
        "lingyu_preference",
        "lingyu_preference_sharegpt",
        "lingyu_prompts",
    ]
    for name, entry in described.items():
        rows = loaded("json", mixed, data_files=str(folder / entry["file_name"]))["train"]
        assert set(entry["columns"].values()) <= set(rows.column_names), name
        assert f"{len(rows):9,}  {name}" in told
    assert [(row["id"], row["reason"]) for row in read_jsonl(folder / "left_out.jsonl")] == [
        ("i4", "its turns do not alternate between user and assistant")
    ]


def test_each_form_says_what_the_row_says(mixed):
    export(mixed, "llamafactory")

    rows = {name: [texts(row) for row in read_json(mixed / f"export/{name}.json")] for name in FORMS}
    assert rows == FORMS


FORMS = {
    "lingyu_pretrain": [{"text": "正文"}],
    "lingyu_sft": [
        {"instruction": "问", "input": "", "system": "", "history": [], "output": "答"},
        {"instruction": "想", "input": "", "system": "", "history": [], "output": "<think>\n因为\n</think>\n\n好"},
        {"instruction": "二", "input": "", "system": "简短", "history": [["一", "壹"]], "output": "贰"},
    ],
    "lingyu_preference": [{"instruction": "问", "input": "", "system": "简短", "history": [], "chosen": "好", "rejected": "坏"}],
    "lingyu_preference_sharegpt": [
        {
            "conversations": [{"from": "human", "value": "问"}],
            "system": "简短",
            "chosen": {"from": "gpt", "value": "好"},
            "rejected": {"from": "gpt", "value": "坏"},
        }
    ],
    "lingyu_prompts": [{"instruction": "问", "input": "", "system": "", "history": [], "output": "答"}],
}


def test_datasets_loads_the_folder_by_its_card(mixed):
    assert export(mixed, "datasets") == 0

    folder = mixed / "export"
    sft = loaded(str(folder), mixed, name="sft")
    assert {part: rows["id"] for part, rows in sft.items()} == {"train": ["i1", "i3", "i4", "i2"], "validation": ["i1"]}
    assert sft["train"][1]["messages"][1] == {"role": "assistant", "content": "<think>\n因为\n</think>\n\n好"}
    pair = loaded(str(folder), mixed, name="preference")["train"][0]
    assert (pair["prompt"][1], pair["chosen"]) == ({"role": "user", "content": "问"}, [{"role": "assistant", "content": "好"}])
    head = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (head["license"], head["language"]) == ("cc-by-4.0", ["zh"])
    assert {path.name for path in folder.iterdir()} == {"README.md", "pretrain", "sft", "preference", "prompts"}


@pytest.mark.parametrize("to", ["llamafactory", "datasets"])
def test_no_name_of_a_reviewer_leaves_and_the_test_only_when_asked_for(mixed, to):
    export(mixed, to)
    first = {path.relative_to(mixed / "export"): path.read_bytes() for path in (mixed / "export").rglob("*") if path.is_file()}
    shutil.rmtree(mixed / "export")

    export(mixed, to, "--test")

    again = {path.relative_to(mixed / "export"): path.read_bytes() for path in (mixed / "export").rglob("*") if path.is_file()}
    assert not any("李工".encode() in content for content in again.values())
    more = {path for path in again if path not in first}
    assert {path.as_posix() for path in more} == {{"llamafactory": "lingyu_questions_test.json", "datasets": "questions/test.parquet"}[to]}
    described = {path for path in first if path.name in ("README.md", "dataset_info.json")}
    assert all(again[path] == content for path, content in first.items() if path not in described)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "export").mkdir() or (folder / "export/x").touch(), "is not empty"),
        (lambda folder: shutil.rmtree(folder / "out/mix/dev"), "has no dev/pretrain, dev/sft, dev/preference. Run `make repro`"),
        (lambda folder: [path.write_bytes((folder / f"empty-{path.stem}").read_bytes()) for path in full(folder)], "nothing to export"),
    ],
)
def test_what_cannot_be_exported_is_told(mixed, capsys, spoil, told):
    for table in TRAINING:
        write_table(mixed / f"empty-{table.name}", [], table.row_type)
    spoil(mixed)

    assert export(mixed, "datasets") == 1
    assert told in capsys.readouterr().err


def test_a_reply_that_is_not_to_be_learnt_is_marked_or_its_row_left_out(mixed, capsys):
    write_table(mixed / "out/mix/train/sft.parquet", [SINGLE, PARTLY], Dialogue)

    assert export(mixed, "datasets") == 0
    folder = mixed / "export"
    assert "1  sft_masked/train" in capsys.readouterr().out
    assert [row["id"] for row in loaded(str(folder), mixed, name="sft")["train"]] == ["i1"]
    (row,) = loaded(str(folder), mixed, name="sft_masked")["train"]
    assert [(turn["content"], turn["loss"]) for turn in row["messages"]] == [
        ("一", False),
        ("错", False),
        ("二", False),
        ("<think>\n因\n</think>\n\n贰", True),
    ]
    assert "sft_masked" in (folder / "README.md").read_text(encoding="utf-8")

    shutil.rmtree(folder)
    assert export(mixed, "llamafactory") == 0
    assert [row["id"] for row in read_json(folder / "lingyu_sft_sharegpt.json")] == ["i1"]
    assert [(row["id"], row["reason"]) for row in read_jsonl(folder / "left_out.jsonl")] == [
        ("i5", "a reply of it is not to be learnt, which the formats cannot express")
    ]
    assert "1  left_out" in capsys.readouterr().out


def full(folder):
    return [folder / f"out/mix/{table.path}.parquet" for table in TRAINING]


def export(folder, to, *more):
    return main(["export", "--to", to, str(folder / "export"), "--out", str(folder / "out"), *more])


def loaded(path, folder, **more):
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(path, cache_dir=str(folder / "cache"), **more)


def texts(row):
    """Without where it comes from."""
    return {name: value for name, value in row.items() if name not in {*ROW, *MADE, "id"}}
