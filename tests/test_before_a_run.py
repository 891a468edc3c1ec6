"""python -m stages: what a run would stumble over is told before anything is touched."""

import shutil
from pathlib import Path

import pytest

from stages.__main__ import main

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the real params.yaml and one document."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for path in (ROOT / "flows").glob("[!_]*.py"):
        (tmp_path / "flows").mkdir(exist_ok=True)
        (tmp_path / "flows" / path.name).touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rules.md").write_text("# 规则\n\n不得超速。\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_project_passes(project):
    main()


def test_all_faults_of_all_sections_are_told_at_once(project):
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    text = text.replace("  max_chars: 1000", "  max_char: 1000").replace("      learning_rate: 5.0e-3", "      learning_rat: 5.0e-3")
    params.write_text(text.replace("\nindex:\n", "\nindx:\n"), encoding="utf-8")
    (project / "data/rules.md").unlink()

    with pytest.raises(SystemExit) as ended:
        main()

    told = str(ended.value.code)
    assert "no stage or flow is named 'indx'" in told
    assert "index: params.yaml has no section 'index'" in told
    assert "ingest.max_char: Extra inputs" in told
    assert "sft@lora: " in told
    assert "sft.candidates.lora.learning_rat: Extra inputs" in told
    assert "data/ holds no file" in told
    assert told.endswith("请先改正以上问题。")


def test_a_file_that_is_no_yaml_is_one_fault(project):
    (project / "params.yaml").write_text("ingest: [", encoding="utf-8")

    with pytest.raises(SystemExit, match=r"params\.yaml is not YAML"):
        main()
