"""Asking a model behind an endpoint that speaks OpenAI's chat protocol. Answers are kept as they come: an interrupted run goes on."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lingyu.files import read_jsonl, short_hash
from lingyu.generate.llm.endpoint import Address, Endpoint, Refused, opened
from lingyu.records import Question
from lingyu.stage import StageError

KEY = "LINGYU_EVALUATE_KEY"


def replies(
    url: str,
    model: str,
    questions: Sequence[Question],
    new_tokens: Mapping[str, int],
    kept: Path,
    address: Mapping[str, object] | None = None,
    on_answer: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """The likeliest reply to each question, by id. kept: the answers so far, a line each; new ones are added to it at once.

    A request that the endpoint refuses is answered by nothing, and counts as wrong. Raises StageError where the endpoint is gone; what was
    answered is kept.
    """
    place = Address.model_validate({"base_url": url, "key_from": KEY, **(address or {})})
    requests = {question.id: request_of(model, question, new_tokens) for question in questions}
    hashes = {id_: short_hash(url, json.dumps(request, ensure_ascii=False, sort_keys=True)) for id_, request in requests.items()}
    known = {line["hash"]: line["reply"] for line in read_jsonl(kept)} if kept.exists() else {}
    missing = [id_ for id_ in requests if hashes[id_] not in known]
    kept.parent.mkdir(parents=True, exist_ok=True)

    async def asked(endpoint: Endpoint, id_: str) -> None:
        async with endpoint.slots:
            try:
                reply = (await endpoint.answer(requests[id_])).content
            except Refused as refused:
                print(f"{id_} was refused and counts as answered wrong: {refused}", flush=True)
                reply = ""
            except StageError:
                endpoint.halt()
                raise
            known[hashes[id_]] = reply
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"hash": hashes[id_], "id": id_, "reply": reply}, ensure_ascii=False) + "\n")
            on_answer()

    async def all_asked() -> list[BaseException | None]:
        async with opened(place, os.environ.get(KEY, "")) as endpoint:
            return await asyncio.gather(*(asked(endpoint, id_) for id_ in missing), return_exceptions=True)

    faults = [fault for fault in (asyncio.run(all_asked()) if missing else []) if fault is not None]
    if faults:
        if not isinstance(faults[0], StageError):
            raise faults[0]
        got = sum(hashes[id_] in known for id_ in requests)
        said = str(faults[0]).partition(". ")[0].replace("the teacher", "the endpoint")
        raise StageError(f"{said}. {got} of {len(requests)} answers are kept in {kept}; run the same command again to go on.")
    return {id_: known[hashes[id_]] for id_ in requests}


def request_of(model: str, question: Question, new_tokens: Mapping[str, int]) -> dict[str, object]:
    """The likeliest answer. An endpoint's tokens are not ours and its replies are longer, hence four times the room."""
    messages = [{"role": message.role, "content": message.content} for message in question.messages]
    room = 4 * new_tokens.get(question.task, new_tokens["other"])
    return {"model": model, "messages": messages, "temperature": 0.0, "max_tokens": max(room, 256)}
