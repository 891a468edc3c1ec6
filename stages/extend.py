"""extend: add the domain's words to the vocabulary where they pay, and give their rows a start.

Reads   out/base/model              the base
        out/split/train             facts.parquet, whose terms are candidates; with dev and test: terms are words, not answers
        out/split/dev               the same
        out/split/test              the same
        out/mix/train               pretrain.parquet, the text to be written shorter
        out/mix/dev                 pretrain.parquet, the text to measure on
Writes  out/extend/model            the base with the longer vocabulary, or as it was where too little is gained
        out/extend/terms.csv        each added term: how often it occurs, its former pieces, tokens saved
        out/extend/metrics.json     terms, tokens a character before and after, on held-out text
"""

import csv
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt

from lingyu.files import read_table, write_json
from lingyu.model import vocabulary
from lingyu.model.load import load_model, load_tokenizer, prepare, save
from lingyu.records import Document, Fact
from lingyu.stage import StageParams, start


class Params(StageParams):
    seed: NonNegativeInt
    max_terms: NonNegativeInt
    min_count: NonNegativeInt
    min_tokens_saved: NonNegativeInt
    min_gain: float = Field(ge=0, lt=1)


def run(params: Params, base: Path, splits: list[Path], train_folder: Path, dev_folder: Path, out: Path) -> None:
    prepare(threads=1)
    tokenizer = load_tokenizer(base)
    texts, held = (
        [row.text for row in read_table(folder / "pretrain.parquet", Document) if row.scope == "domain"]
        for folder in (train_folder, dev_folder)
    )
    facts = [fact for split in splits for fact in read_table(split / "facts.parquet", Fact)]
    terms = {term for fact in facts for term in (fact.relation, *fact.values)}
    names = {fact.entity for fact in facts}
    rows = vocabulary.worthwhile(
        vocabulary.candidates(texts, terms, names), tokenizer, params.max_terms, params.min_count, params.min_tokens_saved
    )

    model = load_model(base, longest=1)
    measured = held or texts
    before = vocabulary.fertility(measured, tokenizer)
    vocabulary.add(model, tokenizer, rows, params.seed)
    after = vocabulary.fertility(measured, tokenizer)
    gain = 1 - after["tokens"] / before["tokens"] if before["tokens"] else 0.0
    if gain < params.min_gain:
        tokenizer, model, rows, after, gain = load_tokenizer(base), load_model(base, longest=1), [], before, 0.0

    save(model, tokenizer, out / "model")
    write_terms(rows, tokenizer, out / "terms.csv")
    write_json(
        out / "metrics.json",
        {
            "terms": len(rows),
            "vocabulary": len(tokenizer),
            "gain": gain,
            "tokens_a_character_before": before["tokens_a_character"],
            "tokens_a_character_after": after["tokens_a_character"],
        },
    )


def write_terms(rows: list[dict[str, Any]], tokenizer: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["term", "count", "pieces", "saved"])
        writer.writerows([row["term"], row["count"], len(row["pieces"]), row["saved"]] for row in rows)


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        base=Path("out/base/model"),
        splits=[Path("out/split/train"), Path("out/split/dev"), Path("out/split/test")],
        train_folder=Path("out/mix/train"),
        dev_folder=Path("out/mix/dev"),
        out=Path("out/extend"),
    )
