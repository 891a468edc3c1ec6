"""champion: compare the packaged winner with the last release, on the test items of today.

Reads   releases/released.json          the last release: the champion
        out/select                      the new winner, and what it made of the test items
        out/mix/test, out/reward/model  what the champion is asked and scored with, where its own answers are not of this test
Writes  .lingyu/retrain/champion        its answers and weights
"""

import sys
from pathlib import Path
from typing import Any

from flows import commands, start
from lingyu.evaluate.scorer import Prediction
from lingyu.evaluate.settings import Settings
from lingyu.files import read_json, read_table, short_hash, write_table
from lingyu.release import compare
from lingyu.release import lineage as about
from lingyu.retrain import champion
from lingyu.retrain.champion import Decision
from lingyu.select import gate
from lingyu.select.gate import Rules
from lingyu.stage import read_params

RECORD = Path("releases/released.json")  # always local, whatever the hub
MANIFEST = Path("out/package/release/manifest.json")
WORK = Path(".lingyu/retrain/champion")


def decision() -> Decision:
    """Whether the winner should replace the last release. A first release is for a person to decide."""
    entries = read_json(RECORD) if RECORD.exists() else []
    if not entries:
        return Decision(
            False, "No release to compare with yet; release with `python -m flows.release`. 尚无已发布的模型可供比较，可用该命令发布。"
        )
    last, now = entries[-1], {**about.lineage(Path()), **read_json(MANIFEST)}
    if compare.weights(last) == compare.weights(now):
        return Decision(False, "The winner is the released model; there is nothing to release. 胜出模型即已发布的模型，无需发布。")
    answers = champion.kept_answers(last, now["stages"], scoring(now["winner"]), RECORD.parent, WORK / "answers") or asked(last, now)
    if answers is None:
        reason = f"the weights of {last['version']} are neither in DVC's cache nor in {RECORD.parent}"
        return Decision(False, champion.incomparable(reason))
    before, after = (list(read_table(path, Prediction)) for path in (answers, Path(champion.ANSWERS, f"{now['winner']}.parquet")))
    found = champion.decision(before, after, rules(before, after))
    return Decision(found.promote, found.why, f"{last['version']}, {last['place']}\n\n{found.table}")


def scoring(winner: str) -> str:
    """How a winner is asked and scored: answers that were scored otherwise cannot be compared. "" if it is no candidate any more."""
    candidates = read_params().get("evaluate", {}).get("candidates", {})
    return champion.scoring(Settings.load("evaluate", winner).model_dump(exclude={"checkpoint"})) if winner in candidates else ""


def rules(before: list[Prediction], after: list[Prediction]) -> Rules:
    """What decides and what is guarded, as `select` has it; of the metrics that either of them has."""
    from stages.select import Section, primary_metric

    params = Section.load("select")
    measured = list(champion.counted(before) | champion.counted(after))
    own = {"general_bits_per_byte": params.max_general_rise, **params.margins}
    margins = gate.margins_of(measured, params.margin, {name: value for name, value in own.items() if name in measured})
    weights = gate.weights_of(measured, params.weights)
    return Rules(gate.SCORE if weights else primary_metric(params.primary, measured), margins, weights, params.level)


def asked(last: dict[str, Any], now: dict[str, Any]) -> Path | None:
    """The answers of the champion's weights to today's test; once for each test. None without the weights."""
    stages = now["stages"]
    today = [champion.output(stages, path) for path in (champion.TEST, champion.REWARD)]
    weights = [f"{path} {digest}" for path, digest in compare.weights(last).items()]
    answers = WORK / f"{short_hash(*weights, *today, scoring(now['winner']))}.parquet"
    if answers.exists():
        return answers
    model = champion.kept_weights(last, RECORD.parent, WORK / "model")
    if model is None:
        return None
    # A process of its own: it needs torch, and ends when the run is cancelled.
    commands.logged("flows.champion", str(model), now["winner"], str(answers))
    return answers


def ask(model: Path, winner: str, out: Path) -> None:
    from lingyu.evaluate import items
    from lingyu.evaluate.kept import FOLDER

    found = items.predictions(
        model, Path(champion.REWARD), items.Items.read(Path(champion.TEST)), Settings.load("evaluate", winner), FOLDER
    )
    partial = out.with_suffix(".partial")
    write_table(partial, found, Prediction)
    partial.replace(out)


if __name__ == "__main__":
    start("champion", lambda: ask(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
