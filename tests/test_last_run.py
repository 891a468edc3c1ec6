"""A stage continues from the output of the last run, with the real DVC: nothing that it wrote before is lost."""

import pytest
from miniature import ROOT, commit, dvc, git

from lingyu import last_run

STAGE = f"""
import pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from lingyu.last_run import left
from lingyu.stage import StageError
out = pathlib.Path("out/kept.txt")
try:
    before = left(out)
except StageError as error:
    raise SystemExit(str(error))
lines = set((before.read_text() if before else "").split()) | set(pathlib.Path("new.txt").read_text().split())
out.parent.mkdir(exist_ok=True)
out.write_text("".join(line + "\\n" for line in sorted(lines)))
"""
DAG = "stages: {keep: {cmd: python stage.py, deps: [new.txt], outs: [out/kept.txt]}}"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """One stage that adds what is in new.txt to what it kept; run once on `a`."""
    folder = tmp_path / "one"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "first")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@example.org")
    dvc(folder, "init", "-q")
    for name, text in {"stage.py": STAGE, "dvc.yaml": DAG, ".gitignore": "/out/\n", "new.txt": "a\n"}.items():
        (folder / name).write_text(text)
    assert kept(folder) == "a"
    commit(folder, "a")
    monkeypatch.chdir(folder)
    return folder


def kept(folder, *words: str) -> str:
    dvc(folder, "repro", "-q", *words)
    return "".join((folder / "out/kept.txt").read_text().split())


def grown(folder, line: str) -> None:
    (folder / "new.txt").write_text(f"{line}\n")


@pytest.mark.slow
def test_what_was_kept_outlives_another_run_a_forced_one_and_a_way_back(project):
    grown(project, "b")
    assert kept(project) == "ab"
    assert kept(project, "-f") == "ab"

    git(project, "switch", "-qc", "second")
    commit(project, "b")
    git(project, "switch", "-q", "first")
    assert kept(project) == "a"
    grown(project, "c")
    assert kept(project) == "ac"  # of its own history, not of the other branch
    git(project, "checkout", "-q", ".")
    git(project, "switch", "-q", "second")
    assert kept(project) == "ab"


@pytest.mark.slow
def test_an_experiment_in_a_folder_of_its_own_continues_from_it_too(project):
    grown(project, "b")
    commit(project, "b, not run yet")

    dvc(project, "exp", "run", "-q", "--temp", "-n", "trial")

    dvc(project, "exp", "apply", "-q", "trial")
    assert (project / "out/kept.txt").read_text() == "a\nb\n"


@pytest.mark.slow
def test_a_clone_has_it_after_pull_and_says_so_before(project, tmp_path):
    dvc(project, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    commit(project, "remote")
    dvc(project, "push", "-q")
    clone = tmp_path / "two"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    grown(clone, "b")

    with pytest.raises(AssertionError, match=r"dvc pull out/kept\.txt"):
        kept(clone)

    dvc(clone, "pull", "-q", "out/kept.txt")
    assert kept(clone) == "ab"


@pytest.mark.slow
def test_a_cache_elsewhere_is_found_and_without_any_remote_a_clone_starts_anew(project, tmp_path):
    dvc(project, "config", "cache.dir", str(tmp_path / "cache"))
    (project / ".dvc/cache").rename(tmp_path / "cache")
    (project / "out/kept.txt").unlink()
    assert last_run.left(project / "out/kept.txt") is None  # dvc.lock names it from the top of the project
    grown(project, "b")
    assert kept(project) == "ab"

    git(project, "checkout", "-q", ".dvc", "dvc.lock")
    commit(project, "b")
    clone = tmp_path / "two"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    assert kept(clone) == "b"


def test_without_a_lock_there_was_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert last_run.left(tmp_path / "out/kept.txt") is None


def test_an_output_in_its_place_is_taken(tmp_path):
    (tmp_path / "kept.txt").touch()

    assert last_run.left(tmp_path / "kept.txt") == tmp_path / "kept.txt"
