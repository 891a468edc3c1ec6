"""The flow release: what it reads from params.yaml and the command line, and what it writes down for the next comparison."""

import re
import shutil
from pathlib import Path

import pytest
from hub_servers import TOKEN, ModelScopeServer
from miniature import dvc, git

from flows import release as flow
from flows.release import release
from lingyu.files import hashes, read_json, write_json
from lingyu.release.lineage import KEYS
from lingyu.stage import StageError

PARAMS = flow.Params(to=["folder"], folder=Path("releases"), huggingface="", modelscope="lab/drone", private=True, weights="all")
METRICS = {"fact_exact": {"value": 0.8, "low": 0.7, "high": 0.9, "count": 100}}


@pytest.fixture
def project(tmp_path, monkeypatch, prefect_server):
    """A project with a packaged model."""
    monkeypatch.setattr("lingyu.release.hubs.WAITS", [0.0, 0.0])
    monkeypatch.chdir(tmp_path)
    write_json(Path("params.yaml"), {"release": PARAMS.model_dump(mode="json")})  # JSON is YAML too
    made = Path("out/package/release")
    made.mkdir(parents=True)
    (made / "model.safetensors").write_text("weights")
    write_json(made / "manifest.json", {"metrics": METRICS, "files": hashes(made)})
    return tmp_path


@pytest.mark.slow
def test_a_release_is_named_by_its_content_and_written_down_once(project):
    release()
    release()

    (entry,) = read_json(Path("releases/released.json"))
    assert entry["place"] == "folder releases"
    assert entry["metrics"] == METRICS
    released = Path("releases", entry["version"])
    packaged = hashes(Path("out/package/release"))
    assert {**hashes(released), "manifest.json": ""} == {**packaged, "manifest.json": ""}
    manifest = read_json(released / "manifest.json")
    assert manifest.keys() == {"metrics", "files", *KEYS}
    assert manifest["files"] == read_json(Path("out/package/release/manifest.json"))["files"]
    assert {path.name for path in Path("releases").iterdir()} == {entry["version"], "released.json"}
    assert {path.stat().st_mode & 0o777 for path in released.iterdir()} == {0o644}


@pytest.mark.slow
def test_what_the_winner_made_of_the_test_is_kept_beside_the_record(project):
    write_json(Path("out/package/release/manifest.json"), {**read_json(Path("out/package/release/manifest.json")), "winner": "sft-full"})
    Path("out/select/test").mkdir(parents=True)
    Path("out/select/test/sft-full.parquet").write_bytes(b"answers")

    release(version="v1")

    assert Path("releases/answers/v1.parquet").read_bytes() == b"answers"


def test_without_git_nothing_is_released(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))

    with pytest.raises(StageError, match="git is not installed"):
        release()

    assert not Path("releases").exists()


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of DVC's own index
@pytest.mark.slow
def test_a_package_that_dvc_lock_does_not_name_is_not_released(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    dvc(tmp_path, "init", "-q")
    command = "mkdir -p out/package/release && echo weights > out/package/release/model.safetensors"
    dvc(tmp_path, "stage", "add", "-q", "--run", "-n", "package", "-o", "out/package/release", command)
    flow.check_package(flow.PACKAGE)
    shutil.rmtree(".dvc/cache")  # as `dvc gc` may; the package is the same
    assert "not in cache" in dvc(tmp_path, "status")
    flow.check_package(flow.PACKAGE)

    model = Path("out/package/release/model.safetensors")
    model.chmod(0o644)
    model.write_text("of another branch")

    with pytest.raises(StageError, match=r"dvc\.lock.*dvc repro package"):
        flow.check_package(flow.PACKAGE)


@pytest.mark.slow
def test_one_run_releases_to_several_places(project, monkeypatch):
    for name in ("MODELSCOPE_HOME", "MODELSCOPE_CACHE"):
        monkeypatch.setenv(name, str(project / name))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    with ModelScopeServer() as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)

        release(to=["folder", "modelscope=lab/fire"], version="v1")

    assert [entry["place"] for entry in read_json(Path("releases/released.json"))] == ["folder releases", "ModelScope lab/fire"]
    assert set(server.repositories["lab/fire"].tags) == {"v1"}


@pytest.mark.slow
def test_a_release_that_failed_is_not_written_down(project):
    Path("out/package/release/model.safetensors").write_text("touched")

    with pytest.raises(StageError, match=r"(?s)out/package/release.*manifest.*model\.safetensors"):
        release()

    assert not Path("releases/released.json").exists()


@pytest.mark.parametrize("version", ["../v1", "", ".hidden", "v 1", "第一版"])
def test_a_version_must_serve_as_tag_and_folder(version):
    with pytest.raises(StageError, match=re.escape(repr(version))):
        flow.checked(version)


@pytest.mark.parametrize(
    ("to", "weights", "changed"),
    [
        (None, None, {}),
        (["huggingface=lab/fire"], None, {"to": ["huggingface"], "huggingface": "lab/fire"}),
        (
            ["modelscope", "folder=/mnt/models"],
            "merged",
            {"to": ["modelscope", "folder"], "folder": Path("/mnt/models"), "weights": "merged"},
        ),
    ],
)
def test_the_command_line_goes_before_params_yaml(to, weights, changed):
    assert flow.overlaid(PARAMS, to, weights).model_dump() == {**PARAMS.model_dump(), **changed}


def test_a_hub_that_nobody_knows_is_named():
    with pytest.raises(StageError, match=r"release.to.0: .*'folder', 'huggingface' or 'modelscope' \(found 'huggingfase'\)"):
        flow.overlaid(PARAMS, ["huggingfase"], None)
