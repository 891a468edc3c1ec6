"""A teacher whose answers people wrote beforehand, in a YAML file; everything after the answer is as with an endpoint.

The file is a list. An entry's `asked` is text, or several texts, that must all stand in the request; its `answer` is the JSON that the
method asks for, as YAML, or text. The first entry that fits answers; of several `answers` each variant of a request has the next one.
A request that no entry fits has an empty answer, which is counted and makes no row.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from lingyu.generate.llm.endpoint import Said
from lingyu.stage import StageError, read_yaml

AT_A_TIME = 16


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: str | list[str]
    answer: Any = None
    answers: list[Any] = []
    note: str = ""  # for people

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if (self.answer is None) == (not self.answers):
            raise ValueError("an entry has either answer or answers")
        return self

    def fits(self, request: str) -> bool:
        return all(text in request for text in ([self.asked] if isinstance(self.asked, str) else self.asked))


class Written:
    """Answers as Endpoint does. Raises StageError where the file is missing, is another than the pinned one, or is no such list."""

    def __init__(self, file: Path, revision: str, first_seed: int) -> None:
        entries = read_yaml(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if revision and not digest.startswith(revision):
            raise StageError(f"{file} is not the file of generate.teacher.revision {revision}: its SHA-256 is {digest} (params.yaml).")
        try:
            self._entries = TypeAdapter(list[Entry]).validate_python(entries)
        except ValidationError as error:
            fault = error.errors()[0]
            raise StageError(f"{file}: entry {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
        self.slots = asyncio.Semaphore(AT_A_TIME)
        self._name, self._first_seed = file.name, first_seed

    def halt(self) -> None:
        """Nothing is under way for long."""

    async def answer(self, body: dict[str, Any]) -> Said:
        request = "\n".join(message["content"] for message in body["messages"])
        entry = next((entry for entry in self._entries if entry.fits(request)), None)
        content = ""
        if entry:
            answers = entry.answers or [entry.answer]
            answer = answers[(body.get("seed", self._first_seed) - self._first_seed) % len(answers)]
            content = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return Said(content=content, reasoning="", finish="stop", model=self._name, asked_tokens=0, answered_tokens=0)


@asynccontextmanager
async def read(file: str, revision: str, first_seed: int) -> AsyncIterator[Written]:
    yield Written(Path(file), revision, first_seed)
