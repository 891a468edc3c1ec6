"""Replies of plain and of knowledge mode are scored from 0 to 3 on completeness, depth and professionalism by a judge behind an endpoint.

The endpoint is on loopback and gives its points by rule: for the share of the right answer's characters that the reply has, for how many of
its values, and for ending as a sentence without repeating itself. It stands for a person or a large model; what is shown is the scoring.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from browsing import must, places
from openai_server import Reply, serving

from lingyu.evaluate.rules import character_f1
from lingyu.evaluate.scorer import Prediction
from lingyu.evaluate.scorers.replies import repeated
from lingyu.files import read_table
from lingyu.judge.rubric import Judge
from lingyu.judge.scores import scored
from lingyu.recipes.service import Client
from lingyu.records import Question

ASKED = 20
CRITERIA = {
    "completeness": {"zh": "完整：所问的内容都答到了。", "en": "complete: all that was asked is answered."},
    "depth": {"zh": "深度：给出具体的内容，不止泛泛而谈。", "en": "deep: says what in particular, not generalities."},
    "professionalism": {"zh": "专业：用词规范，表述通顺，不重复。", "en": "professional: the words of the field, fluent, no repetition."},
}
PARTS = re.compile(r"参考答案（正确）：\n(.*?)\n.*<answer>\n(.*?)\n</answer>", re.DOTALL)


def points(body: dict[str, Any], _: int) -> Reply:
    answer, reply = PARTS.search(body["messages"][-1]["content"]).groups()
    values = [part for part in re.split("[、，。是；]", answer) if part.strip()]
    found = {
        "completeness": round(3 * sum(value in reply for value in values) / len(values)),
        "depth": round(3 * character_f1(reply, answer)),
        "professionalism": 3 if repeated(reply) < 0.1 and reply.rstrip(" []0123456789").endswith(("。", "！")) else 1,
    }
    return Reply(json.dumps({"reason": "按规则给分。", **found}, ensure_ascii=False))


def main(folder: Path, address: str) -> str:
    questions = [one for one in read_table(folder / "out/mix/test/questions.parquet", Question) if one.task == "fact"][:ASKED]
    must("there are no questions on facts", bool(questions))
    service = Client(address)
    replies = {
        mode: [
            predicted(one, service.converse([one.messages[-1].content], mode)["choices"][0]["message"]["content"] or "")
            for one in questions
        ]
        for mode in ("plain", "knowledge")
    }
    with serving(points) as endpoint, tempfile.TemporaryDirectory() as place:
        judge = Judge(model="rule", base_url=endpoint.url, scale="0-3", criteria=list(CRITERIA), own=CRITERIA, tasks=["fact"])
        made = scored(replies, questions, judge, Path(place) / "judge.jsonl", Path(place) / "journal.jsonl")
    means = {mode: [mean(row.values[f"judged_{name}"] for row in rows) for name in CRITERIA] for mode, rows in made.items()}
    shown = "; ".join(f"{mode} {' / '.join(f'{value:.2f}' for value in values)}" for mode, values in means.items())
    must(f"knowledge mode is not rated higher: {shown}", mean(means["knowledge"]) > mean(means["plain"]))
    must(f"points outside 0 to 3: {shown}", all(0 <= value <= 3 for values in means.values() for value in values))
    return f"{shown} (n = {len(questions)})"


def predicted(question: Question, reply: str) -> Prediction:
    said = {"id": question.id, "group": question.id, "task": question.task, "language": question.language, "known": question.known}
    return Prediction(**said, prompt="", reply=reply, answer=question.answer, label="", options=[], values={})


if __name__ == "__main__":
    print(main(*places()))
