"""Generates samples/road and samples/road-checks from the hand-written files in samples/written/road; for developers only.

Run: python samples/make_road.py [folder]     (samples/road by default; the checks go beside it)
"""

import csv
import io
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from make_drone import draw, pick, shuffled, write_rows, write_text
from make_fire import spaced

WRITTEN = Path(__file__).parent / "written/road"
DAYTIMES = {0: "凌晨", 6: "清晨", 7: "早高峰", 9: "上午", 12: "中午", 14: "下午", 17: "晚高峰", 19: "夜间"}
AGES = {"儿童": (4, 8), "学生": (8, 15), "老人": (68, 82), "": (19, 66)}
TELLING = "雾|雨|冰|雪|风|隧道|夜间|路灯|远光|放学"  # says by itself when or in which weather it happened
HOURS = {"夜间|路灯|远光": (19, 23), "放学": (16, 17), "儿童|老人": (8, 18), "": (0, 23)}
TABLE = ["编号", "事故形态", "简要案情"]

# What two models that are not ours answered: the share of wrong classes, of answers in another form, and what they confuse.
MODELS = {"a": (0.06, 0.02), "b": (0.17, 0.08)}
CONFUSED = {
    "追尾碰撞": ["侧面碰撞", "侧面碰撞", "单车事故"],
    "侧面碰撞": ["追尾碰撞", "追尾碰撞", "碰撞行人或骑车人"],
    "碰撞行人或骑车人": ["侧面碰撞", "单车事故"],
    "单车事故": ["追尾碰撞", "侧面碰撞"],
}
UNFORMED = [
    "这起事故主要由驾驶人疏忽造成。",
    "{label}或{other}",
    "抱歉，仅凭这段文字无法判断。",
    "C",
    "rear-end collision",
    "事故形态分析：首先，驾驶人未保持安全距离……",
    "",
]


@dataclass
class Report:
    id: str
    label: str
    text: str
    planted: dict[str, list[str]] = field(default_factory=dict)


def main(out: Path) -> None:
    listed = reports()
    checks = out.with_name(f"{out.name}-checks")
    write_text(out / "incidents/reports.csv", table(listed))
    write_text(out / "rules/rules.md", spaced(written("rules.zh.md")))
    write_text(out / "rules/leaflet-en.md", written("leaflet.en.md"))
    for kind, seeds in words("seeds").items():
        write_rows(out / f"seeds/{kind}.jsonl", [seed(*parts) for parts in seeds])
    write_rows(out / "preference/pairs.jsonl", pairs())
    for model, (wrong, unformed) in MODELS.items():
        write_rows(checks / f"answers-{model}.jsonl", [answered(report, model, wrong, unformed) for report in listed])
    write_rows(
        checks / "planted.jsonl",
        [{"id": r.id, "kind": kind, "value": value} for r in listed for kind, values in r.planted.items() for value in values],
    )
    (checks / "teacher.yaml").write_text(
        "\n".join(f"- {json.dumps(one, ensure_ascii=False)}" for one in teacher()) + "\n", encoding="utf-8"
    )


def written(name: str) -> str:
    return (WRITTEN / name).read_text(encoding="utf-8")


@cache
def words(name: str) -> Any:
    return yaml.safe_load(written(f"{name}.yaml"))


# Reports


def reports() -> list[Report]:
    found: list[Report] = []
    turns = Counter[tuple[str, str]]()
    for label, part in words("incidents")["classes"].items():
        events = shuffled(part["events"], label, "events")
        found += [report(label, part, events[i % len(events)], str(i), turns) for i in range(part["count"])]
    found = shuffled(found, "reports")
    for number, one in enumerate(found, 1):
        one.id = f"WT-2025-{number:04}"
    return found


def report(label: str, part: dict[str, Any], event: dict[str, Any], number: str, turns: Counter[tuple[str, str]]) -> Report:
    """One incident: where and when, what happened, how it ended, what the officers did, who called."""
    spec, key = words("incidents"), (label, number)
    one = Report("", label, "")
    what = event["what"]
    end = pick([e for e in event.get("ends", part["ends"]) if "护栏" not in e or "护栏" in what], "end", *key)
    hour = between(*HOURS[next(sign for sign in HOURS if re.search(sign, what))], "hour", *key)
    openings = [o for o in spec["opening"] if "{weather}" not in o or not re.search(TELLING, what)]
    at = pick(event["at"], "at", *key)
    places = shuffled(spec["places"][at], "places", label)  # in rotation, so that every class has incidents everywhere
    place = next(p for p in places[turns[label, at] % len(places) :] + places if "地下" not in p or "truck" not in event)
    turns[label, at] += 1
    months = [1, 2, 12] if re.search("冰|雪", what) else list(range(1, 13))
    opening = pick(openings, "opening", *key).format(
        place=place,
        date=f"{pick(months, 'month', *key)}月{1 + draw('day', *key) % 28}日",
        time=f"{hour}时{draw('minute', *key) % 12 * 5:02}分",
        hour=hour,
        daytime=next(name for start, name in reversed(DAYTIMES.items()) if hour >= start),
        weather=pick(spec["weathers"], "weather", *key),
    )
    vehicles = spec["light"] if at == "yard" else spec["vehicles"]
    injury = pick(spec["injured"], "injury", *key)
    slots = {
        **driver(one, spec["trucks"] if "truck" in event else vehicles, "A", key),
        "a_car": "该车",
        "b_car": "被撞车辆",
        "B_driver": "驾驶人",
        "injury": injury,
    }
    if part["vehicles"] == 2:
        slots["B"] = driver(one, vehicles, "B", key)["A_passive"]
    if "{P}" in end:
        low, high = next(ages for sign, ages in AGES.items() if sign in what)
        name, sex = person(one, "P", key)
        slots["P"] = f"{name}（{sex}，{between(low, high, 'age', *key)}岁）"
    sentences = [f"{opening}{what}，{end}。".format(**slots)]
    if draw("handled", *key) % 3:
        sentences.append(pick(spec["handling"], "handling", *key))
    if draw("reported", *key) % 4 == 0:
        phone = f"1745{draw('phone', *key) % 10**7:07}"
        sentences.append(pick(spec["reporters"], "reporter", *key).format(name=person(one, "R", key)[0], phone=phone))
        one.planted["mobile"] = [phone]
    one.text = "".join(sentences)
    return one


def driver(one: Report, vehicles: list[str], side: str, key: tuple[str, str]) -> dict[str, str]:
    """A driver with vehicle, in the forms that a sentence may ask for."""
    vehicle = pick(vehicles, "vehicle", side, *key)
    number = plate("新能源" in vehicle, side, *key)
    one.planted.setdefault("plate", []).append(number)
    name, sex = person(one, side, key)
    age = between(24, 58, "age of driver", side, *key)
    subjects = [
        f"驾驶人{name}驾驶{number}{vehicle}",
        f"驾驶人{name}（{sex}，{age}岁）驾驶号牌为{number}的{vehicle}",
        f"{number}{vehicle}（驾驶人：{name}）",
    ]
    return {
        "A": pick(subjects, "subject", side, *key),
        "A_noun": f"驾驶人{name}驾驶的{number}{vehicle}",
        "A_passive": f"{number}{vehicle}（驾驶人：{name}）",
    }


def person(one: Report, *key: Any) -> tuple[str, str]:
    """A name that this report does not have yet, with the sex."""
    people, taken = words("people"), one.planted.setdefault("name", [])
    turn = ("name", key[0], *key[1])
    sex = pick(["男", "男", "女"], "sex", *turn)
    surnames = [s for s in people["surnames"] if s not in {name[0] for name in taken}]
    taken.append(pick(surnames, *turn) + pick(people["given"][sex], "given", *turn))
    return taken[-1], sex


def plate(electric: bool, *key: str) -> str:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    digits = [str(draw("digit", str(i), *key) % 10) for i in range(5)]
    if electric:
        number = "D" + "".join(digits)
    else:
        place = draw("letter", *key) % 5
        number = "".join([*digits[:place], letters[draw("which", *key) % 24], *digits[place + 1 :]])
    return f"宁{pick(['K', 'K', 'M', 'P'], 'city', *key)}·{number}"


def between(low: int, high: int, *key: str) -> int:
    return low + draw(*key) % (high - low + 1)


def table(listed: list[Report]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(TABLE)
    writer.writerows([one.id, one.label, one.text] for one in listed)
    return file.getvalue()


# Seeds, preferences, other models' answers


def seed(instruction: str, given: str, output: str) -> dict[str, str]:
    return {"instruction": instruction, "input": given, "output": output} if given else {"instruction": instruction, "output": output}


def pairs() -> list[dict[str, str]]:
    rows = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, *worse in words("preferences") for rejected in worse
    ]
    return shuffled(rows, "pairs")


def teacher() -> list[dict[str, Any]]:
    """What a teacher answers in the loop of seeds: entries as lingyu/generate/llm/written.py reads them."""
    articles = dict(re.findall(r"^第([一二三四五六七八九十]+)条 (.+(?:\n(?!\n|#).+)*)", written("rules.zh.md"), flags=re.MULTILINE))
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)+)", written("leaflet.en.md"), flags=re.MULTILINE))
    chinese = ("你在扩充一个专业领域助手的指令库", "题型：{}\n", "你依据给出的段落回答问题", "问题：{}\n")
    english = ("You extend the pool of instructions", "Kind of task: {}\n", "You answer from the passage given", "Question: {}\n")
    listed = [(list(articles.values())[number - 1], lines, chinese) for number, lines in words("teacher")["articles"].items()]
    listed += [(sections[heading].strip(), lines, english) for heading, lines in words("teacher")["leaflet"].items()]
    rows = []
    for passage, lines, (extend, of_kind, answers, question) in listed:
        evidence = passage.split("\n")[0]
        for kind, instruction, answer, *fault in lines:
            marks = {"note": fault[0]} if fault else {}
            asked = [extend, of_kind.format(kind), evidence]
            rows.append({"asked": asked, "answer": {"instructions": [instruction]}} | marks)
            asked = [answers, question.format(instruction), evidence]
            rows.append({"asked": asked, "answer": {"answerable": True, "evidence": evidence, "answer": answer}} | marks)
    return rows


def answered(report: Report, model: str, wrong: float, unformed: float) -> dict[str, str]:
    """What the model said of this report: mostly its class, sometimes another, sometimes no class at all."""
    share = draw("answer", model, report.text) / 2**64
    other = pick(CONFUSED[report.label], "other", model, report.text)
    answer = other if share < wrong else report.label
    if wrong <= share < wrong + unformed:
        answer = pick(UNFORMED, "unformed", model, report.text).format(label=report.label, other=other)
    elif model == "b":
        answer = pick([*["{}"] * 5, "{}。", "事故形态：{}", "答案：{}"], "form", report.text).format(answer)
    return {"id": report.id, "text": report.text, "answer": answer}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN.parent.parent / "road")
