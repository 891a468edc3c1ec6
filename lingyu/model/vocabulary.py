"""Domain words for the vocabulary: which ones pay, and how their rows begin.

A word pays when the corpus, written with it as one token, gets shorter. Candidates are the terms that the knowledge
graph names, characters that the base spells in bytes, and the words that jieba (Chinese) and white space (English)
tell apart in the text; phrases across word borders are never candidates, for a model that has them as one token
cannot see the entity inside.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

HAN = re.compile(r"[\u3400-\u9fff]+")
LATIN = re.compile(r"[A-Za-z][A-Za-z'-]{3,}")
# Added tokens are found before BPE and decoded as their own characters; outside Han and ASCII the byte decoder could misread
# them. None holds a digit: numbers stay digit by digit, or 60 would be seen in 160.
SAFE = re.compile(r"[\u3400-\u9fff]+|[A-Za-z][A-Za-z' -]*")

# What is cited: an article's number, and the title of a law. Each is said whole or not at all, and looked up in one step.
CITED = re.compile(r"第[〇零一二三四五六七八九十百千]+条|(?<=《)[\u3400-\u9fff]+(?=》)")


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
    found.update(CITED.findall(joined))
    for term in set(terms):
        if SAFE.fullmatch(term):
            found[term] = max(found[term], joined.count(term))
    for name in names:
        found.pop(name, None)
    return found


def worthwhile(found: Counter[str], tokenizer: Any, most: int, least_count: int, least_saved: int) -> list[dict[str, Any]]:
    """The terms that save the most tokens, best first, each with its pieces; none rarer or saving less than the bounds."""
    words = sorted(word for word in found if found[word] >= least_count and SAFE.fullmatch(word))
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    rows = [
        {"term": word, "count": found[word], "pieces": ids, "saved": found[word] * (len(ids) - 1)}
        for word, ids in zip(words, pieces, strict=True)
        if len(ids) > 1
    ]
    rows.sort(key=lambda row: (-row["saved"], row["term"]))
    return [row for row in rows[:most] if row["saved"] >= least_saved]


def add(model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], seed: int) -> None:
    """Add the terms to the tokenizer, and to the model a row for each: the mean of the rows of its pieces.

    Terms share pieces, characters share bytes: noise as wide as the rows themselves tells them apart from the start.
    """
    import torch
    from transformers import AddedToken

    # A Latin term stands for itself only as a whole word, with or without the space before it; Chinese has no word borders.
    latin = [row["term"].isascii() for row in rows]
    tokenizer.add_tokens([AddedToken(row["term"], single_word=whole, normalized=False) for row, whole in zip(rows, latin, strict=True)])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    matrices = [model.get_input_embeddings().weight]
    if not model.config.tie_word_embeddings:
        matrices.append(model.get_output_embeddings().weight)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in matrices:
            spread = weight.std()
            for row in rows:
                mean = weight[row["pieces"]].mean(dim=0)
                weight[tokenizer.convert_tokens_to_ids(row["term"])] = mean + spread * torch.randn(mean.shape, generator=noise)


def fertility(texts: Sequence[str], tokenizer: Any) -> dict[str, float]:
    """Tokens a character of these texts, and how many of each there are."""
    tokens = sum(len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]) if texts else 0
    characters = sum(len(text) for text in texts)
    return {"tokens": tokens, "characters": characters, "tokens_a_character": tokens / characters if characters else 0.0}
