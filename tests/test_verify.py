"""The lineage of a release, its signature, and that `lingyu verify` names each fault."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lingyu.__main__ import main
from lingyu.files import hashes, read_json, write_json
from lingyu.release import lineage, signature
from lingyu.release.hubs import Folder, deliver
from lingyu.release.staging import staged
from lingyu.release.verify import verdict
from lingyu.stage import StageError

PARAMS = {
    "base": {"model": {"kind": "folder", "name": "/home/me/models/Qwen3-0.6B", "revision": ""}},
    "generate": {"teacher": {"kind": "openai", "base_url": "http://10.0.0.7/v1", "model": "qwen", "key_from": "TEACHER_KEY"}},
    "index": {"rerank": {"proxies": ["http://inside"], "model": "bge"}},
    "sft": {"candidates": {"full": {"learning_rate": 0.001}}},
    "release": {"to": ["folder"]},
}


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    return tmp_path, git


def change(repository, path, commit=True):
    folder, git = repository
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("a") as file:
        file.write("x")
    if commit:
        git("add", "-A")
        git("commit", "-qm", path)
    return lineage.commit(folder)


def test_the_commit_is_the_last_that_can_change_the_model(repository):
    made = change(repository, "stages/clean.py")
    head = repository[1]("rev-parse", "HEAD")

    assert made == {"commit": head, "changed_since": False}
    for path in ("dvc.lock", "README.md", "docs/data.md", "tests/test_a.py"):
        assert change(repository, path) == made
    assert change(repository, "samples/drone/documents/rules.md")["commit"] != head
    assert change(repository, "params.yaml", commit=False)["changed_since"] is True


def test_without_git_the_commit_is_not_known(tmp_path):
    assert lineage.commit(tmp_path) == {"commit": None, "changed_since": None}


@pytest.fixture
def project(repository):
    """A clone with a package, and a dvc.lock that fits both."""
    top, git = repository
    made = top / lineage.RELEASE
    made.mkdir(parents=True)
    for name, content in {"model.safetensors": "weights", "chat_template.jinja": "{{ x }}", "README.md": "# card"}.items():
        (made / name).write_text(content)
    write_json(made / "manifest.json", {"metrics": {}, "winner": "full", "files": hashes(made)})
    (top / "stages").mkdir()
    (top / "stages/sft.py").write_text("code")
    (top / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (top / ".gitignore").write_text("/out/\n/releases/\n/*.pem\n")
    data = {"path": "data", "md5": "d.dir", "size": 3, "nfiles": 1}
    (top / "data.dvc").write_text(yaml.safe_dump({"deps": [{"path": "/home/me/corpus"}], "outs": [data]}))
    (top / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"sft": {}, "package": {}}}))
    code = {"path": "stages", "md5": lineage.dvc_hash({"sft.py": lineage.md5(top / "stages/sft.py")})}
    packaged = lineage.dvc_hash({path: lineage.md5(made / path) for path in hashes(made)})
    stages = {
        "sft@full": {"deps": [{"path": "data", "md5": "d.dir"}, code], "outs": [{"path": "out/sft", "md5": "s.dir"}]},
        "sft@gone": {"outs": [{"path": "out/old", "md5": "o"}]},
        "package": {"deps": [{"path": "out/sft", "md5": "s.dir"}], "outs": [{"path": lineage.RELEASE, "md5": packaged}]},
    }
    (top / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    git("add", "-A")
    git("commit", "-qm", "all")
    return top


def released(top: Path, key: Path | None = None, weights: str = "all") -> Path:
    shutil.rmtree(top / "releases", ignore_errors=True)
    with staged(top / lineage.RELEASE, weights, top / "releases", lineage.lineage(top, {"sft@full": 17}), key) as folder:
        deliver(Folder(top / "releases"), folder, "v1")
    return top / "releases/v1"


def test_the_manifest_holds_the_whole_lineage(project):
    manifest = read_json(released(project) / "manifest.json")

    assert manifest["git"]["changed_since"] is False
    assert manifest["data"] == {"data": {"md5": "d.dir", "size": 3, "nfiles": 1}}
    assert manifest["stages"]["sft@full"] == {"out/sft": "s.dir"}
    assert manifest["inputs"]["sft@full"].keys() == {"data", "stages"}
    assert "sft@gone" not in manifest["stages"]
    assert manifest["template"] == manifest["files"]["chat_template.jinja"]
    assert manifest["seeds"] == {"sft@full": 17}
    assert manifest["machine"].keys() == {"python", "system", "processor", "instructions", "gpus"}


def test_the_lineage_names_no_endpoint_key_or_path(project):
    told = json.dumps(lineage.lineage(project))

    assert lineage.lineage(project)["base"]["name"] == "Qwen3-0.6B"
    assert lineage.lineage(project)["parameters"]["generate"]["teacher"] == {"kind": "openai", "model": "qwen"}
    for secret in ("10.0.0.7", "TEACHER_KEY", "http", "/home/me", "release"):
        assert secret not in told.replace(lineage.RELEASE, "")


def test_a_release_as_it_was_made_has_no_fault(project):
    found = verdict(released(project), None, project)

    assert found.faults == []
    assert any("commit" in line for line in found.checked)


def change_byte(folder: Path) -> None:
    (folder / "model.safetensors").write_text("weighty")


def stain_the_manifest(folder: Path, key: str, value: object) -> None:
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), key: value})


FAULTS = {
    "a changed byte": (change_byte, r"model.safetensors: sha256"),
    "a changed card": (lambda folder: (folder / "README.md").write_text("# other"), r"README.md: sha256"),
    "an extra file": (lambda folder: (folder / "evil.py").write_text("x"), r"evil.py: not in the manifest"),
    "a file in a new folder": (lambda folder: (folder / "a").mkdir() or (folder / "a/b.py").write_text("x"), r"a/b.py: not in"),
    "a missing file": (lambda folder: (folder / "chat_template.jinja").unlink(), r"chat_template.jinja: missing"),
    "other data": (lambda folder: stain_the_manifest(folder, "data", {"data": {"md5": "e.dir"}}), r"sft@full read data d.dir"),
    "another input": (
        lambda folder: stain_the_manifest(folder, "inputs", {"package": {"out/sft": "t.dir"}}),
        r"package read out/sft t.dir",
    ),
    "other metrics": (lambda folder: stain_the_manifest(folder, "metrics", {"exact": 1.0}), r"not those that the stage package made"),
    "other parameters": (lambda folder: stain_the_manifest(folder, "parameters", {"sft": {}}), r"params.yaml at .* other values"),
    "changes that no commit has": (
        lambda folder: stain_the_manifest(folder, "git", {"commit": "0" * 40, "changed_since": True}),
        r"changes beside commit 000000000000",
    ),
    "no git": (lambda folder: stain_the_manifest(folder, "git", {"commit": None, "changed_since": None}), r"outside of git"),
    "no lineage": (lambda folder: write_json(folder / "manifest.json", {"files": {}}), r"the manifest has no git, data"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(project, name):
    spoil, said = FAULTS[name]
    folder = released(project)

    spoil(folder)

    assert any(_has(said, fault) for fault in verdict(folder, None, project).faults)


def _has(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def test_code_that_the_commit_has_otherwise_is_named(project):
    (project / "stages/sft.py").write_text("other code")
    lineage.git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "code without a run")

    faults = verdict(released(project), None, project).faults

    assert [fault for fault in faults if "stages at" in fault]


def test_a_part_of_the_weights_is_verified_without_the_hash_of_the_whole(project):
    folder = released(project, weights="merged")

    assert read_json(folder / "manifest.json")["weights"] == "merged"
    assert verdict(folder, None, project).faults == []


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two pairs, and a private key with a password."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")
    for name, secret in (("mine", form.NoEncryption()), ("other", form.NoEncryption()), ("locked", form.BestAvailableEncryption(b"word"))):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.pem").write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, secret))
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


def test_a_signed_release_is_verified_with_its_key_and_by_the_tool_of_model_signing(project, keys):
    folder = released(project, keys / "mine.pem")

    assert verdict(folder, keys / "mine.pub", project).faults == []
    assert any("give the public key" in line for line in verdict(folder, None, project).remarks)
    tool = shutil.which("model_signing")
    assert tool
    asked = [tool, "verify", "key", str(folder), "--signature", str(folder / "model.sig"), "--public_key", str(keys / "mine.pub")]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("spoil", "key", "said"),
    [
        (lambda folder: None, "other.pub", "made with another key"),
        (lambda folder: (folder / "model.sig").unlink(), "mine.pub", "model.sig: missing"),
        (lambda folder: (folder / "model.sig").write_text("{}"), "mine.pub", "made with another key (not named"),
        (change_byte, "mine.pub", "model.sig: does not fit the files"),
        (lambda folder: stain_the_manifest(folder, "metrics", {"exact": 1.0}), "mine.pub", "model.sig: does not fit the files"),
        (lambda folder: (folder / "evil.py").write_text("x"), "mine.pub", "Extra files"),
    ],
)
def test_a_signature_that_does_not_hold_says_why(project, keys, spoil, key, said):
    folder = released(project, keys / "mine.pem")

    spoil(folder)

    assert said in " ".join(verdict(folder, keys / key, project).faults)


def test_a_signature_put_under_other_files_with_the_hint_of_the_right_key_is_no_signature(project, keys):
    folder = released(project, keys / "other.pem")
    told = read_json(folder / "model.sig")
    told["verificationMaterial"]["publicKey"]["hint"] = signature.fingerprint(signature.public_key(keys / "mine.pub"))
    write_json(folder / "model.sig", told)

    assert any("not a signature of this key" in fault for fault in verdict(folder, keys / "mine.pub", project).faults)


def test_an_unsigned_release_is_a_fault_where_a_key_is_given(project, keys):
    assert any("not signed" in fault for fault in verdict(released(project), keys / "mine.pub", project).faults)


@pytest.mark.parametrize(
    ("name", "said"), [("locked.pem", "LINGYU_SIGNING_PASSWORD"), ("mine.pub", "private key in PEM"), ("none.pem", "cannot be read")]
)
def test_a_key_that_cannot_sign_is_told_before_anything_is_made(project, keys, name, said):
    with pytest.raises(StageError, match=said):
        released(project, keys / name)

    assert not list((project / "releases").glob("*"))


def test_a_key_with_a_password_signs(project, keys, monkeypatch):
    monkeypatch.setenv("LINGYU_SIGNING_PASSWORD", "word")

    assert verdict(released(project, keys / "locked.pem"), keys / "locked.pub", project).faults == []


def test_the_command_says_what_it_found_and_fails_on_a_fault(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    released(project)

    assert main(["verify", "v1", "--lang", "en"]) == 0
    change_byte(project / "releases/v1")
    assert main(["verify", "v1", "--lang", "zh"]) == 1

    told = capsys.readouterr().out
    assert "The release is as its manifest says." in told
    assert "问题: model.safetensors: sha256" in told
    assert main(["verify", "v2"]) == 1
    assert "v2: no such folder" in capsys.readouterr().err
