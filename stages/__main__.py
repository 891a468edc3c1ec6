"""Check, before anything runs, what a run would stumble over later: `python -m stages`, which `make repro` does first; and
`python -m stages FOLDER`, which `make data` does before the folder's files take the place of data/.

Every section of params.yaml against the stages that read it, and that data/ holds a file. DVC removes the
outputs of a stage before it starts it, and a slip in the last section would show after hours of training.
"""

import importlib
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lingyu.ingest.readers import Unreadable
from lingyu.params.page import Section
from lingyu.stage import StageError, StageParams, mapping_at, read_params
from stages import align, base, reward, select
from stages.ingest import DATA, EMPTY, check_file, files_of, shown

SHARED = ("training",)  # sections of params.yaml that several stages read


def faults() -> Iterator[str]:
    """A text for each fault, none where the run may begin."""
    stages = stages_of()
    sections = read_params()
    known = [*stages, *SHARED, *(path.stem for path in Path("flows").glob("[!_]*.py"))]
    for section in sections:
        if section not in known:
            meant = get_close_matches(str(section), known, 1)
            yield f"params.yaml: no stage or flow is named {section!r}{f'; did you mean {meant[0]}?' if meant else '.'}"
    said: set[str] = set()  # what a section that several read has wrong, each of them would say
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
                new = [line for line in lines or [head] if line not in said]
                said |= {*new}
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
    """The flows that have a section of params.yaml."""
    return ["retrain", "release"]


def documented() -> Iterator[Section]:
    """The sections of params.yaml, as docs/params.md has them."""
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
    """What params.yaml has in the section of a stage or flow; select's parameters are more than its section."""
    module = importlib.import_module(f"{'flows' if name in flows_of() else 'stages'}.{name}")
    found: type[StageParams] = getattr(module, "Section", module.Params)
    return found


def items_of(stage: str, sections: dict[str, Any]) -> list[str] | list[None]:
    """The candidates of a stage; one that is None for a stage without."""
    foreach = "foreach" in stages_of().get(stage, {})
    return [*mapping_at(sections, stage, "candidates")] if foreach else [None]


def faults_of_models(values: StageParams, sections: dict[str, Any]) -> Iterator[str]:
    """Models that no stage makes, and lengths that the tiny base does not have."""
    for key in ("start", "checkpoint"):
        model = getattr(values, key, None)
        if model is not None and model not in (models := models_of(sections)):
            meant = get_close_matches(model, models, 1)
            near = f"; did you mean {meant[0]}?" if meant else "."
            yield f"{key}: no stage makes a model {model!r}{near} There are {', '.join(models)}."
    length = getattr(values, "max_length", None)
    base = base_of(sections)
    if length and base and base.model.kind == "tiny" and length > (context := base.shape.max_position_embeddings):
        yield (
            f"max_length {length} is more than the {context} tokens of the tiny base (base.shape.max_position_embeddings). Name your base "
            "under base.model in params.yaml, or write the sizes of the tiny one: make profile NAME=tiny."
        )


def base_of(sections: dict[str, Any]) -> base.Params | None:
    """The section base; None where it does not fit, which is said elsewhere."""
    try:
        return base.Params.model_validate(sections.get("base"))
    except ValidationError:
        return None


def faults_of_rewards(sections: dict[str, Any]) -> Iterator[str]:
    """The candidates of align that want the reward model, where there is none."""
    try:
        if reward.Params.load("reward").enabled:
            return
        for item in items_of("align", sections):
            rewards = getattr(align.Params.load("align", item).method, "rewards", [])
            if any(each.name == "model" for each in rewards):
                yield f"align@{item}: its method scores replies by the reward model, and reward.enabled is false (params.yaml)."
    except StageError:
        return  # reported above


def faults_of_choice() -> Iterator[str]:
    """What leaves select nothing to choose from."""
    try:
        params = select.Params.load("select")
    except StageError:
        return  # reported above
    if params.checkpoints.keys() <= set(params.shown_only):
        yield (
            f"select: no checkpoint may win: all of evaluate.candidates ({', '.join(params.checkpoints)}) are in select.shown_only. "
            "Take one out, or add a candidate (params.yaml)."
        )


def notes() -> Iterator[str]:
    """What select leaves out, because it names a checkpoint that is not evaluated."""
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
            f"select names checkpoints that are not in evaluate.candidates, and leaves out what it says of them: {en}.\n"
            f"select 中提到的以下检查点不在 evaluate.candidates 中，与之有关的设置不起作用：{zh}。"
        )


def models_of(sections: dict[str, Any]) -> list[str]:
    """The folders under out/ whose model a stage may start from, or score."""
    named = {name: sections[name].get("candidates") for name in ("sft", "align") if isinstance(sections.get(name), dict)}
    return ["base", "extend", "pretrain", *(f"{name}/{item}" for name, its in named.items() if isinstance(its, dict) for item in its)]


def faults_of_folder(name: str) -> Iterator[str]:
    """A text for each reason why the folder cannot become data/. DVC would follow a link, or drop it, without a word."""
    folder, data = Path(name), DATA.resolve()
    place = folder.resolve()
    if not name or not folder.is_dir():
        yield f"'{name}' is no folder. Name the one that holds your documents: make data FROM=folder. 请用 FROM=目录 给出存放文件的目录。"
    elif place == data or data in place.parents or place in data.parents:
        yield f"{folder} is data/, in it or around it, and data/ is about to be replaced. Put your files elsewhere. 请把文件放在别处。"
    elif not (files := files_of(folder)):
        yield f"{folder} holds no file. 目录里没有文件。"
    else:
        for path in files:
            name = path.relative_to(folder).as_posix()
            try:
                if path.is_symlink() or shown(name) != name:
                    check_file(path, shown(name))
            except Unreadable as error:
                if error.reason != "link":  # what it leads to is in the folder, and comes with it
                    yield f"{folder}/{shown(name)}: {error.detail}"


def main(folder: str | None = None) -> None:
    try:
        found = list(faults() if folder is None else faults_of_folder(folder))
    except StageError as error:
        found = [str(error)]
    if not found and folder is None:
        print("".join(f"{note}\n" for note in notes()), end="", file=sys.stderr)
        tidy()
    if found:
        sys.exit(
            "\n".join([*found, "Nothing was started, nothing changed. Fix this first.", "什么都没有运行，也没有改动。请先改正以上问题。"])
        )


def tidy() -> None:
    """Remove what former candidates left where select reads: it would run again where DVC can restore what it wrote."""
    evaluated = Path("out/evaluate")
    if evaluated.is_dir():
        select.remove_left_over(evaluated, select.Params.load("select").checkpoints)


if __name__ == "__main__":
    main(*sys.argv[1:])
