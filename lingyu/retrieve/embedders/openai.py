"""An endpoint that speaks OpenAI's /v1/embeddings: vLLM, Ollama, TEI, a cloud. Here and in the service, which needs it at run time."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from lingyu.retrieve.embedders import EmbedderOptions, Floats

AGAIN = {408, 429, 500, 502, 503, 504}  # what may pass by itself
PAUSES = (1.0, 4.0)  # seconds before the second and the third try


class Options(EmbedderOptions):
    base_url: str = Field(pattern=r"^https?://[^@\s]+$", description="Address of the endpoint; it usually ends in /v1.")
    model: str = Field(description="Its name at the endpoint.")
    key_from: str = Field("LINGYU_EMBEDDER_KEY", description="Environment variable with the key; without one none is sent.")
    question_prefix: str = Field("", description="Before a question, as the model's card says.")
    passage_prefix: str = Field("", description="Before a passage.")
    batch: PositiveInt = Field(64, description="Texts of a request.")
    timeout_seconds: PositiveFloat = Field(60, description="For one request.")


def keep(folder: Path, options: Options) -> None:
    """Nothing travels: the endpoint is asked by the service, too."""


def load(folder: Path, options: Options) -> "Endpoint":
    return Endpoint(options)


class Endpoint:
    def __init__(self, options: Options) -> None:
        self._options = options

    def questions(self, texts: Sequence[str]) -> Floats:
        return self._embed([self._options.question_prefix + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Floats:
        return self._embed([self._options.passage_prefix + text for text in texts])

    def _embed(self, texts: list[str]) -> Floats:
        size = self._options.batch
        parts = [self._asked(texts[start : start + size]) for start in range(0, len(texts), size)]
        found = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(lengths, 1e-12), np.float32)

    def _asked(self, texts: list[str]) -> Floats:
        answer = posted(f"{self._options.base_url.rstrip('/')}/embeddings", {"model": self._options.model, "input": texts}, self._options)
        rows = sorted(answer.get("data", []), key=lambda row: int(row["index"]))
        if len(rows) != len(texts):
            raise ConnectionError(f"{self._options.base_url} returned {len(rows)} embeddings for {len(texts)} texts")
        return np.array([row["embedding"] for row in rows], np.float32)


def posted(url: str, body: dict[str, Any], options: Any) -> Any:
    """The answer to a request, tried three times. options: key_from, timeout_seconds. The key is in no message."""
    key = os.environ.get(options.key_from, "")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body, ensure_ascii=False).encode(), headers)
    problem = ""
    for pause in (*PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=options.timeout_seconds) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            problem = f"{error.code} {error.read(300).decode(errors='replace')}"
            if error.code not in AGAIN:
                break
        except (OSError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if pause is not None:
            time.sleep(pause)
    problem = problem.replace(key, "***") if key else problem
    raise ConnectionError(f"{url} does not answer: {problem}. Check base_url, model and the key in {options.key_from}")
