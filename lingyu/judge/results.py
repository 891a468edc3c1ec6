"""The outcome of a comparison, of people and of models that judge alike: rankings, win rates, agreement. As JSON, and as lines to print."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingyu.files import read_json
from lingyu.judge import agreement, ranking
from lingyu.judge.ranking import Vote
from lingyu.judge.sources import Comparison, Pairing
from lingyu.judge.votes import Choice
from lingyu.stage import StageError

SCORES: Mapping[Choice, float] = {"one": 1.0, "other": 0.0, "tie": 0.5, "bad": 0.5}
WORDS = {
    "en": {
        "people": "People",
        "items": "{items} items, {pairs} pairs of different answers",
        "same": "same answer, not compared",
        "unshared": "{count} items that not all answer are left out",
        "stale": "{count} votes are about answers that have changed since, and are ignored",
        "votes": "{votes} votes by {who}",
        "strength": "Bradley–Terry",
        "elo": "Elo",
        "wins": "win rate of the row against the column, ties half",
        "kappa": "agreement (kappa)",
        "all": "all (Fleiss)",
        "none": "no votes yet",
        "first_chosen": "chooses what it reads first",
        "contradicts_itself": "contradicts itself when the order is reversed",
        "longer_chosen": "chooses the longer answer",
        "lacking": "pairs without a verdict",
    },
    "zh": {
        "people": "人工评审",
        "items": "共 {items} 题，{pairs} 对不同的回答",
        "same": "回答相同，不作比较",
        "unshared": "{count} 题并非所有模型都有回答，已排除",
        "stale": "{count} 票所针对的回答已改变，已忽略",
        "votes": "{votes} 票，评审：{who}",
        "strength": "Bradley–Terry",
        "elo": "Elo",
        "wins": "行对列的胜率，平局各算一半",
        "kappa": "一致性（kappa）",
        "all": "全体（Fleiss）",
        "none": "还没有投票",
        "first_chosen": "选择先读到的回答",
        "contradicts_itself": "交换顺序后自相矛盾",
        "longer_chosen": "选择较长的回答",
        "lacking": "没有结论的对数",
    },
}


def results(
    compared: Comparison, people: Mapping[str, Mapping[str, Choice]], judges: Mapping[str, dict[str, Any]], resamples: int, seed: int
) -> dict[str, Any]:
    """judges: for each model that judged, its `votes`, and what else is to be told of it."""
    known = {pairing.key: pairing for pairing in compared.pairings}
    valid = {who: {key: choice for key, choice in given.items() if key in known} for who, given in people.items()}
    valid = {who: given for who, given in valid.items() if given}
    judges = {
        name: judge | {"votes": {key: choice for key, choice in judge["votes"].items() if key in known}} for name, judge in judges.items()
    }
    everybody = {**valid, **{name: judge["votes"] for name, judge in judges.items()}}
    found: dict[str, Any] = {
        "candidates": compared.names,
        "items": len(compared.items),
        "pairs": len(compared.pairings),
        "not_answered_by_all": compared.unshared,
        "same_answer": {f"{one} · {other}": count for (one, other), count in compared.same.items()},
        "stale_votes": sum(map(len, people.values())) - sum(map(len, valid.values())),
        "people": {
            "reviewers": {who: len(given) for who, given in valid.items()},
            **ranking.ranked(votes_of(valid, known), compared.names, resamples, seed),
            "agreement": agreement.agreement(verdicts(valid), resamples, seed),
        },
        "judges": {},
    }
    for name, judge in judges.items():
        found["judges"][name] = {
            **ranking.ranked(votes_of({name: judge["votes"]}, known), compared.names, resamples, seed),
            **{key: value for key, value in judge.items() if key != "votes"},
            "agreement_with_people": agreement.agreement({name: verdicts(everybody)[name], "people": majority(valid)}, resamples, seed)[
                "cohen"
            ].get(f"{name} · people"),
        }
    return found


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The results in a folder, by the name of the file."""
    found = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    if wrong := [name for name, each in found.items() if not isinstance(each, dict) or not {"pairs", "people", "judges"} <= each.keys()]:
        raise StageError(f"{folder / wrong[0]}.json holds no results of `lingyu compare … --json FILE`.")
    return found


def votes_of(given: Mapping[str, Mapping[str, Choice]], known: Mapping[str, Pairing]) -> list[Vote]:
    return [
        Vote(known[key].item.id, known[key].one, known[key].other, SCORES[choice])
        for choices in given.values()
        for key, choice in choices.items()
    ]


def verdicts(given: Mapping[str, Mapping[str, Choice]]) -> dict[str, dict[str, str]]:
    """What each judge says of each pair. Both bad is no preference, as a tie is."""
    return {who: {key: "tie" if choice == "bad" else choice for key, choice in choices.items()} for who, choices in given.items()}


def majority(given: Mapping[str, Mapping[str, Choice]]) -> dict[str, str]:
    """What most people say of each pair; a tie where as many say the one as the other."""
    sums: dict[str, float] = {}
    for choices in given.values():
        for key, choice in choices.items():
            sums[key] = sums.get(key, 0.0) + SCORES[choice] - 0.5
    return {key: "one" if lead > 0 else "other" if lead < 0 else "tie" for key, lead in sums.items()}


def lines(found: Mapping[str, Any], language: str) -> Iterator[str]:
    words = WORDS[language]
    yield words["items"].format(**found)
    for pair, count in found["same_answer"].items():
        if count:
            yield f"  {pair}: {count} {words['same']}"
    if found["not_answered_by_all"]:
        yield words["unshared"].format(count=found["not_answered_by_all"])
    if found["stale_votes"]:
        yield words["stale"].format(count=found["stale_votes"])
    people = found["people"]
    yield from lines_of(words["people"], people, language, people["reviewers"])
    for name, judge in found["judges"].items():
        yield from lines_of(name, judge, language, [name])


def lines_of(title: str, ranked: Mapping[str, Any], language: str, who: Sequence[str] | Mapping[str, int]) -> Iterator[str]:
    words = WORDS[language]
    yield ""
    yield title
    if not ranked["votes"]:
        yield f"  {words['none']}"
        return
    told = ", ".join(f"{name} ({count})" for name, count in who.items()) if isinstance(who, Mapping) else ", ".join(who)
    yield f"  {words['votes'].format(votes=ranked['votes'], who=told)}"
    for name, strength in ranked["bradley_terry"].items():
        rated = ranked["elo"][name]
        yield (
            f"  {name:20} {words['strength']} {strength['value']:7.0f} [{strength['low']:.0f}, {strength['high']:.0f}]"
            f"   {words['elo']} {rated['value']:7.0f} [{rated['low']:.0f}, {rated['high']:.0f}]"
        )
    yield f"  {words['wins']}"
    for name in ranked["bradley_terry"]:
        rates = ranked["win_rates"][name]
        told = "   ".join(
            f"{other} {100 * rate['value']:.0f}% [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}] "
            f"({rate['wins']}/{rate['ties']}/{rate['losses']})"
            for other, rate in rates.items()
        )
        yield f"    {name:18} {told}"
    for pair, agreed in ranked.get("agreement", {}).get("cohen", {}).items():
        yield f"  {words['kappa']} {pair}: {kappa(agreed)}"
    if fleiss := ranked.get("agreement", {}).get("fleiss"):
        yield f"  {words['kappa']} {words['all']}: {kappa(fleiss)}"
    for name in ("first_chosen", "contradicts_itself"):
        if counted := ranked.get("position", {}).get(name):
            yield f"  {words[name]}: {percent(counted)}"
    if counted := ranked.get("longer_chosen"):
        yield f"  {words['longer_chosen']}: {percent(counted)}"
    if lacking := ranked.get("lacking"):
        yield f"  {words['lacking']}: {', '.join(f'{count} {reason}' for reason, count in lacking.items())}"
    if ranked.get("agreement_with_people"):
        yield f"  {words['kappa']} {words['people']}: {kappa(ranked['agreement_with_people'])}"


def percent(told: Mapping[str, Any]) -> str:
    return f"{100 * told['value']:.0f}% [{100 * told['low']:.0f}, {100 * told['high']:.0f}]  n = {told['count']}"


def kappa(agreed: Mapping[str, Any]) -> str:
    if agreed["kappa"] is None:
        return f"–  n = {agreed['count']}"
    same = f"  = {100 * agreed['agreed']:.0f}%" if "agreed" in agreed else ""
    return f"{agreed['kappa']:.2f} [{agreed['low']:.2f}, {agreed['high']:.2f}]{same}  n = {agreed['count']}"
