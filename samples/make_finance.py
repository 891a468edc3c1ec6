"""Generates samples/finance from the hand-written files in samples/written/finance; for developers only.

Run: python samples/make_finance.py [folder]     (the folder is samples/finance by default)
"""

import csv
import io
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from make_drone import draw, pick, shuffled, write_rows, write_text

WRITTEN = Path(__file__).parent / "written/finance"
COUNTS = {"events": 260, "mixed": 40, "prices": 60, "english": 40}
FIRST, DAYS = date(2023, 1, 3), 724
QUARTERS = {
    "zh": ["第四季度", "第一季度", "第二季度", "第三季度"],
    "en": [f"the {number} quarter" for number in ("fourth", "first", "second", "third")],
}
# A return in per cent: so much for a step of polarity, and what moves the whole market in a week and one share on a day.
STEP, MARKET, OWN = 1.9, 0.9, 1.7
# Whom an event can happen to, by words in it.
MAKING, SERVING = ("产线", "工厂", "工艺", "专利", "召回", "停产", "满产"), ("门店", "首店", "网点", "新店")
NO_FACTORY = {"栖云酒店", "远岫航运", "雁渡物流", "朔方重能", "岚屿电力", "青砚软件"}
# Goods that have a price in the news.
TRADED = {"显示面板", "存储芯片", "驱动芯片", "碳酸锂", "白卡纸", "动力煤", "硅片", "光刻胶", "锂辉石", "木浆", "生鲜乳", "小麦粉"}
TRADED |= {"棕榈油", "原料药", "船用燃油", "柴油"}
RELATIONS = {"主营产品": "sells", "主要原料": "buys", "第一大客户": "customer"}
SETS = {"headlines": 2, "forum": 2, "analysts": 3}  # how many companies a sentence is said of


@dataclass(frozen=True)
class Item:
    day: date
    title: str
    text: str
    source: str
    polarity: int
    gain: float


def main(out: Path) -> None:
    items = news()
    early = [[i.day, i.title, i.text, i.source, i.gain] for i in items if i.day.year == 2023]
    write_text(out / "news/2023.csv", table(["日期", "标题", "正文", "来源", "五日收益"], early))
    write_rows(
        out / "news/2024.jsonl",
        [
            {"date": str(i.day), "title": i.title, "text": i.text, "source": i.source, "return_5d": i.gain}
            for i in items
            if i.day.year == 2024
        ],
    )
    write_text(out / "labels/headlines.csv", table(["日期", "标题", "情感"], labelled("headlines")))
    write_rows(out / "labels/forum.jsonl", [{"date": day, "post": text, "view": label} for day, text, label in labelled("forum")])
    write_text(out / "labels/analysts.csv", table(["日期", "句子", "评级"], labelled("analysts")))
    write_rows(out / "facts/companies.jsonl", facts())


@cache
def words(name: str) -> Any:
    return yaml.safe_load((WRITTEN / f"{name}.yaml").read_text(encoding="utf-8"))


# News


def news() -> list[Item]:
    """Every item on its day, in the order of the days."""
    told = []
    for kind, count in COUNTS.items():
        listed = shuffled(words("news")[kind], kind, "events")
        told += [(kind, i // len(listed), listed[i % len(listed)]) for i in range(count)]
    ordered = shuffled(told, "news")
    items = []
    for number, (kind, turn, event) in enumerate(ordered):
        day = FIRST + timedelta(days=number * DAYS // len(ordered))
        items.append(item(kind, turn, event, day + timedelta(days=(0, 0, 0, 0, 0, 2, 1)[day.weekday()])))
    return sorted(items, key=lambda i: (i.day, i.title))


def item(kind: str, turn: int, event: list[Any], day: date) -> Item:
    """The event told for the turn-th time, each time of another company."""
    polarity, title, text = event
    key = (title, str(turn))
    company = shuffled(who(kind, text), title)[turn % len(who(kind, text))]
    known = words("companies")["companies"][company]
    bought = known["buys"]
    if kind == "prices":
        bought = pick([good for good in (known["sells"], known["buys"]) if good in TRADED], "good", *key)
        polarity = polarity if bought == known["sells"] else -polarity
    language = "en" if kind == "english" else "zh"
    small = "个百分点" in text or "points of margin" in text
    slots = {
        "c": known["en"] if language == "en" else company,
        "o": english_name(known["customer"]) if language == "en" else known["customer"],
        "g": known["sells"],
        "m": bought,
        "p": 2 + draw("per cent", *key) % (7 if small else 37),
        "n": 2 + draw("number", *key) % 47,
        "q": QUARTERS[language][(day.month - 1) // 3],
    }
    sentences = [text.format(**slots)]
    if language == "zh" and draw("context", *key) % 3:
        sentences.append(pick(words("news")["contexts"][known["sector"]], "context", *key))
    if language == "zh" and kind != "prices" and draw("closing", *key) % 2:
        sentences.append(pick(words("news")["closings"][polarity], "closing", *key))
    source = "Lanwan Wire" if language == "en" else pick(words("news")["sources"], "source", *key)
    return Item(day, title.format(**slots), "".join(sentences), source, polarity, gain(polarity, day, *key))


def who(kind: str, text: str) -> list[str]:
    """The companies to which this can happen."""
    companies = words("companies")["companies"]
    names = list(companies)
    if kind == "prices":
        return [name for name in names if TRADED & {companies[name]["sells"], companies[name]["buys"]}]
    if any(word in text for word in SERVING):
        return [name for name in names if companies[name]["sector"] == "消费"]
    if any(word in text for word in MAKING) or "plant" in text:
        return [name for name in names if name not in NO_FACTORY]
    return names


def english_name(company: str) -> str:
    known = words("companies")["companies"]
    return known[company]["en"] if company in known else "its largest customer"


def gain(polarity: int, day: date, *key: str) -> float:
    """Five days' return in per cent: the news, the week's market, and all else that moves a share."""
    week = f"{day.isocalendar()[0]}-{day.isocalendar()[1]}"
    return round(STEP * polarity + MARKET * bell("market", week) + OWN * bell("share", *key), 2)


def bell(*key: str) -> float:
    """A number with the mean 0 and the deviation 1, nearly normal: the same on every machine."""
    return sum(draw("bell", str(i), *key) / 2**64 for i in range(12)) - 6


# Other sources' labels, facts


def labelled(name: str) -> list[tuple[str, str, str]]:
    """Day, text and label, the days as evenly spread as those of the news."""
    companies = list(words("companies")["companies"])
    rows = []
    for label, sentences in words("labels")[name].items():
        for sentence in sentences:
            for turn, company in enumerate(shuffled(companies, name, sentence)[: SETS[name]]):
                rows.append((sentence.format(c=company, p=2 + draw("per cent", sentence, str(turn)) % 8), label))
    ordered = shuffled(rows, name)
    return [(str(FIRST + timedelta(days=number * DAYS // len(ordered))), text, label) for number, (text, label) in enumerate(ordered)]


def facts() -> list[dict[str, Any]]:
    rows = [
        fact(company, "公司", relation, known_facts[name])
        for company, known_facts in words("companies")["companies"].items()
        for relation, name in RELATIONS.items()
    ]
    rows += [fact(term, "术语", "含义", meaning) for term, meaning in words("companies")["terms"].items()]
    return shuffled(rows, "facts")


def fact(entity: str, kind: str, relation: str, value: str) -> dict[str, Any]:
    return {"entity": entity, "kind": kind, "relation": relation, "values": [value], "language": "zh"}


def table(columns: list[str], rows: list[Any]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN.parent.parent / "finance")
