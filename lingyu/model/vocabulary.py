"""Domain words for the vocabulary: which ones pay, and how their rows begin.

A word pays when the corpus, written with it as one token, gets shorter. Candidates are the terms that the knowledge
graph names, characters that the base spells in bytes, and the words that jieba (Chinese) and white space (English)
tell apart in the text; phrases across word borders are never candidates, for a model that has them as one token
cannot see the entity inside.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from lingyu.text.legal import ONE_WORD

HAN = re.compile(r"[\u3400-\u9fff]+")
LATIN = re.compile(r"[A-Za-z][A-Za-z'-]{3,}")
# Added tokens are found before BPE and decoded as their own characters; outside Han and ASCII the byte decoder could misread
# them. None holds a digit: numbers stay digit by digit, or 60 would be seen in 160.
SAFE = re.compile(r"[\u3400-\u9fff]+|[A-Za-z][A-Za-z' -]*")


def candidates(texts: Iterable[str], terms: Iterable[str], names: Iterable[str]) -> Counter[str]:
    """How often each candidate occurs: words of the texts and the given terms found in them, but none of the names.

    A name as one token is seen too seldom to be learnt, and cannot be copied piece by piece from a question.
    """
    import logging

    import jieba

    jieba.setLogLevel(logging.WARNING)
    joined = "\n".join(texts)
    found: Counter[str] = Counter()
    for run in HAN.findall(joined):
        found.update(jieba.lcut(run))
        found.update(run)
    found.update(LATIN.findall(joined))
    found.update(ONE_WORD.findall(joined))
    for term in set(terms):
        if SAFE.fullmatch(term):
            found[term] = max(found[term], joined.count(term))
    for name in names:
        found.pop(name, None)
    return found


def worthwhile(found: Counter[str], tokenizer: Any, most: int, least_count: int, least_saved: int) -> list[dict[str, Any]]:
    """The terms that save the most tokens, best first, each with its pieces; none rarer or saving less than the bounds."""
    words = sorted(word for word in found if found[word] >= least_count and SAFE.fullmatch(word) and word == word.strip())
    rows: list[dict[str, Any]] = [
        {"term": word, "count": found[word], "pieces": ids, "saved": found[word] * (len(ids) - 1)}
        for word, ids in zip(words, tokens(words, tokenizer), strict=True)
        if len(ids) > 1
    ]
    rows.sort(key=lambda row: (-row["saved"], row["term"]))
    return [row for row in rows[:most] if row["saved"] >= least_saved]


def recounted(
    rows: Sequence[dict[str, Any]], texts: Sequence[str], tokenizer: Any, least_count: int, least_saved: int
) -> list[dict[str, Any]]:
    """The terms that pay when all of them are there, counted as the longer vocabulary writes the texts.

    A term inside a longer one is seldom written by itself, and a Latin word costs a space besides: where the base has it with
    its space as one piece, it costs more than before.
    """
    kept = list(rows)
    while kept:
        longer = extended(tokenizer, kept)
        used = Counter(chain.from_iterable(tokens(texts, longer)))
        counts = [used[token] for token in longer.convert_tokens_to_ids([row["term"] for row in kept])]
        framed = [in_a_sentence(row["term"]) for row in kept]
        before, after = (tokens(framed, one) for one in (tokenizer, longer))
        spared = [len(old) - len(new) for old, new in zip(before, after, strict=True)]
        again = [{**row, "count": count, "saved": count * less} for row, count, less in zip(kept, counts, spared, strict=True)]
        paying = [row for row in again if row["count"] >= least_count and row["saved"] >= max(least_saved, 1)]
        if len(paying) == len(kept):
            return sorted(paying, key=lambda row: (-row["saved"], row["term"]))
        kept = paying
    return []


def misread(rows: Sequence[dict[str, Any]], tokenizer: Any, longer: Any) -> list[str]:
    """The terms around which the longer vocabulary does not give back the text that the base's does.

    Old SentencePiece tokenizers put a space before whatever follows an added token.
    """
    framed = [in_a_sentence(row["term"]) for row in rows]
    before, after = ([one.decode(ids) for ids in tokens(framed, one)] for one in (tokenizer, longer))
    return [row["term"] for row, old, new in zip(rows, before, after, strict=True) if old != new]


def in_a_sentence(term: str) -> str:
    return f"a {term}, a" if term.isascii() else f"的{term}的"


def tokens(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    return list(tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else []


def extended(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> Any:
    """A copy of the tokenizer that has the terms, too."""
    from transformers import AddedToken

    # A Latin term stands for itself only as a whole word, with or without the space before it; Chinese has no word borders.
    latin = [row["term"].isascii() for row in rows]
    longer = deepcopy(tokenizer)
    longer.add_tokens([AddedToken(row["term"], single_word=whole, normalized=False) for row, whole in zip(rows, latin, strict=True)])
    return longer


def add(model: Any, longer: Any, rows: Sequence[dict[str, Any]], noise: float, seed: int) -> None:
    """Give the model a row for each term of the longer tokenizer, in embeddings and head: the mean of the rows of its pieces.

    Terms share pieces, characters share bytes: noise, as a share of the rows' spread, makes them differ from the start.
    Rows that the base has beyond its vocabulary are taken first, and none of them is lost.
    """
    import torch

    if not rows:
        return
    new = longer.convert_tokens_to_ids([row["term"] for row in rows])
    had = model.get_input_embeddings().weight.shape[0]
    if max(new) >= had:
        model.resize_token_embeddings(max(new) + 1, mean_resizing=False)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    matrices = [embeddings.weight] if head.weight is embeddings.weight else [embeddings.weight, head.weight]
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in matrices:
            spread = weight.std()
            for token, row in zip(new, rows, strict=True):
                mean = weight[row["pieces"]].float().mean(dim=0)
                weight[token] = (mean + spread * noise * torch.randn(mean.shape, generator=drawn)).to(weight.dtype)
        if (bias := getattr(head, "bias", None)) is not None:
            for token, row in zip(new, rows, strict=True):
                bias[token] = bias[row["pieces"]].mean()


def fertility(texts: Sequence[str], tokenizer: Any) -> dict[str, float]:
    """Tokens a character of these texts, and how many of each there are."""
    count = sum(map(len, tokens(texts, tokenizer)))
    characters = sum(len(text) for text in texts)
    return {"tokens": count, "characters": characters, "tokens_a_character": count / characters if characters else 0.0}
