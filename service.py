"""The service as BentoML runs it: `bentoml serve out/package/bento`.

Model, knowledge base, settings and pages stand beside this file in the Bento. LINGYU_CONTENT names another folder of that
shape for development. LINGYU_API_KEYS, separated by commas, closes /v1 to whoever has none of them.
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
        # torch comes in here, in the worker; the process that starts the workers does without.
        self.answers = Answers(CONTENT, TransformersEngine(CONTENT / "model"))
