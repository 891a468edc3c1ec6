"""What people think of answers, kept as rows that `ingest` reads: LINGYU_FEEDBACK names the folder, best one inside the corpus folder.

A corrected answer is a preference: preferences.jsonl, the correction chosen, the service's answer rejected. A passage that answers the
question is a line of retrieval_set.jsonl. Every vote, with its reason, is in .votes.jsonl, which ingest leaves alone as a
hidden file. A line is on the disk before the vote is answered; one cut short by a crash is ended, and ingest rejects it by name.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lingyu.ingest import expected
from lingyu.ingest.expected import Passage
from lingyu.retrieve.query import leans
from lingyu.serve.protocol import ChatMessage, Refused

FOLDER = "LINGYU_FEEDBACK"
LARGEST = 64 << 20  # bytes of a file: nobody fills the disk by voting
Text = Field(max_length=20_000)


class Feedback(BaseModel):
    """messages: the conversation up to the question. id: of the reply, as the service gave it. passage: which answers the question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rating: Literal["up", "down"]
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    answer: str = Text
    correction: str | None = Field(None, max_length=20_000)
    reason: str | None = Field(None, max_length=2_000)
    passage: Passage | None = None
    id: str | None = Field(None, max_length=100)

    def preference(self) -> dict[str, Any] | None:
        """The row for `ingest`; None where there is nothing to prefer."""
        right = (self.correction or "").strip()
        if not right or right == self.answer.strip() or not self.answer.strip():
            return None
        *earlier, last = self.messages
        said = [message.text() for message in earlier if message.role in {"user", "assistant"}]
        history = [[question, answer] for question, answer in zip(said[::2], said[1::2], strict=False)]
        system = "\n".join(message.text() for message in earlier if message.role in {"system", "developer"})
        row = {"question": last.text(), "chosen": right, "rejected": self.answer.strip()}
        return row | ({"history": history} if history else {}) | ({"system": system} if system else {})

    def must_find(self) -> dict[str, Any] | None:
        """The row of the retrieval set; None without a passage, or where the question leans on earlier ones."""
        question = self.messages[-1].text().strip()
        first = sum(message.role == "user" for message in self.messages) == 1
        alone = (first or not leans(question)) and len(question) <= 2_000
        return {"question": question, **self.passage.model_dump(exclude_defaults=True)} if self.passage and alone else None


class Store:
    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, feedback: Feedback) -> None:
        """Raises Refused where the question is missing, or there is no more room."""
        if feedback.messages[-1].role != "user" or not feedback.messages[-1].text().strip():
            en, zh = "messages: must end with the question.", "messages：最后一条须为问题。"
            raise Refused(400, "invalid_request", en, zh, "messages")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock:
            append(self._folder / ".votes.jsonl", {"at": now, **feedback.model_dump(exclude_none=True)})
            if row := feedback.preference():
                append(self._folder / "preferences.jsonl", row)
            if row := feedback.must_find():
                append(self._folder / expected.NAME, row)


def append(path: Path, row: dict[str, Any]) -> None:
    line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size + len(line) > LARGEST:
            raise Refused(503, "feedback_full", f"{path.name} has its full size.", f"{path.name} 已达上限。")
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def opened() -> Store | None:
    """The store that LINGYU_FEEDBACK names; None where it names none."""
    folder = os.environ.get(FOLDER, "").strip()
    return Store(Path(folder)) if folder else None
