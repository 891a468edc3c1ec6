"""python -m stages: what a run would stumble over is told before anything is touched."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lingyu.stage import StageError
from stages import select
from stages.__main__ import faults_of_folder, main

ROOT = Path(__file__).parent.parent


CANDIDATES = ("base", "sft/full", "sft/lora", "align/dpo", "align/grpo")
GRPO = {"start": "sft/full", "method": {"name": "grpo", "max_completion_length": 20, "num_generations": 8}}
PARAMS: dict[str, Any] = {
    name: {} for name in ("validate", "clean", "split", "generate", "review", "base", "extend", "index", "retrain", "release")
}
PARAMS |= {
    "ingest": {"sources": [{"pattern": "*", "licence": "MIT", "scope": "domain"}]},
    "mix": {"max_tokens": 256, "max_prompt_tokens": 200},
    "training": {"global_batch_size": 8, "max_length": 256, "num_train_epochs": 1, "learning_rate": 1.0e-3},
    "pretrain": {"max_length": 64},
    "sft": {
        "common": {},
        "candidates": {
            "full": {"start": "pretrain", "method": {"name": "full"}},
            "lora": {"start": "pretrain", "method": {"name": "lora"}},
        },
    },
    "reward": {"start": "sft/full"},
    "align": {"common": {}, "candidates": {"dpo": {"start": "sft/full", "method": {"name": "dpo"}}, "grpo": GRPO}},
    "evaluate": {"common": {}, "candidates": {folder.replace("/", "-"): {"checkpoint": folder} for folder in CANDIDATES}},
    "select": {"shown_only": ["base"], "pairs": [{"before": "sft-full", "after": "align-dpo", "zh": "DPO", "en": "DPO"}]},
    "package": {"name": "a", "title": "", "about_en": "", "about_zh": ""},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a sound params.yaml and one document."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    write(tmp_path)
    for path in (ROOT / "flows").glob("[!_]*.py"):
        (tmp_path / "flows").mkdir(exist_ok=True)
        (tmp_path / "flows" / path.name).touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rules.md").write_text("# 规则\n\n不得超速。\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project, **sections):
    """params.yaml with these sections in place of the sound ones; None leaves one out."""
    values = {name: section for name, section in {**PARAMS, **sections}.items() if section is not OUT}
    (project / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


OUT = object()


def faults_told() -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main()
    return str(ended.value.code).splitlines()


def test_a_sound_project_passes(project):
    main()


def test_the_shipped_parameters_pass(project):
    shutil.copy(ROOT / "params.yaml", project)

    main()


def test_all_faults_of_all_sections_are_told_at_once(project):
    lora = {"start": "pretrain", "learning_rat": 1.0e-3, "method": {"name": "lora", "rank": 8}}
    write(
        project,
        index=OUT,
        indx={},
        ingest={**PARAMS["ingest"], "max_char": 1000},
        sft={**PARAMS["sft"], "candidates": {"lora": lora, "full": PARAMS["sft"]["candidates"]["full"]}},
    )
    (project / "data/rules.md").unlink()

    told = "\n".join(faults_told())

    assert "'indx'; did you mean index?" in told
    assert "index: params.yaml has no section 'index'" in told
    assert "ingest.max_char: unknown key; did you mean max_chars?" in told
    assert "sft@lora: " in told
    assert "sft.candidates.lora.learning_rat: unknown key; did you mean learning_rate?" in told
    assert "sft.candidates.lora.method.rank: unknown key; it is now called r" in told
    assert "make data FROM=" in told


def test_a_fault_in_the_shared_section_is_told_once(project):
    write(project, training={**PARAMS["training"], "epochs": 3, "precision": "fp8"})

    told = "\n".join(faults_told())

    assert told.count("training.epochs: unknown key; it is now called num_train_epochs") == 1
    assert told.count("training.precision: ") == 1


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"validate": None}, "validate"),
        ({"sft": None}, "sft"),
        ({"training": None}, "training"),
        ({"sft": {"common": {}, "candidates": None}}, "sft.candidates"),
        ({"align": {"common": None, "candidates": {"dpo": {}}}}, "align.common"),
        ({"evaluate": {"common": {}, "candidates": {"base": None}}}, "evaluate.candidates.base"),
    ],
)
def test_what_is_null_is_told_with_what_to_write(project, sections, place):
    write(project, **sections)

    told = [line for line in faults_told() if f"{place} is empty (null)" in line]

    assert told
    assert all(f"`{place.split('.')[-1]}: {{}}`" in line for line in told)


def test_a_section_that_dvc_looks_for_is_missed_before_the_run(project):
    write(project, evaluate={"candidates": {"base": {"checkpoint": "base"}}})

    assert [line.partition(": ")[2] for line in faults_told() if line.startswith("evaluate@base")] == [
        "params.yaml has no evaluate.common. Write `common: {}` there to leave all its keys at their defaults."
    ]


def test_a_candidate_of_evaluate_without_a_checkpoint_is_told(project):
    write(project, evaluate={"common": {}, "candidates": {"base": {}}})

    told = faults_told()

    assert [line for line in told if line == "  evaluate.candidates.base.checkpoint: missing"]
    with pytest.raises(StageError, match=r"evaluate\.candidates\.base\.checkpoint"):
        select.Params.load("select")


def test_a_model_that_no_stage_makes_is_told_with_the_one_that_is_meant(project):
    candidates = {"sft-full": {"checkpoint": "sft/full"}, "align-dpo": {"checkpoint": "reward"}}
    write(project, reward={"start": "sft/ful"}, evaluate={"common": {}, "candidates": candidates})

    wrong, other = faults_told()[:-2]
    assert re.search(r"^reward: start: .*'sft/ful'.*[Dd]id you mean sft/full\?", wrong)
    assert re.search(r"^evaluate@align-dpo: checkpoint: .*'reward'", other)
    assert all(line.endswith("base, extend, pretrain, sft/full, sft/lora, align/dpo, align/grpo.") for line in (wrong, other))


def test_lengths_beyond_the_context_of_the_tiny_base_are_told_before_it_is_trained(project):
    write(project, pretrain={"max_length": 1024})
    (fault, *_) = faults_told()
    assert fault.startswith("pretrain: max_length 1024 ")
    assert "base.shape.max_position_embeddings" in fault

    write(project, pretrain={"max_length": 1024}, base={"model": {"kind": "folder", "name": "/models/qwen"}})
    main()


def test_a_dag_without_alignment_reward_model_and_pretraining_passes(project, capsys):
    write(
        project,
        pretrain={"enabled": False},
        sft={"common": {}, "candidates": {"full": {"start": "base", "method": {"name": "full"}}}},
        reward={"enabled": False, "start": "sft/full"},
        align={"common": {}, "candidates": {}},
        evaluate={"common": {}, "candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}}},
    )

    main()

    told = capsys.readouterr().err
    assert "align-dpo" in told
    assert "sft-full," not in told


def test_a_start_at_a_candidate_that_is_no_more_is_told(project):
    write(project, sft={"common": {}, "candidates": {}})

    assert {line.split(":")[0] for line in faults_told()[:-2]} == {
        "reward",
        "align@dpo",
        "align@grpo",
        *(f"evaluate@sft-{name}" for name in ("full", "lora")),
    }


def test_a_method_that_wants_the_reward_model_is_told_where_there_is_none(project):
    write(project, reward={"enabled": False, "start": "sft/full"})

    (told, *_) = faults_told()
    assert told.startswith("align@grpo: ")
    assert "reward.enabled" in told


def test_a_pair_of_a_checkpoint_that_is_not_evaluated_is_noted(project, capsys):
    write(project, select={"shown_only": ["base"], "pairs": [{"before": "base", "after": "sft-ful", "zh": "微调", "en": "Fine-tuning"}]})

    main()

    assert "sft-ful (did you mean sft-full?)" in capsys.readouterr().err


def test_a_choice_of_nothing_is_told(project):
    write(project, select={"shown_only": [*PARAMS["evaluate"]["candidates"]]})

    with pytest.raises(SystemExit, match=r"select: .*shown_only"):
        main()


def test_what_a_former_candidate_left_is_removed_before_dvc_looks(project):
    for name in ("base", "gone"):
        (project / "out/evaluate" / name).mkdir(parents=True)

    main()

    assert [path.name for path in (project / "out/evaluate").iterdir()] == ["base"]


def test_a_file_that_is_no_yaml_is_one_fault(project):
    (project / "params.yaml").write_text("ingest: [", encoding="utf-8")

    with pytest.raises(SystemExit, match=r"params\.yaml .*YAML"):
        main()


def test_a_folder_of_files_may_become_data(project):
    (project / "mine").mkdir()
    (project / "mine/好 文件 🚁.md").write_text("可以。", encoding="utf-8")
    (project / "mine/again.md").symlink_to("好 文件 🚁.md")

    assert list(faults_of_folder("mine")) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "'' .*folder"),
        ("nowhere", "'nowhere' .*folder"),
        ("bare", "bare .*no files"),
        ("data", "data .*with data/"),
        ("data/part", "data/part .*with data/"),
        (".", r"\. .*with data/"),
    ],
)
def test_what_cannot_become_data_is_told_before_data_is_replaced(project, name, told):
    (project / "bare").mkdir()
    (project / "data/part").mkdir()

    (fault,) = faults_of_folder(name)

    assert re.match(told, fault)


def test_every_link_that_dvc_would_follow_out_of_a_folder_or_drop_is_told(project):
    (project / "mine").mkdir()
    (project / "secret.md").write_text("秘密", encoding="utf-8")
    for name, target in [("a.md", "../secret.md"), ("b.md", "nowhere"), ("c", project / "data"), ("d", ".")]:
        (project / "mine" / name).symlink_to(target)

    with pytest.raises(SystemExit) as ended:
        main("mine")

    told = str(ended.value.code).splitlines()
    assert [line.partition(":")[0] for line in told[:-2]] == ["mine/a.md", "mine/b.md", "mine/c"]
    assert "Fix this first" in told[-2]
