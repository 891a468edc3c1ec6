"""extend: add the domain's words to the vocabulary where they pay, and give their rows a start.

Reads   out/base/model              the base
        out/split/train             facts.parquet, whose terms are candidates; with dev and test: terms are words, not answers
        out/split/dev               the same
        out/split/test              the same
        out/mix/train               pretrain.parquet, the text to be written shorter
        out/mix/dev                 pretrain.parquet, the text to measure on
Writes  out/extend/model            the base with the longer vocabulary, or as it was where too little is gained
        out/extend/terms.csv        each added term: how often it occurs, its former pieces, tokens saved
        out/extend/curves.csv       no step: evaluate reads one beside every model
        out/extend/metrics.json     terms; on held-out text tokens a character, and bits per byte of the model, before and after
"""

import csv
import math
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from lingyu.evaluate import ask
from lingyu.files import read_table, write_json
from lingyu.model import vocabulary
from lingyu.model.load import device, load_model, load_tokenizer, prepare, save
from lingyu.records import Document, Fact
from lingyu.stage import StageError, StageParams, start

WINDOW = 512  # tokens read at once for bits per byte: scores of a large vocabulary take memory


class Params(StageParams):
    seed: NonNegativeInt = Field(17, description="Of the noise on new rows.")
    max_terms: NonNegativeInt = Field(900, description="Terms to add at most; 0 keeps the base's vocabulary.")
    min_count: NonNegativeInt = Field(40, description="Occurrences of a term. A rare one would stay near its first guess.")
    min_tokens_saved: NonNegativeInt = Field(100, description="Tokens that a term saves over the training text.")
    min_gain: float = Field(
        0.05, ge=0, lt=1, description="Share of tokens saved on held-out text below which the vocabulary stays as it is: rows cost memory."
    )
    recount: bool = Field(
        False,
        description="Count again with all terms in place, and leave out those that longer ones cover, and Latin words that save nothing: "
        "358 terms instead of 656, gain 0.410 instead of 0.429. For a large base, whose rows cost most.",
    )
    noise: NonNegativeFloat = Field(
        0.01,
        description="On new rows, as a share of the spread of the old ones: terms that share their pieces would begin alike. The tiny base "
        "takes 1 as well as 0; in a trained base rows of noise take the probability from all others "
        "(docs/decisions/0065-rows-of-a-real-base.md).",
    )
    measured: NonNegativeInt = Field(20_000, description="Characters of held-out text for bits per byte, before and after.")
    large_vocabulary: PositiveInt = Field(
        32_000, description="From so many tokens on a base has most words already, and min_tokens_a_row limits what is added to it."
    )
    min_tokens_a_row: PositiveInt = Field(
        20_000,
        description="Tokens of the domain's training text for each row that is added to a large vocabulary: with fewer a row, which costs "
        "memory, stays near its first guess (docs/decisions/0065-rows-of-a-real-base.md).",
    )
    max_rise: NonNegativeFloat = Field(
        0.1,
        description="The stage stops where bits per byte of held-out text rise by more than this share once the rows are added, before "
        "anything is trained.",
    )


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
    bounds = (params.min_count, params.min_tokens_saved)
    most = most_terms(params, tokenizer, texts)
    rows = vocabulary.worthwhile(vocabulary.candidates(texts, terms, names), tokenizer, most, *bounds)
    if params.recount:
        rows = vocabulary.recounted(rows, texts, tokenizer, *bounds)

    measured = held or texts
    longer = vocabulary.extended(tokenizer, rows)
    before, after = (vocabulary.fertility(measured, one) for one in (tokenizer, longer))
    gain = 1 - after["tokens"] / before["tokens"] if before["tokens"] else 0.0
    if gain < params.min_gain:
        rows, longer, after, gain = [], tokenizer, before, 0.0
    check_reading(rows, tokenizer, longer)

    model = load_model(base, longest=1)
    some = sample(measured, params.measured)
    bits_before = bits_per_byte(model, tokenizer, some)
    vocabulary.add(model, longer, rows, params.noise, params.seed)
    bits_after = bits_per_byte(model, longer, some) if rows else bits_before
    check_rise(params, len(rows), bits_before, bits_after)

    save(model, longer, out / "model", base)
    write_terms(rows, longer, out / "terms.csv")
    (out / "curves.csv").write_text("step,train_loss,eval_loss\n", encoding="utf-8")
    write_json(
        out / "metrics.json",
        {
            "terms": len(rows),
            "vocabulary": len(longer),
            "gain": gain,
            "tokens_a_character_before": before["tokens_a_character"],
            "tokens_a_character_after": after["tokens_a_character"],
            "bits_per_byte_before": bits_before,
            "bits_per_byte_after": bits_after,
        },
    )


def most_terms(params: Params, tokenizer: Any, texts: list[str]) -> int:
    """How many terms the base may get: all that pay for a small vocabulary, for a large one as many as the text can teach."""
    if len(tokenizer) < params.large_vocabulary:
        return params.max_terms
    count = sum(map(len, vocabulary.tokens(texts, tokenizer)))
    most = min(params.max_terms, count // params.min_tokens_a_row)
    if most < params.max_terms:
        print(FEW.format(size=len(tokenizer), tokens=count, most=most, least=params.min_tokens_a_row), flush=True)
    return most


FEW = (
    "extend: the base has {size:,} tokens already, and {tokens:,} tokens of training text teach {most} new rows at most "
    "(extend.min_tokens_a_row {least:,}).\n"
    "extend：基座已有 {size:,} 个 token，训练文本共 {tokens:,} 个 token，最多只够学习 {most} 个新词（extend.min_tokens_a_row {least:,}）。"
)


def check_rise(params: Params, count: int, before: float, after: float) -> None:
    """Raise StageError where the new rows make the base much worse."""
    if after > before * (1 + params.max_rise):
        raise StageError(
            f"{count} new rows take the base from {before:.3f} to {after:.3f} bits per byte of held-out text, more than "
            f"extend.max_rise {params.max_rise} allows. Set extend.max_terms to 0 (or fewer), lower extend.noise, or raise "
            "extend.max_rise if pretrain is long enough to make up for it."
        )


def check_reading(rows: list[dict[str, Any]], tokenizer: Any, longer: Any) -> None:
    """Raise StageError where text with the terms in it would not come back as it was."""
    if wrong := vocabulary.misread(rows, tokenizer, longer):
        raise StageError(
            f"the base's tokenizer writes a space behind {len(wrong)} of {len(rows)} added terms, first {', '.join(wrong[:5])}: it puts "
            "one before every piece of text, not only the first (prepend_scheme, or a Prepend normalizer, in its tokenizer.json). "
            "Set extend.max_terms to 0, or take a base whose tokenizer does not."
        )


def sample(texts: list[str], characters: int) -> list[str]:
    """Every so-manieth text, as many as have about so many characters."""
    total = sum(map(len, texts))
    return texts[:: math.ceil(total / characters)] if total and characters else []


def bits_per_byte(model: Any, tokenizer: Any, texts: list[str]) -> float:
    """What the model needs to foretell the texts, comparable between vocabularies; 0 where there is none."""
    model.to(device())
    context = min(model.config.max_position_embeddings, WINDOW)
    nats = ask.nats_of_texts(ask.Checkpoint(lambda: model, tokenizer, context, frozenset(), 4 * WINDOW, "fp32"), texts, WINDOW // 4)
    model.to("cpu")
    size = sum(len(text.encode()) for text in texts)
    return sum(nats) / math.log(2) / size if size else 0.0


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
