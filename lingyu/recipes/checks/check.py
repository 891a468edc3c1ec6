"""What a check is: its fields are what a recipe writes, `look` says whether it holds and what was found."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lingyu.recipes.service import Client, Service
from lingyu.stage import StageError


@dataclass(frozen=True)
class Result:
    zh: str
    en: str
    holds: bool
    found: str


@dataclass
class Run:
    """A recipe's folder after `dvc repro`, and its service, started when it is first asked."""

    folder: Path
    _started: list[Service] = field(default_factory=list)

    @cached_property
    def service(self) -> Client:
        self._started.append(Service(self.folder / "out/package/bento", self.folder / ".lingyu", self.folder / "data"))
        return self._started[0]

    def close(self) -> None:
        for service in self._started:
            service.stop()


class Check(BaseModel, ABC):
    """zh, en: what is checked, in a phrase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zh: str
    en: str

    def result(self, run: Run) -> Result:
        """What cannot be looked at does not hold."""
        try:
            holds, found = self.look(run)
        except (OSError, LookupError, ValueError, StageError) as error:
            holds, found = False, f"{type(error).__name__}: {error}"
        return Result(self.zh, self.en, holds, found)

    @abstractmethod
    def look(self, run: Run) -> tuple[bool, str]: ...


class Bounds(Check):
    at_least: float | None = None
    at_most: float | None = None

    def within(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
