"""The model card, in both languages: what the model is, its training data, evaluation results, limitations and lineage."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lingyu.records import Row
from lingyu.release.private import public
from lingyu.select.names import heading, name_of
from lingyu.select.report import chart, matrices
from lingyu.stage import layers_of, overlaid

COUNTING = ("ingest", "clean", "split", "generate", "review", "mix")
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
    repository: str = ""
    contact: str = ""
    temperature: float = 0.0
    max_tokens: int = 128


@dataclass(frozen=True)
class Trained:
    """A training that led to the model, and what params.yaml sets for it."""

    stage: str
    settings: dict[str, Any]


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


@dataclass(frozen=True)
class Counted:
    """ledgers: by stage, what came in, was made, dropped (by reason) and went out. learnt: rows and tokens of each table of training."""

    ledgers: dict[str, dict[str, Any]]
    learnt: dict[str, dict[str, int]]

    def leaks(self) -> int:
        """Rows that were dropped because they gave a held-out item away."""
        return sum(count for total in self.ledgers.values() for reason, count in total["dropped"].items() if "leak" in reason)


def counted(out: Path) -> Counted | None:
    """The ledgers of all stages that handle rows; None without them."""
    paths = [out / stage / "ledger.json" for stage in COUNTING]
    if not all(path.is_file() for path in paths):
        return None
    learnt = json.loads((out / "mix" / "metrics.json").read_text(encoding="utf-8"))
    return Counted(
        {stage: json.loads(path.read_text(encoding="utf-8"))["total"] for stage, path in zip(COUNTING, paths, strict=True)},
        {name.removeprefix("train/"): table for name, table in learnt.items() if name.startswith("train/") and table["rows"]},
    )


def parameters_of(model: Path, pattern: str = "") -> int:
    """The number of parameters of the tensors that the pattern is found in, read from the headers of the safetensors files."""
    total = 0
    for path in sorted(model.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__" and re.search(pattern, name))
    return total


def layers_of_config(config: Mapping[str, Any]) -> str:
    """Layers, heads of queries and of keys and values; "" for a configuration that names them otherwise."""
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    return f"{layers}; {heads} Q, {config.get('num_key_value_heads') or heads} KV" if layers and heads else ""


def render(
    about: About,
    model: Path,
    data: list[Data],
    winner: str,
    metrics: dict[str, dict[str, Any]],
    base: dict[str, dict[str, Any]],
    verdict: Mapping[str, Any] | None = None,
    trained: Sequence[Trained] = (),
    pictures: Sequence[str] = (),
    gguf: str = "",
    rows: Counted | None = None,
) -> str:
    """The README.md of the release. metrics, base: results of the winner and of the untrained base, with intervals and counts.

    verdict: how the winner was chosen (out/select/winner.json). trained: what led to it. pictures, gguf: files beside the card. rows: from
    the corpus to training.
    """
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
        embedded=parameters_of(model, r"(?:^|\.)(?:embed_tokens|lm_head|word_embeddings|output_layer)\.weight$"),
        layers=layers_of_config(config),
        data=data,
        winner=winner,
        why=(verdict or {}).get("why", {}),
        looks=(verdict or {}).get("looks", {}).get("models_ever_asked"),
        trained=trained,
        shown=shown,
        pictures=pictures,
        gguf=gguf,
        rows=rows,
        metrics=metrics,
        base=base,
        with_interval=with_interval,
        heading=heading,
        name_of=name_of,
    )


def shown(value: Any) -> str:
    """A setting in one line of a table."""
    return json.dumps(value, ensure_ascii=False).replace("|", "\\|").strip('"')


def chain(sections: dict[str, Any], folder: str) -> list[Trained]:
    """The trainings from the base to the winner, each with what params.yaml sets for it. folder: out/sft/full/model, or ""."""
    found: list[Trained] = []
    place = folder.removeprefix("out/").removesuffix("/model")
    while place and place != "base" and len(found) < 9:
        stage, _, item = place.partition("/")
        if stage not in sections:
            break
        values, _ = overlaid(layers_of(sections, stage, item or None, "training" if stage != "extend" else None))
        start = str(values.pop("start", {"pretrain": "extend", "extend": "base"}.get(stage, "base")))
        found.insert(0, Trained(place, public({key: value for key, value in values.items() if key not in {"candidates", "common"}})))
        place = start
    return found


def confusion_picture(rows: Iterable[tuple[str, str, int]]) -> str:
    """A confusion matrix of each set of classes as an SVG; "" without any."""
    parts, top, wide = list[str](), 10, 0
    for table in matrices(rows):
        columns = [*table["columns"], "–"]
        wide = max(wide, 170 + 84 * len(columns))
        for place, name in enumerate(columns):
            parts.append(f'<text x="{212 + 84 * place}" y="{top + 30}" text-anchor="middle">{escape(name)}</text>')
        for line, (actual, cells) in enumerate(table["lines"]):
            y = top + 40 + 34 * line
            parts.append(f'<text x="162" y="{y + 22}" text-anchor="end">{escape(actual)}</text>')
            for place, (count, share, right) in enumerate(cells):
                colour = "#1a7f5a" if right else "#b3412e"
                parts.append(
                    f'<rect x="{172 + 84 * place}" y="{y}" width="80" height="30" fill="{colour}" fill-opacity="{0.9 * share:.2f}"/>'
                )
                ink = "#fff" if share > 0.55 else "#222"
                parts.append(f'<text x="{212 + 84 * place}" y="{y + 20}" text-anchor="middle" fill="{ink}">{count}</text>')
        top += 60 + 34 * len(table["lines"])
    return picture(wide, top, parts) if parts else ""


def curve_picture(curve: Sequence[Mapping[str, Any]]) -> str:
    """The losses of the last training as an SVG; "" without any."""
    drawn = chart([dict(row) for row in curve])
    if not drawn:
        return ""
    parts = [f'<line x1="{drawn["left"]}" x2="{drawn["width"]}" y1="{y}" y2="{y}" stroke="#ddd"/>' for y, _ in drawn["losses"]]
    parts += [f'<text x="{drawn["left"] - 6}" y="{y + 4}" text-anchor="end">{name}</text>' for y, name in drawn["losses"]]
    parts += [f'<text x="{x}" y="{drawn["height"] - 4}" text-anchor="middle">{name}</text>' for x, name in drawn["steps"]]
    for name, colour, place in (("train_loss", "#1f6feb", 0), ("eval_loss", "#b3412e", 1)):
        if drawn["lines"][name]:
            parts.append(f'<polyline points="{drawn["lines"][name]}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(f'<text x="{drawn["width"] - 16}" y="{22 + 16 * place}" text-anchor="end" fill="{colour}">{name}</text>')
    return picture(drawn["width"], drawn["height"], parts)


def picture(width: float, height: float, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="13" fill="#222">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def file_of(source: dict[str, str]) -> str:
    """The GGUF file that the base came from (lingyu.base.gguf), for the card; empty where it came from none."""
    return "{file} ({quantization}, {architecture}, licence {licence}, sha256 {sha256})".format(**source) if source else ""


def with_interval(measure: dict[str, Any] | None) -> str:
    return "–" if measure is None else f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]"
