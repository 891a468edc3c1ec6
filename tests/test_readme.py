"""What the documents say is so: pictures, trees, commands, requests and results against the files they speak of."""

import ast
import csv
import importlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from bench import results
from lingyu.evaluate.metrics import Change, Measure
from lingyu.ingest.readers import ENDINGS
from lingyu.ingest.shapes import SHAPES
from lingyu.serve.protocol import parsed
from lingyu.stage import type_at
from lingyu.train.settings import Training
from stages.select import stage_rows, write_csv

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PAGES = {language: (ROOT / name).read_text(encoding="utf-8") for language, name in results.READMES.items()}
DOCUMENTATION = [
    *results.READMES.values(),
    "AGENTS.md",
    *(f"docs/{name}.md" for name in ("benchmarks", "data", "decisions", "flows", "release", "review")),
]
README = pytest.mark.parametrize("language", results.READMES)
# What a fresh clone does not have.
MADE = {line.strip("/*") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}


@README
def test_the_results_are_those_of_the_last_run(language):
    if not (ROOT / "out/select/leaderboard.csv").exists():
        pytest.skip("out/select/leaderboard.csv is not there; `make repro` makes it")

    made = results.block(ROOT, language)

    assert results.filled(PAGES[language], made) == PAGES[language], "run `python -m bench.results`"


@README
def test_the_picture_shows_every_stage_and_only_edges_that_are_there(language):
    edges = {edge for line in fenced(PAGES[language], "mermaid").splitlines() if "-->" in line for edge in pairs(line)}

    assert {stage for edge in edges for stage in edge} == set(STAGES)
    assert edges <= {(before, after) for after in STAGES for before in STAGES if any(reads(after, before))}


def test_the_chinese_table_of_stages_is_that_of_the_pipeline():
    assert re.findall(r"^\| `([a-z]+)` \|", PAGES["zh"].partition("## 五条命令")[0], re.MULTILINE) == list(STAGES)


@README
def test_the_tree_names_what_is_there(language):
    listed = tree(PAGES[language])
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._" and any(path.iterdir())}

    assert [path for path in listed if path not in MADE and not (ROOT / path).exists()] == []
    assert {name for name in folders if not name.endswith(".egg-info")} <= set(listed)
    assert all(listed.values())


def test_both_trees_are_one():
    assert list(tree(PAGES["zh"])) == list(tree(PAGES["en"]))


@README
def test_the_requests_are_what_the_service_takes(language):
    bodies = re.findall(r"-d '(\{.*?\n\})'", PAGES[language], re.DOTALL)
    requests = [parsed(body.encode()) for body in bodies]

    assert [(request.mode, request.thinks()) for request in requests] == [("plain", False), ("professional", False), ("plain", True)]
    assert {request.model for request in requests} == {PARAMS["package"]["name"]}
    assert PARAMS["package"]["name"] in fenced(PAGES[language], "python")
    ast.parse(fenced(PAGES[language], "python"))


def test_both_languages_show_the_same_commands():
    shown = {language: re.findall(r"^(?:make|python|curl) [\w./-]+", page, re.MULTILINE) for language, page in PAGES.items()}

    assert shown["en"] == shown["zh"]
    assert len(shown["en"]) >= 6


@pytest.mark.parametrize("name", DOCUMENTATION)
def test_commands_links_and_parameters_are_there(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    links = [link for link in re.findall(r"\]\((?!http)([^)#]+)\)", page) if not ((ROOT / name).parent / link).exists()]
    modules = {path.replace(".", "/") + ".py" for path in re.findall(r"python -m ((?:flows|bench|stages|lingyu)\.\w+)", page)}
    keys = {key for key in re.findall(r"`([a-z]+(?:\.[a-z_]+)+)`", page) if key.partition(".")[0] in PARAMS}

    assert set(re.findall(r"(?:`|^)make ([a-z]+)", page, re.MULTILINE)) <= targets
    assert links == []
    assert [module for module in modules if not (ROOT / module).exists()] == []
    assert [key for key in keys if not there(key)] == []


def test_the_data_page_names_every_ending_and_shape():
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")

    assert [ending for ending in ENDINGS if f"`{ending}`" not in page] == []
    fields = dict(re.findall(r"^\| ([a-z_ ]+?) \| (.*?) \|", page.partition("## Records")[2], re.MULTILINE))
    del fields["shape"]
    assert list(fields)[: len(SHAPES)] == [shape.name for shape in SHAPES]
    for shape in SHAPES:
        assert all(any(f"`{name}`" in fields[shape.name] for name in group) for group in shape.fields), shape.name
    assert [name for shape in SHAPES for group in shape.fields for name in group if f"`{name}`" not in "".join(fields.values())] == []


def test_results_say_what_was_measured_and_what_moved(tmp_path):
    measured = {"base": {"fact_exact_taught": Measure(value=0.0, low=0.0, high=0.04, count=90)}}
    measured["sft-full"] = {"fact_exact_taught": Measure(value=0.891, low=0.81, high=0.94, count=90)}
    change = Change(before_value=0.0, after_value=0.891, difference=0.891, low=0.8, high=0.95, chance=0.0001, count=90)
    same = Change(before_value=0.5, after_value=0.51, difference=0.01, low=-0.1, high=0.12, chance=0.8, count=50)
    run_folder(tmp_path, measured, {("base", "sft-full"): {"fact_exact_taught": change, "reason_exact": same}})

    made = results.block(tmp_path, "en")

    assert "| checkpoint | facts right: taught<br>n = 90 |" in made
    assert "| `base` | 0.0% (0–4) |\n| **`sft-full`** winner | 89.1% (81–94) |" in made
    assert "**better** facts right: taught 0.0% → 89.1% (+80.0 … +95.0)<br>**not told apart** reasoning: answers right |" in made
    assert "12 words as tokens of their own: 1.000 → 0.750 tokens a character of held-out text (−25%)" in made
    assert "95.0% (83–99) of 40 held-out pairs" in made
    assert "first 3 passages in 99.0% (97–100) of 300 questions" in made


@README
def test_without_a_run_there_are_no_results_to_show(tmp_path, language):
    assert "`make repro`" in results.block(tmp_path, language)


def test_a_page_without_marks_is_not_written():
    with pytest.raises(SystemExit, match="Put both back into"):
        results.filled("no marks here", "results")


def run_folder(top, measured, changes):
    """As much of a run's files as the results are made from."""
    files = {
        "select/winner.json": {"checkpoint": "sft-full", "why": {"zh": "因为。", "en": "Because."}},
        "extend/metrics.json": {"terms": 12, "gain": 0.25, "tokens_a_character_before": 1.0, "tokens_a_character_after": 0.75},
        "reward/metrics.json": {"dev_accuracy": 0.95, "dev_pairs": 40},
        "index/metrics.json": {"fact_of_question_recall@3": {"value": 0.99, "low": 0.97, "high": 1.0, "count": 300}},
    }
    for name, values in files.items():
        path = top / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    pair = {"before": "base", "after": "sft-full", "zh": "微调", "en": "Fine-tuning"}
    (top / "params.yaml").write_text(json.dumps({"select": {"level": 0.05, "pairs": [pair]}}), encoding="utf-8")
    with (top / "out/select/leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(name, metric, *measure.values()) for name, found in measured.items() for metric, measure in found.items()]
        csv.writer(file).writerows([("checkpoint", "metric", *Measure.__annotations__), *rows])
    write_csv(top / "out/select/stages.csv", ("before", "after", "metric", *Change.__annotations__), stage_rows(changes))


def fenced(page: str, kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found, kind
    return found[1]


def pairs(line: str) -> list[tuple[str, str]]:
    chain = re.findall(r"[a-z]+", line)
    return list(pairwise(chain))


def reads(after: str, before: str):
    """Whether each thing that a stage depends on is made by the other."""
    stage = STAGES[after]
    items = PARAMS[after]["candidates"].values() if "foreach" in stage else [{}]
    for dependency in stage.get("do", stage)["deps"]:
        for item in items:
            values = {f"item.{key}": value for key, value in item.items()} | {"reward.start": PARAMS["reward"]["start"]}
            path = re.sub(r"\$\{(.*?)\}", lambda match, values=values: str(values[match[1]]), dependency)
            yield f"{path}/".startswith(f"out/{before}/")


def tree(page: str) -> dict[str, str]:
    """Each path of the tree with its remark."""
    listed, above = {}, ""
    for line in fenced(page, "text").splitlines():
        name, _, remark = line.strip().partition(" ")
        path = f"{above}/{name}" if line.startswith(" ") else name
        listed[path.strip("/")] = remark.strip()
        above = above if line.startswith(" ") else name.strip("/")
    return listed


def there(key: str) -> bool:
    """Whether params.yaml may have the key: as a field of a stage's parameters, or under the names of candidates."""
    section, *place = key.split(".")
    if section == "training":
        return type_at(Training, place) is not None
    if place[0] in ("common", "candidates"):
        place = place[2:] if place[0] == "candidates" else place[1:]
    module = importlib.import_module(f"{'stages' if section in STAGES else 'flows'}.{section}")
    return type_at(module.Params, place) is not None
