"""What each method with a teacher makes of folders, and what the checks take: `python -m bench.asked FOLDER…`.

Writes  docs/generation.md   what stands between the marks <!-- asked --> and <!-- /asked -->

The teacher is tests/openai_server.py, no model: its answers are sentences of the passage that it is shown, and half of them are
spoilt, each in one way that belongs to the question. So the table shows which faults the checks catch and by what name, and not
how good a model is.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench.generation import split_corpus
from lingyu.files import read_jsonl, read_table
from lingyu.generate.registry import LLM
from lingyu.generate.stable_choice import number
from lingyu.generate.tables import MADE
from lingyu.records import Label, Made
from stages import generate
from tests.openai_server import Reply, good_answer, serving

OPENED, CLOSED = "<!-- asked -->", "<!-- /asked -->"
PAGE = Path("docs/generation.md")
METHODS: tuple[str, ...] = tuple(method.name for method in LLM)
RECORDS = 60
COUNTED = re.compile(r"\d+|(?<=[一二三四五六七八九十百])[一二三四五六七八九]")

# What is done to every text of an answer; the first that changes something is the fault.
SPOILT: dict[str, Callable[[str], str]] = {
    "a number": lambda text: COUNTED.sub(lambda found: "七百零七" if not found[0].isdigit() else str(int(found[0]) + 7), text, count=1),
    "an article": lambda text: f"{text}（第九百零一条）",
    "a negation": lambda text: re.sub("不得|禁止|严禁", "可以", text, count=1),
    "a term": lambda text: f"{text}请用ZX-900登记。",
    "a title": lambda text: f"{text}见《通用管理大全》。",
    "a refusal": lambda _: "抱歉，我无法回答这个问题。",
    "an essay": lambda text: f"{text}总的来说，这件事需要大家一起努力，认真对待每一个细节，持续改进，不断提高，才能取得更好的成绩。" * 40,
    "another subject": lambda _: "周末适合去郊外走走，记得带上水果和帽子，傍晚回家煮一锅热汤。",
}
WHOLE = ("prose", "cut", "empty")  # what is wrong with an answer as a whole
SAME = ("questions", "instructions")  # texts that are asked, not told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    given = parser.parse_args()
    with redirect_stdout(sys.stderr):
        found = [made_of(folder) for folder in given.folders]
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(OPENED)[0], page.partition(CLOSED)[2]
    PAGE.write_text(f"{head}{OPENED}\n" + "\n".join(table(found)) + f"\n{CLOSED}{tail}", encoding="utf-8")


def made_of(source: Path) -> tuple[list[Made], list[dict[str, Any]]]:
    """The rows that the teacher's methods made of a folder, and what they dropped."""
    with tempfile.TemporaryDirectory() as folder, serving(spoiling) as server:
        home = Path(folder)
        learn = split_corpus(source, home, most=2000)
        parts = [home / "train", home / "split" / "dev", home / "split" / "test"]
        section = generate.Params.load("generate").model_dump()
        tasks = sorted({row.task for row in learn["labels"] if isinstance(row, Label)})
        asked = {name: {**section["asked"][name], "records": RECORDS} for name in METHODS}
        asked["nvc"]["tasks"] = tasks
        asked["retold"]["min_chars"] = 60
        teacher = section["teacher"] | {
            "kind": "openai",
            "base_url": server.url,
            "model": "extracting",
            "requests_a_minute": 10**6,
            "budget": {"tokens": 10**9, "money": 0.0},
        }
        articles = section["articles"] | {"held_out_share": 0.0}
        params = generate.Params.model_validate(section | {"teacher": teacher, "asked": asked, "articles": articles})
        generate.run(params, *parts, out=home / "made", work=home / "work")
        rows = [
            row for name in ("instructions", "preferences") for row in read_table(home / "made" / "made" / f"{name}.parquet", MADE[name])
        ]
        return [row for row in rows if isinstance(row, Made) and row.method in METHODS], list(read_jsonl(home / "made" / "dropped.jsonl"))


def spoiling(body: dict[str, Any], _: int) -> Any:
    """A good answer to one question of two, else one with a fault; the same question has the same fault."""
    answer = good_answer(body)
    ways = [*SPOILT, *WHOLE]
    drawn = number("spoilt", json.dumps(body, ensure_ascii=False, sort_keys=True))
    way = ways[drawn // 2 % len(ways)] if drawn % 2 else ""
    match way:
        case "prose":
            return Reply(f"好的，下面是我的回答：{' '.join(texts_of(answer))}")
        case "cut":
            return Reply(json.dumps(answer, ensure_ascii=False)[:20], finish="length")
        case "empty":
            return Reply("")
    return Reply(changed(answer, SPOILT[way]) if way else answer)


def changed(answer: dict[str, Any], spoil: Callable[[str], str]) -> dict[str, Any]:
    """The answer with every text of it spoilt that a person would read as told."""
    return {name: value if name in {"risk", "evidence", "unsupported", *SAME} else spoilt(value, spoil) for name, value in answer.items()}


def spoilt(value: Any, spoil: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [spoilt(one, spoil) for one in value]
    if isinstance(value, dict):
        return {name: one if name in {"question", "user"} else spoilt(one, spoil) for name, one in value.items()}
    return spoil(value) if isinstance(value, str) else value


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts_of(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts_of(one)]
    return [value] if isinstance(value, str) else []


def table(found: list[tuple[list[Made], list[dict[str, Any]]]]) -> Iterator[str]:
    yield "| method | records asked about | rows | dropped, by reason |"
    yield "| --- | --- | --- | --- |"
    made: dict[str, list[Made]] = defaultdict(list)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    about: dict[str, set[str]] = defaultdict(set)
    for rows, drops in found:
        for row in rows:
            made[row.method].append(row)
            about[row.method].add(row.references[0])
        for drop in drops:
            reasons[drop["method"]][drop["reason"]] += 1
            about[drop["method"]].add(drop["record"]["id"])
    for method in METHODS:
        told = ", ".join(f"{reason} {count:,}" for reason, count in reasons[method].most_common())
        yield f"| `{method}` | {len(about[method]):,} | {len(made[method]):,} | {told} |"


if __name__ == "__main__":
    main()
