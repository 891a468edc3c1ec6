"""Generates samples/clinic from the hand-written files in samples/written/clinic; for developers only.

Run: python samples/make_clinic.py [folder]     (the folder is samples/clinic by default; beside it
comes <folder>-checks, what stands for a teacher)
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from making import SAMPLES, draw, pick, read_yaml, shuffled, table, write_bytes, write_rows, write_text, write_yaml, written

GREETINGS = ["您好。", "您好，先问您几个问题。", ""]
HEARD = ["", "", "好的，", "嗯，", "知道了，"]
TITLE = 14  # characters of a title
ASKS = re.compile("[吗？]|怎么|什么(?!都)|多久|几次|几天|能不能|会不会|要不要|可不可以|要不|够吗|呢$")
OPENINGS = ["", "", "", "医生您好，", "您好，想问一下，", "请问，"]
ENDINGS = {True: ["？", "？", "？谢谢医生。"], False: ["，怎么办？", "，需要去医院吗？", "，要紧吗？", "，请医生看看。"]}
ADVISING = ["", "建议", "建议您"]
WHEN = ["", "如果", "要是"]
AND_THEN = ["", "那", "还有，", "另外，", "明白了，再问一下，"]


def main(out: Path) -> None:
    write_rows(out / "knowledge/graph.jsonl", shuffled(graph(), "graph"))
    write_bytes(out / "consultations/asked.csv", register().encode("gb18030"))
    write_text(out / "guides/guide.md", written("clinic/guide.md"))
    write_rows(out / "dialogues/dialogues.jsonl", shuffled(dialogues(), "dialogues"))
    write_text(out / "inquiries/needed.csv", written("clinic/inquiries.csv"))
    write_text(out / "triples/tcm.tsv", table(["head", "relation", "tail"], triples(), "\t"))
    write_rows(out.parent / f"{out.name}-checks/tests/bencao.jsonl", bencao())
    write_yaml(out.parent / f"{out.name}-checks/teacher.yaml", [*grounded(), *scenarios(), *tasks(), *replaced()])


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


def bencao() -> list[dict[str, str]]:
    """What another system was asked about the same graph."""
    asked = [
        {"question": f"{record['中心词']}的{name}是什么？", "answer": "、".join(values)}
        for record in graph()
        for name, values in record.items()
        if name not in ("中心词", "类型")
    ]
    return shuffled(asked, "bencao")[:60]


def triples() -> list[list[str]]:
    return [
        [cells[0], name, value]
        for _, names, rows in tables("tcm")
        for cells in rows
        for name, cell in zip(names[1:], cells[1:], strict=True)
        for value in cell.split("、")
    ]


@dataclass(frozen=True)
class Asked:
    """A question with the parts of its answer: what is special to it, what to do, when to see a doctor ("" where nothing is said)."""

    key: str  # as it is written by hand
    department: str
    title: str
    question: str
    opening: str
    care: str
    flag: str

    @property
    def cells(self) -> list[str]:
        return [self.department, self.title, self.question, self.answer]

    @property
    def answer(self) -> str:
        care = pick(ADVISING, "advising", self.key) + self.care
        flag = self.flag and pick(WHEN, "when", self.key) + self.flag
        return self.opening + "".join(pick([[care, flag], [flag, care]], "order", self.key))


def asked() -> list[Asked]:
    """The questions in shuffled order. Care and flag are those of the group, unless the question has its own; - stands for none."""
    rows = []
    for group in read_yaml("clinic/asked"):
        for question, opening, *own in group["q"]:
            title = re.split("[，,？?。]", question)[0][:TITLE]
            ending = pick(ENDINGS[bool(ASKS.search(question))], "ending", question)
            care = own[0] if own else group["care"]
            flag = own[1] if len(own) > 1 else group["flag"]
            whole = pick(OPENINGS, "opening", question) + question + ending
            rows.append(Asked(question, group["d"], title, whole, opening, care, "" if flag == "-" else flag))
    return sorted(rows, key=lambda row: draw("asked", str(row.cells)))


def register() -> str:
    return table(["department", "title", "ask", "answer"], [row.cells for row in asked()])


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


# What stands for the teacher (docs/generation.md, written answers)


def passages() -> dict[str, str]:
    """The passages of the guide by heading."""
    parts = re.split("^### (.+)$", written("clinic/guide.md"), flags=re.MULTILINE)[1:]
    return {heading: re.split("^## ", text, flags=re.MULTILINE)[0].strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def grounded() -> Iterator[dict[str, Any]]:
    """Questions on each passage of the guide, each answered with the sentence that it rests on (reliable, seeds)."""
    texts = passages()
    for heading, items in read_yaml("clinic/questions").items():
        questions = [question for question, *_ in items]
        yield {"asked": ["请提出", f" / {heading}\n"], "answer": {"questions": questions}}
        yield {"asked": ["扩充一个专业领域助手的指令库", f" / {heading}\n"], "answer": {"instructions": questions}}
        sentences = re.findall("[^。]+。", texts[heading])
        for question, number, answer in items:
            said = {"answerable": True, "evidence": sentences[number - 1], "answer": answer}
            yield {"asked": ["你依据给出的段落回答问题", f"问题：{question}\n"], "answer": said}
    yield {"asked": "你是审核员", "answer": {"unsupported": "", "supported": True}}


def scenarios() -> Iterator[dict[str, Any]]:
    """A conversation on each passage in each of the sixteen scenarios: the person says who asks, then asks question by question."""
    openers = dict(zip(read_yaml("clinic/scenarios"), read_yaml("clinic/openers"), strict=True))
    for heading, items in read_yaml("clinic/questions").items():
        for scenario, opener in openers.items():
            first, *others = shuffled(items, "turns", heading, scenario)
            turns = [{"user": opener + first[0], "assistant": first[2]}]
            turns += [{"user": pick(AND_THEN, scenario, item[0]) + item[0], "assistant": item[2]} for item in others]
            yield {"asked": [f"情境：{scenario}\n", f" / {heading}\n"], "answer": {"turns": turns}}


def tasks() -> Iterator[dict[str, Any]]:
    """A task of each of the sixteen kinds for each herb and formula."""
    for _, names, rows in tables("tcm"):
        for cells in rows:
            known = dict(zip(names[1:], cells[1:], strict=True))
            items = []
            for kind, (ask, answer) in enumerate(read_yaml("clinic/tasks")):
                relation, other = shuffled(known, cells[0], str(kind))[:2]
                values = {row[names.index(relation)] for row in rows}
                slots = {
                    "e": cells[0],
                    "r": relation,
                    "v": known[relation],
                    "r2": other,
                    "v2": known[other],
                    "all": "；".join(f"{name}是{value}" for name, value in known.items()),
                    "lines": "\n".join(f"- {name}：{value}" for name, value in known.items()),
                    "wrong": pick(sorted(values - {known[relation]}), "wrong", cells[0], str(kind)),
                }
                asks, answers = ask.split("|"), answer.split("|")
                form = draw("form", cells[0], str(kind))
                question = asks[form % len(asks)].format(**slots)
                items.append({"question": question, "answer": answers[form % len(answers)].format(**slots)})
            yield {"asked": ["你依据知识库的记录", f"对象：{cells[0]}\n"], "answer": {"items": items}}


def replaced() -> Iterator[dict[str, Any]]:
    """The answers of the register in better order: the reply, what to do, when to see a doctor."""
    for row in asked():
        parts = [row.opening, f"可以这样做：{row.care}", f"什么时候就医：{row.flag}" if row.flag else ""]
        answer = "\n".join(filter(None, parts))
        yield {"asked": ["你重写专业领域里的回答", f"问题：\n{row.question}\n"], "answer": {"answer": answer}}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "clinic")
