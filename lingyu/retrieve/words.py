"""Tokenization for retrieval: jieba's words, whole identifiers and numbers, and character bigrams.

Bigrams find words that jieba segments differently in the question and in the text.
"""

import re
import unicodedata
from functools import cache
from typing import Any

from lingyu.text.legal import PROVISION
from lingyu.text.numerals import value

# Letters and digits with their connectors: RTK-2, 3.5, A/B, GB50016.
LATIN = re.compile(r"[a-z0-9]+(?:[-./_'’][a-z0-9]+)*")
CJK = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f"
POWER = re.compile(r"(?<=\d)(?=[⁺⁻]?[⁰¹²³⁴-⁹])")
PART = re.compile(r"\d+(?:\.\d+)*|[a-z]+")
RUN = re.compile(rf"第\d+[条章节款项编]|[{CJK}]+|{LATIN.pattern}")

# Question words, which say nothing about the subject. Without this list an unknown "多少" would count as a missing word.
ASKING = """
的 了 是 在 和 与 及 或 为 有 吗 呢 吧 啊 么 什么 多少 几 哪 哪个 哪些 哪里 哪种 谁 怎么 怎样 怎么样 如何 为何 为什么 何 何时
请 请问 问 一下 告诉 说明 介绍 说 讲 讲讲 回答 我 你 您 它 它们 这 那 这个 那个 这些 那些 能 能否 是否 可否 属于 关于 对于
以及 其 之 被 把 将 应 应该 应当 需要 需 想 知道 想知道
a an the of in on at to for by with and or is are was were be been do does did has have had what which who whom whose when where
why how much many can could should would will may might must please tell me about it its this that these those i you we they there
"""
QUESTION_WORDS = frozenset(ASKING.split())


def words(text: str) -> list[str]:
    """The words of a text in order, with repetitions; the same for chunks and questions."""
    found: list[str] = []
    for run in RUN.findall(PROVISION.sub(lambda match: f" 第{value(match[1])}{match[2]} ", folded(text))):
        if run[0] == "第" and run[1:2].isdigit():
            found.append(run)
        else:
            found += latin_words(run) if LATIN.fullmatch(run) else cjk_words(run)
    return found


def folded(text: str) -> str:
    """Normalises full-width forms, ligatures, superscripts and case: CO₂ as CO2, m² as m2, but 10⁹ as 10^9, for 109 is another number."""
    return unicodedata.normalize("NFKC", POWER.sub("^", text)).lower()


def latin_words(run: str) -> list[str]:
    """The whole run, and its parts if it is a compound (RTK-2) or a number with its unit (3.5kg)."""
    parts = [run, *PART.findall(run)]
    return [singular(part) for part in dict.fromkeys(parts) if part not in QUESTION_WORDS and part != "s"]


def singular(word: str) -> str:
    """The singular of regular plurals: drone for drones, battery for batteries."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def cjk_words(run: str) -> list[str]:
    """jieba's words without QUESTION_WORDS, and every character bigram between these."""
    found: list[str] = []
    kept = ""
    for word in [*tokenizer().cut(run, HMM=False), ""]:
        if word and word not in QUESTION_WORDS:
            found.append(word)
            kept += word
        else:
            pairs = [kept[i : i + 2] for i in range(len(kept) - 1)]
            found += [pair for pair in pairs if pair not in found]
            kept = ""
    return found


@cache
def tokenizer() -> Any:
    """jieba with its dictionary read from the package: its own initialisation logs and caches in a shared temporary folder."""
    import jieba

    reader = jieba.Tokenizer()
    reader.FREQ, reader.total = reader.gen_pfdict(reader.get_dict_file())
    reader.initialized = True
    return reader


def grams(text: str) -> list[str]:
    """Characters, pairs of characters, identifiers and numbers of a text, with repetitions: what BM25 matches.

    Segmented words lose what a layman's question shares with a passage: of 100 such questions 41 find a right article among the
    first three by words, 64 by these.
    """
    found: list[str] = []
    for run in RUN.findall(PROVISION.sub(lambda match: f" 第{value(match[1])}{match[2]} ", folded(text))):
        if run[0] == "第" and run[1:2].isdigit():
            found.append(run)
        elif LATIN.fullmatch(run):
            found += latin_words(run)
        else:
            found += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
    return found
