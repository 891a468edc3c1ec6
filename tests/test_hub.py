"""lingyu.base.hub: a base from a folder, Hugging Face or ModelScope, each behind the hub's own client."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_servers import HuggingFaceServer, ModelScopeServer, Repository

from lingyu.base import hub
from lingyu.stage import StageError

ROOT = Path(__file__).parent.parent
SERVERS = {"huggingface": HuggingFaceServer, "modelscope": ModelScopeServer}
ENDPOINTS = {"huggingface": "HF_ENDPOINT", "modelscope": "MODELSCOPE_ENDPOINT"}
# The clients read their endpoint at import, hence a process of its own.
FETCH = """
import sys
from pathlib import Path
from lingyu.base.hub import fetch
from lingyu.stage import StageError
try:
    fetch(*sys.argv[1:4], Path("out"))
except StageError as error:
    sys.exit(str(error))
"""


def fetched(folder, kind, endpoint, name="lab/model", revision="v1"):
    """Exit status, what was said, and the files that came."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "MODELSCOPE_CACHE": str(folder / "ms"),
    }
    environment |= {ENDPOINTS[kind]: endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for variable in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(variable, None)
    command = [sys.executable, "-c", FETCH, kind, name, revision]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr, {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def server(kind, tiny_model):
    """A hub that has lab/model at tag v1, a pickle among its files, and lab/pickled without safetensors; its newest state is another."""
    with SERVERS[kind]() as server:
        repository = server.repositories["lab/model"] = Repository()
        files = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
        repository.tags["v1"] = repository.commit({**files, "pytorch_model.bin": b"pickle", "README.md": b"card", "modeling.py": b"code"})
        repository.commit({"config.json": b"{}", "model.safetensors": b"newer"})
        pickled = server.repositories["lab/pickled"] = Repository()
        pickled.tags["v1"] = pickled.commit({"config.json": b"{}", "pytorch_model.bin": b"pickle"})
        yield server


def test_the_pinned_revision_is_fetched_and_neither_pickle_nor_code(kind, server, tiny_model, tmp_path):
    status, said, files = fetched(tmp_path, kind, server.url)

    assert status == 0, said
    assert files == {path.name for path in tiny_model.iterdir()}
    assert all((tmp_path / "out" / name).read_bytes() == (tiny_model / name).read_bytes() for name in files)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("lab/nothing", "v1", "lab/nothing"),
        ("lab/model", "v9", "v9"),
        ("lab/pickled", "v1", "lab/pickled at v1 has no safetensors"),
        ("no name", "v1", "no name"),
    ],
)
def test_what_a_hub_does_not_have_is_told_in_one_message(kind, server, tmp_path, name, revision, message):
    status, said, _ = fetched(tmp_path, kind, server.url, name, revision)

    assert status == 1
    assert message in said
    assert "Traceback" not in said
    assert "base.model" in said


def test_a_hub_that_does_not_answer_is_told_with_the_way_out(kind, tmp_path):
    status, said, files = fetched(tmp_path, kind, "http://127.0.0.1:9")

    assert status == 1
    assert "lab/model at v1" in said
    assert f"{ENDPOINTS[kind]} (http://127.0.0.1:9)" in said
    assert "base.model.kind: folder" in said
    assert "Traceback" not in said
    assert files == set()


@pytest.mark.parametrize("made", [None, "empty"])
def test_a_folder_without_a_model_is_told(tmp_path, made):
    if made:
        (tmp_path / "bought").mkdir()

    with pytest.raises(StageError, match=r"base\.model\.name .*bought'.*no config\.json"):
        hub.fetch("folder", str(tmp_path / "bought"), "", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path):
    (tmp_path / "bought").mkdir()
    (tmp_path / "bought" / "config.json").write_text("{}")
    (tmp_path / "bought" / "pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(StageError, match=r"bought has no safetensors file"):
        hub.fetch("folder", str(tmp_path / "bought"), "", tmp_path / "out")


def test_parameters_and_context_are_read_without_loading_the_model(tiny_model):
    from transformers import AutoModelForCausalLM

    assert hub.parameters(tiny_model) == AutoModelForCausalLM.from_pretrained(tiny_model).num_parameters()
    assert hub.context(tiny_model) == 512
