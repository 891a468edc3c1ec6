"""knowledge: entity and attribute of the question are looked up in the knowledge graph; the reply prints what was found.

Then follows the model's answer, as far as these facts support it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from lingyu.retrieve.evidence import evidence
from lingyu.retrieve.prompt import NOTHING_FOUND
from lingyu.retrieve.retrievers import Hit
from lingyu.serve.modes.checked import Checked
from lingyu.serve.reply import Piece, Plan, source_of

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant

HEAD = {True: "知识：", False: "Knowledge: "}
NOTHING_KNOWN = {
    True: "知识图谱中没有问题所说的对象或属性，因此未调用模型。",
    False: "The knowledge graph has no such entity or attribute, so the model was not called.",
}


def available(assistant: "Assistant") -> bool:
    return bool(assistant.graph)


async def reply(assistant: "Assistant", plan: Plan) -> AsyncGenerator[Piece, None]:
    query, facts = await assistant.look_up_facts(plan)
    yield Piece(sources=[source_of(Hit(fact, 1.0), plan.view) for fact in facts], extra={"query": query})
    if not facts:
        yield Piece("content", NOTHING_FOUND[plan.chinese])
        yield Piece(finish="stop", supported=False, answer_source="none", note=NOTHING_KNOWN[plan.chinese])
        return
    passages = evidence(query, facts, assistant.terms, plan.view.knowledge.relevance)
    checked = Checked(query, passages, assistant.terms)
    for number, fact in enumerate(facts, 1):
        yield Piece("content", f"{HEAD[plan.chinese]}{fact.text} [{number}]\n")
    prompt = assistant.with_passages(plan, facts)
    async with aclosing(checked.shown(assistant.generate(prompt, plan))) as pieces:
        async for piece in pieces:
            yield piece
    answered = bool(checked.citations)
    checked.citations = [{"source": n, "start": 0, "end": len(fact.text), "text": fact.text} for n, fact in enumerate(facts, 1)]
    yield checked.end(supported=True, answer_source="model" if answered else "knowledge")
