"""consult: asks for what is missing, confirms what it understood, then advises with the documents and similar cases.

What to ask is learnt from the consultations of the training part (lingyu/retrieve/cases.py): the questions of the cases that are closest
to this one, package.consult_questions at most, none twice and none that was answered. The state of a consultation is its messages alone.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lingyu.records import Message
from lingyu.retrieve.cases import Case, questions
from lingyu.serve.modes import professional
from lingyu.serve.reply import Piece, Plan

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant

CASES = 5  # closest cases that are looked at
SIMILAR = 0.5  # closeness from which a case is shown as similar

CONFIRM = {True: "我的理解是：", False: "As I understand it: "}
CONFIRMED = {True: "是否正确？如有遗漏请补充。", False: "Is that right? Please add what is missing."}
SIMILAR_CASE = {True: "类似案例的答复", False: "Advice in a similar case"}


def available(assistant: "Assistant") -> bool:
    return bool(assistant.cases.all)


async def reply(assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
    told, asked = conversation(plan.conversation)
    near, open_questions = await assistant.look_up_cases(plan, told, asked, CASES)
    confirming = CONFIRM[plan.chinese] in "".join(message.content for message in plan.conversation if message.role == "assistant")
    if near and not confirming and (asked or open_questions):
        question = (
            open_questions[0] if open_questions and len(asked) < assistant.settings.consult_questions else confirmation(told, plan.chinese)
        )
        yield Piece(sources=[], extra={"query": "\n".join(told)})
        yield Piece("content", question)
        yield Piece(finish="stop", answer_source="question")
        return
    whole = Message(role="user", content="\n".join(told))
    advised = professional.reply(assistant, replace(plan, messages=[whole]))
    similar = [case for case, score in near if score >= SIMILAR][:1]
    async with aclosing(advised) as pieces:
        async for piece in pieces:
            if piece.sources is not None and similar:
                piece.sources.append(source_of_case(similar[0], plan.chinese))
            yield piece


def conversation(messages: list[Message]) -> tuple[list[str], list[str]]:
    """What the person told, and what they were asked."""
    told = [message.content for message in messages if message.role == "user"]
    asked = [question for message in messages if message.role == "assistant" for question in questions(message.content)]
    return told, asked


def confirmation(told: list[str], chinese: bool) -> str:
    listed = "；".join(part.rstrip("。.；; ") for part in told) if chinese else "; ".join(part.rstrip(".; ") for part in told)
    return f"{CONFIRM[chinese]}{listed}{'。' if chinese else '. '}{CONFIRMED[chinese]}"


def source_of_case(case: Case, chinese: bool) -> dict[str, Any]:
    return {
        "title": SIMILAR_CASE[chinese],
        "section": case.question,
        "source": case.source,
        "place": case.place,
        "licence": case.licence,
        "text": case.advice,
        "score": 0.0,
    }
