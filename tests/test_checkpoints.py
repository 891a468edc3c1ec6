"""Checkpoints: whose they are, when a run goes on from one, when it refuses, and when they are removed."""

import json
import os
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
from training import ROOT, TRAINING, contents, curves, ended, project, staged

from lingyu.__main__ import main
from lingyu.files import read_json
from lingyu.launch import CHECKPOINTS
from lingyu.stage import StageError
from lingyu.train import checkpoints
from lingyu.train.checkpoints import Kept, finish, last_whole_checkpoint, release, restored, workplace
from lingyu.train.settings import Training

PARAMS = Training(**TRAINING)


def write_checkpoint(folder, state, without=()):
    from safetensors.numpy import save_file

    folder.mkdir()
    if "model.safetensors" not in without:
        save_file({}, folder / "model.safetensors")
    for name in {"optimizer.pt", "scheduler.pt", "rng_state.pth"} - set(without):
        ZipFile(folder / name, "w").close()
    if state is not None:
        (folder / "trainer_state.json").write_text(state)


def test_the_last_whole_checkpoint_is_found_and_halves_are_removed(tmp_path):
    states = {
        "checkpoint-8": '{"global_step": 8}',
        "checkpoint-9": '{"global_step": 9}',
        "checkpoint-10": '{"global_step": 10}',
        "checkpoint-11": '{"global_st',
        "checkpoint-12": '{"global_step": 8}',
        "checkpoint-13": "{}",
        "checkpoint-14": None,
    }
    for name, state in states.items():
        write_checkpoint(tmp_path / name, state)

    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-8", "checkpoint-9"]


@pytest.mark.parametrize("gone", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_that_was_being_removed_is_none(tmp_path, gone):
    write_checkpoint(tmp_path / "checkpoint-8", '{"global_step": 8}')
    write_checkpoint(tmp_path / "checkpoint-9", '{"global_step": 9}', without=[gone])

    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-8"


def test_without_a_checkpoint_training_begins_at_the_start(tmp_path):
    assert last_whole_checkpoint(tmp_path) is None


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of a training whose code, inputs and checkpoints lie in tmp_path."""
    code = tmp_path / "code"
    (code / "stages").mkdir(parents=True)
    (code / "lingyu" / "train").mkdir(parents=True)
    (code / "stages" / "sft.py").write_text("from lingyu.train import run", encoding="utf-8")
    (code / "lingyu" / "train" / "run.py").write_text("STEPS = 1", encoding="utf-8")
    (tmp_path / "rows").write_text("1", encoding="utf-8")
    monkeypatch.setattr(checkpoints, "ROOT", code)
    monkeypatch.delenv(CHECKPOINTS, raising=False)

    def place(params=PARAMS, work="sft-lora"):
        return workplace(tmp_path / "work" / work, params, [tmp_path / "rows"], str(code / "stages" / "sft.py"))

    yield place
    release()


def edit(tmp_path, text):
    (tmp_path / "code" / "lingyu" / "train" / "run.py").write_text(text, encoding="utf-8")


def test_the_same_training_goes_on_in_its_folder(place):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')

    assert place() == first
    assert (first / "checkpoint-8").is_dir()


def test_what_made_a_checkpoint_is_written_beside_it(place, tmp_path):
    record = read_json(place() / "made_by.json")

    assert record["parameters"] == json.loads(PARAMS.model_dump_json())
    assert list(record["inputs"]) == [(tmp_path / "rows").as_posix()]
    assert list(record["code"]) == ["lingyu/train/run.py", "stages/sft.py"]
    assert {"python", "torch", "transformers"} <= record["libraries"].keys()
    assert record["parameters"]["threads"] == record["parameters"]["processes"] == 1


@pytest.mark.parametrize("text", ["STEPS = 1  # so few", '"""How long."""\n\nSTEPS  =  1\n'])
def test_a_comment_or_a_docstring_changes_no_training(text, place, tmp_path):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')
    edit(tmp_path, text)

    assert place() == first


@pytest.mark.parametrize("other", ["parameters", "inputs"])
def test_other_parameters_or_inputs_are_a_training_of_their_own_and_the_old_checkpoint_stays(other, place, tmp_path, capsys):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')
    params = PARAMS.model_copy(update={"seed": 4}) if other == "parameters" else PARAMS
    if other == "inputs":
        (tmp_path / "rows").write_text("2", encoding="utf-8")

    second = place(params)

    assert second != first
    assert (first / "checkpoint-8").is_dir()
    [line] = capsys.readouterr().err.splitlines()
    for fact in (str(first), "step 8", " MB", "seed" if other == "parameters" else "inputs", "lingyu checkpoints --remove sft@lora"):
        assert fact in line


@pytest.mark.parametrize("changed", ["code", "library", "module"])
def test_a_checkpoint_of_other_code_or_libraries_is_refused_by_name_and_stays(changed, place, tmp_path, monkeypatch):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')
    if changed == "code":
        edit(tmp_path, "STEPS = 2")
    elif changed == "module":
        edit(tmp_path, "from lingyu.train import more")
        (tmp_path / "code" / "lingyu" / "train" / "more.py").write_text("", encoding="utf-8")
    else:
        versions = checkpoints.version
        monkeypatch.setattr(checkpoints, "version", lambda name: "9.9" if name == "torch" else versions(name))

    with pytest.raises(StageError) as error:
        place()

    named = {"code": ["lingyu/train/run.py"], "library": ["torch", "9.9"], "module": ["lingyu/train/run.py", "lingyu/train/more.py"]}
    ways = [f"{CHECKPOINTS}=resume", f"{CHECKPOINTS}=restart", "python -m stages.sft lora --resume", "--remove sft@lora"]
    for fact in (str(first), "step 8", *named[changed], *ways):
        assert fact in str(error.value)
    assert (first / "checkpoint-8").is_dir()


def test_resume_goes_on_with_other_code_and_says_so_in_the_record_once_and_for_all(place, tmp_path, monkeypatch):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')
    edit(tmp_path, "STEPS = 2")
    monkeypatch.setenv(CHECKPOINTS, "resume")

    assert place() == first

    monkeypatch.delenv(CHECKPOINTS)
    assert place() == first
    assert Kept(first).made_by["continued"] == [{"step": 8, "changed": ["lingyu/train/run.py changed"]}]
    edit(tmp_path, "STEPS = 1")
    monkeypatch.setenv(CHECKPOINTS, "restart")
    assert place() != first
    assert (first / "checkpoint-8").is_dir()


def test_restart_begins_again_beside_the_old_checkpoint_and_a_killed_restart_goes_on(place, tmp_path, monkeypatch):
    first = place()
    write_checkpoint(first / "checkpoint-8", '{"global_step": 8}')
    edit(tmp_path, "STEPS = 2")
    monkeypatch.setenv(CHECKPOINTS, "restart")

    second = place()

    assert second != first
    assert (first / "checkpoint-8").is_dir()
    write_checkpoint(second / "checkpoint-2", '{"global_step": 2}')
    assert place() == second
    monkeypatch.delenv(CHECKPOINTS)
    assert place() == second


def test_a_misspelt_choice_is_refused(place, monkeypatch):
    monkeypatch.setenv(CHECKPOINTS, "resum")

    with pytest.raises(StageError, match=f"{CHECKPOINTS}.*resume.*restart.*'resum'"):
        place()


def test_token_ids_of_other_code_are_not_taken_and_not_kept(place, tmp_path):
    first = place()
    (first / "train.arrow").write_bytes(b"made by the code before")
    release()  # as the run that made it ends
    edit(tmp_path, "STEPS = 2")

    second = place()

    assert second != first
    assert not first.exists()


def test_replies_that_best_of_has_drawn_are_kept_like_a_checkpoint(place, tmp_path):
    (place() / "draws.jsonl").write_text("[]", encoding="utf-8")
    edit(tmp_path, "STEPS = 2")

    with pytest.raises(StageError, match=r"lingyu/train/run\.py"):
        place()


def test_a_checkpoint_of_an_earlier_version_has_no_record_and_is_kept(place, tmp_path, capsys):
    old = tmp_path / "work" / "sft-lora" / "0123456789abcdef"
    old.mkdir(parents=True)
    write_checkpoint(old / "checkpoint-8", '{"global_step": 8}')

    place()

    assert (old / "checkpoint-8").is_dir()
    assert str(old) in capsys.readouterr().err


def outputs(folder):
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    (folder / ".gitignore").write_text("/model", encoding="utf-8")
    return folder


def test_a_finished_training_keeps_its_outputs_and_no_checkpoint(place, tmp_path):
    mine, out = place(), outputs(tmp_path / "out")
    write_checkpoint(mine / "checkpoint-8", '{"global_step": 8}')
    (mine / "train.arrow").write_bytes(b"token ids")

    finish(mine, out)

    assert not [*mine.glob("checkpoint-*"), *mine.glob("*.arrow")]
    assert (mine / "outputs" / "model" / "model.safetensors").samefile(out / "model" / "model.safetensors")
    assert not (mine / "outputs" / "model" / "config.json").samefile(out / "model" / "config.json")


def test_outputs_that_dvc_could_not_store_and_removed_are_there_again(place, tmp_path, capsys):
    mine, out = place(), outputs(tmp_path / "out")
    made = contents(out)
    assert not restored(mine, out)
    finish(mine, out)
    shutil.rmtree(out / "model")
    (out / "metrics.json").unlink()

    assert place() == mine
    assert restored(mine, out)
    assert contents(out) == made
    assert not (mine / "outputs" / "model" / "model.safetensors").samefile(out / "model" / "model.safetensors")
    assert "sft@lora" in capsys.readouterr().err


def test_a_kill_between_outputs_and_checkpoints_loses_neither(place, tmp_path, monkeypatch):
    mine, out = place(), outputs(tmp_path / "out")
    write_checkpoint(mine / "checkpoint-8", '{"global_step": 8}')
    (mine / "outputs.part" / "model").mkdir(parents=True)
    (mine / "outputs.part" / "model" / "left").write_bytes(b"half")
    monkeypatch.setattr(checkpoints, "drop_checkpoints", lambda kept: None)
    finish(mine, out)
    monkeypatch.undo()

    assert restored(mine, out)
    assert not (out / "model" / "left").exists()
    assert not [*mine.glob("checkpoint-*")]


def test_of_finished_trainings_a_stage_keeps_the_last(place, tmp_path):
    first, out = place(), outputs(tmp_path / "out")
    finish(first, out)

    second = place(PARAMS.model_copy(update={"seed": 4}))

    assert not first.exists()
    assert second.exists()


def test_checkpoints_are_listed_with_what_made_them(place, tmp_path, capsys):
    mine = place()
    write_checkpoint(mine / "checkpoint-8", '{"global_step": 8}')
    (mine / "checkpoint-8" / "optimizer.pt").write_bytes(b"0" * 2**20)
    for name in ("checkpoint-8", "."):
        os.utime(mine / name, (0, 0))
    finished = place(work="pretrain")
    finish(finished, outputs(tmp_path / "out"))
    edit(tmp_path, "STEPS = 2")

    assert main(["checkpoints", "--work", str(tmp_path / "work"), "--lang", "en"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}

    for fact in (" 8 ", "1.0 MB", "lingyu/train/run.py changed", str(mine)):
        assert fact in lines["sft@lora"]
    assert "finished" in lines["pretrain"]
    assert main(["checkpoints", "--work", str(tmp_path / "work"), "--lang", "zh"]) == 0
    assert "已完成" in capsys.readouterr().out
    assert main(["checkpoints", "--work", str(tmp_path / "nowhere")]) == 0


def test_a_command_removes_the_checkpoints_of_a_stage_but_not_what_a_run_uses(place, tmp_path, capsys):
    folders = [place(work="sft-full"), place(work="pretrain"), place()]  # the last one is in use
    for folder in folders:
        write_checkpoint(folder / "checkpoint-8", '{"global_step": 8}')
    asked = ["checkpoints", "--work", str(tmp_path / "work"), "--lang", "en", "--remove"]

    assert main([*asked, "reward"]) == 1
    assert "pretrain, sft@full, sft@lora" in capsys.readouterr().err
    assert main([*asked, "sft"]) == 0
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert main([*asked, "all"]) == 0
    assert [folder.exists() for folder in folders] == [False, False, True]
    release()
    assert main([*asked, "sft@lora"]) == 0
    assert not folders[-1].exists()


def test_the_code_of_a_stage_is_all_it_imports_that_changes_results():
    found = checkpoints.code_of(ROOT / "stages" / "pretrain.py")

    assert {"stages/pretrain.py", "lingyu/train/run.py", "lingyu/train/kernels.py", "lingyu/model/tuning.py"} <= found.keys()
    assert not {"lingyu/stage.py", "lingyu/files.py", "lingyu/train/checkpoints.py", "stages/sft.py"} & found.keys()


@pytest.mark.slow
def test_a_killed_training_refuses_other_code_and_goes_on_where_it_is_told_to(tiny_model, tmp_path):
    """In a copy of the code, as a person meets it: kill, edit a file, run, choose."""
    section = {**TRAINING, "num_train_epochs": 60, "evaluations": 20, "instructions": False, "packing": "joined"}
    folder = project(tmp_path / "project", tiny_model, pretrain=section)
    for name in ("lingyu", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    run = {"PYTHONPATH": str(folder)}
    process = staged(folder, "pretrain", **run)
    for line in process.stderr:
        if " step 20/" in line:
            break
    process.kill()
    process.communicate()
    kernels = folder / "lingyu" / "train" / "kernels.py"
    kernels.write_text(kernels.read_text(encoding="utf-8") + "\nSPEED = 1\n", encoding="utf-8")

    status, _, err = ended(staged(folder, "pretrain", **run))
    assert status == 1
    assert "lingyu/train/kernels.py changed" in err
    assert "Traceback" not in err

    status, _, err = ended(staged(folder, "pretrain", "--resume", **run))
    assert status == 0, err
    assert "goes on from checkpoint-" in err
    metrics = read_json(folder / "out" / "pretrain" / "metrics.json")
    assert 0 < metrics["code_changed_1"] < metrics["steps"] == int(curves(folder / "out" / "pretrain")[-1]["step"])
    assert not [*Path(folder, ".lingyu").glob("*/*/checkpoint-*")]
