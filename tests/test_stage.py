"""lingyu.stage: typed parameters, one way to start, one way to fail."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, PositiveInt, model_validator

from lingyu.errors import FULL, LEFT, UNAVAILABLE, Unavailable, disk_is_full
from lingyu.files import write_json
from lingyu.stage import StageError, StageParams, filled, start


class Params(StageParams):
    steps: PositiveInt
    name: str


def all_found(lines, patterns):
    """Whether each line matches the pattern at its place."""
    return len(lines) == len(patterns) and all(re.search(pattern, line) for pattern, line in zip(patterns, lines, strict=True))


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Writes params.yaml where the stage will look for it."""
    monkeypatch.chdir(tmp_path)
    return Path("params.yaml").write_text


def test_a_section_becomes_typed_values(params):
    params("fly: {steps: 3, name: far}")

    assert Params.load("fly") == Params(steps=3, name="far")


def test_a_candidate_overlays_what_all_have_in_common(params):
    params("fly: {common: {steps: 3, name: far}, candidates: {near: {name: near}}}")

    assert Params.load("fly", "near") == Params(steps=3, name="near")


@pytest.mark.parametrize("text", ["fly: {steps: 3, steps: 4}", "fly:\n  candidates:\n    near: {steps: 1}\n    near: {steps: 2}\n"])
def test_two_candidates_of_one_name_are_an_error_with_its_line(params, text):
    params(text)

    with pytest.raises(StageError, match=r"(?s)'(steps|near)' occurs twice.*line \d"):
        Params.load("fly", "near")


def test_all_faults_are_told_at_once_with_key_and_value(params):
    params("fly: {steps: none, step: 3}")

    with pytest.raises(StageError) as raised:
        Params.load("fly")

    head, *lines = str(raised.value).splitlines()
    assert "params.yaml" in head
    assert all_found(lines, [r"^  fly\.steps: .*integer.*'none'", r"^  fly\.name: missing", r"^  fly\.step: unknown key.*\bsteps\b"])


def test_keys_that_do_not_go_together_are_told_without_the_whole_section(params):
    class Pair(Params):
        @model_validator(mode="after")
        def even(self):
            if self.steps % 2:
                raise ValueError(f"steps {self.steps} is odd, and {self.name} needs pairs")
            return self

    params("fly: {steps: 3, name: far}")

    with pytest.raises(StageError) as raised:
        Pair.load("fly")

    assert str(raised.value).splitlines()[1:] == ["  fly: steps 3 is odd, and far needs pairs"]


class Wing(StageParams):
    name: Literal["wing"]
    span: PositiveInt


class Rotor(StageParams):
    name: Literal["rotor"]
    blades: PositiveInt


class Craft(StageParams):
    lifts: list[Annotated[Wing | Rotor, Field(discriminator="name")]]
    engine: Wing


@pytest.mark.parametrize(
    ("lift", "fault"),
    [
        ("{name: wing, spna: 3}", [r"lifts\.0\.span: missing", r"lifts\.0\.spna: unknown key.*\bspan\b"]),
        ("{name: wing, span: 0}", [r"lifts\.0\.span: .*greater than 0 .*0"]),
        ("{name: wnig, span: 3}", [r"lifts\.0\.name: .*'wing', 'rotor'.*'wnig'"]),
        ("{span: 3}", [r"lifts\.0\.name: missing"]),
        ("wing", [r"lifts\.0: .*mapping.*'wing'"]),
    ],
)
def test_a_fault_in_something_that_has_kinds_is_told_with_the_keys_of_the_file(params, lift, fault):
    params(f"fly: {{lifts: [{lift}], engine: {{name: wing, span: 3}}}}")

    with pytest.raises(StageError) as raised:
        Craft.load("fly")

    assert all_found(str(raised.value).splitlines()[1:], [rf"^  fly\.{line}" for line in fault])


class Squadron(Params):
    shared: ClassVar = "air"
    renamed: ClassVar = {"pace": "steps"}


def test_a_shared_section_holds_where_neither_common_nor_candidate_sets_a_key(params):
    params("{air: {steps: 9, name: any}, fly: {common: {name: all}, candidates: {near: {steps: 3}, far: {}}}}")

    assert [Squadron.load("fly", item) for item in ("near", "far")] == [Squadron(steps=3, name="all"), Squadron(steps=9, name="all")]


def test_a_fault_names_the_place_that_its_key_comes_from(params):
    params("{air: {steps: 0}, fly: {common: {name: 1}, candidates: {near: {wind: 3}}}}")

    with pytest.raises(StageError) as raised:
        Squadron.load("fly", "near")

    assert [line.split(": ")[0] for line in str(raised.value).splitlines()[1:]] == [
        "  air.steps",
        "  fly.common.name",
        "  fly.candidates.near.wind",
    ]


def test_a_former_name_is_told_with_the_new_one(params):
    params("fly: {pace: 3, name: far}")

    with pytest.raises(StageError, match=r"fly\.pace: unknown key; .*steps"):
        Squadron.load("fly")


def test_a_fault_of_a_candidate_names_where_it_stands(params):
    params("fly: {common: {steps: 3}, candidates: {near: {name: 1}}}")

    with pytest.raises(StageError, match=r"  fly\.candidates\.near\.name: .* \(found 1\)"):
        Params.load("fly", "near")


@pytest.mark.parametrize(
    ("text", "item", "message"),
    [
        ("swim: {}", None, r"params\.yaml has no section 'fly'"),
        ("fly: null", None, r"params\.yaml: fly is empty \(null\).*`fly: \{\}`"),
        ("fly: [1]", None, r"params\.yaml: fly should be a mapping .*\[1\]"),
        ("- fly", None, r"params\.yaml should be a mapping"),
        ("fly: {candidates: null}", "near", r"params\.yaml: fly\.candidates is empty \(null\)"),
        ("fly: {candidates: {near: null}}", "near", r"params\.yaml: fly\.candidates\.near is empty \(null\)"),
        ("fly: {common: null, candidates: {near: {}}}", "near", r"params\.yaml: fly\.common is empty \(null\)"),
        ("", None, r"params\.yaml has no section 'fly'"),
        (
            "fly: {candidates: {near: {}, far: {}}}",
            "nowhere",
            r"no candidate named 'nowhere'\. Known: near, far \(params\.yaml, section fly",
        ),
        ("fly: {common: {}}", "near", r"no candidate named 'near'"),
        ("fly: [", None, r"params\.yaml .*YAML: .*"),
    ],
)
def test_what_is_not_in_params_is_told(params, text, item, message):
    params(text)

    with pytest.raises(StageError, match=message):
        Params.load("fly", item)


def test_a_stage_started_elsewhere_is_told_where_to_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StageError, match=rf"params\.yaml.*{tmp_path}.*project"):
        Params.load("fly")


def test_the_item_fills_every_path():
    assert filled(Path("out/fly/{item}"), "near") == Path("out/fly/near")
    assert filled([Path("a/{item}"), Path("b")], "near") == [Path("a/near"), Path("b")]


def test_a_stage_starts_with_its_section_and_its_paths(params, monkeypatch):
    params("fly: {common: {steps: 3, name: far}, candidates: {near: {}}}")
    monkeypatch.setattr("sys.argv", ["stages/fly.py", "near"])
    seen = []

    start(lambda values, out: seen.append((values.steps, out)), Params, out=Path("out/{item}"))

    assert seen == [(3, Path("out/near"))]


def test_what_a_person_can_put_right_ends_in_one_message(params, monkeypatch):
    params("fly: {steps: 3, name: far}")
    monkeypatch.setattr("sys.argv", ["stages/fly.py"])

    def run(values):
        raise StageError("the wind is 12 m/s. Wait.")

    with pytest.raises(SystemExit) as ended:
        start(run, Params)

    assert ended.value.code == f"fly: the wind is 12 m/s. Wait.\n{LEFT}"


def test_what_may_pass_by_itself_ends_in_a_status_of_its_own(params, monkeypatch, capsys):
    params("fly: {steps: 3, name: far}")
    monkeypatch.setattr("sys.argv", ["stages/fly.py"])

    def run(values):
        raise Unavailable("the tower does not answer.")

    with pytest.raises(SystemExit) as ended:
        start(run, Params)

    assert ended.value.code == UNAVAILABLE == 75
    assert capsys.readouterr().err == f"fly: the tower does not answer.\n{LEFT}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_ends_in_one_message(params, monkeypatch):
    params("fly: {steps: 3, name: far}")
    monkeypatch.setattr("sys.argv", ["stages/fly.py"])

    with pytest.raises(SystemExit) as ended:
        start(lambda values, out: write_json(out, {}), Params, out=Path("/dev/full"))

    assert ended.value.code == f"fly: {FULL}\n{LEFT}"


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        (OSError(28, "No space left on device"), 2**40, True),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"), 2**40, True),  # Arrow
        (ValueError("I/O error: No space left on device (os error 28)"), 2**40, True),  # safetensors
        (OSError(27, "File too large"), 2**40, True),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 991680 vs 991568"), 4096, True),  # torch
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 991680 vs 991568"), 2**40, False),
        (OSError(2, "No such file"), 2**40, False),
    ],
)
def test_a_full_disk_is_recognised_whatever_library_met_it(monkeypatch, error, free, full):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=free))

    assert disk_is_full(error) == full


@pytest.mark.parametrize("fault", [FileNotFoundError(2, "gone"), ValueError("a bug")])
def test_anything_else_is_a_fault_of_ours_and_keeps_its_traceback(params, monkeypatch, fault):
    params("fly: {steps: 3, name: far}")
    monkeypatch.setattr("sys.argv", ["stages/fly.py"])

    def run(values):
        raise fault

    with pytest.raises(type(fault)):
        start(run, Params)


def test_a_stage_started_by_itself_collects_garbage_rarely_and_importing_changes_nothing():
    code = "import gc, sys; sys.argv[0] = {!r}; import stages.clean; print(gc.get_threshold()[0])"
    said = [
        subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True).stdout for name in ("-m", "x")
    ]

    assert int(said[0]) > 10 * int(said[1])
