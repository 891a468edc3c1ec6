"""The scripts of tests/systems, which recipes run in a browser, on a service that has what they look for."""

import shutil

import pytest
from openai_server import Reply, serving
from pydantic import TypeAdapter
from serving import ANSWERED, TOP, served

from lingyu.files import read_json, write_json
from lingyu.recipes.checks import AnyCheck, Run
from lingyu.recipes.service import Client
from lingyu.serve import rewrite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium and chromedriver are not installed"
    ),
]
HARSH = "风险：高\n观察：名单少了两个人\n感受：焦急\n需要：名单完整\n请求：中午前补上\n改写：名单少了两个人，我有点焦急。中午前能补上吗？"
MILD = "风险：低\n观察：约在门口\n感受：平静\n需要：见面\n请求：带学生证\n改写：周五下午四点见。"
SKILLS = {"skills": {"brief": "只用一句话回答。", "ask": "只用一句话回答。"}, "history_turns": 1}
NAMES = {"brief": {"zh": "简答", "en": "Brief"}, "ask": {"zh": "启发", "en": "Socratic"}}


@pytest.fixture(scope="module")
def folder(content, tmp_path_factory):
    """A recipe's folder as far as the scripts read it."""
    folder = tmp_path_factory.mktemp("recipe")
    src = folder / "out/package/bento/src"
    src.mkdir(parents=True)
    for name in ("model", "knowledge"):
        (src / name).symlink_to(content / name)
    write_json(src / "settings.json", {**read_json(content / "settings.json"), **SKILLS, "skill_names": NAMES})
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    def judge(body, _):
        return Reply(HARSH if "废物" in body["messages"][-1]["content"] else MILD)

    with serving(judge) as endpoint:
        environment = {rewrite.URL: endpoint.url, rewrite.MODEL: "big"}
        with served(folder / "out/package/bento/src", tmp_path_factory.mktemp("served"), **environment) as address:
            run = Run(folder)
            run.service = Client(address)
            yield run


@pytest.mark.parametrize(
    ("script", "found"),
    [("skills", "简答、启发"), ("window", "[0, 1, 1]"), ("nvc", "discard, anyway, use; 名单少了两个人，我有点焦急。中午前能补上吗？")],
)
def test_a_script_finds_what_a_person_would_see(run, script, found):
    check = TypeAdapter(AnyCheck).validate_python(
        {"kind": "script", "zh": "页", "en": "page", "path": TOP / f"tests/systems/{script}.py", "asks": ANSWERED[0][0]}
    )

    result = check.result(run)

    assert (result.holds, result.found) == (True, found)
