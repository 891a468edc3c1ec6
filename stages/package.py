"""package: build the Bento, the model card and the manifest of the winner.

Reads   out/select/model             the winner
        out/select/winner.json       which checkpoint it is
        out/select/leaderboard.csv   its metrics and those of the base
        out/select/test              what it made of the test, for the confusion matrix
        out/evaluate                 the losses of its training
        out/select/report.html       the evaluation report, which the service shows at /report
        out/index/knowledge          the knowledge base of professional mode
        out/clean/tables             sources and licences for the card
        out/ingest/ledger.json, out/clean/ledger.json, out/split/ledger.json, out/generate/ledger.json, out/review/ledger.json,
        out/mix/ledger.json, out/mix/metrics.json: rows and tokens for the card
        out/mix/dev                  questions (.parquet), by which an export in fewer bits is judged
        service.py, bentofile.yaml, web/pages, lingyu/serve, lingyu/retrieve, lingyu/records.py, lingyu/files.py, lingyu/errors.py,
        lingyu/metadata.py, lingyu/ingest, of lingyu/text asked_for.py, dates.py, legal.py, limits.py, marks.py, negation.py, ngrams.py,
        normalise.py,
        numerals.py, sentences.py, symbols.py, of lingyu/clean checksums.py, names.py, ner.py, pii.py, written.py,
        and of lingyu/model attached.py, bottleneck.py, chat.py, prefix.py: the code that goes into the Bento
Writes  out/package/bento            a Bento: `bentoml serve out/package/bento`
        out/package/release          the model with README.md (its card) and manifest.json, and what package.export asks for; a release
                                     adds its lineage to it

bentoml builds the Bento from code alone; model and knowledge base are added afterwards because bentoml would copy them twice.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from lingyu.export import gguf, quantized
from lingyu.files import hashes, read_json, read_table, read_tables, sha256, write_json
from lingyu.release import card, manifest, report_page
from lingyu.serve.modes import MODES
from lingyu.serve.protocol import Search
from lingyu.stage import StageError, StageParams, read_params, start

CODE = (
    "service.py",
    "lingyu/__init__.py",
    "lingyu/clean/__init__.py",
    "lingyu/clean/checksums.py",
    "lingyu/clean/names.py",
    "lingyu/clean/ner.py",
    "lingyu/clean/pii.py",
    "lingyu/clean/written.py",
    "lingyu/errors.py",
    "lingyu/files.py",
    "lingyu/ingest",
    "lingyu/metadata.py",
    "lingyu/records.py",
    "lingyu/text/__init__.py",
    "lingyu/text/asked_for.py",
    "lingyu/text/dates.py",
    "lingyu/text/legal.py",
    "lingyu/text/limits.py",
    "lingyu/text/marks.py",
    "lingyu/text/negation.py",
    "lingyu/text/ngrams.py",
    "lingyu/text/normalise.py",
    "lingyu/text/numerals.py",
    "lingyu/text/sentences.py",
    "lingyu/text/symbols.py",
    "lingyu/model/__init__.py",
    "lingyu/model/attached.py",
    "lingyu/model/bottleneck.py",
    "lingyu/model/chat.py",
    "lingyu/model/prefix.py",
    "lingyu/retrieve",
    "lingyu/serve",
    "web/pages",
)
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
# bento.yaml requires a creation time; a constant keeps the output reproducible.
NO_TIME = "1970-01-01T00:00:00+00:00"


class Label(StageParams):
    zh: str = Field(min_length=1, description="In Chinese.")
    en: str = Field(min_length=1, description="In English.")


class Adapter(StageParams):
    folder: Path = Field(description="Of adapter_config.json and adapter_model.safetensors, as PEFT writes them.")
    questions: list[str] = Field(min_length=1, description="Some that it is for.")


class Section(StageParams):
    """The section of params.yaml."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=60,
        description="What clients ask for, and the name of the Bento: lower case, digits and hyphens.",
    )
    title: str = Field(description="Of the model card and of the chat page.")
    about_en: str = Field(description="For whom and what, in the English model card.")
    about_zh: str = Field(description="For whom and what, in the Chinese model card.")
    licence: str = Field("apache-2.0", description="Of the released model; a base from a hub may demand its own.")
    base_model: str = Field("", description="Name of the base on its hub; empty where the model was built here from nothing.")
    authors: str = Field("", description="Who answers for the model, in the model card.")
    contact: str = Field("", description="Where readers of the model card report problems: an address of mail or of a page.")
    repository: str = Field(
        "",
        pattern=r"^([\w.-]+/[\w.-]+)?$",
        description="owner/name on the hub where the model will be, for the commands in its card; empty: those of a local folder.",
    )
    max_tokens: PositiveInt = Field(160, description="Tokens of an answer. One of the tiny model is a sentence, its reasoning three.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: always the likeliest token, so the same answer to the same question.")
    at_once: PositiveInt = Field(
        32, description="Replies that are made together. 1, or a model with a part attached (prefix, prompt, bottleneck): one by one."
    )
    max_waiting: PositiveInt = Field(32, description="Requests that wait beyond those; further ones are told to try again.")
    unsupported_fields: Literal["warn", "refuse"] = Field(
        "warn",
        description="A field of a request that the service cannot follow: named in the reply's warnings, or refused. One that "
        "promises the form of the answer (JSON, a tool call) is always refused.",
    )
    history_turns: NonNegativeInt = Field(
        0, description="Earlier turns that the chat page sends along. The tiny model was trained on single questions."
    )
    context_prompt: Literal["none", "before"] = Field(
        "none",
        description="Professional mode. before: the passages found stand before the question, for models trained to read them "
        "(generate.retrieval). none: the model answers by itself, and the answer is checked against the passages.",
    )
    report: bool = Field(
        True,
        description="The service shows the evaluation report of its model at /report: with the test questions and right answers, to "
        "everybody who reaches its pages. false leaves it out.",
    )
    export: list[Literal["gguf"]] = Field(
        [],
        description="Further forms of the model in out/package/release. gguf: one file for llama.cpp and Ollama, with the chat template.",
    )
    quantize: gguf.Quantize = Field(
        "none", description="Of the export: none keeps the model's precision; q8_0 has 8 bits a weight, q4_0 has 4 (llama.cpp's names)."
    )
    most_changed: float = Field(
        0.05, ge=0, le=1, description="Share of dev questions whose answer may change by quantize; more stops the stage."
    )
    search: Search = Field(
        Search(), description="What a model adds to the search of professional mode: docs/knowledge.md. A request may ask for it, too."
    )
    skills: dict[str, str] = Field(
        {},
        description="System prompts by name: {summary: 用三句话概括。}. A request names one behind the model: lingyu-tiny-drone:summary.",
    )
    skill_names: dict[str, Label] = Field(
        {},
        description="What the chat page calls a skill in its menu: {summary: {zh: 概括, en: Summary}}. Others stand there by their name.",
    )
    consult_questions: PositiveInt = Field(3, description="Questions that mode consult asks before it advises, at most.")

    adapters: dict[str, Adapter] = Field(
        {},
        description="LoRA adapters over the served model, whose weights are in memory once: {law: {folder: …/adapter, questions: "
        "[押金最多收几个月？]}}. A request names one behind the model, and mode router takes the one whose questions are closest. They "
        "must have been trained from that model.",
    )

    @field_validator("skill_names")
    @classmethod
    def of_skills(cls, names: dict[str, Label], info: ValidationInfo) -> dict[str, Label]:
        if unknown := names.keys() - info.data.get("skills", {}).keys():
            raise ValueError(f"no skill is named {', '.join(sorted(unknown))}")
        return names

    @field_validator("skills")
    @classmethod
    def named(cls, skills: dict[str, str]) -> dict[str, str]:
        for name in skills:
            if not re.fullmatch(r"[a-z0-9-]+", name) or name in MODES:
                raise ValueError(f"a skill's name has lower case, digits and hyphens and is no mode ({', '.join(MODES)}); found {name!r}")
        return skills

    @field_validator("adapters")
    @classmethod
    def named_apart(cls, adapters: dict[str, Adapter], info: ValidationInfo) -> dict[str, Adapter]:
        for name in adapters:
            if not re.fullmatch(r"[a-z0-9-]+", name) or name in MODES or name in info.data.get("skills", {}):
                raise ValueError(f"an adapter's name has lower case, digits and hyphens and is no mode and no skill; found {name!r}")
        return adapters

    def about(self) -> card.About:
        values = self.model_dump()
        return card.About(**{each.name: values[each.name] for each in fields(card.About)})

    def settings(self) -> dict[str, Any]:
        own = {
            "report",
            "export",
            "quantize",
            "most_changed",
            "name",
            "title",
            "about_en",
            "about_zh",
            "licence",
            "base_model",
            "authors",
            "contact",
            "repository",
            "sections",
            "adapters",
        }
        adapters = {name: adapter.questions for name, adapter in self.adapters.items()}
        return {"model": self.name, **self.model_dump(exclude=own), "adapters": adapters}


class Params(Section):
    sections: dict[str, Any] = Field({}, description="All of params.yaml, for what the card says of the trainings.")

    @classmethod
    def load(cls, section: str, item: str | None = None) -> Self:
        return cls(**Section.load(section, item).model_dump(), sections=read_params())


def run(
    params: Params,
    model: Path,
    winner: Path,
    leaderboard: Path,
    answers: Path,
    evaluated: Path,
    report: Path,
    knowledge: Path,
    tables: Path,
    dev: Path,
    ledgers: Path,
    top: Path,
    out: Path,
) -> None:
    put_bento(params, model, knowledge, report if params.report else None, top, out / "bento")

    verdict = read_json(winner)
    best = verdict["checkpoint"]
    measured = read_leaderboard(leaderboard)
    release = out / "release"
    shutil.copytree(model, release, ignore=shutil.ignore_patterns("README.md"))
    data = card.data_of(read_tables(tables))
    drawn = pictures(answers / f"{best}.parquet", evaluated / best / "checkpoint.json")
    for name, content in drawn.items():
        (release / name).write_text(content, encoding="utf-8")
    results = measured.get(best, {}), measured.get("base", {})
    page = card.render(
        params.about(),
        model,
        data,
        best,
        *results,
        verdict,
        card.chain(params.sections, verdict.get("folder") or ""),
        list(drawn),
        f"{params.name}.gguf" if params.export else "",
        card.counted(ledgers),
    )
    (release / "README.md").write_text(page, encoding="utf-8")
    # What ModelScope reads of a repository, and would otherwise write itself.
    write_json(release / "configuration.json", {"framework": "pytorch", "task": "text-generation", "allow_remote": True})
    exported = export(params, model, dev, release) if params.export else {}
    write_json(
        release / "manifest.json",
        {
            "name": params.name,
            "winner": best,
            "libraries": manifest.libraries(),
            "metrics": measured.get(best, {}),
            **exported,
            "files": hashes(release),
        },
    )


def pictures(answers: Path, checkpoint: Path) -> dict[str, str]:
    """The pictures of the card, by file name; those without anything to show are left out."""
    from lingyu.evaluate.metrics import Prediction, confusion_rows

    rows = confusion_rows(list(read_table(answers, Prediction))) if answers.is_file() else []
    curve = read_json(checkpoint)["curve"] if checkpoint.is_file() else []
    made = {"confusion.svg": card.confusion_picture(rows), "training.svg": card.curve_picture(curve)}
    return {name: content for name, content in made.items() if content}


def export(params: Params, model: Path, dev: Path, release: Path) -> dict[str, Any]:
    """What the manifest says of it."""
    changed = quantized.check(model, dev / "questions.parquet", params.quantize, params.max_tokens, params.most_changed)
    gguf.write(model, release / f"{params.name}.gguf", params.name, params.quantize)
    return {"gguf": {"quantize": params.quantize, **changed}}


def put_bento(params: Params, model: Path, knowledge: Path, report: Path | None, top: Path, bento: Path) -> None:
    for name, adapter in params.adapters.items():
        if missing := [file for file in ADAPTER if not (adapter.folder / file).is_file()]:
            raise StageError(f"{adapter.folder} has no {missing[0]} (params.yaml, package.adapters.{name}.folder)")
    with tempfile.TemporaryDirectory() as folder:
        code, store = Path(folder, "code"), Path(folder, "store")
        put_code(top, code)
        content = {"code": hashes(code), "model": hashes(model), "knowledge": hashes(knowledge), "report": sha256(report) if report else ""}
        content |= {f"adapter {name}": {file: sha256(one.folder / file) for file in ADAPTER} for name, one in params.adapters.items()}
        built = build(code, params.name, manifest.digest([content, params.settings()]), store)
        shutil.copytree(built, bento)
    shutil.copytree(model, bento / "src" / "model")
    shutil.copytree(knowledge, bento / "src" / "knowledge")
    for name, adapter in params.adapters.items():
        (bento / "src" / "adapters" / name).mkdir(parents=True)
        for file in ADAPTER:
            shutil.copyfile(adapter.folder / file, bento / "src" / "adapters" / name / file)
    if report:
        report_page.put(report, bento / "src" / "report")
    write_json(bento / "src" / "settings.json", params.settings())
    description = yaml.safe_load((bento / "bento.yaml").read_text(encoding="utf-8"))
    description["creation_time"] = NO_TIME
    (bento / "bento.yaml").write_text(yaml.safe_dump(description, sort_keys=False, allow_unicode=True), encoding="utf-8")


def put_code(top: Path, code: Path) -> None:
    """Copies what bentofile.yaml includes, and pins every package in bentofile.yaml to the version installed here."""
    for name in CODE:
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        if (top / name).is_dir():
            shutil.copytree(top / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(top / name, code / name)
    wanted = yaml.safe_load((top / "bentofile.yaml").read_text(encoding="utf-8"))
    wanted["python"]["packages"] = [f"{name}=={version(name).partition('+')[0]}" for name in wanted["python"]["packages"]]
    (code / "bentofile.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True), encoding="utf-8")


def build(code: Path, name: str, content: str, store: Path) -> Path:
    """`bentoml build` in its own process, so that it imports the service and lingyu from `code` only."""
    store.mkdir()
    command = [sys.executable, "-m", "bentoml", "build", str(code), "--name", name, "--version", content]
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "LINGYU_CONTENT"}}
    settings = {"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "true", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=code, env={**kept, **settings}, capture_output=True, text=True)
    built = store / "bentos" / name / content
    if done.returncode or not built.is_dir():
        raise StageError(
            f"bentoml could not build the service (exit status {done.returncode}); its output:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return built


def read_leaderboard(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics by checkpoint and name: value, interval and count."""
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            measure = {"value": float(row["value"]), "low": float(row["low"]), "high": float(row["high"]), "count": int(row["count"])}
            measured.setdefault(row["checkpoint"], {})[row["metric"]] = measure
    return measured


if __name__ == "__main__":
    start(
        run,
        Params,
        model=Path("out/select/model"),
        winner=Path("out/select/winner.json"),
        leaderboard=Path("out/select/leaderboard.csv"),
        answers=Path("out/select/test"),
        evaluated=Path("out/evaluate"),
        report=Path("out/select/report.html"),
        knowledge=Path("out/index/knowledge"),
        tables=Path("out/clean/tables"),
        dev=Path("out/mix/dev"),
        ledgers=Path("out"),
        top=Path("."),
        out=Path("out/package"),
    )
