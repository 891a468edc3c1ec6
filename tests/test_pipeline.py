"""dvc.yaml, params.yaml, stages/ and tests/ tell one story: same names, same files, same keys."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from stages import package

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FLOWS = {"retrain", "release"}
KINDS = ("outs", "metrics", "plots")
ITEMS = [(name, item) for name in STAGES for item in (PARAMS[name]["candidates"] if "foreach" in STAGES[name] else [None])]


def block(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def outputs(stage: dict) -> list[str]:
    return [file for kind in KINDS for file in files(stage.get(kind, []))]


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
    written = outputs(stage)

    assert read
    assert written
    assert [file for file in read + written if file not in header] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does_and_writes_only_into_its_own_folder(name):
    stage = block(name)

    assert stage["desc"]
    assert f"stages/{name}.py" in stage["deps"]
    assert all(file.startswith(f"out/{name}/") for file in outputs(stage))


@pytest.mark.parametrize("name", STAGES)
def test_every_output_is_in_the_cache_so_that_the_run_cache_is_on(name):
    entries = [entry for kind in KINDS for entry in block(name).get(kind, []) if isinstance(entry, dict)]

    assert [entry for entry in entries for flags in entry.values() if {"cache", "persist"} & flags.keys()] == []


def test_git_ignores_all_outputs_by_one_line():
    assert "/out/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_as_its_module(name):
    assert block(name)["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]


# What carries rows, words and processes about, and changes no result by itself.
PLUMBING = {
    "workers.py",
    "errors.py",
    "files.py",
    "launch.py",
    "ledger.py",
    "records.py",
    "stage.py",
    "runtime/__init__.py",
    "runtime/warm.py",
}


WORDINGS = ROOT / "lingyu/generate/wordings"
# Who imports modules by name, and from which folders.
LOADED = {
    "lingyu/ingest/readers/__init__.py": ["lingyu/ingest/readers"],
    "lingyu/generate/rules/methods.py": ["lingyu/generate/rules"],
    "lingyu/generate/llm/run.py": ["lingyu/generate/llm"],
    "lingyu/evaluate/scorers/__init__.py": ["lingyu/evaluate/scorers"],
    "lingyu/retrieve/retrievers/__init__.py": ["lingyu/retrieve/retrievers"],
    "lingyu/retrieve/embedders/__init__.py": ["lingyu/retrieve/embedders"],
}


def test_every_module_that_imports_by_name_is_listed():
    users = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "lingyu").rglob("*.py") if "import_module" in path.read_text(encoding="utf-8")
    }

    assert users - {"lingyu/generate/registry.py", *NOT_OURS} <= set(LOADED)
    assert all((ROOT / place).exists() for place in [*LOADED, *(folder for folders in LOADED.values() for folder in folders)])


# They import modules of others by name.
NOT_OURS = {"lingyu/model/load.py", "lingyu/serve/mcp.py", "lingyu/workers.py", "lingyu/runtime/warm.py", "lingyu/validate/run.py"}


@pytest.mark.parametrize("name", STAGES)
def test_the_code_that_a_stage_depends_on_is_the_code_that_it_imports(name):
    here = [dep for dep in files(block(name)["deps"]) if not dep.startswith(("out/", "data", "answers"))]
    wanted = lines_for(needed(name))

    add, remove = sorted(set(wanted) - set(here)), sorted(set(here) - set(wanted))
    message = [f"dvc.yaml, stage {name}, deps:"]
    message += [f"add      - {line}" for line in add] + [f"remove   - {line}" for line in remove]
    assert not add + remove, "\n".join(message)


def test_few_files_are_tied_that_no_stage_imports():
    tied = [
        file
        for name in STAGES
        for dep in files(block(name)["deps"])
        if not dep.startswith(("out/", "data"))
        for file in all_files(ROOT / dep)
    ]

    assert len(tied) <= 1.1 * sum(len(needed(name)) for name in STAGES)


def test_the_closure_follows_imports_registries_and_files_beside_modules():
    found = {name: {path.relative_to(ROOT).as_posix() for path in needed(name)} for name in ("ingest", "generate", "validate", "package")}

    assert {"lingyu/ingest/readers/sheets.py", "lingyu/text/normalise.py"} <= found["ingest"]
    assert {"lingyu/generate/llm/prompts/nvc/1-rewrite.zh.md", "lingyu/text/word_lists.yaml"} <= found["generate"]
    assert {"lingyu/validate/facts.yaml", "lingyu/validate/report.css"} <= found["validate"]
    assert {"lingyu/release/card.md.jinja", "service.py", "lingyu/files.py", "web/pages/chat/index.html"} <= found["package"]


def needed(name: str) -> set[Path]:
    """The files of code, and beside it, that decide what a stage writes."""
    stage = ROOT / "stages" / f"{name}.py"
    found, ahead = set(), {stage}
    while ahead:
        path = ahead.pop()
        found.add(path)
        if path.suffix == ".py":
            ahead |= (imported(path) | named_by(path)) - found
    kept = {path for path in found if path.relative_to(ROOT).as_posix().removeprefix("lingyu/") not in PLUMBING}
    # What goes into the Bento is part of an output, plumbing or not.
    carried = [file for entry in package.CODE for file in all_files(ROOT / entry)] if name == "package" else []
    return {path for path in [*kept, *carried, *([ROOT / "bentofile.yaml"] if carried else [])] if not says_nothing(path)}


def imported(path: Path) -> set[Path]:
    """The modules of lingyu that a file imports anywhere, also those that it imports by their names in a registry."""
    names, found = set(), set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found |= {file for folder in LOADED.get(path.relative_to(ROOT).as_posix(), ()) for file in (ROOT / folder).glob("*.py")}
    places = [ROOT / name.replace(".", "/") for name in names if name.startswith("lingyu.")]
    return found | {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}


def named_by(path: Path) -> set[Path]:
    """The files that a module names: beside itself, where it asks for its own place, and from the top of the project in a stage."""
    words = {str(node.value) for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if path.parent.name == "stages":
        places = [ROOT / word for word in words if word.startswith(("lingyu/", "web/")) and path.stem != "package"]
    else:
        code = path.read_text(encoding="utf-8")
        places = [path.parent / word for word in words if "__file__" in code and word.strip("./")]
        places += [WORDINGS / f"{name}.yaml" for name in re.findall(r'Wordings\("(\w+)"', code)]
        places += WORDINGS.glob("*.yaml") if re.search(r"import .*\bskills\b", code) and "wordings" in code else []
    return {file for place in places if len(str(place)) < 250 and place.exists() for file in all_files(place)}


def lines_for(wanted: set[Path]) -> list[str]:
    """The lines that name these files: a folder's where they are all of it, else their own."""
    lines = set()
    for path in wanted:
        whole = [folder for folder in path.parents if ROOT in folder.parents and len(there := meaningful(folder)) > 1 and there <= wanted]
        lines.add((whole[-1] if whole else path).relative_to(ROOT).as_posix())
    return sorted(lines)


def meaningful(folder: Path) -> set[Path]:
    return {file for file in all_files(folder) if not says_nothing(file)}


def all_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file() and file.suffix != ".pyc"]


def says_nothing(path: Path) -> bool:
    """Whether it only makes a folder a package."""
    return path.name == "__init__.py" and len(parsed(path).body) <= 1


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
