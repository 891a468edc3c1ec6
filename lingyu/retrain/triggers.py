"""What may start a retraining besides a change of the corpus: corrected answers above a count, and questions of another kind.

Corrected answers are kept by the service (LINGYU_FEEDBACK) in a folder outside the corpus and taken into it together, since one of them is
no reason to train. Drift of questions brings no documents, so it takes in what corrections there are, and tells a person.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from lingyu.files import read_json, write_json
from lingyu.ingest import expected
from lingyu.retrain import drift
from lingyu.serve import asked
from lingyu.stage import StageError, StageParams

CORRECTED = "preferences.jsonl"
TAKEN = Path("feedback", CORRECTED)  # in the corpus
SEEN = Path(".lingyu/retrain/drift.json")
TRAINED = Path("out/mix/train/sft.parquet")
REFERENCE = 2000  # questions of the training data that the served ones are compared with
FEWEST = 50  # earlier questions that later ones can be compared with


class Feedback(StageParams):
    folder: str = Field("", description="The service's LINGYU_FEEDBACK, outside the corpus: its corrections are taken in together.")
    count: PositiveInt = Field(
        50, description="Corrected answers that are worth a training: fewer pairs than some dozens hardly move a preference training."
    )


class Drift(StageParams):
    folder: str = Field("", description="The service's LINGYU_QUESTIONS; empty: no questions are compared.")
    questions: int = Field(500, ge=50, description="Served questions that are compared at a time. Each is compared once.")
    level: float = Field(
        0.01, gt=0, lt=1, description="Share of false alarms: at 1 %, one in a hundred looks at questions that are the same."
    )
    against: Literal["training", "earlier"] = Field(
        "training",
        description="training: the questions of the training data, from which people's own wording always differs somewhat. earlier: the "
        "questions that were served before.",
    )


@dataclass(frozen=True)
class Look:
    """A trigger that was looked at: its figure, whether it fires, and what a person should do about it."""

    name: str
    figure: str
    fires: bool = False
    advice: str = ""


def markdown(looks: Iterable[Look]) -> str:
    rows = [f"| {look.name} | {look.figure} | {'**yes 是**' if look.fires else 'no 否'} |" for look in looks]
    return "\n".join(["| trigger 触发条件 | figure 数值 | fires 触发 |", "| --- | --- | --- |", *rows])


def plain(looks: Iterable[Look]) -> str:
    return "; ".join(f"{look.name}: {look.figure}" for look in looks)


def taken(params: Feedback, corpus: Path, at_once: bool) -> Look:
    """Take the corrections into the corpus if there are enough of them, or at_once if there is any; with them the retrieval set."""
    source, target = Path(params.folder, CORRECTED), corpus / TAKEN
    if source.resolve().is_relative_to(corpus.resolve()):
        raise StageError(
            f"params.yaml, retrain.feedback.folder: {params.folder} is inside the corpus {corpus}, where each correction is a change by "
            "itself. Give the service a folder outside (LINGYU_FEEDBACK)."
        )
    new = lines_to_add(source, target)
    fires = len(new) >= (1 if at_once else params.count)
    if fires:
        target.parent.mkdir(parents=True, exist_ok=True)
        for name in (CORRECTED, expected.NAME):
            lines = lines_to_add(source.with_name(name), target.with_name(name))
            if lines:
                with target.with_name(name).open("ab") as file:
                    file.writelines(lines)
    return Look("feedback 反馈", f"{len(new)} of {params.count} corrected answers", fires)


def lines_to_add(source: Path, target: Path) -> list[bytes]:
    known = set(whole_lines(target))
    return [line for line in dict.fromkeys(whole_lines(source)) if line not in known]


def whole_lines(path: Path) -> list[bytes]:
    """The lines of the file that are ended: the service may be writing the last one."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        return [line for line in file if line.endswith(b"\n") and line.strip()]


def drifted(params: Drift) -> Look:
    """Compare the newest served questions, once there are enough that no look has seen."""
    count, kept = asked.read(Path(params.folder))
    seen = int(read_json(SEEN)["seen"]) if SEEN.exists() else 0
    if count - seen < params.questions:
        return Look("drift 漂移", f"{max(count - seen, 0)} of {params.questions} questions since the last look")
    newest = kept[-params.questions :]
    if params.against == "earlier":
        others = kept[: -params.questions]
    elif TRAINED.exists():
        others = drift.trained_on(TRAINED, REFERENCE)
    else:
        return Look("drift 漂移", f"{TRAINED} is not on this machine")
    if len(others) < FEWEST:
        return Look(
            "drift 漂移", f"{len(others)} {'earlier' if params.against == 'earlier' else 'training'} questions, too few to compare with"
        )
    p = drift.chance(drift.unit(newest), drift.unit(others))
    write_json(SEEN, {"seen": count, "chance": p})
    from_what = "earlier ones" if params.against == "earlier" else "training data"
    advice = (
        f"The last {len(newest)} served questions differ from the {from_what} (p = {p:.3g}): add documents, facts or corrections on what "
        "people ask now. 用户的提问与之前（或训练数据）已有明显差异，请补充相应的语料或更正。"
    )
    return Look("drift 漂移", f"p = {p:.3g} over {len(newest)} questions", p < params.level, advice if p < params.level else "")
