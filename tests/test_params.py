"""Every parameter has its type and reason, and the command tells where each value comes from."""

from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from lingyu.__main__ import main
from lingyu.params.fields import Row, kinds, rows, value_text
from lingyu.params.page import page
from lingyu.train.settings import Training
from stages.__main__ import documented, flows_of, section_of, stages_of

ROOT = Path(__file__).parent.parent
SHIPPED = [Path("dvc.yaml"), *(path for folder in ("profiles", "recipes") for path in (ROOT / folder).glob("*.yaml"))]


@pytest.fixture(autouse=True)
def top(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_dvc_and_pyyaml_read_the_same(path):
    """DVC reads YAML 1.2, the stages 1.1, in which 2e-4 is text and `no` is false."""
    text = (ROOT / path).read_text(encoding="utf-8")

    assert YAML(typ="safe", pure=True).load(text) == yaml.safe_load(text)


def test_the_page_of_parameters_is_up_to_date():
    assert (ROOT / "docs/params.md").read_text(encoding="utf-8") == page(documented()), (
        "python -m lingyu params --markdown > docs/params.md"
    )


def every_row() -> dict[str, Row]:
    found = {f"training.{row.key}": row for row in rows(Training)}
    for name in [*stages_of(), *flows_of()]:
        model = section_of(name)
        found |= {f"{name}.{row.key}": row for row in rows(model)}
        found |= {f"{name}.{key} {kind.__name__}.{row.key}": row for key, kind in kinds(model) for row in rows(kind)}
    return found


def test_every_parameter_says_what_it_is():
    found = every_row()

    assert len(found) > 300
    assert [key for key, row in found.items() if len(row.description) < 5] == []


def test_a_default_is_written_as_yaml_reads_it():
    values = [
        None,
        True,
        3,
        0.5,
        2e-5,
        1e16,
        "",
        "a b",
        "zh: 1",
        "true",
        "12",
        [],
        ["a", "b, c"],
        {"a": {"b": None}},
        "http://x/v1",
        "- a",
        "a #b",
    ]

    assert [yaml.safe_load(value_text(value)) for value in values] == values


@pytest.mark.parametrize("key", ["method.Lora.rank", "epochs", "warmup", "optimizer"])
def test_no_former_name_is_left(key):
    assert [found for found in every_row() if found.endswith(f".{key}")] == []


PARAMS = """
training: {threads: 3}
sft:
  common: {max_length: 128, global_batch_size: 4, num_train_epochs: 1, learning_rate: 1.0e-3}
  candidates:
    small: {start: base, method: {name: lora, r: 2}, learning_rate: 2.0e-4}
"""


@pytest.mark.parametrize(("language", "default"), [("en", "default"), ("zh", "默认值")])
def test_the_values_in_force_are_listed_with_their_origin(tmp_path, monkeypatch, capsys, language, default):
    (tmp_path / "dvc.yaml").symlink_to(ROOT / "dvc.yaml")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/wide.yaml").write_text("# wide\nsft: {common: {max_length: 128, num_train_epochs: 9}}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert main(["params", "sft@small", "--lang", language]) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    told = {key: (value, origin) for key, value, origin, *_ in lines}
    assert told["threads"] == ("3", "training.threads")
    assert told["max_length"] == ("128", "sft.common.max_length")
    assert told["learning_rate"] == ("0.0002", "sft.candidates.small.learning_rate")
    assert told["method.r"] == ("2", "sft.candidates.small.method.r")
    assert told["method.lora_alpha"] == ("32.0", default)
    assert told["seed"] == ("17", default)
    assert [line[0] for line in lines if "wide" in line] == ["max_length"]


def test_every_stage_and_flow_can_be_listed(capsys):
    assert main(["params"]) == 0
    told = capsys.readouterr().out

    assert [name for name in stages_of() if f"\n{name}" not in told] == []
    assert main(["params", "release", "--reasons"]) == 0
    assert "Where to: folder" in capsys.readouterr().out
    assert main(["params", "sftt"]) == 1
    assert "'sftt'" in capsys.readouterr().err
