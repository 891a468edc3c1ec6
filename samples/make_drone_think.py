"""Generates samples/drone-think: questions that need several facts of samples/drone, thought through aloud; for developers only.

The file is in the raw form of the systems it stands for: its field `answer` holds what was thought, `reasoning` the conclusion.

Run: python samples/make_drone_think.py [folder]     (the folder is samples/drone-think by default)
"""

import sys
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from make_drone import Fact, amount, capital, draw, fact_is_open, graph, pick, shuffled, words, write_rows

WRITTEN = Path(__file__).parent / "written/drone-think"
# Kinds of things that one question is about, and how many facts of each.
FLIGHTS = {"zh": [("机型", 2), ("空域", 1)], "en": [("model", 2), ("zone", 1)]}
OTHERS = [("任务", 2), ("部件", 1)]
COUNTS = {"zh": 44, "others": 14, "compare": 24, "alarm": 14, "en": 24}


def main(out: Path) -> None:
    rows = [
        *flights("zh", FLIGHTS["zh"], COUNTS["zh"]),
        *flights("zh", OTHERS, COUNTS["others"]),
        *comparisons(COUNTS["compare"]),
        *alarms(COUNTS["alarm"]),
        *flights("en", FLIGHTS["en"], COUNTS["en"]),
    ]
    write_rows(out / "questions.jsonl", shuffled(rows, "think"))


@cache
def spoken() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((WRITTEN / "think.yaml").read_text(encoding="utf-8"))
    return found


@cache
def open_facts() -> tuple[Fact, ...]:
    """The facts that questions of the sample may ask for."""
    return tuple(fact for fact in graph() if fact_is_open(fact.entity, fact.relation))


def row(question: str, thought: str, conclusion: str) -> dict[str, str]:
    return {"question": question, "answer": thought, "reasoning": conclusion}


def flights(language: str, kinds: list[tuple[str, int]], count: int) -> list[dict[str, str]]:
    """Whether to fly: conditions of one entity of each kind, half the time all met."""
    conditions = spoken()[language]["conditions"]
    of: dict[str, dict[str, list[Fact]]] = {}
    for fact in open_facts():
        if fact.language == language and fact.relation in conditions:
            of.setdefault(fact.kind, {}).setdefault(fact.entity, []).append(fact)
    rows = []
    for number in range(count):
        chosen: list[Fact] = []
        for kind, wanted in kinds:
            entities = shuffled([e for e, facts in of[kind].items() if len(facts) >= wanted], "flights", kind)
            entity = entities[(number + draw("turn", kind, str(number // len(entities)))) % len(entities)]
            chosen += shuffled(of[kind][entity], "facts", str(number))[:wanted]
        rows.append(flight(language, chosen, number))
    return rows


def flight(language: str, facts: list[Fact], number: int) -> dict[str, str]:
    texts = spoken()[language]["check"]
    key = (language, str(number), facts[0].entity)
    failing = {draw("fails", *key) % len(facts)} if number % 2 else set()
    if number % 6 == 5:  # two at once
        failing.add((max(failing) + 1) % len(facts))
    states, said, faults = zip(*(judged(fact, i in failing, language, key) for i, fact in enumerate(facts)), strict=True)
    wrong = [fault for fault in faults if fault]
    comma, pause, glue, last = ("，", "、", "", "、") if language == "zh" else (", ", " and ", " ", " and ")
    heads = pause.join(dict.fromkeys(fact.entity for fact in facts))
    slots = {"heads": heads, "states": comma.join(states), "count": spelled(len(facts), language), "wrong": last.join(wrong)}
    ends = [
        pick(texts["none" if wrong else "all"], "end", *key),
        pick(texts["recheck"], "recheck", *key),
    ]
    thought = [pick(texts["open"], "open", *key).format(**slots), *said, *(end.format(**slots) for end in ends if end)]
    asked = pick(texts["ask"], "ask", *key).format(**slots)
    return row(capital(asked), glue.join(thought), pick(texts["stay" if wrong else "go"], "conclusion", *key).format(**slots))


def judged(fact: Fact, fails: bool, language: str, key: tuple[str, ...]) -> tuple[str, str, str]:
    """A situation of this fact in the words of the question, what is thought of it, and what is wrong, if anything."""
    condition, texts = spoken()[language]["conditions"][fact.relation], spoken()[language]["check"]
    spec = words("decisions")[language]["relations"][fact.relation]
    other = {"more": "less", "less": "more"}
    side = other[condition["right"]] if fails else condition["right"]
    if not any(on_side(s, fact.value, side) for s in spec["situations"]):
        side = other[side]  # the highest or lowest value of its relation has situations on one side only
    fitting = [s for s in spec["situations"] if on_side(s, fact.value, side)]
    slots = {"e": fact.entity, "r": fact.relation, "v": fact.value, "s": pick(fitting, "situation", fact.relation, *key)}
    right = side == condition["right"]
    slots["why"] = spec[side]["why"].format(**slots).removesuffix("。")
    slots |= {"because": capital(slots["why"]), "verdict": texts["pass" if right else "fail"]}
    slots["verdict_long"] = texts["pass_long" if right else "fail_long"]
    thought = pick(texts["one"], "one", fact.relation, *key).format(**slots)
    return condition["state"].format(**slots), capital(thought), "" if right else condition["wrong"]


def on_side(situation: str, value: str, side: str) -> bool:
    return amount(situation) > amount(value) if side == "more" else amount(situation) < amount(value)


def spelled(count: int, language: str) -> str:
    return {"zh": "零一两三四", "en": ["no", "one", "two", "three", "four"]}[language][count]


def comparisons(count: int) -> list[dict[str, str]]:
    texts = spoken()["zh"]["compare"]
    pairs = [
        (a, b)
        for a, b in combinations([f for f in open_facts() if f.relation in texts["sides"] and f.language == "zh"], 2)
        if a.relation == b.relation and amount(a.value) != amount(b.value)
    ]
    turns = {relation: shuffled([p for p in pairs if p[0].relation == relation], "compare") for relation in texts["sides"]}
    rows = []
    for number in range(count):
        a, b = list(turns.values())[number % len(turns)][number // len(turns)]
        x, y = (a, b) if amount(a.value) > amount(b.value) else (b, a)
        slots = {"a": a.entity, "b": b.entity, "va": a.value, "vb": b.value, "r": a.relation, "side": texts["sides"][a.relation]}
        slots |= {"x": x.entity, "vx": x.value, "vy": y.value}
        key = (a.relation, str(number))
        rows.append(row(*(pick(texts[part], part, *key).format(**slots) for part in ("ask", "think", "answer"))))
    return rows


def alarms(count: int) -> list[dict[str, str]]:
    texts, spec = spoken()["zh"]["alarm"], words("decisions")["zh"]["relations"]["响应时限"]
    limits = {f.entity: f.value for f in open_facts() if f.relation == "响应时限"}
    contacts = {f.entity: f.value for f in open_facts() if f.relation == "通报对象"}
    both = shuffled(limits.keys() & contacts.keys(), "alarms")
    rows = []
    for number in range(count):
        cycle, place = divmod(number, len(both))  # two ways to ask, then the other side
        alarm, side = both[place], "more" if (place + cycle // 2) % 2 else "less"
        fitting = [s for s in spec["situations"] if on_side(s, limits[alarm], side)] or spec["situations"][-1:]
        situation = pick(fitting, "seconds", alarm, str(number))
        side = "more" if on_side(situation, limits[alarm], "more") else "less"
        slots = {"e": alarm, "s": situation, "limit": limits[alarm], "contact": contacts[alarm]}
        slots["why"] = spec[side]["why"].format(**slots, v=limits[alarm]).removesuffix("。")
        key = (alarm, str(number))
        asked = texts["ask"][cycle % len(texts["ask"])]
        said = (asked, pick(texts["think"], "think", *key), pick(texts["late" if side == "more" else "in_time"], "said", *key))
        rows.append(row(*(text.format(**slots) for text in said)))
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN.parent.parent / "drone-think")
