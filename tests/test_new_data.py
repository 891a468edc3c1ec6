"""What is new in the corpus: documents and rows, to which part, and what nobody would notice otherwise."""

import subprocess
from pathlib import Path

import pytest
from dvc.cli import main as dvc_main

from lingyu.__main__ import main
from lingyu.files import write_tables
from lingyu.records import Document
from lingyu.retrain import new_data
from lingyu.retrain.new_data import State

# DVC's own index trips over a change of one of its libraries.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
SPLIT = {"cmd": "true", "deps": ["data"], "outs": [f"out/split/{part}" for part in new_data.PARTS]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project whose `split` is whatever a test writes; `dvc commit` puts it into the cache, as `dvc repro` does."""
    top = tmp_path / "project"
    (tmp_path / "source").mkdir()
    top.mkdir()
    monkeypatch.chdir(top)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    run("git", "init", "--quiet")
    dvc("init", "--quiet")
    Path("dvc.yaml").write_text(f"stages: {{split: {SPLIT}}}".replace("'", '"'))
    Path(".gitignore").write_text("/out/\n/data\n")
    return top


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


def dvc(*words):
    assert dvc_main(list(words)) == 0


def corpus(files: dict[str, str], **parts: dict[str, str]) -> State:
    """The state with these files, and these documents in each part: their text by file."""
    source = Path("../source")
    for old in source.iterdir():
        old.unlink()
    for name, text in files.items():
        (source / name).write_text(text)
    dvc(*(["update", "data.dvc"] if Path("data.dvc").exists() else ["import-url", str(source), "data"]))
    for part in new_data.PARTS:
        write_tables(Path("out/split", part), {"documents": [document(file, text) for file, text in parts.get(part, {}).items()]})
    dvc("commit", "--force", "split")
    return State.of([Path("data.dvc").read_text()], Path("dvc.lock").read_text())


def document(file: str, text: str) -> Document:
    common = {"place": "beginning", "licence": "CC0", "scope": "domain", "language": "en", "title": "", "section": ""}
    return Document(id=file, source=file, text=text, **common)


def test_documents_and_rows_are_counted_by_what_happened_to_them_and_by_part(project):
    before = corpus({"a": "1", "b": "2", "c": "3", "d": "4"}, train={"a": "1", "b": "2"}, dev={"c": "3"}, test={"d": "4"})
    after = corpus({"a": "1", "b": "20", "cc": "3", "e": "5"}, train={"a": "1", "e": "5"}, dev={"b": "20"}, test={"cc": "3"})

    found = new_data.compared(before, after)

    assert found.files == {"added": ["e"], "changed": ["b"], "renamed": ["cc"], "gone": ["d"]}
    assert found.title() == "1 new document, 1 changed, 1 renamed, 1 removed"
    assert {key: dict(counts) for key, counts in found.rows.items()} == {
        ("documents", "train"): {"added": 1},
        ("documents", "dev"): {"changed": 1, "gone": 1},
        ("documents", "test"): {"added": 1, "gone": 1},
    }
    assert "| documents | +1 | ~1 −1 | +1 −1 |" in found.markdown()
    assert "Rows: 2 added (1 train, 1 test), 1 changed, 0 moved, 2 gone." in found.plain()
    assert found.warnings() == []
    assert not new_data.compared(after, after)


def test_a_corpus_of_which_all_that_is_new_landed_in_the_test_is_told(project):
    before = corpus({"a": "1"}, train={"a": "1"})
    after = corpus({"a": "1", "b": "2", "c": "3", "empty": ""}, train={"a": "1"}, dev={"c": "3"}, test={"b": "2"})

    (untrained, silent) = new_data.compared(before, after).warnings()

    assert "No new row is trained on: of 2 new rows 1 in dev, 1 in test" in untrained
    assert "No row came of these documents: empty." in silent


def test_what_the_cache_has_no_longer_is_named_and_not_counted(project):
    before, after = State({"data": "0" * 32 + ".dir"}, {}), corpus({"a": "1"}, train={"a": "1"})

    found = new_data.compared(before, after)

    assert found.files == {}
    assert "Not compared with before: data, which is no longer in DVC's cache" in found.warnings()[0]


def test_the_ledger_tells_what_is_new_since_a_commit(project, capsys):
    corpus({"a": "1"}, train={"a": "1"})
    run("git", "add", ".")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one")
    corpus({"a": "1", "b": "2"}, train={"a": "1"}, test={"b": "2"})

    assert main(["ledger", "--since", "HEAD"]) == 0
    told = capsys.readouterr().out
    assert "`b`" in told
    assert "| documents | – | – | +1 |" in told
    assert "No new row is trained on" in told

    assert main(["ledger", "--since", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
