"""A model behind an endpoint with OpenAI's protocol, named by the environment."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from lingyu.serve.protocol import Refused

PATIENCE = 60.0  # seconds
Asking = Callable[[list[dict[str, Any]], int], Awaitable[str]]
"""From messages and the most tokens of the answer to the answer."""


def endpoint(url: str, model: str, key: str) -> Asking | None:
    """From the names of three variables; None where the first is not set. Asking raises Refused if no answer comes."""
    if not (address := os.environ.get(url, "").strip().rstrip("/")):
        return None

    async def ask(messages: list[dict[str, Any]], tokens: int) -> str:
        import httpx

        body = {"model": os.environ.get(model, ""), "messages": messages, "temperature": 0, "max_tokens": tokens}
        headers = {"Authorization": f"Bearer {secret}"} if (secret := os.environ.get(key, "").strip()) else {}
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                reply = await client.post(f"{address}/chat/completions", json=body, headers=headers)
            reply.raise_for_status()
            return str(reply.json()["choices"][0]["message"]["content"] or "")
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            what = type(error).__name__
            raise Refused(
                502, "endpoint_failed", f"The endpoint of {url} gave no answer ({what}).", f"{url} 所指的接口未给出回答（{what}）。"
            ) from None

    return ask
