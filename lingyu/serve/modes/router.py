"""router: each request goes to the mode that suits it, and to the adapter, where there are some; the reply says which.

consult where a consultation is under way, or one as close has been held; knowledge where the graph has the attribute that the question
asks for; professional where the documents bear on the question; plain for the rest, such as a greeting.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from lingyu.serve.modes import consult, knowledge, plain, professional
from lingyu.serve.reply import Piece, Plan

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant


CHOICES = {"consult": consult, "knowledge": knowledge, "professional": professional, "plain": plain}
CLOSE = 0.8  # of the closest case, from which a request is taken for a consultation like it


def available(assistant: "Assistant") -> bool:
    return knowledge.available(assistant) or professional.available(assistant)


async def reply(assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
    mode = await suiting(assistant, plan)
    adapter = plan.adapter or await assistant.adapter_for(plan)
    chosen = {"mode": mode, **({"adapter": adapter or None} if assistant.settings.adapters else {})}
    pieces = CHOICES[mode].reply(assistant, replace(plan, mode=mode, adapter=adapter))
    async with aclosing(pieces) as reply:
        async for piece in reply:
            # With the first metadata of the reply where there is any, and at its end.
            if piece.sources is not None or piece.finish is not None:
                piece = replace(piece, extra={**piece.extra, **chosen})
            yield piece


async def suiting(assistant: "Assistant", plan: Plan) -> str:
    if consult.available(assistant):
        told, asked = consult.conversation(plan.conversation)
        near, _ = await assistant.look_up_cases(plan, told, asked, 1)
        if asked or (near and near[0][1] >= CLOSE):
            return "consult"
    if knowledge.available(assistant) and (await assistant.look_up_facts(plan))[1]:
        return "knowledge"
    if professional.available(assistant) and (await assistant.look_up(plan)).evidence:
        return "professional"
    return "plain"
