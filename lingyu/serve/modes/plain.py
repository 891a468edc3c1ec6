"""plain: the model answers by itself."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from lingyu.serve.reply import Piece, Plan

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant


def available(assistant: "Assistant") -> bool:
    return True


def reply(assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
    return assistant.generate(plan.prompt, plan)
