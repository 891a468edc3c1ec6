"""professional: search, answer, check each sentence; what no source supports is not shown, the source is quoted instead.

1. The question, completed from the conversation, finds passages; those below the threshold that `index` calibrated are left out.
2. The model answers, with the passages before the question where it was trained to read them (package.context_prompt).
3. Each sentence is compared with the sentences of the passages that are closest to the question, and is shown with the number of the
   source that supports it. The first one without support ends the model's part.
4. If nothing of it remains, the reply is the closest sentences themselves, as a quotation.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lingyu.retrieve.evidence import Evidence
from lingyu.retrieve.prompt import NOTHING_FOUND
from lingyu.serve.modes.checked import Checked, citation
from lingyu.serve.reply import Piece, Plan
from lingyu.serve.search import searched

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant, Found

# A quotation has the closest sentence and those almost as close, at most this many.
QUOTED = 3
ALMOST = 0.85

NOTES = {
    "nothing": {
        True: "知识库中没有与问题足够相关的段落，因此未调用模型。",
        False: "The knowledge base has no passage relevant enough to the question, so the model was not called.",
    },
    "unsaid": {
        True: "找到了相关段落，但资料中没有写明所问的内容，因此未调用模型。",
        False: "Passages on the subject were found, but none of them says what was asked, so the model was not called.",
    },
    "quoted": {
        True: "模型的回答未能在来源中得到证实，因此改为直接引用来源原文。",
        False: "The model's answer could not be verified in the sources; the sources are quoted instead.",
    },
    "cut": {
        True: "模型回答中未能在来源中得到证实的部分已略去。",
        False: "The part of the model's answer that could not be verified in the sources has been left out.",
    },
}


def available(assistant: "Assistant") -> bool:
    return bool(assistant.knowledge.chunks)


async def reply(assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
    found = await searched(assistant, plan)
    yield Piece(sources=found.sources(), extra={"query": found.query, **({"keywords": found.keywords} if found.keywords else {})})
    if not found.evidence:
        yield Piece("content", NOTHING_FOUND[plan.chinese])
        yield Piece(finish="stop", supported=False, answer_source="none", note=NOTES["unsaid" if found.near else "nothing"][plan.chinese])
        return

    checked = Checked(found.query, found.evidence, assistant.terms)
    async with aclosing(
        checked.shown(assistant.generate(assistant.with_passages(plan, [hit.chunk for hit in found.hits]), plan))
    ) as pieces:
        async for piece in pieces:
            yield piece
    if checked.citations:
        yield checked.end(supported=True, answer_source="model", note=NOTES["cut"][plan.chinese] if checked.unsupported else None)
        return
    for number, each in enumerate(quotable(found)):
        passage = found.hits[each.source].chunk.text
        yield Piece("content", "\n" * bool(number) + quotation(each, plan.chinese, passage))
        checked.citations += [*lead_of(each, passage), citation(each)]
    checked.last.finish = "stop"
    yield checked.end(supported=True, answer_source="quotation", note=NOTES["quoted"][plan.chinese])


def quotable(found: "Found") -> list[Evidence]:
    best = found.evidence[0].relevance
    return [each for each in found.evidence if each.relevance >= ALMOST * best][:QUOTED]


def quotation(each: Evidence, chinese: bool, passage: str) -> str:
    """The sentence, after the one that introduces it where it is an item of a list; …… for what stands between them."""
    lead = ""
    for cited in lead_of(each, passage):
        between = passage[cited["end"] : each.start].strip()
        lead = each.lead + (("……" if chinese else " … ") if between else "\n")
    where = "" if not each.headings else f"《{each.headings}》" if chinese else f"{each.headings}: "
    return f"{where}“{lead}{each.text}” [{each.source + 1}]"


def lead_of(each: Evidence, passage: str) -> list[dict[str, Any]]:
    """The citation of the sentence that introduces it, if any."""
    start = passage.find(each.lead)
    return [citation(replace(each, start=start, end=start + len(each.lead), text=each.lead))] if each.lead else []
