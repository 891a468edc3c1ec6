"""What is sent comes back the same before it carries a version: to a folder and to each hub, through its own client."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hub_servers import TOKEN, HuggingFaceServer, ModelScopeServer
from serving import ANSWERED

from lingyu.files import hashes, read_json, write_json
from lingyu.release import card
from lingyu.release.hubs import Folder, deliver, open_hub, without_secrets
from lingyu.release.staging import chosen, staged
from lingyu.stage import StageError

# The client of Hugging Face sends large files in a way that its HTTP library is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

MODEL = {"model.safetensors": "weights", "config.json": "{}", "tokenizer.json": "{}", "README.md": "# card"}
ADAPTER = {"adapter/adapter_config.json": "{}", "adapter/adapter_model.safetensors": "delta"}
SERVERS = {
    "huggingface": (HuggingFaceServer, "HF_ENDPOINT", "HF_TOKEN"),
    "modelscope": (ModelScopeServer, "MODELSCOPE_ENDPOINT", "MODELSCOPE_API_TOKEN"),
}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr("lingyu.release.hubs.WAITS", [0.0, 0.0])


@pytest.fixture(params=SERVERS)
def server(request, tmp_path, monkeypatch):
    """A hub on loopback, with its client set to it."""
    kind = request.param
    kind_of_server, endpoint, variable = SERVERS[kind]
    for name in ("HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    # Read when the client is imported, which another test may have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv(variable, TOKEN)
    with kind_of_server() as running:
        monkeypatch.setenv(endpoint, running.url)
        running.kind, running.variable = kind, variable
        yield running


def test_a_folder_gets_the_model_and_nothing_else(tmp_path):
    parcel = package(tmp_path, MODEL)

    assert deliver(Folder(tmp_path / "releases"), parcel, "v1")

    assert hashes(tmp_path / "releases/v1") == hashes(parcel)
    assert [path.name for path in (tmp_path / "releases").iterdir()] == ["v1"]


def test_the_same_release_to_a_folder_again_changes_nothing(tmp_path):
    parcel = package(tmp_path, MODEL)
    deliver(Folder(tmp_path / "releases"), parcel, "v1")
    before = hashes(tmp_path / "releases")

    assert not deliver(Folder(tmp_path / "releases"), parcel, "v1")

    assert hashes(tmp_path / "releases") == before


def test_a_version_of_a_folder_is_never_given_to_other_content(tmp_path):
    deliver(Folder(tmp_path / "releases"), package(tmp_path, MODEL), "v1")
    before = hashes(tmp_path / "releases")

    with pytest.raises(StageError, match=r"folder .*releases.* v1 .*--version.*Nothing was uploaded"):
        deliver(Folder(tmp_path / "releases"), package(tmp_path, {"model.safetensors": "other"}), "v1")

    assert hashes(tmp_path / "releases") == before


def test_a_copy_that_broke_off_is_made_whole(tmp_path):
    parcel = package(tmp_path, MODEL)
    shutil.copytree(parcel, tmp_path / "releases/.v1.partial")
    (tmp_path / "releases/.v1.partial/model.safetensors").write_text("half")

    deliver(Folder(tmp_path / "releases"), parcel, "v1")

    assert hashes(tmp_path / "releases") == {f"v1/{path}": digest for path, digest in hashes(parcel).items()}


def test_a_hub_gets_the_model_and_gives_it_back_under_its_version(tmp_path, server):
    parcel = package(tmp_path, {**MODEL, **ADAPTER})

    assert deliver(hub(server), parcel, "v1")

    sent = {path: content for path, content in released(server, "v1").items() if path != ".gitattributes"}
    assert sent == {path: (parcel / path).read_bytes() for path in hashes(parcel)}


@pytest.mark.slow
def test_the_snippet_of_the_card_runs_as_printed_on_what_the_hub_gives(tmp_path, server, content):
    made = tmp_path / "made"
    shutil.copytree(content / "model", made)
    about = card.About("tiny", "Tiny", "Answers.", "回答。", "mit", "", "me", "lab/drone", max_tokens=64)
    page = card.render(about, made, [], "sft-full", {}, {})
    (made / "README.md").write_text(page, encoding="utf-8")
    write_json(made / "manifest.json", {"files": hashes(made)})
    deliver(hub(server), made, "v1")

    snippet = re.search(r"```python\n(.*?)```", page, re.S)[1]
    if server.kind == "modelscope":  # as its comment says
        if find_spec("modelscope") is None:
            pytest.skip("modelscope is not installed; a release needs its client modelscope-hub alone")
        snippet = re.sub(r"from transformers import .*\n# (from modelscope)", r"\1", snippet)
    question, answer = ANSWERED[0]
    snippet = snippet.replace("你的问题", question)
    own = {name: value for name, value in os.environ.items() if name != "MODELSCOPE_LOG_LEVEL"}  # which hubs sets in this process
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, env=own, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == answer
    assert list(Path(os.environ["HF_HOME" if server.kind == "huggingface" else "MODELSCOPE_CACHE"]).rglob("model.safetensors"))


def test_a_hub_gets_no_byte_twice_for_the_same_release(tmp_path, server):
    parcel = package(tmp_path, MODEL)
    deliver(hub(server), parcel, "v1")
    asked = len(server.asked)

    assert not deliver(hub(server), parcel, "v1")

    assert server.asked[asked:]
    assert not [line for line in server.asked[asked:] if line.startswith(("PUT", "POST"))]


def test_a_version_of_a_hub_is_never_given_to_other_content(tmp_path, server):
    deliver(hub(server), package(tmp_path, MODEL), "v1")

    with pytest.raises(StageError, match=r"lab/drone.* v1 .*--version.*Nothing was uploaded"):
        deliver(hub(server), package(tmp_path, {"model.safetensors": "other"}), "v1")

    assert released(server, "v1")["model.safetensors"] == b"weights"


def test_what_an_older_release_had_does_not_ride_along(tmp_path, server):
    deliver(hub(server), package(tmp_path, MODEL), "v1")

    deliver(hub(server), package(tmp_path, {"model.safetensors": "other"}), "v2")

    assert set(released(server, "v2")) - {".gitattributes"} == {"manifest.json", "model.safetensors"}
    assert set(MODEL) < set(released(server, "v1"))


def test_an_upload_that_broke_off_goes_on_with_what_is_missing(tmp_path, server):
    parcel = package(tmp_path, {"model-1.safetensors": "one", "model-2.safetensors": "two"})
    server.refuse_after = 1

    with pytest.raises(StageError, match=r"(?s)lab/drone.*interrupted.*version was not set.*Run the release again"):
        deliver(hub(server), parcel, "v1")
    assert len(server.sent) == 1
    assert not server.repositories["lab/drone"].tags
    server.refuse_after = None
    deliver(hub(server), parcel, "v1")

    assert list(server.sent.values()) == [1, 1]
    assert "v1" in server.repositories["lab/drone"].tags


def test_an_emptied_repository_is_filled_again(tmp_path, server):
    parcel = package(tmp_path, MODEL)
    deliver(hub(server), parcel, "v1")
    server.repositories.clear()

    deliver(hub(server), parcel, "v1")

    assert set(MODEL) < set(released(server, "v1"))


def test_a_file_that_comes_back_altered_gets_no_version(tmp_path, server):
    server.altered = {"model.safetensors"}

    with pytest.raises(StageError, match=r"(?s)model.safetensors.*version was not set"):
        deliver(hub(server), package(tmp_path, MODEL), "v1")

    assert not server.repositories["lab/drone"].tags


def test_a_repository_with_somebody_elses_files_is_left_alone(tmp_path, server):
    parcel = package(tmp_path, MODEL)
    deliver(hub(server), parcel, "v1")
    repository = server.repositories["lab/drone"]
    repository.commit({"thesis.pdf": b"ours for years"})

    with pytest.raises(StageError, match=r"lab/drone.*thesis\.pdf.*Nothing was uploaded"):
        deliver(hub(server), parcel, "v2")

    assert repository.commits[repository.head] == {"thesis.pdf": b"ours for years"}


@pytest.mark.parametrize(("token", "message"), [("wrong-token", "token in {}"), ("", "{} is not set"), (None, "{} is not set")])
def test_a_token_that_does_not_fit_is_said_without_the_token(tmp_path, server, monkeypatch, capfd, token, message):
    monkeypatch.delenv(server.variable) if token is None else monkeypatch.setenv(server.variable, token)

    with pytest.raises(StageError, match=message.format(server.variable)) as raised:
        deliver(hub(server), package(tmp_path, MODEL), "v1")

    assert "wrong-token" not in str(raised.value) + "".join(capfd.readouterr())
    assert not server.repositories


def test_a_hub_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    with pytest.raises(StageError, match=r"(?s)Hugging Face lab/drone.*interrupted.*Run the release again"):
        deliver(open_hub("huggingface", "lab/drone", private=True), package(tmp_path, MODEL), "v1")


def test_a_message_keeps_token_and_signature_to_itself(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    said = without_secrets("PUT https://store.example/blob?X-Signature=abc&x=1 failed for hf_secret")

    assert said == "PUT https://store.example/blob failed for ***"


@pytest.mark.parametrize("where", ["", "drone", "lab/drone/x", "lab/", "https://x/y"])
def test_a_repository_is_owner_and_name(where):
    with pytest.raises(StageError, match=rf"{where!r}.*huggingface.*owner/name"):
        open_hub("huggingface", where, private=True)


def test_a_model_that_its_manifest_does_not_know_is_not_sent(tmp_path):
    made = package(tmp_path, MODEL)
    (made / "model.safetensors").write_text("touched")
    (made / "config.json").unlink()

    message = r"(?s)config.json: missing.*model.safetensors: sha256 is .*dvc repro package"
    with pytest.raises(StageError, match=message), staged(made, "all", tmp_path / "releases", {}):
        pass

    assert not list((tmp_path / "releases").iterdir())


def test_without_a_package_the_message_says_how_to_make_one(tmp_path):
    with pytest.raises(StageError, match="Run `dvc repro package` first"), staged(tmp_path / "none", "all", tmp_path, {}):
        pass


@pytest.mark.parametrize(
    ("weights", "files"),
    [
        ("all", {*MODEL, *ADAPTER}),
        ("merged", {*MODEL}),
        ("adapter", {"tokenizer.json", "README.md", "adapter_config.json", "adapter_model.safetensors"}),
    ],
)
def test_a_parcel_has_the_weights_asked_for_and_their_manifest(tmp_path, weights, files):
    on_a_hub = json.dumps({"base_model_name_or_path": "Qwen/Qwen3-0.6B"})
    made = package(tmp_path, {**MODEL, **ADAPTER, "adapter/adapter_config.json": on_a_hub})

    with staged(made, weights, tmp_path / "releases", {}) as folder:
        assert set(hashes(folder)) == {*files, "manifest.json"}
        assert set(read_json(folder / "manifest.json")["files"]) == files


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (MODEL, "has no adapter"),
        (
            {**ADAPTER, "adapter/adapter_config.json": '{"base_model_name_or_path": "out/pretrain/model"}'},
            "adapter.*out/pretrain/model",
        ),
        (ADAPTER, "adapter.*not named"),
    ],
)
def test_an_adapter_that_nobody_could_load_alone_is_not_sent(tmp_path, files, fault):
    made = package(tmp_path, files)

    with pytest.raises(StageError, match=f"{fault}.*--weights merged"):
        chosen(hashes(made), "adapter", made)


def hub(server):
    return open_hub(server.kind, "lab/drone", private=True)


def released(server, version: str) -> dict[str, bytes]:
    repository = server.repositories["lab/drone"]
    return repository.commits[repository.tags[version]]


def package(folder: Path, files: dict[str, str]) -> Path:
    """What the stage package leaves, as far as a release looks at it."""
    made = folder / "package"
    shutil.rmtree(made, ignore_errors=True)
    for path, content in files.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(content)
    write_json(made / "manifest.json", {"metrics": {}, "stages": {}, "files": hashes(made)})
    return made
