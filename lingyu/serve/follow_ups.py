"""What a person may ask next: questions that passages are known to answer, in the language of the conversation."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from lingyu.retrieve.known import Known, same
from lingyu.serve.protocol import FollowUps
from lingyu.serve.reply import Piece, Plan
from lingyu.text.normalise import language_of

TRIED = 12  # each is a search
ANSWERED = {"model", "quotation", "knowledge"}


async def with_follow_ups(
    reply: AsyncGenerator[Piece, None], plan: Plan, wanted: FollowUps, known: Known, depth: int, threshold: float
) -> AsyncGenerator[Piece, None]:
    """The same reply; its last piece has the questions, none where nothing was answered."""
    shown: list[dict[str, Any]] = []
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            shown = piece.sources or shown
            if piece.finish is not None:
                answered = piece.answer_source in ANSWERED
                found = await asyncio.to_thread(choices, plan, wanted, known, shown, depth, threshold) if answered and shown else []
                piece.extra = {**piece.extra, "follow_ups": found}
            yield piece


def choices(plan: Plan, wanted: FollowUps, known: Known, shown: Sequence[Mapping[str, Any]], depth: int, threshold: float) -> list[str]:
    """Those that the reader's part of the documents answers, and that nobody asked before in this conversation, in other words neither."""
    asked = [*wanted.asked, *(message.content for message in plan.conversation if message.role == "user")]
    found, tried = list[str](), 0
    for question, right in known.next(plan.question, shown):
        if (language_of(question) == "zh") != plan.chinese or any(same(question, other) for other in [*asked, *found]):
            continue
        tried += 1
        hits = plan.view.knowledge.search(question, depth)
        if hits and hits[0].score >= threshold and any(hit.chunk.id in right for hit in hits):
            found.append(question)
        if len(found) == wanted.count or tried == TRIED:
            break
    return found
