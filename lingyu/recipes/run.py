"""Run recipes and check them; docs/systems.md shows the last verdicts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from lingyu.files import read_json, write_json
from lingyu.params.fields import value_text
from lingyu.params.rewrite import RECIPES
from lingyu.recipes.checks import Run
from lingyu.recipes.recipe import Recipe, scaled
from lingyu.recipes.workspace import WORK, prepared, put_answers

VERDICT, LOG = "verdict.json", "repro.log"


class Verdict(TypedDict):
    """Of one run. failed: the end of what `dvc repro` printed, where a stage failed."""

    recipe: str
    minutes: float
    holds: bool
    failed: str
    checks: list[dict[str, Any]]


def run(recipe: Recipe, profile: str = "tiny", echo: bool = True) -> Verdict:
    """`dvc repro` in the recipe's folder, then its checks. echo: show what the stages print; it is in repro.log anyway."""
    begin = time.monotonic()
    folder, status = made(recipe, profile, echo)
    checks: list[dict[str, Any]] = []
    failed = ""
    if status:
        failed = "\n".join((folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
    else:
        looked = Run(folder)
        try:
            checks = [vars(check.result(looked)) for check in recipe.checks]
        finally:
            looked.close()
    verdict = Verdict(
        recipe=recipe.name,
        minutes=round((time.monotonic() - begin) / 60, 1),
        holds=not failed and all(check["holds"] for check in checks),
        failed=failed,
        checks=checks,
    )
    write_json(WORK / recipe.name / VERDICT, verdict)
    return verdict


def made(recipe: Recipe, profile: str, echo: bool) -> tuple[Path, int]:
    """The recipe's folder after `dvc repro`, and its exit status; those of its second size where that one failed."""
    if not recipe.second:
        folder = prepared(recipe, profile)
        return folder, reproduced(folder, echo)
    second = prepared(Recipe.read(RECIPES / f"{recipe.second}.yaml"), profile)
    if status := reproduced(second, echo, "select"):
        return second, status
    folder = prepared(recipe, profile)
    put_answers(second, folder, recipe.second)
    return folder, reproduced(folder, echo)


def reproduced(folder: Path, echo: bool, *targets: str) -> int:
    """The exit status of `dvc repro`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path, "PYTHONPATH": str(folder.resolve())}
    command = [sys.executable, "-m", "lingyu.runtime.warm", sys.executable, "-m", "dvc", "repro", *targets]
    with (
        (folder / LOG).open("wb", buffering=0) as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            if echo:
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
    return process.returncode


def run_all(chosen: Sequence[Recipe], jobs: int, profile: str = "tiny") -> list[Verdict]:
    """The recipes, so many at a time; a line for each that ends. The first of each corpus comes before the others, which then find
    in DVC's cache what they share with it."""
    of_corpus: dict[Path, Recipe] = {}
    for one in chosen:
        of_corpus.setdefault(one.corpus, one)
    first = list(of_corpus.values())
    made: dict[str, Verdict] = {}
    for part in (first, [one for one in chosen if one not in first]):
        with ThreadPoolExecutor(jobs) as pool:
            for verdict in pool.map(lambda one: run(one, profile, echo=False), part):
                print("\n".join(lines_of(verdict)), flush=True)
                made[verdict["recipe"]] = verdict
    return [made[one.name] for one in chosen]


def last_verdict(name: str) -> Verdict | None:
    path = WORK / name / VERDICT
    if not path.is_file():
        return None
    try:
        found: Verdict = read_json(path)
    except (OSError, json.JSONDecodeError):
        return None
    return found


def lines_of(verdict: Verdict, language: str = "en") -> list[str]:
    head = f"{'✓' if verdict['holds'] else '✗'} {verdict['recipe']}  {verdict['minutes']:.1f} min"
    return [
        head,
        *(f"    {line}" for line in verdict["failed"].splitlines()),
        *(f"  {'✓' if one['holds'] else '✗'} {one[language]}: {one['found']}" for one in verdict["checks"]),
    ]


def page(chosen: Iterable[Recipe], verdicts: dict[str, Verdict]) -> str:
    """docs/systems.md."""
    lines = [
        "# The systems that lingyu rebuilds · 可重建的系统",
        "",
        "**中文摘要**：每个系统一个配方。`make recipe NAME=名称` 用微型模型在样例语料上跑完全程并逐项核对，",
        "核对的是机制，不是原系统的分数；`make recipe NAME=名称 DATA=目录` 换成自己的数据。",
        "",
        "Each system is a recipe: `make recipe NAME=name` runs it on a sample corpus with the tiny model and checks that it does what the",
        "system did; the checks are about mechanisms, never about the original's scores. `make matrix` wrote this page.",
        "`PROFILE=gpu-80gb` takes the unscaled values. Where a recipe needs a teacher, its sample brings written answers; with an endpoint",
        "(`generate.teacher`) the same recipe asks that.",
    ]
    for recipe in chosen:
        verdict = verdicts.get(recipe.name)
        took = f", {verdict['minutes']:.1f} min" if verdict else ""
        lines += ["", f"## {recipe.name}: {recipe.rebuilds}", "", f"{recipe.about.en} {recipe.about.zh}", ""]
        if recipe.published:
            lines += [f"Published by the original 原系统公布: {recipe.published.en} · {recipe.published.zh}", ""]
        if smaller := scaled(RECIPES / f"{recipe.name}.yaml"):
            listed = ", ".join(
                f"{key} {'default' if own is None else value_text(own)} → {value_text(value)}" for key, own, value in smaller
            )
            lines += [f"Scaled for the tiny model 为微型模型缩小: {listed}", ""]
        if wanted := recipe.wanted():
            lines += [f"Needs 需要: {', '.join(wanted)}", ""]
        lines += [f"| check on `{recipe.corpus}`{took} | | found |", "| --- | --- | --- |"]
        if verdict:
            rows = [(one["en"], one["zh"], "✓" if one["holds"] else "✗", one["found"].replace("|", "∣")) for one in verdict["checks"]]
        else:
            rows = [(check.en, check.zh, "–", "not run 未运行") for check in recipe.checks]
        lines += [f"| {en} · {zh} | {holds} | {found} |" for en, zh, holds, found in rows]
    return "\n".join([*lines, ""])
