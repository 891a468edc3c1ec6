"""What a model may add to the search of professional mode: each is off unless package.search or a request turns it on.

keywords   a model writes search words, which are searched for with the question
second     the model answers, question and answer are searched for together, and it answers again with what was found
judge      a model says of each passage whether it helps to answer; those that do not are left out

Asked is the served model, for keywords in the words that `generate` teaches (lingyu/generate/wordings/keywords.yaml). Keywords and
judgements can come from any endpoint with OpenAI's protocol: LINGYU_SEARCH_URL, LINGYU_SEARCH_MODEL, LINGYU_SEARCH_KEY.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from lingyu.records import Message
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.prompt import is_chinese, passage_text
from lingyu.serve.endpoint import endpoint
from lingyu.serve.reply import Plan

if TYPE_CHECKING:
    from lingyu.serve.assistant import Assistant, Found

URL, MODEL, KEY = "LINGYU_SEARCH_URL", "LINGYU_SEARCH_MODEL", "LINGYU_SEARCH_KEY"
ASKED_FOR_KEYWORDS = {
    True: "要在资料里查找这个问题的答案，该用哪些关键词？\n{x}",
    False: "Which keywords should be searched for to answer this?\n{x}",
}
ASKED_WHETHER_IT_HELPS = {
    True: "资料：{passage}\n\n问题：{question}\n\n这段资料能帮助回答这个问题吗？只回答“是”或“否”。",
    False: "Passage: {passage}\n\nQuestion: {question}\n\nDoes this passage help to answer the question? Reply yes or no only.",
}
DENIES = re.compile(r"\W*(?:否|不|没有|no\b)", re.IGNORECASE)
BETWEEN = re.compile(r"[、，,；;\n]+")
KEYWORDS, KEYWORD = 12, 40  # at most so many, of so many characters: longer ones are sentences
TOKENS, VERDICT = 64, 4  # of keywords, and of yes or no
Ask = Callable[[str, int], Awaitable[str]]


async def searched(assistant: "Assistant", plan: Plan) -> "Found":
    """The passages and sentences that bear on the question, as the request wants them searched for."""
    ask, question = asking(assistant, plan), assistant.query(plan)
    words = keywords_of(await ask(ASKED_FOR_KEYWORDS[plan.chinese].format(x=question), TOKENS)) if plan.search.keywords else []
    found = replace(await assistant.look_up(plan, " ".join(words)), keywords=words)
    if plan.search.second and found.near:
        first = await text_of(assistant, assistant.with_passages(plan, [hit.chunk for hit in found.hits]), plan)
        found = replace(await assistant.look_up(plan, f"{' '.join(words)}\n{first}"), keywords=words)
    if plan.search.judge and found.hits:
        helps = await asyncio.gather(*(judged(ask, question, hit.chunk) for hit in found.hits))
        found = found.only([number for number, one in enumerate(helps) if one])
    return found


def keywords_of(answer: str) -> list[str]:
    """The words of an answer that lists some; none of one that is something else."""
    words = list(dict.fromkeys(word.strip(" 。.：:“”\"'") for word in BETWEEN.split(answer)))
    return [word for word in words if 0 < len(word) <= KEYWORD][:KEYWORDS]


async def judged(ask: Ask, question: str, passage: Chunk) -> bool:
    """Whether the passage stays: yes, unless the model says no."""
    asked = ASKED_WHETHER_IT_HELPS[is_chinese(question)].format(passage=passage_text(passage), question=question)
    return DENIES.match(await ask(asked, VERDICT)) is None


def asking(assistant: "Assistant", plan: Plan) -> Ask:
    """The endpoint that the environment names, or the served model; of what is longer than the context of that, it says nothing."""
    outside = endpoint(URL, MODEL, KEY)

    async def ask(text: str, tokens: int) -> str:
        if outside is not None:
            return await outside([{"role": "user", "content": text}], tokens)
        prompt = assistant.encode([Message(role="user", content=text)], thinks=False)
        if len(prompt) + tokens > assistant.engine.context:
            return ""
        sampling = replace(plan.sampling, max_tokens=tokens, temperature=0.0, logprobs=None, logit_bias={}, form=None)
        return await text_of(assistant, prompt, replace(plan, sampling=sampling, stops=[]))

    return ask


async def text_of(assistant: "Assistant", prompt: list[int], plan: Plan) -> str:
    """What the model says in reply, without its reasoning."""
    said = ""
    async with aclosing(assistant.generate(prompt, plan)) as pieces:
        async for piece in pieces:
            said += piece.text if piece.kind == "content" else ""
    return said
