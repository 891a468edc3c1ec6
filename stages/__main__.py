"""Checks before a run: `python -m stages`, called first by `make repro`; and `python -m stages FOLDER`, called by `make data`
before the folder replaces data/.

Checks every section of params.yaml against the stages that read it, and that data/ contains files. DVC deletes the outputs of
a stage before running it, and a mistake in the last section would only show after hours of training.
"""

import importlib
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lingyu.ingest.file import check_file
from lingyu.ingest.readers import Unreadable
from lingyu.params.page import Section
from lingyu.stage import StageError, StageParams, mapping_at, read_params
from stages import align, base, reward, select
from stages.ingest import DATA, EMPTY, files_of, printable_name

SHARED = ("training",)  # sections of params.yaml that several stages read


def faults() -> Iterator[str]:
    """A message for each fault; none if the run can start."""
    stages = stages_of()
    sections = read_params()
    known = [*stages, *SHARED, *(path.stem for path in Path("flows").glob("[!_]*.py"))]
    for section in sections:
        if section not in known:
            meant = get_close_matches(str(section), known, 1)
            yield f"params.yaml: no stage or flow named {section!r}{f'; did you mean {meant[0]}?' if meant else '.'}"
    reported: set[str] = set()  # what a section that several stages read has wrong, each of them would report
    for name, stage in stages.items():
        try:
            items = items_of(name, sections)
        except StageError as error:
            yield f"{name}: {error}"
            continue
        for item in items:
            label = f"{name}@{item}" if item else name
            values, found = loaded(name, item, sections, stage.get("do", stage)["params"])
            for head, *lines in found:
                new = [line for line in lines or [head] if line not in reported]
                reported |= {*new}
                if new:
                    yield "\n".join([f"{label}: {head}", *(new if lines else [])])
            if values:
                yield from (f"{label}: {fault}" for fault in faults_of_models(values, sections))
    yield from faults_of_rewards(sections)
    yield from faults_of_choice()
    if not any(files_of(DATA)):
        yield EMPTY


def stages_of() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return stages


def loaded(stage: str, item: str | None, sections: dict[str, Any], entries: list[str]) -> tuple[StageParams | None, list[list[str]]]:
    """The parameters of a stage, or None, and the lines of each fault: what DVC would not find, and what does not fit."""
    found = []
    for entry in entries:
        try:
            mapping_at(sections, *entry.replace("${key}", str(item)).split("."))
        except StageError as error:
            found.append(str(error).splitlines())
    try:
        return params_of(stage).load(stage, item), found
    except StageError as error:
        return None, [*found, str(error).splitlines()]


def flows_of() -> list[str]:
    """The flows that have a section in params.yaml."""
    return ["retrain", "release"]


def documented() -> Iterator[Section]:
    """The sections of params.yaml, in the form of docs/params.md."""
    for name, stage in stages_of().items():
        about = str(stage.get("do", stage)["desc"]).replace(" (${key})", "").replace("${key}", "NAME")
        yield Section(name, about, section_of(name), "foreach" in stage)
    for name in flows_of():
        about = str(importlib.import_module(f"flows.{name}").__doc__).partition("\n")[0].partition(": ")[2]
        yield Section(name, f"{about[0].upper()}{about[1:]}", section_of(name), False)


def params_of(stage: str) -> type[StageParams]:
    """The parameters of a stage."""
    found: type[StageParams] = importlib.import_module(f"stages.{stage}").Params
    return found


def section_of(name: str) -> type[StageParams]:
    """The section of a stage or flow in params.yaml; the parameters of select include more than its section."""
    module = importlib.import_module(f"{'flows' if name in flows_of() else 'stages'}.{name}")
    found: type[StageParams] = getattr(module, "Section", module.Params)
    return found


def items_of(stage: str, sections: dict[str, Any]) -> list[str] | list[None]:
    """The candidates of a stage; [None] for a stage without candidates."""
    foreach = "foreach" in stages_of().get(stage, {})
    return [*mapping_at(sections, stage, "candidates")] if foreach else [None]


def faults_of_models(values: StageParams, sections: dict[str, Any]) -> Iterator[str]:
    """Models that no stage produces, and lengths beyond the tiny base."""
    for key in ("start", "checkpoint"):
        model = getattr(values, key, None)
        if model is not None and model not in (models := models_of(sections)):
            meant = get_close_matches(model, models, 1)
            hint = f" Did you mean {meant[0]}?" if meant else ""
            yield f"{key}: no stage produces a model {model!r}.{hint} Known: {', '.join(models)}."
    length = getattr(values, "max_length", None)
    base = base_of(sections)
    if length and base and base.model.kind == "tiny" and length > (context := base.shape.max_position_embeddings):
        yield (
            f"max_length {length} exceeds the {context} tokens of the tiny base (base.shape.max_position_embeddings). Set your base model "
            "under base.model in params.yaml, or use the sizes of the tiny base: make profile NAME=tiny."
        )


def base_of(sections: dict[str, Any]) -> base.Params | None:
    """The section base; None if it is not valid, which is reported elsewhere."""
    try:
        return base.Params.model_validate(sections.get("base"))
    except ValidationError:
        return None


def faults_of_rewards(sections: dict[str, Any]) -> Iterator[str]:
    """The candidates of align that need the reward model, if it is disabled."""
    try:
        if reward.Params.load("reward").enabled:
            return
        for item in items_of("align", sections):
            rewards = getattr(align.Params.load("align", item).method, "rewards", [])
            if any(each.name == "model" for each in rewards):
                yield f"align@{item}: its method needs the reward model, but reward.enabled is false (params.yaml)."
    except StageError:
        return  # reported above


def faults_of_choice() -> Iterator[str]:
    """Settings that leave select without an eligible checkpoint."""
    try:
        params = select.Params.load("select")
    except StageError:
        return  # reported above
    if params.checkpoints.keys() <= set(params.shown_only):
        yield (
            f"select: no checkpoint is eligible: all of evaluate.candidates ({', '.join(params.checkpoints)}) are in select.shown_only. "
            "Remove one, or add a candidate (params.yaml)."
        )


def notes() -> Iterator[str]:
    """Checkpoints named by select that are not evaluated; select ignores these settings."""
    try:
        params = select.Params.load("select")
    except StageError:
        return
    named = [name for pair in params.pairs for name in (pair.before, pair.after)]
    absent = [name for name in dict.fromkeys([*named, *params.shown_only, params.general_reference]) if name not in params.checkpoints]
    if absent:
        near = {name: get_close_matches(name, params.checkpoints, 1, 0.8) for name in absent}
        en = ", ".join(name + (f" (did you mean {near[name][0]}?)" if near[name] else "") for name in absent)
        zh = "、".join(name + (f"（是否指 {near[name][0]}？）" if near[name] else "") for name in absent)
        yield (
            f"select names checkpoints that are not in evaluate.candidates; the settings for them are ignored: {en}.\n"
            f"select 中的以下检查点不在 evaluate.candidates 中，相关设置将被忽略：{zh}。"
        )


def models_of(sections: dict[str, Any]) -> list[str]:
    """The folders under out/ whose model a stage can start from or evaluate."""
    named = {name: sections[name].get("candidates") for name in ("sft", "align") if isinstance(sections.get(name), dict)}
    return ["base", "extend", "pretrain", *(f"{name}/{item}" for name, its in named.items() if isinstance(its, dict) for item in its)]


def faults_of_folder(name: str) -> Iterator[str]:
    """A message for each reason why the folder cannot become data/. DVC would silently follow or drop links."""
    folder, data = Path(name), DATA.resolve()
    place = folder.resolve()
    if not name or not folder.is_dir():
        yield f"'{name}' is not a folder. Pass the folder with your documents: make data FROM=folder. 请用 FROM=目录 指定文件所在的目录。"
    elif place == data or data in place.parents or place in data.parents:
        yield f"{folder} overlaps with data/, which will be replaced. Move your files elsewhere. 该目录与 data/ 重叠，请把文件移到别处。"
    elif not (files := files_of(folder)):
        yield f"{folder} contains no files. 目录中没有文件。"
    else:
        for path in files:
            name = path.relative_to(folder).as_posix()
            try:
                if path.is_symlink() or printable_name(name) != name:
                    check_file(path, printable_name(name))
            except Unreadable as error:
                if error.reason != "link":  # its target is in the folder and is copied with it
                    yield f"{folder}/{printable_name(name)}: {error.detail}"


def main(folder: str | None = None) -> None:
    try:
        found = list(faults() if folder is None else faults_of_folder(folder))
    except StageError as error:
        found = [str(error)]
    if not found and folder is None:
        print("".join(f"{note}\n" for note in notes()), end="", file=sys.stderr)
        tidy()
    if found:
        sys.exit("\n".join([*found, "Nothing was run or changed. Fix this first.", "尚未运行，也未做任何改动。请先修正以上问题。"]))


def tidy() -> None:
    """Remove outputs of former candidates that select would read: otherwise it reruns although DVC could restore its outputs."""
    evaluated = Path("out/evaluate")
    if evaluated.is_dir():
        select.remove_left_over(evaluated, select.Params.load("select").checkpoints)


if __name__ == "__main__":
    main(*sys.argv[1:])
