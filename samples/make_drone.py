"""Generates samples/drone from the hand-written files in samples/written; for developers only.

Random choices are hashes of the item itself: the same texts give the same bytes on every machine, and a changed line in
samples/written changes little else.

Run: python samples/make_drone.py [folder]     (needs reportlab; the folder is samples/drone by default)
"""

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from making import WRITTEN, draw, pdf, pick, read_yaml, shuffled, table, write_bytes, write_rows, write_text, written

OPEN_SHARE = 0.6  # of the facts, for decisions and preferences; the others stand in the documents only
DECISIONS = 12  # a relation at most
JUDGED = {"zh": 90, "en": 40}  # facts that preference pairs are about
SENTENCES = 8  # a section of plain sentences
SUMS = {"zh": 60, "en": 44}


@dataclass(frozen=True)
class Fact:
    entity: str
    kind: str
    relation: str
    value: str
    language: str


def main(out: Path) -> None:
    facts = graph()
    write_rows(out / "knowledge/graph.jsonl", [fact_row(fact) for fact in facts])
    for language in ("zh", "en"):
        for name, text in manual(language, facts):
            write_text(out / f"documents/{name}.md", text)
        write_text(out / f"general/prose.{language}.md", prose(language))
    write_bytes(out / "documents/zh-rules.pdf", rules_pdf(facts))
    write_bytes(out / "documents/zh-card.docx", card_docx(facts))
    write_rows(out / "reasoning/questions.jsonl", decisions(facts))
    write_rows(out / "preference/pairs.jsonl", preferences(facts))
    write_text(out / "incidents/reports.csv", incidents())
    write_rows(out / "general/qa.jsonl", general_questions())
    write_rows(out / "retrieval_set.jsonl", read_yaml("retrieval"))


# Hand-written files


@cache
def words(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(name)
    return found


# Random choices


def fact_is_open(entity: str, relation: str) -> bool:
    """Whether questions and preferences of the sample may ask for this fact."""
    return draw("open", entity, relation) < OPEN_SHARE * 2**64


# The knowledge graph


def graph() -> list[Fact]:
    """Four relations for every entity, omitting one in rotation; the values of a relation in rotation, both in shuffled order."""
    facts = []
    for language, half in words("graph").items():
        for kind, parts in half["kinds"].items():
            relations = list(parts["relations"])
            left_out = {
                entity: relations[i % len(relations)] if len(relations) > 4 else None
                for i, entity in enumerate(shuffled(parts["entities"], kind, "left out"))
            }
            for relation, spec in parts["relations"].items():
                holders = [e for e in shuffled(parts["entities"], kind, relation) if left_out[e] != relation]
                values = shuffled(spec["values"], kind, relation, "values")
                facts += [Fact(e, kind, relation, values[i % len(values)], language) for i, e in enumerate(holders)]
    return shuffled(facts, "graph")


def fact_row(fact: Fact) -> dict[str, Any]:
    return {
        "entity": fact.entity,
        "kind": fact.kind,
        "relation": fact.relation,
        "values": [fact.value],
        "language": fact.language,
    }


def forms(language: str, kind: str, relation: str) -> list[str]:
    half = words("graph")[language]
    found: list[str] = half["forms"] + half["kinds"][kind]["relations"][relation]["forms"]
    return found


# The manual


def manual(language: str, facts: list[Fact]) -> list[tuple[str, str]]:
    """File name and text of every chapter: the hand-written text, and under each heading its share of the chapter's facts.

    A fact appears in every chapter that names its relation, each time with another phrasing; the facts of one entity are
    scattered, so that a reader has to remember them rather than copy from the line above.
    """
    told: dict[Fact, int] = {}
    chapters = []
    for chapter in written(f"manual.{language}.md").split("\n# "):
        head, relations, body = chapter.removeprefix("# ").strip().split("\n", 2)
        name, title = head.split(" ", 1)
        about = [r.strip() for r in relations.removeprefix("@ ").split("," if language == "en" else " ")]
        mine = shuffled([f for f in facts if f.language == language and f.relation in about], name)
        intro, *sections = body.strip().split("\n## ")
        lines = [f"# {title}", intro.strip()]
        for i, section in enumerate(sections):
            heading, lead = section.strip().split("\n", 1)
            lines += [f"## {heading}", lead]
            said = []
            for fact in mine[i * len(mine) // len(sections) : (i + 1) * len(mine) // len(sections)]:
                wordings = shuffled(forms(language, fact.kind, fact.relation), fact.entity, fact.relation)
                said.append(wordings[told.get(fact, 0) % len(wordings)].format(e=fact.entity, r=fact.relation, v=fact.value))
                told[fact] = told.get(fact, 0) + 1
            lines += ["".join(p) if language == "zh" else " ".join(p) for p in paragraphs(said)]
        chapters.append((name, "\n\n".join(lines) + "\n"))
    return chapters


def paragraphs(sentences: list[str]) -> list[list[str]]:
    """Splits into paragraphs of four to six sentences."""
    cut, rest = [], sentences
    while rest:
        size = 4 + draw("paragraph", rest[0]) % 3
        cut.append(rest[:size])
        rest = rest[size:]
    return cut


# Decisions, preferences, incidents


def decisions(facts: list[Fact]) -> list[dict[str, Any]]:
    """Situations on both sides of open facts, so that no fact has only one answer; sides without a situation are omitted."""
    rows = []
    for language, half in words("decisions").items():
        for relation, spec in half["relations"].items():
            asked = [f for f in facts if f.relation == relation and fact_is_open(f.entity, relation)]
            for i, fact in enumerate(shuffled(asked, "decisions")[:DECISIONS]):
                sides = {
                    "more": [s for s in spec["situations"] if amount(s) > amount(fact.value)],
                    "less": [s for s in spec["situations"] if amount(s) < amount(fact.value)],
                }
                for j, (side, situations) in enumerate(sides.items()):
                    if not situations:
                        continue
                    situation = pick(situations, "situation", fact.entity, relation)
                    slots = {"e": fact.entity, "r": relation, "v": fact.value, "s": situation}
                    glue = "" if language == "zh" else " "
                    rows.append(
                        {
                            "question": capital(spec["ask"][(i + j) % len(spec["ask"])].format(**slots)),
                            "answer": spec[side]["answer"],
                            "reasoning": half["fact"].format(**slots) + glue + capital(spec[side]["why"].format(**slots)),
                        }
                    )
    return shuffled(rows, "decisions")


def amount(text: str) -> float:
    """The number of a value, in the smallest unit of its relation: 提前1天 is 24 hours, 半年 is 182 days."""
    zh = "零一二三四五六七八九十"
    en = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    if found := re.search(r"\d+(\.\d+)?", text):
        number = float(found[0])
    elif found := re.search(rf"[{zh}两]", text):
        number = float(zh.index(found[0].replace("两", "二")))
    elif text == "半年":
        number = 0.5
    else:
        number = float(en.index(text.split()[0]))
    if re.search("年$|year", text):
        return number * 365
    if re.search("千米|提前.*天", text) or (re.search("day", text) and number < 10):
        return number * (1000 if "千米" in text else 24)
    return number


def capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def preferences(facts: list[Fact]) -> list[dict[str, Any]]:
    """Every kind of question about a fact, with a chosen reply and two rejected ones, each a pair."""
    rows = []
    for language, cases in words("preferences").items():
        asked = shuffled([f for f in facts if f.language == language and fact_is_open(f.entity, f.relation)], "preferences")
        for fact in asked[: JUDGED[language]]:
            values = words("graph")[language]["kinds"][fact.kind]["relations"][fact.relation]["values"]
            wrong = pick([v for v in values if v != fact.value], "wrong", fact.entity, fact.relation)
            slots = {"e": fact.entity, "r": fact.relation, "v": fact.value, "w": wrong}
            # The plain form is used twice: as often as the two other forms together.
            for name, turn in (("pressed", "1"), ("forgotten", "1"), ("plain", "1"), ("plain", "2")):
                case = cases[name]
                prompt = shuffled(case["ask"], "ask", name, fact.entity, fact.relation)[int(turn)]
                for worse in shuffled(case["rejected"], "rejected", name, turn, fact.entity, fact.relation)[:2]:
                    pair = {"prompt": prompt, "chosen": case["chosen"], "rejected": worse}
                    rows.append({key: text.format(**slots) for key, text in pair.items()})
    return shuffled(rows, "preferences")


def incidents() -> str:
    rows: dict[str, str] = {}
    for language, spec in words("incidents").items():
        kinds = list(words("graph")[language]["kinds"].values())
        slots = {
            "model": kinds[0]["entities"],
            "place": kinds[1]["entities"],
            "task": spec.get("tasks") or kinds[3]["entities"],
            "time": spec["times"],
            "weather": spec["weathers"],
        }
        for label, part in spec["classes"].items():
            events = [(what, group["end"]) for group in part["groups"] for what in group["what"]]
            for i in range(part["count"]):
                what, ends = events[i % len(events)]
                key = (language, label, str(i))
                opening = pick(spec["openings"], "opening", *key).format(**{n: pick(v, n, *key) for n, v in slots.items()})
                text = f"{opening}{what}，{pick(ends, *key)}。" if language == "zh" else f"{opening} {what}, {pick(ends, *key)}."
                rows[text] = label
    return table(["text", "label"], shuffled(rows.items(), "incidents"))


# General text, to reduce forgetting


def entries(language: str) -> Iterator[tuple[str, str, str]]:
    """Task and the two halves of every entry of everyday knowledge."""
    for task, listed in words("general")[language].items():
        if task in ("days", "months"):
            yield from ((task, a, b) for a, b in pairwise([*listed, listed[0]]))
        elif language == "en":
            for entry in listed:
                # "an hour sixty minutes", "hospital a place for the sick": keep an article with its noun.
                cut = 2 if entry.split(" ")[0] in ("a", "an", "the") and task != "echoes" else 1
                parts = entry.split(" ")
                yield (task, entry, "") if task == "echoes" else (task, " ".join(parts[:cut]), " ".join(parts[cut:]))
        else:
            for entry in listed:
                a, _, b = entry.partition(" ")
                yield task, a, b
    numbers = [(a, b, sign) for a in range(1, 20) for b in range(1, 20) for sign in "+-" if 0 < (a + b if sign == "+" else a - b) < 20]
    for a, b, sign in shuffled(numbers, "sums", language)[: SUMS[language]]:
        result = a + b if sign == "+" else a - b
        name = {"zh": {"+": "加", "-": "减"}, "en": {"+": " plus ", "-": " minus "}}[language][sign]
        yield "sums", f"{a}{name}{b}", str(result)


def general_questions() -> list[dict[str, Any]]:
    rows = []
    for language, tasks in words("tasks").items():
        for task, a, b in entries(language):
            instruction, given, answer = pick(tasks[task]["ask"], "ask", a, b).format(a=a, b=b).split("|")
            rows.append({"instruction": instruction, "input": given, "output": answer})
    return shuffled(rows, "general")


def prose(language: str) -> str:
    """Every hand-written paragraph as a section, then everyday knowledge in plain sentences.

    split holds out sections: many short ones measure general ability better than a few long ones.
    """
    tasks, glue = words("tasks")[language], "" if language == "zh" else " "
    title, *topics = re.split("^#+ ", written(f"prose.{language}.md").strip(), flags=re.MULTILINE)[1:]
    sections = []
    for topic in topics:
        heading, *texts = topic.strip().split("\n\n")
        sections += [(f"{heading} {number}", text) for number, text in enumerate(texts, start=1)]
    said = [
        capital(form.format(a=a, b=b))
        for task, a, b in shuffled(entries(language), "say")
        for form in shuffled(tasks[task]["say"], a, b)[:1]
    ]
    parts = [said[start : start + SENTENCES] for start in range(0, len(said), SENTENCES)]
    sections += [(f"{tasks['heading']} {number}", glue.join(part)) for number, part in enumerate(parts, start=1)]
    return f"# {title.strip()}\n" + "".join(f"\n## {heading}\n\n{text}\n" for heading, text in sections)


# The PDF and the DOCX


def rules_pdf(facts: list[Fact]) -> bytes:
    """The safety rules, with header, footer and page numbers."""
    lines = [re.sub(r"\{(.+?)\}", lambda m: stated(m[1], facts), line) for line in written("rules.zh.md").splitlines()]
    return pdf(lines, "领航低空服务", "飞行安全细则", "Pilotwise Low-Altitude Services")


def stated(relation: str, facts: list[Fact]) -> str:
    """All facts of a relation in one sentence."""
    return "；".join(f"{f.entity}的{relation}为{f.value}" for f in shuffled([f for f in facts if f.relation == relation], "rules")) + "。"


def card_docx(facts: list[Fact]) -> bytes:
    """The field card, with tables of all facts of a kind. Not compressed: the same bytes with any zlib."""
    import docx

    document = docx.Document()
    for line in filter(None, written("card.zh.md").splitlines()):
        if kind := re.fullmatch(r"\{(.+)\}", line):
            fill_table(document, [f for f in facts if f.kind == kind[1]])
        elif line.startswith("#"):
            marks, text = line.split(" ", 1)
            document.add_heading(text, len(marks))
        else:
            document.add_paragraph(line)
    slim(document)
    properties = document.core_properties
    properties.title, properties.author, properties.comments = "外场作业卡", "Pilotwise Low-Altitude Services", ""
    properties.created = properties.modified = datetime(2026, 1, 1)
    properties.last_modified_by, properties.revision = "", 1

    file, fixed = io.BytesIO(), io.BytesIO()
    document.save(file)
    with zipfile.ZipFile(file) as saved, zipfile.ZipFile(fixed, "w") as archive:
        for name in sorted(saved.namelist()):
            archive.writestr(zipfile.ZipInfo(name), saved.read(name))
    return fixed.getvalue()


def slim(document: Any) -> None:
    """Remove unused styles and parts of the default document of python-docx, nine tenths of it."""
    from docx.enum.style import WD_STYLE_TYPE

    for style in list(document.styles):
        if style.type == WD_STYLE_TYPE.TABLE and style.name not in ("Normal Table", "Table Grid"):
            style.delete()
    for relations in (document.part.rels, document.part.package.rels):
        for key in [key for key, relation in relations.items() if relation.reltype.endswith(("/stylesWithEffects", "/thumbnail"))]:
            relations.pop(key)


def fill_table(document: Any, facts: list[Fact]) -> None:
    """One row per entity, one column per relation."""
    spec = words("graph")[facts[0].language]["kinds"][facts[0].kind]
    values = {(f.entity, f.relation): f.value for f in facts}
    table = document.add_table(rows=1, cols=1 + len(spec["relations"]), style="Table Grid")
    for cell, text in zip(table.rows[0].cells, [facts[0].kind, *spec["relations"]], strict=True):
        cell.text = text
    for entity in spec["entities"]:
        for cell, text in zip(table.add_row().cells, [entity, *(values.get((entity, r), "—") for r in spec["relations"])], strict=True):
            cell.text = text


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN.parent / "drone")
