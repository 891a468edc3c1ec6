"""What the pages claim is so: files, commands, parameters, links, requests and examples, each held against what it speaks of."""

import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from bench import generation
from lingyu.ingest.readers import ENDINGS
from lingyu.ingest.shapes import SHAPES
from lingyu.review import rulings
from lingyu.serve.protocol import parsed

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
READMES = ("README.md", "README.zh.md")
README = pytest.mark.parametrize("name", READMES)
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
PAGES = sorted(
    {*READMES, "AGENTS.md", "CHANGELOG.md", "samples/README.md"} | {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")}
)
PAGE = pytest.mark.parametrize("name", PAGES)
# What a fresh clone does not have.
MADE = {"data", "out", "releases"}
# What the rows of the methods in docs/training.md name besides the parameters of that method: parameters and values of others.
OTHERS = {"init_lora_weights", "robust", "reason"}
KB = 1024
# Bytes that a page may have: what is longer, nobody reads.
SIZES = {
    "README.md": 8 * KB,
    "README.zh.md": 8 * KB,
    "docs/benchmarks.md": 30 * KB,
    "docs/data.md": 16 * KB,
    "docs/generation.md": 20 * KB,
    "docs/review.md": 8 * KB,
    "docs/training.md": 16 * KB,
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_pages_have_their_size_and_decisions_fit_on_a_screen():
    assert {name: size for name, limit in SIZES.items() if (size := (ROOT / name).stat().st_size) > limit} == {}
    assert {path.name: lines for path in DECISIONS if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 40} == {}
    assert all(path.stat().st_size < 150 * KB for path in (ROOT / "docs/images").iterdir())


@README
def test_the_dag_shows_every_stage_and_only_edges_that_exist(name):
    edges = {edge for line in fenced(text_of(name), "mermaid")[0].splitlines() if "-->" in line for edge in pairs(line)}

    assert {stage for edge in edges for stage in edge} == set(STAGES)
    assert edges <= {(before, after) for after in STAGES for before in STAGES if reads(after, before)}


def test_both_readmes_have_the_same_commands_links_and_parameters():
    of_page = {name: text_of(name) for name in READMES}
    commands = [[line.split("#")[0].rstrip() for block in fenced(page, "bash") for line in block.splitlines()] for page in of_page.values()]
    commands[1] = [line.replace("目录", "folder") for line in commands[1]]
    links = [sorted(set(re.findall(r"\]\((?!README|docs/images)([^)]+)\)", page))) for page in of_page.values()]

    assert commands[0] == commands[1]
    assert {"make repro", "make serve", "make test"} <= set(commands[0])
    assert links[0] == links[1]
    assert len(links[0]) > 10
    assert set(keys(of_page["README.md"])) == set(keys(of_page["README.zh.md"]))
    assert text_of("README.md").count("## ") == text_of("README.zh.md").count("## ")


def test_the_tree_names_what_exists_and_every_folder_and_room():
    listed = tree(text_of("AGENTS.md"))
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._" and any(path.iterdir())}
    rooms = {f"lingyu/{path.name}" for path in (ROOT / "lingyu").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}

    assert [path for path in listed if path not in MADE and not (ROOT / path).exists()] == []
    assert {name for name in folders if not name.endswith(".egg-info")} <= set(listed)
    assert {room for room in rooms if Path(room).name[0] != "_"} <= set(listed)
    assert len(rooms) > 20
    assert all(listed.values())


@PAGE
def test_links_commands_files_and_parameters_exist(name):
    page, folder = text_of(name), (ROOT / name).parent
    targets = re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE)
    commands = text_of("lingyu/__main__.py") + text_of("lingyu/release/commands.py")
    missing = {
        "links": [link for link in re.findall(r"\]\((?!http)([^)#]+)\)", page) if not (folder / link).exists()],
        "headings": [
            f"{link}#{heading}"
            for link, heading in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page)
            if heading not in headings(folder / link if link else ROOT / name)
        ],
        "targets": [target for target in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page, re.MULTILINE) if target not in targets],
        "modules": [
            module for module in modules_in(page) if not any((ROOT / path).exists() for path in (f"{module}.py", f"{module}/__main__.py"))
        ],
        "commands": [command for command in re.findall(r"python -m lingyu ([a-z]+)", page) if f'"{command}"' not in commands],
        "files": [file for file in files_in(page) if not (ROOT / file).exists()],
        "parameters": [key for key in keys(page) if not there(key)],
    }

    assert {kind: sorted(set(names)) for kind, names in missing.items() if names} == {}


def test_the_checks_of_pages_find_something():
    assert sum(len(keys(text_of(name))) for name in PAGES) > 60
    assert sum(len(files_in(text_of(name))) for name in PAGES) > 30
    assert sum(len(modules_in(text_of(name))) for name in PAGES) > 15
    assert len(DECISIONS) > 30
    assert len(PAGES) > 12


def test_pages_named_in_code_and_parameters_exist():
    folders = ("lingyu", "stages", "flows", "bench", "web", "recipes", "profiles", "tests")
    files = [ROOT / name for name in ("params.yaml", "dvc.yaml", "pyproject.toml", "Makefile", "service.py")]
    files += [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".jinja", ".html", ".js", ".md"}
    ]
    named = {
        (str(path.relative_to(ROOT)), page)
        for path in files
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))
    }

    assert len(named) > 10
    assert sorted((file, page) for file, page in named if not (ROOT / page).exists() and file != "tests/test_card.py") == []


def test_the_index_of_decisions_names_each_with_its_title_date_and_status():
    index = re.findall(r"^\| \[(\d{4})\]\((\S+?)\) \| (.+?) \| (\S+) \| (.+) \|$", text_of("docs/decisions/README.md"), re.MULTILINE)
    kept = []
    for path in DECISIONS:
        title, _, dated = path.read_text(encoding="utf-8").splitlines()[:3]
        date, status = dated.split(" · ")
        kept.append((path.name[:4], path.name, title.removeprefix("# "), date, status))

    assert index == kept
    assert [int(number) for number, *_ in kept] == list(range(1, len(kept) + 1))
    for _, name, _, date, status in kept:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date), name
        assert re.fullmatch(r"accepted|rejected|superseded by \[\d{4}\]\(\S+\)", status), name


def test_the_requests_of_the_service_page_are_accepted():
    page = text_of("docs/serve.md")
    bodies = re.findall(r"-d '(\{.*?\n\})'", page, re.DOTALL)
    requests = [parsed(body.encode()) for body in bodies]

    assert [(request.mode, request.thinks()) for request in requests] == [("plain", False), ("professional", False), ("plain", True)]
    assert {request.model for request in requests} == {PARAMS["package"]["name"]}
    assert PARAMS["package"]["name"] in fenced(page, "python")[0]
    ast.parse(fenced(page, "python")[0])


@README
def test_the_answer_of_the_readme_is_what_its_source_says(name):
    page = text_of(name)
    quoted = re.findall(r"`(knowledge/graph\.jsonl)`\D*(\d+)\D", page)
    answer = re.findall(r"\*\*(\d+%)[.。]\*\*", page)
    [(file, line)], [value] = quoted, answer
    fact = json.loads((ROOT / "samples/drone" / file).read_text(encoding="utf-8").splitlines()[int(line) - 1])

    assert fact["values"] == [value]
    assert fact["entity"] in page
    assert fact["relation"] in page


def test_the_pages_of_data_name_every_ending_and_shape():
    page = text_of("docs/data.md")

    assert [ending for ending in ENDINGS if f"`{ending}`" not in page] == []
    fields = dict(re.findall(r"^\| ([a-z_ ]+?) \| (.*?) \|", text_of("docs/records.md"), re.MULTILINE))
    del fields["shape"]
    assert list(fields)[: len(SHAPES)] == [shape.name for shape in SHAPES]
    for shape in SHAPES:
        assert all(any(f"`{name}`" in fields[shape.name] for name in group) for group in shape.fields), shape.name
    assert [name for shape in SHAPES for group in shape.fields for name in group if f"`{name}`" not in "".join(fields.values())] == []


@pytest.mark.parametrize("stage", ["sft", "align"])
def test_the_training_page_names_every_method_with_its_parameters(stage):
    page = text_of("docs/training.md")
    rows = {name: set(re.findall(r"`(\w+)", cells)) for name, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)}
    methods = dict(named_models(importlib.import_module(f"stages.{stage}").Params.model_fields["method"].annotation))

    assert len(methods) > 8
    for name, model in methods.items():
        fields = set(model.model_fields) - {"name"}
        assert rows[name] - set(methods) <= fields | OTHERS, name
        assert {field for field in fields if f"`{field}" not in page} == set(), name


def test_the_review_page_names_the_reasons_for_a_decision_not_used():
    reasons = [value for name, value in vars(rulings).items() if name.isupper() and isinstance(value, str)]

    assert len(reasons) >= 3
    assert [reason for reason in reasons if f"`{reason}`" not in text_of("docs/review.md")] == []


def test_the_examples_of_rule_methods_are_made_by_the_code(monkeypatch, capsys):
    examples = re.search(r"<!-- examples -->\n(.*?)<!-- /examples -->", text_of("docs/generation.md"), re.DOTALL)
    assert examples
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["generation", "bench/records", "--brief", "--examples", "1000"])

    generation.main()

    made = set(capsys.readouterr().out.splitlines())
    shown = examples[1].splitlines()
    assert len(shown) > 10
    assert [example for example in shown if example not in made] == []


def fenced(page: str, kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found, kind
    return found


def pairs(line: str) -> list[tuple[str, str]]:
    return list(pairwise(re.findall(r"[a-z]+", line)))


def reads(after: str, before: str) -> bool:
    """Whether something that a stage depends on is an output of the other; a candidate's start may be any that is written so."""
    stage = STAGES[after]
    for dependency in stage.get("do", stage)["deps"]:
        pattern = re.sub(r"\\\$\\\{.*?\\\}", "[^ ]+", re.escape(dependency))
        if re.match(rf"{pattern}(/|$)", f"out/{before}/x/model") or f"{dependency}/".startswith(f"out/{before}/"):
            return True
    return False


def tree(page: str) -> dict[str, str]:
    """Each path of the tree with its remark."""
    listed, above = {}, ""
    for line in fenced(page, "text")[0].splitlines():
        name, _, remark = line.strip().partition(" ")
        path = f"{above}/{name}" if line.startswith(" ") else name
        listed[path.strip("/")] = remark.strip()
        above = above if line.startswith(" ") else name.strip("/")
    return listed


def headings(path: Path) -> set[str]:
    """As GitHub's links name them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found} | {
        re.sub(r"[^\w\- ]", "", heading.lower().partition(" ·")[0]).replace(" ", "-") for heading in found
    }


def modules_in(page: str) -> list[str]:
    return [path.replace(".", "/") for path in re.findall(r"python -m ((?:flows|bench|stages|recipes|lingyu)(?:\.\w+)?)", page)]


def files_in(page: str) -> list[str]:
    """The files and folders of the project that a page names in code marks; what a run makes is not there yet."""
    return re.findall(r"`((?:lingyu|stages|flows|bench|tests|docs|samples|recipes|profiles|web)/[\w./-]*)`", page)


def keys(page: str) -> set[str]:
    """The parameters a page names: section.key, in code marks."""
    return {
        key
        for key in re.findall(r"`([a-z]+(?:\.[a-z_X]+)+)(?:: [^`]*)?`", page)
        if key.partition(".")[0] in STAGES.keys() | {"training", "retrain", "release"}
    }


def there(key: str) -> bool:
    """Whether a parameter exists: in params.yaml or as a typed field of the stage, X standing for any candidate."""
    section, *rest = key.split(".")
    if in_values(PARAMS, key.split(".")):
        return True
    # The section `training` is of all stages that train.
    names = (
        [f"stages.{stage}" for stage in ("pretrain", "sft", "reward", "align")]
        if section == "training"
        else [f"stages.{section}", f"flows.{section}"]
    )
    modules = [importlib.import_module(name) for name in names if (ROOT / f"{name.replace('.', '/')}.py").exists()]
    models = [value for module in modules for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    return any(in_model(model, rest) for model in models)


def in_values(values: Any, parts: list[str]) -> bool:
    if not parts:
        return True
    if not isinstance(values, dict):
        return False
    chosen = list(values.values()) if parts[0] == "X" else [values[parts[0]]] if parts[0] in values else []
    return any(in_values(value, parts[1:]) for value in chosen)


def in_model(model: type[BaseModel], parts: list[str]) -> bool:
    if not parts:
        return True
    if parts[0] in ("common", "candidates", "X"):
        return in_model(model, parts[1:])
    field = model.model_fields.get(parts[0])
    if field is None:
        return False
    return (
        len(parts) == 1 or "dict[str" in str(field.annotation) or any(in_model(inner, parts[1:]) for inner in models_of(field.annotation))
    )


def named_models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a field chooses among by their `name`, and what these choose among in turn."""
    for model in models_of(annotation):
        if chosen := model.model_fields.get("name"):
            yield from ((value, model) for value in get_args(chosen.annotation))
        for field in model.model_fields.values():
            yield from named_models(field.annotation)


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, UnionType) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)
