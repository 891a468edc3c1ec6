"""Generates samples/school from the hand-written files in samples/written/school; for developers only.

Run: python samples/make_school.py [folder]     (the folder is samples/school by default; beside it
comes <folder>-checks, what is planted and what stands for a teacher)
"""

import re
import sys
from pathlib import Path
from typing import Any

from making import SAMPLES, pick, read_yaml, shuffled, write_rows, write_yaml

ELEMENTS = ["观察", "感受", "需要", "请求", "改写"]
NVC = dict(zip(["observation", "feeling", "need", "request", "rewrite"], ELEMENTS, strict=True))
HIGH = re.compile("[滚死猪狗]|废物|垃圾|恶心|没完|不要脸|后悔|讨厌|丑|没人要|倒霉|丢")  # insults and threats
USEFUL = "√"  # before a search result that helps; × before one that does not


def main(out: Path) -> None:
    planted: list[dict[str, Any]] = []
    for skill in read_yaml("school/skills"):
        name = f"dialogues/{skill}.jsonl"
        given = dialogues(skill)
        near = near_duplicates(name, given)
        rows = shuffled([*given, *(row for row, _ in near)], name)
        write_rows(out / name, rows)
        planted += [{"file": name, "line": rows.index(row) + 1, "of": rows.index(original) + 1} for row, original in near]
    written = shuffled(letters(), "letters")
    write_rows(out / "letters/letters.jsonl", [{"question": row["信"], "answer": row["回"]} for row in written])
    planted += [
        {"file": "letters/letters.jsonl", "line": line, "reason": row["why"]} for line, row in enumerate(written, start=1) if "why" in row
    ]
    checks = out.parent / f"{out.name}-checks"
    write_rows(checks / "planted.jsonl", planted)
    write_yaml(checks / "teacher.yaml", teacher())
    write_rows(out / "messages/messages.jsonl", shuffled(messages(), "messages"))


def dialogues(skill: str) -> list[dict[str, Any]]:
    system = read_yaml("school/skills")[skill]
    rows = []
    for item in read_yaml(f"school/{skill}"):
        row: dict[str, Any] = {"skill": skill, "system": system}
        if skill == "retrieval":
            results = [result[1:] for result in item["r"]]
            found = "\n".join(f"[{number}] {result}" for number, result in enumerate(results, start=1))
            turns = [f"资料：\n{found}\n\n问题：{item['q']}", item["a"]]
            row["useful"] = [number for number, result in enumerate(item["r"], start=1) if result.startswith(USEFUL)]
        else:
            turns = item
        row["messages"] = [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(turns)]
        rows.append(row)
    return rows


def near_duplicates(name: str, given: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows that planted.yaml asks for, a word or two of another changed, each with that other."""
    rows = []
    for file, opening, old, new in read_yaml("school/planted"):
        if file == name:
            (row,) = (row for row in given if opening in row["messages"][0]["content"])
            changed = [message | {"content": message["content"].replace(str(old), str(new))} for message in row["messages"]]
            rows.append((row | {"messages": changed}, row))
    return rows


def letters() -> list[dict[str, str]]:
    """Letters with their replies; those of dropped.yaml are among them, to be dropped for the reason `why`."""
    return [row for name in ("letters", "dropped") for row in read_yaml(f"school/{name}")]


def harsh() -> list[dict[str, str]]:
    """Hurtful messages: what happened, and what is said about it, in either order; with the four elements and a rewriting."""
    rows = []
    for said, *elements in read_yaml("school/nvc")["harsh"]:
        what = elements[0] + pick(["。", "！"], "mark", said)
        said = said if re.search("[。！？]$", said) else said + "！"
        rows.append(
            {"text": "".join(pick([[what, said], [said, what]], "order", said)), "label": "伤人"}
            | dict(zip(ELEMENTS, elements, strict=True))
        )
    return rows


def messages() -> list[dict[str, str]]:
    return [*harsh(), *({"text": text, "label": "平和"} for text in read_yaml("school/nvc")["mild"])]


# What stands for the teacher (docs/generation.md, written answers)


def teacher() -> list[dict[str, Any]]:
    talks = [
        {
            "asked": ["一问一答改写成多轮对话", opening],
            "answer": {"turns": [{"user": user, "assistant": said} for user, said in zip(turns[::2], turns[1::2], strict=True)]},
        }
        for opening, *turns in read_yaml("school/retold")
    ]
    rewritings = [
        {
            "asked": ["你用非暴力沟通改写消息", row["text"]],
            "answer": {"risk": "high" if HIGH.search(row["text"]) else "medium"} | {name: row[element] for name, element in NVC.items()},
        }
        for row in harsh()
    ]
    calm = [
        {
            "asked": ["你用非暴力沟通改写消息", text],
            "answer": {"risk": "low", "observation": text.rstrip("。！？"), **read_yaml("school/nvc")["calm"], "rewrite": text},
        }
        for text in read_yaml("school/nvc")["mild"]
    ]
    return talks + rewritings + calm


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "school")
