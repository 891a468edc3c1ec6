"""Generates samples/law from the hand-written files in samples/written/law; for developers only.

Run: python samples/make_law.py [folder]     (needs reportlab; the folder is samples/law by default;
beside it comes <folder>-checks, what stands for a teacher)
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from making import SAMPLES, article, articles_of, pdf, read_yaml, shuffled, table, write_bytes, write_rows, write_text, write_yaml, written

STATUTES = {"labour": "澜川劳动法", "lease": "澜川租赁法", "consumer": "澜川消费者保护法", "penal": "澜川刑罚法"}
ENGLISH = "claims"
DISTRACTORS = 3  # neighbouring articles beside each consultation
MARKS = "①②③"


def main(out: Path) -> None:
    for name in STATUTES:
        text = statute(name)
        if name == "lease":
            write_bytes(out / "statutes/lease.pdf", pdf(text.splitlines(), "澜川法令汇编", STATUTES[name], "The lingyu contributors"))
        else:
            # A paragraph each: Markdown would join the lines of an article.
            write_text(out / f"statutes/{name}.md", re.sub(r"(?<!\n)\n(?!\n|$)", "\n\n", text))
    write_text(out / "statutes/claims.en.md", statute(ENGLISH))
    write_rows(out / "consultations/consultations.jsonl", consultations())
    write_rows(out / "exams/items.jsonl", exams())
    cases = shuffled(read_yaml("law/cases"), "cases")
    write_rows(out / "cases/opinions.jsonl", [opinion(case) for case in cases])
    write_text(out / "cases/charges.csv", table(["text", "label"], [[case["facts"], case["charge"]] for case in cases]))
    ranked = shuffled(read_yaml("law/answers"), "answers")
    write_rows(out / "answers/ranked.jsonl", [{"question": row["q"], "answers": row["a"]} for row in ranked])
    write_rows(out / "preference/pairs.jsonl", [pair for row in ranked for pair in pairs(row)])
    write_rows(out.parent / f"{out.name}-inquiries/dialogues.jsonl", asked_back())
    write_yaml(out.parent / f"{out.name}-checks/teacher.yaml", teacher())


@cache
def statute(name: str) -> str:
    return written(f"law/{name}.en.md" if name == ENGLISH else f"law/{name}.md")


@cache
def articles(name: str) -> dict[int, str]:
    return articles_of(statute(name))


def cited(name: str, number: int) -> str:
    """《澜川劳动法》第九条"""
    return f"the Lanchuan Small Claims Act, Section {number}" if name == ENGLISH else f"《{STATUTES[name]}》{article(number)}"


def passage(name: str, number: int) -> str:
    """An article as consultation corpora list it: 《澜川劳动法》第九条：用人单位……"""
    text = articles(name)[number]
    return f"Lanchuan Small Claims Act, Section {number}. {text}" if name == ENGLISH else f"{cited(name, number)}：{text}"


def with_citations(text: str, name: str, numbers: list[int]) -> str:
    for mark, number in zip(MARKS, numbers, strict=False):
        text = text.replace(mark, cited(name, number))
    return text


def consultations() -> list[dict[str, Any]]:
    """Question and answer, the articles that answer, and their neighbours, which do not."""
    rows = []
    for name, asked in read_yaml("law/consultations").items():
        for numbers, question, answer in asked:
            right = [int(number) for number in str(numbers).split("+")]
            near = sorted(articles(name), key=lambda number: (min(abs(number - one) for one in right), number))
            rows.append(
                {
                    "question": question,
                    "answer": with_citations(answer, name, right),
                    "reference": [passage(name, number) for number in right],
                    "distractors": [passage(name, number) for number in near if number not in right][:DISTRACTORS],
                }
            )
    return shuffled(rows, "consultations")


def exams() -> list[dict[str, Any]]:
    rows = []
    for item in read_yaml("law/exams"):
        name, number = item["at"].split()
        rows.append(
            {
                "question": item["q"],
                "options": dict(zip("ABCD", item["o"], strict=True)),
                "answer": item["r"],
                "explanation": with_citations(item["why"], name, [int(number)]),
                "article": cited(name, int(number)),
            }
        )
    return shuffled(rows, "exams")


def opinion(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": case["facts"],
        "answer": with_citations(case["opinion"], "penal", case["law"]),
        "charge": case["charge"],
        "laws": [passage("penal", number) for number in case["law"]],
    }


def pairs(row: dict[str, Any]) -> list[dict[str, str]]:
    """The best answer against each of the others."""
    best, *others = row["a"]
    return [{"prompt": row["q"], "chosen": best, "rejected": other} for other in others]


# What stands for the teacher (docs/generation.md, written answers)


def teacher() -> list[dict[str, Any]]:
    return [*grounded(), *inquiries(), *rewritten(), {"asked": "你是审核员", "answer": {"unsupported": "", "supported": True}}]


def sentences(name: str, number: int) -> list[str]:
    return re.findall("[^。]+。", articles(name)[number])


def grounded() -> Iterator[dict[str, Any]]:
    """Questions on articles, each answered with the sentence that it rests on (reliable, seeds)."""
    for name, by_number in read_yaml("law/questions").items():
        for number, items in by_number.items():
            place = [f"{STATUTES[name]} / ", f" / {article(number)}\n"]
            questions = [question for question, *_ in items]
            yield {"asked": ["请提出", *place], "answer": {"questions": questions}}
            yield {"asked": ["扩充一个专业领域助手的指令库", *place], "answer": {"instructions": questions}}
            for question, sentence, answer in items:
                said = {"answerable": True, "evidence": sentences(name, number)[sentence - 1].strip(), "answer": answer}
                yield {"asked": ["你依据给出的段落回答问题", f"问题：{question}\n"], "answer": said}


def inquiries() -> Iterator[dict[str, Any]]:
    """What to ask back before a consultation is answered (clarify)."""
    for beginning, opening, missing, question in read_yaml("law/inquiries"):
        yield {
            "asked": ["先问清楚再回答的顾问", f"完整的问题：\n{beginning}"],
            "answer": {"opening": opening, "missing": missing, "question": question},
        }


def asked_back() -> Iterator[dict[str, Any]]:
    """Consultations in which the adviser asks for what is missing before advising."""
    given = {row["question"]: row["answer"] for row in consultations()}
    for beginning, opening, _, question in read_yaml("law/inquiries"):
        told = next(one for one in given if one.startswith(beginning))
        yield conversation(opening, question, told, given[told])
    for topic in read_yaml("law/dialogues"):
        for numbers, opening, replies, advice in topic["cases"]:
            asked = [turn for reply in replies.split("/") for turn in (topic["ask"][int(reply[0]) - 1], reply[1:])]
            articles = [int(number) for number in str(numbers).split("+")]
            yield conversation(opening, *asked, with_citations(advice, topic["law"], articles))


def conversation(*turns: str) -> dict[str, Any]:
    """The person speaks first."""
    return {"messages": [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]}


def rewritten() -> Iterator[dict[str, Any]]:
    """The answer of a consultation with the words of the article that it rests on (replaced), the same as an opinion."""
    for name, asked in read_yaml("law/consultations").items():
        for numbers, question, answer in asked if name != ENGLISH else []:
            right = [int(number) for number in str(numbers).split("+")]
            said = with_citations(answer, name, right)
            grounds = "".join(f"{cited(name, number)}规定：“{closest(said, name, number)}”" for number in right)
            yield {"asked": ["你重写专业领域里的回答", f"问题：\n{question}\n"], "answer": {"answer": f"{said}\n依据：{grounds}"}}
            opinion = f"本案适用{'和'.join(cited(name, number) for number in right)}。{grounds}据此答复：{said}"
            yield {"asked": ["你依据给出的条文对一个案件写意见", f"案情：\n{question}\n"], "answer": {"applies": True, "opinion": opinion}}


def closest(said: str, name: str, number: int) -> str:
    """The sentence of the article that shares most with what is said."""

    def shared(sentence: str) -> int:
        return sum(sentence[place : place + 2] in said for place in range(len(sentence) - 1))

    return max(sentences(name, number), key=shared).strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "law")
