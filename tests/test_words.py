"""Prose, messages and names use the words of the field: no phrase of the house dialect in any text file of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What must not be written, each with a text that it is found in.
PHRASES = {
    # metrics and sentences
    r"\bfacts right\b": "facts right: taught",
    r"\bpreferences kept\b": "preferences kept",
    r"\breplies as preferred\b": "replies as preferred",
    r"\bclasses right\b": "classes right",
    r"\btold apart\b": "not told apart",
    r"\btells? (the two|them|two) apart\b": "a test does not tell the two apart",
    r"nothing that a test can see": "may lose nothing that a test can see",
    r"nothing was trained on or chosen by": "test items that nothing was trained on or chosen by",
    r"there is no such key": "there is no such key",
    r"\bis meant\?": "dpo is meant?",
    r"\bmend(s|ed|ing)?\b": "Mend this first",
    r"\bis none of\b": "'x' is none of a, b",
    r"\b(come|comes|came) to (its|an|the|their) end\b": "did not come to the end",
    r"\bstands above\b": "What each said stands above",
    r"\bbroke off\b": "the hub broke off",
    r"\brows of the data before\b": "rows of the data before",
    r"\berrs and invents\b": "errs and invents",
    r"\banswers for the use\b": "answers for the use",
    r"\bother bits\b": "gives other bits",
    r"\basks what is not recorded\b": "asks what is not recorded",
    r"\bstands in\b": "the number stands in a source",
    r"\bparted\b": "the text is parted",
    # functions and methods named by a bare verb of the dialect
    r"\bdef _?(told|said|came|stands|mending|mended|parted|way)\(": "def told(counts):",
    # parameters that transformers, peft and trl name otherwise
    r"\bstop_above\b": "stop_above: 2",
    r"\brank_stabilised\b": "rank_stabilised: true",
    # Chinese
    r"基座从中学语言": "微型基座从中学语言",
    r"把住泄漏关": "把住泄漏关",
    r"关口": "未过关口",
    r"提供胜者": "提供胜者的服务",
    r"用别的问法问过": "用别的问法问过这个事实",
    r"结果的位": "结果的位也不同",
    r"bf16 相乘": "能以 bf16 相乘",
    r"看得见的 GPU": "torch 看得见的 GPU",
    r"一次作答一个": "一次作答一个",
    r"讲同样协议": "对着讲同样协议的本地服务器试过",
    r"一处不错": "一处不错",
    r"说出出自哪一条": "由条文内容说出出自哪一条",
    r"答非类名": "答非类名算错",
    r"更可能被说出": "更可能被说出",
    r"分不出": "分不出差别",
    r"未读(?!入|取)": "未读",
    r"未留下": "未留下的原因",
    r"关闭即忘": "关闭即忘",
    r"管得着": "是否管得着这个案情",
    r"不算数": "先后和长短都不算数",
    r"凡\{e\}|轮到\{e\}": "凡{e}，{r}用{v}",
}
DIALECT = re.compile("|".join(f"(?:{phrase})" for phrase in PHRASES), re.IGNORECASE)

# Not prose of this project: corpora and benchmark data, outputs of runs and what was published of them, the licence.
CORPORA = (f"samples/{folder.name}/" for folder in (ROOT / "samples").iterdir() if folder.is_dir())
DATA = (*CORPORA, "bench/records/", "docs/results", "out/", "dvc.lock", "LICENSE", "requirements.lock")

# Old names of parameters, which an error message translates.
ALLOWED = {"lingyu/model/methods.py", "lingyu/train/settings.py"}


def text_files():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if name.startswith(DATA) or name in ALLOWED or name == f"tests/{Path(__file__).name}" or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            yield name, content.decode("utf-8")


@pytest.mark.parametrize(("phrase", "example"), PHRASES.items())
def test_every_phrase_is_found_where_it_is(phrase, example):
    assert re.search(phrase, example, re.IGNORECASE)
    assert DIALECT.search(example)


def test_no_file_has_a_phrase_of_the_dialect():
    files = dict(text_files())
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in DIALECT.finditer(line)
    ]

    assert len(files) > 100
    assert found == []
