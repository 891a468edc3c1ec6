"""dvc.yaml, params.yaml, stages/ and tests/ tell one story: same names, same files, same keys."""

import ast
import importlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FLOWS = {"retrain", "release"}
ITEMS = [(name, item) for name in STAGES for item in (PARAMS[name]["candidates"] if "foreach" in STAGES[name] else [None])]


def block(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def files(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_one_module_per_stage():
    modules = {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}

    assert modules == set(STAGES)
    assert len(modules) == 17


def test_every_section_of_params_belongs_to_a_stage_or_a_flow_but_the_shared_one():
    assert set(STAGES) <= set(PARAMS)
    assert set(PARAMS) - set(STAGES) - FLOWS == {"training"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reruns_when_a_section_that_it_reads_changes(name):
    params = importlib.import_module(f"stages.{name}").Params
    own = [f"{name}.common", f"{name}.candidates.${{key}}"] if "foreach" in STAGES[name] else [name]

    assert {*own, *([params.shared] if params.shared else [])} <= set(block(name)["params"])


def test_every_stage_has_a_test_of_its_name():
    assert [name for name in STAGES if not (ROOT / "tests" / f"test_{name}.py").exists()] == []


@pytest.mark.parametrize(("name", "item"), ITEMS)
def test_params_fit_the_stage(name, item, monkeypatch):
    monkeypatch.chdir(ROOT)

    importlib.import_module(f"stages.{name}").Params.load(name, item)


@pytest.mark.parametrize("name", STAGES)
def test_the_header_of_the_module_names_every_file_of_the_stage(name):
    stage, header = block(name), importlib.import_module(f"stages.{name}").__doc__
    read = [file for file in files(stage["deps"]) if file.startswith(("data", "out/"))]
    written = files(stage.get("outs", [])) + files(stage.get("metrics", []))

    assert read
    assert written
    assert [file for file in read + written if file not in header] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does_and_writes_only_into_its_own_folder(name):
    stage = block(name)

    assert stage["desc"]
    assert f"stages/{name}.py" in stage["deps"]
    assert all(file.startswith(f"out/{name}/") for file in files(stage["outs"]) + files(stage.get("metrics", [])))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_as_its_module(name):
    assert block(name)["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]


# What carries rows, words and processes about, and changes no result by itself.
PLUMBING = {"workers.py", "errors.py", "files.py", "launch.py", "ledger.py", "records.py", "stage.py", "runtime/__init__.py"}


@pytest.mark.parametrize("name", STAGES)
def test_all_code_that_a_stage_reaches_is_a_dependency_when_it_changes_results(name):
    named = files(block(name)["deps"])
    reached, ahead = set(), [ROOT / "stages" / f"{name}.py"]
    while ahead:
        new = imported(ahead.pop()) - reached
        reached |= new
        ahead += new

    code = {path.relative_to(ROOT).as_posix() for path in reached if path.relative_to(ROOT / "lingyu").as_posix() not in PLUMBING}
    assert [path for path in sorted(code) if not any(path == dep or path.startswith(f"{dep}/") for dep in named)] == []


def imported(path: Path) -> set[Path]:
    """The modules of lingyu that a file imports anywhere; packages that say nothing but what they are left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    places = [ROOT / name.replace(".", "/") for name in names if name.startswith("lingyu.")]
    files = {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    return {file for file in files if len(ast.parse(file.read_text(encoding="utf-8")).body) > 1}
