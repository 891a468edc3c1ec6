"""The package stage on the tiny model: a Bento and a release, the same bytes twice."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from serving import DOCUMENT, FACTS

from lingyu.files import hashes, read_json, write_json, write_tables
from lingyu.stage import StageError
from stages import package

TOP = Path(__file__).parent.parent
PARAMS = package.Params(
    name="tiny-test", title="Tiny", about_en="Answers.", about_zh="回答。", licence="apache-2.0", base_model="", authors="Somebody",
    max_tokens=64, temperature=0.0, max_waiting=4, history_turns=0, context_prompt="none",
)  # fmt: skip
LEADERBOARD = "checkpoint,metric,value,low,high,count\nbase,exact,0.1,0.0,0.2,50\nsft-full,exact,0.9,0.8,1.0,50\n"


def packed(content: Path, folder: Path) -> Path:
    write_json(folder / "winner.json", {"checkpoint": "sft-full"})
    (folder / "leaderboard.csv").write_text(LEADERBOARD)
    write_tables(folder / "tables", {"documents": [DOCUMENT], "facts": FACTS})
    paths = {"winner": folder / "winner.json", "leaderboard": folder / "leaderboard.csv", "tables": folder / "tables"}
    paths |= {"answers": folder / "none", "evaluated": folder / "none"}
    (folder / "report.html").write_text("<style>\nh1 {}\n</style><h1>Report</h1><script>\n1;\n</script>")
    paths["report"] = folder / "report.html"
    package.run(
        PARAMS,
        model=content / "model",
        knowledge=content / "knowledge",
        **paths,
        dev=content / "dev",
        ledgers=folder,
        top=TOP,
        out=folder / "out",
    )
    return folder / "out"


@pytest.mark.slow
def test_the_same_input_gives_the_same_bento_and_release(content, tmp_path):
    first, second = packed(content, tmp_path / "1"), packed(content, tmp_path / "2")

    assert hashes(first) == hashes(second)
    told = yaml.safe_load((first / "bento/bento.yaml").read_text())
    assert (told["name"], str(told["creation_time"])) == ("tiny-test", package.NO_TIME)
    assert str(tmp_path) not in (first / "bento/bento.yaml").read_text() + (first / "release/manifest.json").read_text()
    assert read_json(first / "bento/src/settings.json")["model"] == "tiny-test"
    assert (first / "bento/src/knowledge/chunks.parquet").is_file()
    assert {path.name for path in (first / "bento/src/report").iterdir()} == {"index.html", "0.css", "1.js"}
    assert 'href="static/report/0.css"' in (first / "bento/src/report/index.html").read_text()

    release = read_json(first / "release/manifest.json")
    files = hashes(first / "release")
    assert release["files"] == {path: digest for path, digest in files.items() if path != "manifest.json"}
    assert {"README.md", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= release["files"].keys()
    assert release["metrics"] == {"exact": {"value": 0.9, "low": 0.8, "high": 1.0, "count": 50}}
    assert release["winner"] == "sft-full"
    assert release.keys() == {"name", "winner", "libraries", "metrics", "files"}  # nothing that another commit would change


@pytest.mark.slow
def test_what_bentoml_says_reaches_the_person(tmp_path):
    code = tmp_path / "code"
    package.put_code(TOP, code)
    (code / "service.py").write_text("raise RuntimeError('what is wrong')")

    with pytest.raises(StageError, match=r"(?s)could not build the service.*what is wrong"):
        package.build(code, "tiny", "v1", tmp_path / "store")


def test_packages_are_pinned_to_what_runs_here(tmp_path):
    package.put_code(TOP, tmp_path)

    pinned = yaml.safe_load((tmp_path / "bentofile.yaml").read_text())["python"]["packages"]
    assert len(pinned) > 8
    assert all("==" in entry and "+" not in entry for entry in pinned)


def test_the_bento_imports_nothing_of_ours_that_it_does_not_carry(tmp_path):
    package.put_code(TOP, tmp_path)

    named = {
        f"{line.split()[1].replace('.', '/')}"
        for path in tmp_path.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("from lingyu", "import lingyu"))
    }
    assert len(named) > 5
    assert [name for name in named if not (tmp_path / f"{name}.py").is_file() and not (tmp_path / name).is_dir()] == []


def test_every_dependency_of_the_code_in_the_bento_stands_in_dvc_yaml():
    deps = yaml.safe_load((TOP / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["package"]["deps"]

    assert [name for name in package.CODE if name not in deps and not name.endswith("__init__.py")] == []


def test_a_name_that_a_bento_cannot_bear_is_refused():
    with pytest.raises(ValueError, match="should match pattern"):
        package.Params(**{**json.loads(PARAMS.model_dump_json()), "name": "领域"})


@pytest.mark.parametrize(("name", "fits"), [("law", True), ("plain", False), ("brief", False), ("Law", False)])
def test_an_adapter_has_a_name_that_no_mode_and_no_skill_has_and_its_folder_stays_here(name, fits):
    given = {"name": "x", "title": "t", "about_en": "a", "about_zh": "a", "skills": {"brief": "s"}}
    given["adapters"] = {name: {"folder": "out/sft/lora/adapter", "questions": ["押金收几个月？"]}}
    with nullcontext() if fits else pytest.raises(ValidationError, match="adapter's name"):
        assert package.Params.model_validate(given).settings()["adapters"] == {"law": ["押金收几个月？"]}


def test_an_adapter_that_is_not_there_is_named(tmp_path):
    params = package.Params(**{**json.loads(PARAMS.model_dump_json()), "adapters": {"law": {"folder": tmp_path, "questions": ["a"]}}})

    with pytest.raises(StageError, match=r"adapter_config.json .*package\.adapters\.law\.folder"):
        package.put_bento(params, tmp_path, tmp_path, None, TOP, tmp_path / "bento")


@pytest.mark.parametrize(
    ("name", "fits"), [("summary", True), ("brief-2", True), ("plain", False), ("Sum", False), ("a:b", False), ("", False)]
)
def test_a_skill_has_a_name_that_no_mode_has(name, fits):
    given = {"name": "x", "title": "t", "about_en": "a", "about_zh": "a", "skills": {name: "s"}}
    with nullcontext() if fits else pytest.raises(ValidationError, match="skill's name"):
        package.Params.model_validate(given)
