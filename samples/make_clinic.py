"""Generates samples/clinic from the hand-written files in samples/written/clinic; for developers only.

Run: python samples/make_clinic.py [folder]     (the folder is samples/clinic by default)
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from making import SAMPLES, pick, read_yaml, shuffled, table, write_bytes, write_rows, write_text, written

GREETINGS = ["您好。", "您好，先问您几个问题。", ""]
HEARD = ["", "", "好的，", "嗯，", "知道了，"]
TITLE = 14  # characters of a title
ASKS = re.compile("[吗？]|怎么|什么(?!都)|多久|几次|几天|能不能|会不会|要不要|可不可以|要不|够吗|呢$")
OPENINGS = ["", "", "", "医生您好，", "您好，想问一下，", "请问，"]
ENDINGS = {True: ["？", "？", "？谢谢医生。"], False: ["，怎么办？", "，需要去医院吗？", "，要紧吗？", "，请医生看看。"]}
ADVISING = ["", "建议", "建议您"]
WHEN = ["", "如果", "要是"]


def main(out: Path) -> None:
    write_rows(out / "knowledge/graph.jsonl", shuffled(graph(), "graph"))
    write_bytes(out / "consultations/asked.csv", table(["department", "title", "ask", "answer"], asked()).encode("gb18030"))
    write_text(out / "guides/guide.md", written("clinic/guide.md"))
    write_rows(out / "dialogues/dialogues.jsonl", shuffled(dialogues(), "dialogues"))
    write_text(out / "triples/tcm.tsv", table(["head", "relation", "tail"], triples(), "\t"))


def tables(name: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Heading, names of the columns and rows of each Markdown table."""
    for part in re.split("^# ", written(f"clinic/{name}.md"), flags=re.MULTILINE)[1:]:
        heading, *rest = part.splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rest if line.startswith("|")]
        yield heading, cells[0], cells[2:]


def graph() -> list[dict[str, Any]]:
    """A record an entity: each relation with all its values; one without any is left out."""
    return [
        {names[0]: cells[0], "类型": kind}
        | {name: cell.split("、") for name, cell in zip(names[1:], cells[1:], strict=True) if cell != "—"}
        for kind, names, rows in tables("graph")
        for cells in rows
    ]


def triples() -> list[list[str]]:
    return [
        [cells[0], name, value]
        for _, names, rows in tables("tcm")
        for cells in rows
        for name, cell in zip(names[1:], cells[1:], strict=True)
        for value in cell.split("、")
    ]


def asked() -> list[list[str]]:
    """Department, title, question and answer: what is special to the question, what to do, when to see a doctor.

    The last two are those of the group, unless the question has its own; - stands for none.
    """
    rows = []
    for group in read_yaml("clinic/asked"):
        for question, opening, *own in group["q"]:
            title = re.split("[，,？?。]", question)[0][:TITLE]
            ending = pick(ENDINGS[bool(ASKS.search(question))], "ending", question)
            care = pick(ADVISING, "advising", question) + (own[0] if own else group["care"])
            flag = own[1] if len(own) > 1 else group["flag"]
            flag = "" if flag == "-" else pick(WHEN, "when", question) + flag
            answer = opening + "".join(pick([[care, flag], [flag, care]], "order", question))
            rows.append([group["d"], title, pick(OPENINGS, "opening", question) + question + ending, answer])
    return shuffled(rows, "asked")


def dialogues() -> list[dict[str, Any]]:
    """The doctor asks one question at a time, the patient replies shortly; then comes the advice."""
    rows = []
    for topic in read_yaml("clinic/dialogues"):
        for opening, replies, advice in topic["cases"]:
            messages = [("user", opening)]
            for number, reply in enumerate(replies.split("/")):
                question = topic["ask"][int(reply[0]) - 1]
                messages.append(("assistant", pick(HEARD if number else GREETINGS, opening, advice, reply) + question))
                messages.append(("user", reply[1:]))
            messages.append(("assistant", advice))
            rows.append({"department": topic["d"], "messages": [{"role": role, "content": content} for role, content in messages]})
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "clinic")
