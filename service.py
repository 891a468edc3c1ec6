"""The service as BentoML runs it: `bentoml serve out/package/bento`.

Model, knowledge base, settings, pages and the evaluation report are next to this file in the Bento. LINGYU_CONTENT sets another folder
with the same layout for development. If LINGYU_API_KEYS (comma-separated) is set, /v1 and /metrics require one of these keys.
"""

import gc
import os
import resource
from pathlib import Path

import bentoml

from lingyu.serve import connections
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant as Answers
from lingyu.serve.assistant import Settings
from lingyu.serve.engine import start_all

HERE = Path(__file__).parent
CONTENT = Path(os.environ.get("LINGYU_CONTENT", HERE))
connections.install()


def answers() -> Answers:
    service: Assistant = bentoml.get_current_service()
    return service.answers


# BentoML's own limit counts requests whose body has not arrived, its metrics keep every path that anybody makes up, and its access log
# prints decoded paths, line breaks included. The app has a limit, figures and a log of its own (lingyu/serve/record.py).
@bentoml.service(name="lingyu", workers=1, traffic={"timeout": 300}, metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(make_app(answers, HERE / "web" / "pages", CONTENT / "report"), path="/")
class Assistant:
    """Answers questions in the domain its model was tuned for."""

    def __init__(self) -> None:
        # Connections that never send a request cost one file each; many systems begin with 1,024 of a far higher limit.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        # What is imported and loaded stays: Python would search it for cycles a thousand times, an eighth of the start.
        gc.disable()
        # Imports torch in the worker only, not in the process that starts the workers.
        settings = Settings.read(CONTENT)
        adapters = {name: CONTENT / "adapters" / name for name in settings.adapters}
        self.answers = Answers(CONTENT, *start_all(CONTENT / "model", adapters, settings.at_once))
        gc.freeze()
        gc.enable()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # bentoml is untyped
    def stop(self) -> None:
        self.answers.library.close()
        for engine in self.answers.engines.values():
            engine.close()
