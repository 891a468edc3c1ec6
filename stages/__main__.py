"""Check, before anything runs, what a run would stumble over later: `python -m stages`, which `make repro` does first; and
`python -m stages FOLDER`, which `make data` does before the folder's files take the place of data/.

Every section of params.yaml against the stage or flow that it belongs to, and that data/ holds a file. DVC removes the
outputs of a stage before it starts it, and a slip in the last section would show after hours of training.
"""

import importlib
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from lingyu.ingest.readers import Unreadable
from lingyu.stage import StageError, StageParams, read_params
from stages import align, reward, select
from stages.ingest import DATA, EMPTY, check_file, files_of, shown


def faults() -> Iterator[str]:
    """A text for each fault, none where the run may begin."""
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    sections = read_params()
    known = {*stages, *(path.stem for path in Path("flows").glob("[!_]*.py"))}
    for section in sections:
        if section not in known:
            yield f"params.yaml: no stage or flow is named {section!r}."
    for name, stage in stages.items():
        params: type[StageParams] = importlib.import_module(f"stages.{name}").Params
        of_section = sections.get(name)
        items = (of_section.get("candidates") or {}) if isinstance(of_section, dict) and "foreach" in stage else [None]
        for item in items:
            label = f"{name}@{item}" if item else name
            try:
                values = params.load(name, item)
            except StageError as error:
                yield f"{label}: {error}"
                continue
            for key in ("start", "checkpoint"):
                model = getattr(values, key, None)
                if model is not None and model not in (models := models_of(sections)):
                    meant = get_close_matches(model, models, 1)
                    told = f"; {meant[0]} is meant?" if meant else "."
                    yield f"{label}: {key}: no stage makes a model {model!r}{told} There are {', '.join(models)}."
    yield from faults_of_rewards(sections)
    yield from faults_of_choice()
    if not any(files_of(DATA)):
        yield EMPTY


def faults_of_rewards(sections: dict[str, Any]) -> Iterator[str]:
    """The candidates of align that want the reward model, where there is none."""
    try:
        if reward.Params.load("reward").enabled:
            return
        for item in sections["align"].get("candidates") or {}:
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
    named = {name: sections[name] for name in ("sft", "align") if isinstance(sections.get(name), dict)}
    return ["base", "extend", "pretrain", *(f"{name}/{item}" for name, its in named.items() for item in its.get("candidates") or {})]


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
            "\n".join([*found, "Nothing was started, nothing changed. Mend this first.", "什么都没有运行，也没有改动。请先改正以上问题。"])
        )


def tidy() -> None:
    """Remove what former candidates left where select reads: it would run again where DVC can restore what it wrote."""
    evaluated = Path("out/evaluate")
    if evaluated.is_dir():
        select.remove_left_over(evaluated, select.Params.load("select").checkpoints)


if __name__ == "__main__":
    main(*sys.argv[1:])
