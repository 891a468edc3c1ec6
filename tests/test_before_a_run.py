"""python -m stages: what a run would stumble over is told before anything is touched."""

import shutil
from pathlib import Path

import pytest
import yaml

from stages.__main__ import faults_of_folder, main

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the real params.yaml and one document."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for path in (ROOT / "flows").glob("[!_]*.py"):
        (tmp_path / "flows").mkdir(exist_ok=True)
        (tmp_path / "flows" / path.name).touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rules.md").write_text("# 规则\n\n不得超速。\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_project_passes(project):
    main()


def test_all_faults_of_all_sections_are_told_at_once(project):
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    text = text.replace("  max_chars: 1000", "  max_char: 1000").replace("      learning_rate: 5.0e-3", "      learning_rat: 5.0e-3")
    params.write_text(text.replace("\nindex:\n", "\nindx:\n"), encoding="utf-8")
    (project / "data/rules.md").unlink()

    with pytest.raises(SystemExit) as ended:
        main()

    told = str(ended.value.code)
    assert "no stage or flow is named 'indx'" in told
    assert "index: params.yaml has no section 'index'" in told
    assert "ingest.max_char: there is no such key; max_chars is meant?" in told
    assert "sft@lora: " in told
    assert "sft.candidates.lora.learning_rat: there is no such key" in told
    assert "data/ holds no file" in told
    assert told.endswith("请先改正以上问题。")


def test_a_model_that_no_stage_makes_is_told_with_the_one_that_is_meant(project):
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8").replace("reward:\n  start: sft/full", "reward:\n  start: sft/ful")
    params.write_text(text.replace("checkpoint: align/dpo", "checkpoint: reward"), encoding="utf-8")

    with pytest.raises(SystemExit) as ended:
        main()

    told = str(ended.value.code).splitlines()
    there = "There are base, extend, pretrain, sft/full, sft/lora, sft/direct, align/dpo, align/grpo."
    assert told[:-2] == [
        f"reward: start: no stage makes a model 'sft/ful'; sft/full is meant? {there}",
        f"evaluate@align-dpo: checkpoint: no stage makes a model 'reward'. {there}",
    ]


def changed(project, **sections):
    """params.yaml with these values, section by section."""
    values = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    for section, more in sections.items():
        values[section].update(more)
    (project / "params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return values


def test_a_dag_without_alignment_reward_model_and_pretraining_passes(project, capsys):
    full = changed(project)["sft"]["candidates"]["full"]
    changed(
        project,
        pretrain={"enabled": False},
        sft={"candidates": {"full": {**full, "start": "base"}}},
        reward={"enabled": False},
        align={"candidates": {}},
        evaluate={"candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}}},
    )

    main()

    told = capsys.readouterr().err
    assert "align-dpo" in told
    assert "sft-full," not in told


def test_a_start_at_a_candidate_that_is_no_more_is_told(project):
    changed(project, sft={"candidates": {}})

    with pytest.raises(SystemExit) as ended:
        main()

    told = str(ended.value.code).splitlines()
    assert {line.split(":")[0] for line in told[:-2]} == {
        "reward",
        "align@dpo",
        "align@grpo",
        *(f"evaluate@sft-{name}" for name in ("direct", "full", "lora")),
    }


def test_a_method_that_wants_the_reward_model_is_told_where_there_is_none(project):
    changed(project, reward={"enabled": False})

    with pytest.raises(SystemExit) as ended:
        main()

    (told, *_) = str(ended.value.code).splitlines()
    assert told.startswith("align@grpo: ")
    assert "reward.enabled" in told


def test_a_pair_of_a_checkpoint_that_is_not_evaluated_is_noted(project, capsys):
    pair = {"before": "base", "after": "sft-ful", "zh": "微调", "en": "Fine-tuning", "guarded": False}
    changed(project, select={"pairs": [pair]})

    main()

    assert "sft-ful (did you mean sft-full?)" in capsys.readouterr().err


def test_a_choice_of_nothing_is_told(project):
    names = changed(project)["evaluate"]["candidates"]
    changed(project, select={"shown_only": [*names]})

    with pytest.raises(SystemExit, match=r"select: .*shown_only"):
        main()


def test_what_a_former_candidate_left_is_removed_before_dvc_looks(project):
    for name in ("base", "gone"):
        (project / "out/evaluate" / name).mkdir(parents=True)

    main()

    assert [path.name for path in (project / "out/evaluate").iterdir()] == ["base"]


def test_a_file_that_is_no_yaml_is_one_fault(project):
    (project / "params.yaml").write_text("ingest: [", encoding="utf-8")

    with pytest.raises(SystemExit, match=r"params\.yaml is not YAML"):
        main()


def test_a_folder_of_files_may_become_data(project):
    (project / "mine").mkdir()
    (project / "mine/好 文件 🚁.md").write_text("可以。", encoding="utf-8")
    (project / "mine/again.md").symlink_to("好 文件 🚁.md")

    assert list(faults_of_folder("mine")) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "'' is no folder"),
        ("nowhere", "'nowhere' is no folder"),
        ("bare", "bare holds no file"),
        ("data", "data is data/, in it or around it"),
        ("data/part", "data/part is data/, in it or around it"),
        (".", ". is data/, in it or around it"),
    ],
)
def test_what_cannot_become_data_is_told_before_data_is_replaced(project, name, told):
    (project / "bare").mkdir()
    (project / "data/part").mkdir()

    (fault,) = faults_of_folder(name)

    assert fault.startswith(told)


def test_every_link_that_dvc_would_follow_out_of_a_folder_or_drop_is_told(project):
    (project / "mine").mkdir()
    (project / "secret.md").write_text("秘密", encoding="utf-8")
    for name, target in [("a.md", "../secret.md"), ("b.md", "nowhere"), ("c", project / "data"), ("d", ".")]:
        (project / "mine" / name).symlink_to(target)

    with pytest.raises(SystemExit) as ended:
        main("mine")

    told = str(ended.value.code).splitlines()
    assert [line.partition(":")[0] for line in told[:-2]] == ["mine/a.md", "mine/b.md", "mine/c"]
    assert told[-2] == "Nothing was started, nothing changed. Mend this first."
