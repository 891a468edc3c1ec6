"""docs/params.md: every parameter with its type, default and reason, made from the classes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from lingyu.params.fields import Row, kinds, rows
from lingyu.stage import tags_of
from lingyu.train.settings import Training

HEAD = """\
<!-- Made by `python -m lingyu params --markdown > docs/params.md`. -->

# Parameters · 参数

`params.yaml` has what people set. Every other key has the default below. `python -m lingyu params [stage]` prints the values in force and
where each comes from. A key without a default must be set. For one experiment: `dvc exp run -S sft.common.learning_rate=5.0e-4`; a key that
`params.yaml` does not have yet takes a plus sign, `-S '+index.min_score=0.3'`.

`params.yaml` 只写需要改动的项，其余取下列默认值；没有默认值的项必须填写。`python -m lingyu params [stage]` 列出当前取值及其来源。
单次实验用 `dvc exp run -S 键=值`；`params.yaml` 中尚无的键前加 `+`。
"""
SHARED = (
    "Keys of the training stages (pretrain, sft, reward, align), written once. The section of a stage overrides them, and so does a "
    "candidate. base.training has the same keys but does not read this section. Keys without a default are set in each stage."
)
CANDIDATES = "`common` holds for all of `candidates`; each of these overrides it."


@dataclass(frozen=True)
class Section:
    """A section of params.yaml: what its stage or flow does, its class, and whether it has candidates."""

    name: str
    about: str
    model: type[BaseModel]
    candidates: bool


def page(sections: Iterable[Section]) -> str:
    parts, shared = [HEAD], False
    for section in sections:
        trains = issubclass(section.model, Training)
        if trains and not shared:
            parts += ["## training\n", f"{SHARED}\n", *table(rows(Training)), *tables_of_kinds(Training)]
            shared = True
        parts += [f"## {section.name}\n", f"{section.about}{f' {CANDIDATES}' if section.candidates else ''}\n"]
        if trains:
            parts.append("Also the keys of [training](#training).\n")
        without = unchanged(section.model) if trains else frozenset[str]()
        parts += [*table(rows(section.model, without=without)), *tables_of_kinds(section.model, trains)]
    return "\n".join(parts).rstrip("\n") + "\n"


def unchanged(model: type[BaseModel]) -> frozenset[str]:
    """The fields of a training stage that are as all training stages have them."""
    inherited = Training.model_fields
    return frozenset(name for name, field in model.model_fields.items() if name in inherited and repr(field) == repr(inherited[name]))


def tables_of_kinds(model: type[BaseModel], trains: bool = False) -> Iterator[str]:
    shown = {kind for _, kind in kinds(Training)} if trains else set()
    for key, kind in kinds(model):
        if kind in shown:
            continue
        shown.add(kind)
        found = [*table(rows(kind))]
        yield f"### {key}: {', '.join(map(str, tags_of(kind)))}\n"
        yield f"{' '.join((kind.__doc__ or '').split())}\n"
        yield from found


def table(found: Iterator[Row]) -> Iterator[str]:
    lines = [f"| `{row.key}` | {row.type} | {f'`{row.default}`' if row.default else ''} | {row.description} |" for row in found]
    if lines:
        yield "\n".join(["| key | type | default | meaning, unit, reason |", "| --- | --- | --- | --- |", *lines]) + "\n"
