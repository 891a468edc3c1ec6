"""The modes of an answer: each is one module with `available` and `reply`, registered below."""

from collections.abc import AsyncGenerator
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from lingyu.serve.modes import consult, knowledge, plain, professional, router
from lingyu.serve.reply import Piece, Plan

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant


class Mode(Protocol):
    def available(self, assistant: "Assistant") -> bool:
        """Whether the service has what the mode needs."""

    def reply(self, assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
        """The pieces of the reply; the last has `finish`."""


MODES: dict[str, ModuleType] = {
    "plain": plain,
    "professional": professional,
    "knowledge": knowledge,
    "consult": consult,
    "router": router,
}
