"""What goes wrong between a release and a hub is survived or found; `python -m bench.release_faults` prints the table."""

import time

import pytest
from hub_faults import cases, outcome
from hub_servers import TOKEN, HuggingFaceServer, ModelScopeServer

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

HUBS = {
    "huggingface": (HuggingFaceServer, "HF_ENDPOINT", "HF_TOKEN"),
    "modelscope": (ModelScopeServer, "MODELSCOPE_ENDPOINT", "MODELSCOPE_API_TOKEN"),
}
# Of the statuses one: the clients and we treat them alike.
CASES = [(kind, case) for kind in HUBS for case in cases(kind) if not case.about.startswith(("429", "500"))]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind}: {case.about}" for kind, case in CASES])
def test_a_fault_is_survived_or_found(kind, case, tmp_path, monkeypatch):
    kind_of_server, endpoint, variable = HUBS[kind]
    monkeypatch.setattr("lingyu.release.hubs.WAITS", [0.0, 0.0])
    waits = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: waits(min(seconds, 0.01)))  # of the clients between their own tries
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv(variable, TOKEN)
    with kind_of_server() as server:
        monkeypatch.setenv(endpoint, server.url)

        assert outcome(case, kind, server, tmp_path) == case.outcome
