"""The service as BentoML runs it: `bentoml serve out/package/bento`.

Model, knowledge base, settings and pages are next to this file in the Bento. LINGYU_CONTENT sets another folder with the same
layout for development. If LINGYU_API_KEYS (comma-separated) is set, /v1 requires one of these keys.
"""

import os
from pathlib import Path

import bentoml

from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant as Answers
from lingyu.serve.engine import TransformersEngine

HERE = Path(__file__).parent
CONTENT = Path(os.environ.get("LINGYU_CONTENT", HERE))


def answers() -> Answers:
    service: Assistant = bentoml.get_current_service()
    return service.answers


@bentoml.service(name="lingyu", workers=1, traffic={"timeout": 300, "max_concurrency": 128})
@bentoml.asgi_app(make_app(answers, HERE / "web" / "pages"), path="/")
class Assistant:
    """Answers questions in the domain its model was tuned for."""

    def __init__(self) -> None:
        # Imports torch in the worker only, not in the process that starts the workers.
        self.answers = Answers(CONTENT, TransformersEngine(CONTENT / "model"))
