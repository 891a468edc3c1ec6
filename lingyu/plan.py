"""`lingyu plan`: what each training will need, from params.yaml and what earlier stages have left, without loading weights."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.stage import StageError

STAGES = ("pretrain", "sft", "reward", "align")
WORDS = {
    "zh": {
        "start": "{label}  {folder} 尚不存在：按 {shapes} 的形状估算",
        "rows": "{label}  训练数据尚未生成：按每行 max_length {longest} 个词元估算内存；步数与时间未知",
        "off": "{label}  未启用",
    },
    "en": {
        "start": "{label}  {folder} is not there yet: forecast from the shapes of {shapes}",
        "rows": "{label}  no training rows yet: memory for rows of max_length {longest} tokens; steps and time are not known",
        "off": "{label}  not enabled",
    },
}


@dataclass(frozen=True)
class Planned:
    """The lines for a person, the numbers for a program, and whether it fits."""

    lines: list[str]
    numbers: dict[str, Any]
    fits: bool = True

    def as_lines(self, as_json: bool) -> list[str]:
        return [json.dumps(self.numbers)] if as_json else self.lines


def planned(stage: str, item: str | None, params: Any, out: Path, base: Any, lang: str) -> Planned:
    """The forecast of one training. base: the section base of params.yaml; None where there is none."""
    from lingyu.align.workload import job_of
    from lingyu.model.load import load_tokenizer, prepare
    from lingyu.train import forecast, machine

    label, words = f"{stage}@{item}" if item else stage, WORDS[lang]
    if not getattr(params, "enabled", True):
        return Planned([words["off"].format(label=label)], {"label": label, "enabled": False})
    prepare(params.threads)
    start = out / getattr(params, "start", "extend") / "model"
    config, shapes = shapes_of(start, out, base)
    tokenizer = load_tokenizer(shapes) if isinstance(shapes, Path) else None
    scorer = out / "reward" / "model"
    judge = shapes_of(scorer, out, base)[0] if stage == "align" else None
    job = job_of(stage, label, config, params, out / "mix" / "train", out / "mix" / "dev", tokenizer, judge)
    made, there = forecast.forecast(job), machine.room(out)
    lines = [words["start"].format(label=label, folder=start, shapes=shapes)] if shapes != start else []
    if not job.rows.count:
        lines.append(words["rows"].format(label=label, longest=job.rows.widest))
    lines += forecast.shown(job, made, there, lang)
    fits = not any(forecast.too_much(made, there))
    if not fits:
        lines.append(f"{label}: {forecast.refusal(job, made, there)}")
    step, seconds = (value if math.isfinite(value) else None for value in (made.step, made.whole))
    numbers = {"label": label, "memory": made.memory, "processes": made.beside, "parts": made.parts, "disk": made.disk}
    return Planned(lines, {**numbers, "step": step, "seconds": seconds, "steps": made.steps, "fits": fits}, fits)


def shapes_of(folder: Path, out: Path, base: Any) -> tuple[Any, Path | str]:
    """The config of the model of a folder, or of what comes before it; and where it is from. Raises StageError where there is none."""
    from lingyu.base.tiny import config_of
    from lingyu.model.load import is_model, load_config

    for place in places(folder, out, base):
        if is_model(place):
            return load_config(place), place
    if base is None or base.model.kind != "tiny":
        raise StageError(f"there is no model in {folder}, nor a base in {out / 'base' / 'model'}. `dvc repro base` fetches it.")
    return config_of(base.shape, base.shape.vocab_size), "base.shape"


def places(folder: Path, out: Path, base: Any) -> Iterator[Path]:
    yield folder
    yield from (out / stage / "model" for stage in ("extend", "base"))
    if base is not None and base.model.kind == "folder":
        yield Path(base.model.name)
