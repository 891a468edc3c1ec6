"""Nothing that runs here reports its use: no connection leaves the machine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from retraining import environment, project

ROOT = Path(__file__).parent.parent
SWITCHES = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
OUTWARD = re.compile(r'connect\(\d+, \{sa_family=AF_INET6?, .*"(?!127\.|::1"|::ffff:127\.)[^"]*"')


def test_every_target_of_the_makefile_has_all_reports_of_use_switched_off(tmp_path):
    shown = "include Makefile\nshown:\n\t@env\n"
    (tmp_path / "shown.mk").write_text(shown)

    told = subprocess.run(["make", "--silent", "-f", tmp_path / "shown.mk", "shown"], cwd=ROOT, capture_output=True, text=True, check=True)

    values = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    assert {name: values.get(name) for name in SWITCHES} == SWITCHES


@pytest.mark.parametrize(
    ("line", "outward"),
    [
        ('1 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("10.1.2.3")}, 16) = 0', True),
        ('1 connect(3, {sa_family=AF_INET, sin_port=htons(4200), sin_addr=inet_addr("127.0.0.1")}, 16) = 0', False),
        ('1 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "2606::1", &sin6_addr)}, 28) = 0', True),
        ('1 connect(3, {sa_family=AF_INET6, sin6_port=htons(4200), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0', False),
        ('1 connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1', False),
    ],
)
def test_what_counts_as_outward(line, outward):
    assert bool(OUTWARD.search(line)) == outward


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see the connections of all processes")
def test_a_retraining_with_its_server_connects_to_nobody_outside(tmp_path):
    top, trace = project(tmp_path), tmp_path / "trace"
    words = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", trace, sys.executable, "-m", "flows.retrain"]

    done = subprocess.run(words, cwd=top, env={**environment(top), "no_proxy": "*"}, capture_output=True, text=True)

    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert (top / "out/model").exists()
    lines = trace.read_text(errors="replace").splitlines()
    assert any("AF_INET" in line and "127.0.0.1" in line for line in lines)  # Prefect's own server was seen
    assert [line for line in lines if OUTWARD.search(line)] == []
