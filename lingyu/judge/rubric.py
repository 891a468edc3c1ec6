"""Criteria and scales that a judge scores by, and how the judge is reached."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from lingyu.generate.llm.client import Model
from lingyu.records import Language
from lingyu.stage import StageParams, read_yaml

FILE = Path(__file__).with_name("rubrics.yaml")


class Criterion(StageParams):
    zh: str = Field(min_length=1, description="As the judge reads it with a Chinese question.")
    en: str = Field(min_length=1, description="With an English one.")


class Judge(Model):
    """A language model that scores replies, behind any endpoint that speaks OpenAI's chat protocol. Without a model there is none."""

    who: ClassVar[str] = "judge"
    section: ClassVar[str] = "evaluate.common.judge"

    key_from: str = Field("LINGYU_JUDGE_KEY", description="Environment variable with the key. The key itself is written nowhere.")
    scale: Literal["1-5", "0-3"] = Field("1-5", description="Points. What they mean is in lingyu/judge/rubrics.yaml.")
    criteria: list[str] = Field(
        ["accuracy", "helpfulness", "safety"],
        description="What replies are scored by. Items of one's own that have a rubric are scored by that.",
    )
    own: dict[str, Criterion] = Field({}, description="Further criteria, by name: {tone: {zh: 语气…, en: tone…}}.")
    tasks: list[str] = Field(
        ["chat", "preferred"], description="Whose replies are scored: those that no right answer decides. Tasks with rubrics always are."
    )
    most: PositiveInt = Field(200, description="Items of each task, by a choice that stays.")

    @model_validator(mode="after")
    def known(self) -> "Judge":
        if unknown := [name for name in self.criteria if name not in texts()["criteria"] and name not in self.own]:
            listed = ", ".join([*texts()["criteria"], *self.own])
            raise ValueError(f"no criterion is named {', '.join(unknown)}. Known: {listed}. Add others under `own`")
        if bool(self.model) != bool(self.base_url):
            raise ValueError(f"{'base_url' if self.model else 'model'} is missing: a judge needs both")
        return self

    @property
    def on(self) -> bool:
        return bool(self.model)

    @property
    def points(self) -> tuple[int, ...]:
        low, high = self.scale.split("-")
        return tuple(range(int(low), int(high) + 1))

    def criterion(self, name: str, language: Language) -> str:
        own = self.own.get(name)
        return str(getattr(own, language) if own else texts()["criteria"][name][language])


@cache
def texts() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = read_yaml(FILE)
    return found


def word(name: str, language: Language) -> str:
    return str(texts()["words"][name][language])
