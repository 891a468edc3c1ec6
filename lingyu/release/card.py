"""The model card, in both languages: what the model is, its training data, evaluation results, limitations and lineage."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.records import Row
from lingyu.select.names import heading, name_of

TEMPLATE = Path(__file__).with_name("card.md.jinja")


@dataclass(frozen=True)
class About:
    """The description of the model in params.yaml."""

    name: str
    title: str
    about_en: str
    about_zh: str
    licence: str
    base_model: str
    authors: str


@dataclass(frozen=True)
class Data:
    """The number of rows of one table, folder, licence and scope."""

    table: str
    folder: str
    licence: str
    scope: str
    files: int
    rows: int


def data_of(tables: dict[str, list[Row]]) -> list[Data]:
    """The corpus after cleaning, by table, folder and licence."""
    rows: Counter[tuple[str, str, str, str]] = Counter()
    files: dict[tuple[str, str, str, str], set[str]] = {}
    for table, entries in tables.items():
        for row in entries:
            key = (table, str(Path(row.source).parent), row.licence, row.scope)
            rows[key] += 1
            files.setdefault(key, set()).add(row.source)
    return [Data(*key, files=len(files[key]), rows=rows[key]) for key in sorted(rows)]


def parameters_of(model: Path) -> int:
    """The number of parameters, read from the headers of the safetensors files without loading them."""
    total = 0
    for path in sorted(model.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                count = 1
                for size in tensor["shape"]:
                    count *= size
                total += count
    return total


def render(
    about: About, model: Path, data: list[Data], winner: str, metrics: dict[str, dict[str, Any]], base: dict[str, dict[str, Any]]
) -> str:
    """The README.md of the release. metrics, base: results of the winner and of the untrained base, with intervals and counts."""
    from huggingface_hub import EvalResult, ModelCardData
    from jinja2 import Environment, StrictUndefined

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    task: dict[str, Any] = {"task_type": "text-generation", "dataset_type": "held-out", "dataset_name": "held-out test set of this project"}
    results = [EvalResult(metric_type=name, metric_value=measure["value"], **task) for name, measure in metrics.items()]
    head = ModelCardData(
        language=["zh", "en"],
        license=about.licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=about.base_model or None,
        tags=["lingyu", "domain-adaptation", config["model_type"]],
        model_name=about.name,
        eval_results=results or None,
    )
    page = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        head=head.to_yaml(),
        about=about,
        architecture=", ".join(config.get("architectures") or [config["model_type"]]),
        context=config.get("max_position_embeddings"),
        attached=config.get("attached", {}).get("name", ""),
        base_file=file_of(config.get("dequantized_from", {})),
        parameters=parameters_of(model),
        data=data,
        winner=winner,
        metrics=metrics,
        base=base,
        with_interval=with_interval,
        heading=heading,
        name_of=name_of,
    )


def file_of(source: dict[str, str]) -> str:
    """The GGUF file that the base came from (lingyu.base.gguf), for the card; empty where it came from none."""
    return "{file} ({quantization}, {architecture}, licence {licence}, sha256 {sha256})".format(**source) if source else ""


def with_interval(measure: dict[str, Any] | None) -> str:
    return "–" if measure is None else f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"
