"""A message that may hurt: judged by an endpoint or the served model, and the page of two phones in a real browser."""

import asyncio
import re

import httpx
import pytest
from openai_server import Reply, serving
from serving import TOP, served
from test_browser import browser, found, wait  # noqa: F401  (a fixture)

from lingyu.generate.llm.nvc import WORDINGS
from lingyu.serve import rewrite
from lingyu.serve.app import make_app
from lingyu.serve.rewrite import PARTS, WORDS, parts_of, question_of, rewritten

HARSH, KIND = "你怎么又没做完？你从来不管别人！", "我看到报告今天还没有写完，有些着急。我需要按时交稿，今晚能先把第一节发给我吗？"
ANSWER = f"风险：高\n观察：报告今天没有写完\n感受：着急\n需要：按时交稿\n请求：今晚先发第一节\n改写：{KIND}"
CALM = "风险：低\n观察：约在三点\n感受：平静\n需要：见面\n请求：三点见\n改写：三点见。"


def script(body, _):
    text = body["messages"][-1]["content"]
    return Reply(status=503) if "出错" in text else Reply(ANSWER if HARSH in text else CALM)


def test_the_words_are_those_that_the_model_learns():
    for chinese, language in ((True, "zh"), (False, "en")):
        taught, words = WORDINGS[language], WORDS[chinese]
        assert words.asked == taught.asked
        assert {level: name for name, level in words.risks.items()} == taught.risks
        said = dict.fromkeys(PARTS, "x") | {"risk": taught.risks["medium"]}
        assert parts_of(taught.answered.format(**said), words) == dict.fromkeys(PARTS, "x") | {"risk": "medium"}


@pytest.mark.parametrize(
    ("answer", "risk"),
    [
        (ANSWER, "high"),
        (ANSWER.replace("：", ":").replace("风险", "**风险**"), "high"),
        ("好的，这是改写。\n" + ANSWER, "high"),
        (ANSWER.replace("风险：高", "风险：很高"), None),
        (ANSWER.replace("感受：着急\n", ""), None),
        (ANSWER.replace("着急\n", "\n"), None),
        (ANSWER + "\n风险：低", None),
        ("云雀X3的最大飞行速度是21米每秒。", None),
        ("", None),
    ],
)
def test_an_answer_that_has_not_all_six_parts_says_nothing(answer, risk):
    async def ask(_):
        return answer

    told = asyncio.run(rewritten(HARSH, ask))

    assert (told["risk"], told["hurts"]) == (risk, risk is not None)
    assert told["rewrite"] == (KIND if risk else "")


def test_a_low_risk_or_the_same_words_warn_nobody():
    async def judged(text, answer):
        async def ask(_):
            return answer

        return await rewritten(text, ask)

    assert asyncio.run(judged("三点见", CALM))["hurts"] is False
    assert asyncio.run(judged(KIND, ANSWER))["hurts"] is False


def test_an_endpoint_is_asked_with_its_key_and_its_faults_are_named(monkeypatch):
    app = make_app(lambda: Nobody, TOP / "web" / "pages")

    async def post(text):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post("/v1/rewrite", json={"text": text})

    with serving(script, key="secret") as teacher:
        for name, value in ((rewrite.URL, teacher.url), (rewrite.MODEL, "big"), (rewrite.KEY, "secret")):
            monkeypatch.setenv(name, value)
        told = asyncio.run(post(HARSH)).json()
        failed = asyncio.run(post("出错"))
        monkeypatch.setenv(rewrite.KEY, "wrong")
        refused = asyncio.run(post(HARSH))

    assert (told["risk"], told["rewrite"], told["elements"]["need"]) == ("high", KIND, "按时交稿")
    assert '"model": "big"' in teacher.asked[0]
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "endpoint_failed")
    assert refused.status_code == 502
    assert "secret" not in refused.text
    assert asyncio.run(post("x" * 2001)).status_code == 400


class Nobody:
    class settings:
        max_waiting = 4

    class engine:
        at_once = 1


@pytest.fixture(scope="module")
def address(content, browser, tmp_path_factory):  # noqa: F811  (the fixture)
    folder = tmp_path_factory.mktemp("nvc")
    with serving(script) as teacher, served(content, folder, **{rewrite.URL: teacher.url, rewrite.MODEL: "big"}) as address:
        yield address


@pytest.fixture
def page(browser, address):  # noqa: F811  (the fixture)
    browser.get(f"{address}/nvc")
    browser.execute_script("localStorage.setItem('language', 'zh')")
    browser.refresh()
    wait(lambda: found(browser, ".phone.left textarea"))
    browser.get_log("browser")
    return browser


def write(page, side, text):
    field = found(page, f".phone.{side} textarea")[0]
    field.clear()
    field.send_keys(text + "\n")


def texts(page, side):
    return [item.text for item in found(page, f".phone.{side} .messages p")]


@pytest.mark.slow
def test_a_harmless_message_passes_silently_to_the_other_phone(page):
    write(page, "left", "三点见")
    wait(lambda: texts(page, "right") == ["三点见"])

    assert texts(page, "left") == ["三点见"]
    assert found(page, ".sheet") == []
    assert page.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "sent"), [("use", [KIND]), ("anyway", [HARSH]), ("discard", [])])
def test_a_message_that_may_hurt_is_asked_about_with_three_choices(page, choice, sent):
    write(page, "right", HARSH)
    wait(lambda: found(page, ".phone.right .sheet"))

    sheet = found(page, ".phone.right .sheet")[0]
    for part in (HARSH, KIND, "报告今天没有写完", "着急", "按时交稿", "今晚先发第一节", "高"):
        assert part in sheet.text
    assert texts(page, "left") == []
    assert page.execute_script("return document.activeElement.dataset.choice") == "use"
    found(page, f"[data-choice={choice}]")[0].click()
    wait(lambda: not found(page, ".sheet"))
    assert texts(page, "left") == texts(page, "right") == sent


@pytest.mark.slow
def test_a_message_that_could_not_be_checked_is_sent_and_says_so(page):
    write(page, "left", "出错")
    wait(lambda: texts(page, "right") == ["出错"])

    assert "未经检查" in found(page, ".phone.left .messages")[0].text


@pytest.mark.slow
def test_the_two_phones_fit_a_phone_and_speak_both_languages(page):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 375, "height": 700, "deviceScaleFactor": 1, "mobile": True})
    page.refresh()
    wait(lambda: found(page, ".phone.left textarea"))
    width = page.execute_script("return document.documentElement.scrollWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    found(page, "#language")[0].click()

    assert width == 375
    assert "Two phones" in found(page, ".about")[0].text


def test_the_page_says_everything_in_both_languages():
    text = (TOP / "web/pages/nvc/words.js").read_text(encoding="utf-8")
    tables = [set(re.findall(r"(\w+): \"", part)) for part in text.split(" en: {")]

    assert tables[0] == tables[1]
    assert len(tables[0]) > 20


def test_a_served_model_is_asked_in_the_words_it_learnt(content):
    from lingyu.serve.assistant import Assistant
    from lingyu.serve.engine import TransformersEngine

    assistant = Assistant(content, TransformersEngine(content / "model"))
    asked = []
    plan = assistant.plan
    assistant.plan = lambda request: asked.append(request) or plan(request)
    app = make_app(lambda: assistant, TOP / "web" / "pages")

    async def post():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.post("/v1/rewrite", json={"text": "你迟到了"})).json()

    told = asyncio.run(post())

    assert asked[0].messages[0].content == question_of("你迟到了")
    assert (told["risk"], told["hurts"]) == (None, False)
