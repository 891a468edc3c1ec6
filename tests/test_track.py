"""What a run gave is in MLflow: against a real server on loopback and its own client; skipped where mlflow is not installed."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import socket

import pytest

from lingyu import track
from lingyu.__main__ import main
from lingyu.files import write_json
from lingyu.stage import StageError

needs_it = pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed (extra mlflow)")
MEASURE = {"value": 0.5, "low": 0.4, "high": 0.6, "count": 9}


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder as select leaves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(track.URI, raising=False)
    Path("params.yaml").write_text("sft: {candidates: {lora: {learning_rate: 1.0e-3, tasks: [a, b]}}}\nclean: {}\n", encoding="utf-8")
    Path("dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    select = tmp_path / "out" / "select"
    verdict = {"checkpoint": "sft-lora", "primary": "fact_exact", "why": {"zh": "选出 sft-lora。", "en": "sft-lora is selected."}}
    write_json(select / "winner.json", verdict)
    write_json(select / "metrics.json", {"fact_exact": MEASURE})
    write_json(select / "model" / "config.json", {})
    (select / "report.html").write_text("<title>report</title>", encoding="utf-8")
    write_json(tmp_path / "out" / "evaluate" / "sft-lora" / "metrics.json", {"fact_exact": MEASURE})
    write_json(tmp_path / "out" / "sft" / "lora" / "metrics.json", {"eval_loss": 1.5, "method": "lora"})
    return tmp_path / "out"


def test_parameters_and_metrics_have_names_that_say_where_they_are_from(out):
    found = track.result_of(out, Path("dvc.lock"))

    assert found["params"] == {"sft.candidates.lora.learning_rate": "0.001", "sft.candidates.lora.tasks": "['a', 'b']", "clean": "{}"}
    assert found["metrics"]["test/fact_exact"] == 0.5
    assert found["metrics"]["dev/sft-lora/fact_exact/high"] == 0.6
    assert found["metrics"]["train/sft/lora/eval_loss"] == 1.5
    assert [path.name for path in found["files"]] == ["report.html", "winner.json", "params.yaml", "dvc.lock"]


def test_what_is_missing_is_said(out, tmp_path):
    with pytest.raises(StageError, match=r"--to.*MLFLOW_TRACKING_URI"):
        track.track(out, Path("dvc.lock"), "", "lingyu")
    with pytest.raises(StageError, match="dvc repro select"):
        track.result_of(tmp_path, Path("dvc.lock"))
    write_json(out / "select" / "winner.json", {"checkpoint": None})
    with pytest.raises(StageError, match="no winner"):
        track.result_of(out, Path("dvc.lock"))
    assert track.without_password("http://me:secret@host:1/x") == "http://…@host:1/x"


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed")
def test_a_machine_without_mlflow_is_told_how_to_get_it(out):
    with pytest.raises(StageError, match="--extra mlflow"):
        track.track(out, Path("dvc.lock"), "http://127.0.0.1:9", "lingyu")


@contextmanager
def server(folder: Path):
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            url, until = f"http://127.0.0.1:{port}", time.monotonic() + 600
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, (folder / "server.log").read_text()
                    assert time.monotonic() < until
                    time.sleep(0.5)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with the workers that it started
            process.wait()


@needs_it
def test_a_run_is_logged_once_with_its_report_and_registered(out, tmp_path, capsys):
    from mlflow import MlflowClient

    with server(tmp_path) as url:
        for _ in range(2):
            assert main(["track", "--to", url, "--experiment", "drone", "--register", "drone-assistant"]) == 0

        client = MlflowClient(url, url)
        (run,) = client.search_runs([client.get_experiment_by_name("drone").experiment_id])
        assert run.data.params["sft.candidates.lora.learning_rate"] == "0.001"
        assert run.data.metrics["test/fact_exact"] == 0.5
        assert run.data.tags["lingyu.winner"] == "sft-lora"
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"report.html", "winner.json", "model"}
        (version,) = client.search_model_versions("name = 'drone-assistant'")
        assert version.run_id == run.info.run_id
        assert version.tags["lingyu.primary"] == "fact_exact"
    assert run.info.run_id in capsys.readouterr().out


@needs_it
def test_a_server_that_is_not_there_is_named(out, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(StageError, match=r"MLflow at http://127\.0\.0\.1:9 refused"):
        track.track(out, Path("dvc.lock"), "http://127.0.0.1:9", "lingyu")
