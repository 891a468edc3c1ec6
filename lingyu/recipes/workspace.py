"""The folder of a recipe: the project's code, the sample corpus as data/, and a params.yaml of the profile and the recipe alone.

Nothing of the checkout changes. DVC's cache is the project's, so that recipes on one corpus share what they have in common.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from lingyu.evaluate.scorer import Prediction
from lingyu.files import read_json, read_table, sha256, write_jsonl
from lingyu.params.rewrite import PROFILES, RECIPES, parsed, rewritten, yaml
from lingyu.recipes.recipe import Recipe
from lingyu.records import Question
from lingyu.stage import StageError

WORK = Path(".lingyu/recipes")
CODE = ("lingyu", "stages", "flows", "web", "profiles", "recipes", "answers", "service.py", "bentofile.yaml", "dvc.yaml", ".dvcignore")
# What params.yaml must say and no profile does. Two recipes run at a time, each on one core.
BARE = {"base": {"model": {"kind": "tiny", "name": "", "revision": ""}}, "training": {"threads": 1, "processes": 1}}
FLOWS = ("retrain", "release")


def prepared(recipe: Recipe, profile: str = "tiny") -> Path:
    """The folder, made anew but for what DVC and the stages keep there. Raises StageError where the corpus or the profile is missing."""
    for corpus in (recipe.corpus, *recipe.beside.values()):
        if not corpus.is_dir():
            raise StageError(f"recipe {recipe.name}: its corpus {corpus} is not there.")
    sizes = PROFILES / f"{profile}.yaml"
    if not sizes.is_file():
        raise StageError(
            f"no profile is named {profile!r}. Known 可选: {', '.join(path.stem for path in sorted(PROFILES.glob('*.yaml')))}."
        )
    folder = WORK / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        replaced(Path(name), folder / name)
    replaced(recipe.corpus, folder / "data", keep=recipe.beside)
    for name, more in recipe.beside.items():
        replaced(more, folder / "data" / name)
    text, _ = rewritten(skeleton(), sizes)
    text, _ = rewritten(text, RECIPES / f"{recipe.name}.yaml", sample=True)
    if recipe.teacher:
        shutil.copyfile(recipe.teacher, folder / "teacher.yaml")
        text = with_teacher(text, recipe.teacher)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    (folder / ".dvc").mkdir(exist_ok=True)
    cache = cache_of(Path(".dvc"))
    (folder / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n[cache]\n    dir = {cache}\n", encoding="utf-8"
    )
    return folder


def put_answers(second: Path, folder: Path, name: str) -> None:
    """What the winner of a second size answered to the test, as answers of another model; select is then made again where they change."""
    winner = read_json(second / "out/select/winner.json")["checkpoint"]
    asked = {row.id for row in read_table(second / "out/mix/test/questions.parquet", Question)}
    rows = read_table(second / f"out/select/test/{winner}.parquet", Prediction)
    write_jsonl(folder / f"answers/{name}.jsonl", ({"id": row.id, "reply": row.reply} for row in rows if row.id in asked))
    dag = parsed((folder / "dvc.yaml").read_text(encoding="utf-8"), folder / "dvc.yaml")
    dag["stages"]["select"]["deps"].append("answers")
    (folder / "dvc.yaml").write_text(written(dag), encoding="utf-8")


def skeleton() -> str:
    """A params.yaml in which every value has its default."""
    stages = parsed(Path("dvc.yaml").read_text(encoding="utf-8"), Path("dvc.yaml"))["stages"]
    return written({name: BARE.get(name, {}) for name in (*stages, "training", *FLOWS)})


def with_teacher(params: str, file: Path) -> str:
    """params.yaml with the file of written answers as the teacher, pinned so that another one reruns generate."""
    values = parsed(params, Path("params.yaml"))
    teacher = values["generate"].setdefault("teacher", {})
    if "kind" not in teacher:
        teacher |= {"kind": "written", "file": "teacher.yaml", "revision": sha256(file)[:12]}
    return written(values)


def written(values: Mapping[str, Any]) -> str:
    buffer = StringIO()
    yaml().dump(values, buffer)
    return buffer.getvalue()


def cache_of(dvc: Path) -> str:
    from dvc.config import Config

    folder = Config(str(dvc))["cache"].get("dir") or dvc / "cache"
    return os.path.abspath(folder)


def replaced(source: Path, target: Path, keep: Collection[str] = ()) -> None:
    """Copy a file or folder where it differs, with its times, so that DVC need not hash again what is the same."""
    if source.is_dir():
        there = {path.name for path in target.iterdir()} if target.is_dir() else set()
        target.mkdir(exist_ok=True)
        kept = {path.name for path in source.iterdir() if path.name != "__pycache__"}
        for name in there - kept - {"__pycache__", *keep}:
            remove(target / name)
        for name in sorted(kept):
            replaced(source / name, target / name)
    elif not target.is_file() or (target.stat().st_size, target.stat().st_mtime) != (source.stat().st_size, source.stat().st_mtime):
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
