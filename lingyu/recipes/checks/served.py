"""What the service answers over HTTP."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lingyu.files import read_jsonl
from lingyu.recipes.checks.check import Bounds, Check, Run
from lingyu.recipes.checks.tables import table
from lingyu.text import legal
from lingyu.text.numerals import CHINESE

CONFIRMS = "我的理解是"
ARTICLE = re.compile(rf"{legal.ARTICLE}|Section \d+")
CITATION = re.compile(rf"《([^》/]+?)(?: / [^》]*?)?({legal.ARTICLE})?》({legal.ARTICLE})?")
TITLED = re.compile(r"^《(.*?)》(.*)$")


class Answer(Check):
    """The service answers a conversation. turns: the person's; the replies between them are the service's own. says, never: regular
    expressions for the last reply; source: for title or place of one of its sources; opens: and its page of the PDF can be seen; whose: its
    answer_source; search: what the model adds to the search, each of which the reply must tell."""

    kind: Literal["answer"]
    turns: list[str] = Field(min_length=1)
    mode: str = "professional"
    skill: str = ""
    search: dict[str, bool] = Field(default_factory=dict)
    says: str | None = None
    never: str | None = None
    source: str | None = None
    opens: bool = False
    whose: str | None = None

    def look(self, run: Run) -> tuple[bool, str]:
        reply = run.service.converse(self.turns, self.mode, self.skill, search=self.search)
        text = reply["choices"][0]["message"]["content"] or ""
        places = places_of(reply)
        holds = (
            (self.says is None or re.search(self.says, text) is not None)
            and (self.never is None or re.search(self.never, text) is None)
            and (self.source is None or any(re.search(self.source, place) for place in places))
            and (not self.search.get("keywords") or bool(reply.get("keywords")))
            and (not self.opens or self.opened(run, reply))
            and (self.whose is None or reply.get("answer_source") == self.whose)
        )
        shown = " ".join(text.split())
        return holds, f"{reply.get('answer_source') or self.mode}: {shown[:80]}{'…' if len(shown) > 80 else ''}"

    def opened(self, run: Run, reply: dict[str, Any]) -> bool:
        found = zip(reply.get("sources") or [], places_of(reply), strict=True)
        right = next(one for one, place in found if re.search(self.source or "", place))
        return run.service.page(right["file"], right["place"]).startswith(b"\x89PNG")


class Consultation(Check):
    """Consult mode: the service asks for what is missing, says what it understood, then advises. It is told `replies` in turn, the last of
    them again and again. at_least, at_most: how many questions it asks. similar: the advice shows a similar case."""

    kind: Literal["consultation"]
    opening: str
    replies: list[str] = Field(min_length=1)
    at_least: int = 1
    at_most: int
    confirms: bool = False
    similar: bool = False

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.retrieve.cases import questions

        messages = [{"role": "user", "content": self.opening}]
        asked, confirmed, text, places = list[str](), False, "", list[str]()
        for turn in range(self.at_most + 2):
            reply = run.service.chat(messages, "consult")
            text, places = reply["choices"][0]["message"]["content"] or "", places_of(reply)
            if reply.get("answer_source") != "question":
                break
            confirming = CONFIRMS in text
            confirmed |= confirming
            asked += [] if confirming else questions(text)
            told = "对。" if confirming else self.replies[min(turn, len(self.replies) - 1)]
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": told}]
        else:
            return False, f"{len(asked)}: {text[:80]}"
        holds = (
            self.at_least <= len(asked) <= self.at_most
            and len(set(asked)) == len(asked)
            and (confirmed or not self.confirms)
            and (not self.similar or any("类似案例" in place for place in places))
            and bool(text.strip())
            and not questions(text)
        )
        return holds, f"{len(asked)}: {' '.join(asked)[:60]} → {' '.join(text.split())[:60]}"


class Upload(Check):
    """A document that is uploaded answers the next question as its source, and no longer once it is deleted."""

    kind: Literal["upload"]
    name: str
    text: str
    asked: str
    says: str

    def look(self, run: Run) -> tuple[bool, str]:
        def answered() -> tuple[str, str, list[str]]:
            reply = run.service.converse([self.asked], "professional")
            return reply.get("answer_source") or "", reply["choices"][0]["message"]["content"] or "", places_of(reply)

        before, *_ = answered()
        file = run.service.upload(self.name, self.text)
        try:
            whose, text, places = answered()
        finally:
            run.service.delete(file)
        after, *_ = answered()
        holds = (
            before == after == "none"
            and whose in {"model", "quotation"}
            and re.search(self.says, text) is not None
            and any(self.name in place for place in places)
        )
        return holds, f"{before} → {whose}: {' '.join(text.split())[:60]} → {after}"


class Cited(Check):
    """How many replies of plain and of professional mode name an article that no statute of the corpus has. file: JSON lines under data/
    with a field question. at_most: of professional mode; and it names no more of them than plain mode does."""

    kind: Literal["cited"]
    file: Path
    count: int = 20
    at_most: int = 0

    def look(self, run: Run) -> tuple[bool, str]:
        there = {
            (row["title"], number)
            for row in table(run.folder / "out/clean/tables/documents.parquet")
            for number in ARTICLE.findall(f"{row['section']} {row['place']}")
        }
        asked = [row["question"] for row in read_jsonl(run.folder / "data" / self.file)][: self.count]
        invented, naming = {}, {}
        for mode in ("plain", "professional"):
            named = [cited_in(run.service.converse([one], mode)["choices"][0]["message"]["content"] or "") for one in asked]
            naming[mode] = sum(bool(one) for one in named)
            invented[mode] = sum(bool(one - there) for one in named)
        holds = bool(there) and naming["professional"] > 0 and invented["professional"] <= min(self.at_most, invented["plain"])
        return holds, " → ".join(f"{mode} {invented[mode]}/{naming[mode]}" for mode in invented)


class Context(Bounds):
    """What retrieval adds to classification: for test items that name an entity of the graph, the share for which a question about
    it finds one of its facts; and how many are classified right without and with these facts before the text (McNemar's exact test)."""

    kind: Literal["context"]
    sources: str
    count: int = 30

    def look(self, run: Run) -> tuple[bool, str]:
        import numpy as np

        from lingyu.evaluate.rules import normalised
        from lingyu.statistics import mcnemar

        facts = list(table(run.folder / "out/clean/tables/facts.parquet"))
        names = {row["entity"] for row in facts}
        asked = [
            row
            for row in table(run.folder / "out/mix/test/questions.parquet")
            if row["task"] == "classify" and fnmatchcase(row["source"], self.sources) and any(name in text_of(row) for name in names)
        ][: self.count]
        right, found = [], 0
        for row in asked:
            known = list(dict.fromkeys(self.found(run, facts, name) for name in sorted(names) if name in text_of(row)))
            known = [text for text in known if text]
            found += bool(known)
            pair = [
                normalised(row["answer"]) in normalised(run.service.converse([text], "plain")["choices"][0]["message"]["content"] or "")
                for text in (text_of(row), "\n".join([*known, text_of(row)]))
            ]
            right.append([float(one) for one in pair])
        without, within = np.array(right).reshape(-1, 2).T
        shares = f"{without.mean():.2f} → {within.mean():.2f} (McNemar p = {mcnemar(without, within):.3f})" if asked else "-"
        return bool(asked) and self.within(found / len(asked)), f"{found}/{len(asked)}; {shares}"

    @staticmethod
    def found(run: Run, facts: list[dict[str, Any]], name: str) -> str:
        """What professional mode finds of an entity, "" where it is nothing of it."""
        relation = next(fact["relation"] for fact in facts if fact["entity"] == name)
        sources = run.service.converse([f"{name}的{relation}是什么？"], "professional", tokens=16).get("sources") or []
        return next((str(one["text"]) for one in sources if name in one["text"]), "")


class Prompts(Check):
    """The service's prompts have as many tokens as training's, for the first questions of one turn that the model was trained on."""

    kind: Literal["prompts"]
    count: int = 20

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.model.load import load_tokenizer
        from lingyu.records import Dialogue
        from lingyu.train.data import NOT_LEARNT, dialogues

        rows = [Dialogue.model_validate(row) for row in table(run.folder / "out/mix/train/sft.parquet")]
        asked = [row for row in rows if [message.role for message in row.messages] == ["user", "assistant"]][: self.count]
        trained = [
            sum(label == NOT_LEARNT for label in example["labels"])
            for example in dialogues(asked, load_tokenizer(run.folder / "out/select/model"), 10_000)
        ]
        served = [run.service.converse([row.messages[0].content], "plain", tokens=1)["usage"]["prompt_tokens"] for row in asked]
        same = sum(one == other for one, other in zip(trained, served, strict=True))
        return same == len(asked) > 0, f"{same}/{len(asked)}"


class Questions(Bounds):
    """The share of questions of a file for which professional mode shows the right source. file: JSON lines under data/; asked, source:
    the fields with the question and with what must stand in a source's title and place, such as 《Title》Article 8."""

    kind: Literal["questions"]
    file: Path
    asked: str
    source: str

    def look(self, run: Run) -> tuple[bool, str]:
        rows = list(read_jsonl(run.folder / "data" / self.file))
        right = 0
        for row in rows:
            right += is_shown(row[self.source], places_of(run.service.converse([row[self.asked]], "professional")))
        return self.within(right / len(rows)), f"{right}/{len(rows)}"


class Second(Check):
    """The second retrieval, with the question and the model's first answer, against the first: for how many questions of a file the right
    source is shown, by a paired test on the same questions. at_worst: the least significance at which it may be worse.

    file, asked, source: as in Questions; source may be a list, whose first entry counts."""

    kind: Literal["second"]
    file: Path
    asked: str
    source: str
    count: int = 40
    at_worst: float = 0.05

    def look(self, run: Run) -> tuple[bool, str]:
        import numpy as np

        from lingyu.statistics import mcnemar

        rows = list(read_jsonl(run.folder / "data" / self.file))[: self.count]
        met = [
            [
                float(
                    is_shown(first_of(row[self.source]), places_of(run.service.converse([row[self.asked]], "professional", search=search)))
                )
                for search in ({"second": False}, {"second": True})
            ]
            for row in rows
        ]
        first, second = np.array(met).T
        chance = mcnemar(first, second)
        cells = f"{int(first.sum())} → {int(second.sum())} of {len(rows)}"
        holds = bool(rows) and first.sum() > 0 and (second.sum() >= first.sum() or chance >= self.at_worst)
        return holds, f"{cells}; McNemar p = {chance:.3f}"


class Rewrite(Check):
    """Whether the service takes a message for one that may hurt, and then offers all four elements and a rewriting."""

    kind: Literal["rewrite"]
    text: str
    hurts: bool

    def look(self, run: Run) -> tuple[bool, str]:
        reply = run.service.rewrite(self.text)
        offered = [*reply["elements"].values(), reply["rewrite"]]
        holds = reply["hurts"] is self.hurts and (not self.hurts or (len(offered) >= 5 and all(offered)))
        return holds, f"{reply['risk'] or '-'}: {reply['rewrite'][:60] or '-'}"


def places_of(reply: dict[str, Any]) -> list[str]:
    """What each source of a reply says of where it is: title, headings, place and file."""
    return [" ".join(str(value) for key, value in one.items() if key != "text") for one in reply.get("sources") or []]


class Rewrites(Bounds):
    """The share of labelled messages of a table of which the service says rightly whether they may hurt."""

    kind: Literal["rewrites"]
    table: Path
    task: str
    label: str

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.records import is_task

        right: dict[bool, list[bool]] = {True: [], False: []}
        for row in table(run.folder / "out" / self.table):
            if is_task(row["task"], self.task):
                hurts = row["label"] == self.label
                right[hurts].append(run.service.rewrite(row["text"])["hurts"] is hurts)
        both = [*right[True], *right[False]]
        shown = " ".join(f"{sum(one)}/{len(one)}" for one in right.values())
        return all(right.values()) and self.within(sum(both) / len(both)), shown


def first_of(value: str | list[str]) -> str:
    """《Title》Article 8 of a source, without what it says."""
    return (value if isinstance(value, str) else value[0]).partition("：")[0]


def is_shown(source: str, places: list[str]) -> bool:
    parts = TITLED.match(source)
    title, number = parts.groups() if parts else (source, "")
    return any(title in place and re.search(rf"{re.escape(number)}(?![{CHINESE}\d])", place) for place in places)


def cited_in(text: str) -> set[tuple[str, str]]:
    """The articles that a text names, each with its statute."""
    return {(title, inside or behind) for title, inside, behind in CITATION.findall(text) if inside or behind}


def text_of(question: dict[str, Any]) -> str:
    return str(question["messages"][-1]["content"])
