"""The chat page as a person meets it: a real browser, the real service."""

import json
import re
import shutil
import time

import httpx
import pytest
from serving import ANSWERED, REASONED, TOP, served

SPEED, SPEED_ANSWER = ANSWERED[0]
FLYING_TIME = ANSWERED[1][0]


@pytest.mark.parametrize("name", ["chat", "documents"])
def test_a_page_says_everything_in_both_languages(name):
    text = (TOP / f"web/pages/{name}/words.js").read_text(encoding="utf-8")
    tables = [set(re.findall(r"(\w+): \"", part)) for part in text.split(" en: {")]
    page = (TOP / f"web/pages/{name}/index.html").read_text(encoding="utf-8")

    assert len(tables) == 2
    assert tables[0] == tables[1]
    assert set(re.findall(r"data-(?:word|hint|label)=\"(\w+)\"", page)) <= tables[0]


@pytest.fixture(scope="module")
def browser():
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    return tmp_path_factory.mktemp("votes")


@pytest.fixture(scope="module")
def address(content, browser, votes, tmp_path_factory):
    folders = {"LINGYU_FEEDBACK": str(votes), "LINGYU_DOCUMENTS": str(tmp_path_factory.mktemp("uploads"))}
    with served(content, tmp_path_factory.mktemp("page"), **folders) as address:
        yield address


@pytest.fixture
def page(browser, address):
    browser.get(address)
    browser.execute_script("localStorage.clear(); localStorage.setItem('language', 'zh')")
    browser.refresh()
    wait(lambda: found(browser, "#model")[0].text == "tiny")
    browser.get_log("browser")
    return browser


def word(key, language="zh", page="chat"):
    """A text of a page, from its words.js."""
    table = (TOP / f"web/pages/{page}/words.js").read_text(encoding="utf-8").split(" en: {")[language == "en"]
    return re.search(rf'\b{key}: "([^"]+)"', table)[1]


def found(page, selector):
    return page.find_elements("css selector", selector)


def wait(holds):
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("waited ten seconds in vain")


def ask(page, question):
    found(page, "#question")[0].send_keys(question + "\n")
    wait(lambda: found(page, "#send")[0].is_displayed())


@pytest.mark.slow
def test_a_person_sees_answer_sources_and_the_check(page):
    ask(page, SPEED)
    ask(page, FLYING_TIME)
    found(page, ".source summary")[0].click()

    answers = [item.text for item in found(page, ".answer .text")]
    assert answers[0].removesuffix("1").strip() == SPEED_ANSWER
    assert "38分钟" in answers[1]
    assert "46分钟" not in answers[1]
    assert [item.text for item in found(page, ".badge")] == [word("from_model"), word("from_quotation")]
    found(page, ".cite")[0].click()
    assert found(page, ".source[open] mark")[0].text == "云雀X3的最大飞行速度是21米每秒。"
    assert "知识图谱 · 第 1 条" in found(page, ".source")[0].text
    assert page.get_log("browser") == []


@pytest.mark.slow
def test_a_reload_keeps_the_conversation_and_a_new_chat_ends_it(page):
    ask(page, SPEED)
    found(page, "[value=plain] + span")[0].click()
    ask(page, FLYING_TIME)
    before = [item.text for item in found(page, "#talk li")]

    page.refresh()
    wait(lambda: len(found(page, "#talk > li")) == 4)

    assert [item.text for item in found(page, "#talk li")] == before
    found(page, ".cite")[0].click()
    assert found(page, ".source[open] mark")
    found(page, "#new")[0].click()
    page.refresh()
    wait(lambda: found(page, "#model")[0].text == "tiny")
    assert found(page, "#talk > li") == []


@pytest.mark.slow
def test_a_wrong_answer_is_corrected_and_the_correction_kept(page, votes):
    ask(page, FLYING_TIME)
    found(page, ".vote")[1].click()
    found(page, ".correct textarea")[0].send_keys("云雀X3的续航时间是38分钟。")
    found(page, ".correct .main")[0].click()
    wait(lambda: word("thanks") in found(page, ".answer")[0].text)

    row = json.loads((votes / "preferences.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (row["question"], row["chosen"]) == (FLYING_TIME, "云雀X3的续航时间是38分钟。")
    assert not found(page, ".vote")[0].is_enabled()
    assert page.get_log("browser") == []


MARKDOWN = """\
# 限制 *H*
**粗体** `a<b` 与 <img src=x onerror=alert(1)> [link](javascript:alert(1)) [1]
| 项目 | 值 |
|---|:-:|
| 高度 | **120** 米 |
1. 一
   - 内
2. 二

```
<script>alert(1)</script>
```
> 引用"""


@pytest.mark.slow
def test_markdown_is_shown_as_meant_and_nothing_in_it_becomes_html(page):
    script = """
        const done = arguments[1];
        import('/static/chat/markdown.js').then((made) => {
          const place = document.createElement('div');
          place.append(...made.rendered(arguments[0], (number) => Object.assign(document.createElement('button'), {textContent: number})));
          document.querySelector('#talk').append(place);
          done(place.innerHTML);
        });"""
    html = page.execute_async_script(script, MARKDOWN)

    for part in ("<h3>", "<em>H</em>", "<strong>粗体</strong>", "<code>a&lt;b</code>", "<th>项目</th>", "<td><strong>120</strong> 米</td>"):
        assert part in html
    assert "<ol><li>一<ul><li>内</li></ul></li><li>二</li></ol>" in html
    assert "<button>1</button>" in html
    assert "<blockquote><p>引用</p></blockquote>" in html
    for never in ("<img", "<script", "<a ", "onerror=alert(1)>"):
        assert never not in html
    assert page.get_log("browser") == []


@pytest.mark.slow
def test_a_page_that_forgets_says_so(page, address):
    turns = httpx.get(f"{address}/v1/models").json()["data"][0]["history_turns"]

    assert found(page, "#forgets")[0].is_displayed() == (turns == 0)


@pytest.mark.slow
def test_a_person_is_told_when_the_documents_hold_nothing(page):
    ask(page, "红烧肉怎么做？")

    assert "无法回答" in found(page, ".answer .text")[0].text
    assert found(page, ".source") == []


@pytest.mark.slow
def test_reasoning_is_folded_once_the_answer_is_there(page):
    found(page, "[value=plain] + span")[0].click()
    found(page, "#reasoning")[0].click()
    ask(page, REASONED[0])

    thought = found(page, ".thought")[0]
    assert thought.get_attribute("open") is None
    thought.find_element("css selector", "summary").click()
    assert REASONED[1] in thought.text
    assert found(page, ".answer .text")[0].text == REASONED[2]


@pytest.mark.slow
def test_escape_stops_an_answer_and_what_came_stays(page):
    slow = "const real = window.fetch; window.fetch = (...a) => new Promise(r => setTimeout(() => r(real(...a)), 1500))"
    page.execute_script(slow)
    found(page, "#question")[0].send_keys(SPEED + "\n")
    wait(lambda: found(page, "#stop")[0].is_displayed())
    page.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")

    wait(lambda: found(page, "#send")[0].is_displayed())
    assert word("stopped") in found(page, ".answer")[0].text


@pytest.mark.slow
def test_an_error_is_said_kindly_and_can_be_tried_again(page):
    ask(page, "飞" * 300)
    card = found(page, ".error")[0]

    assert word("context_length_exceeded") in card.text
    card.find_element("css selector", "button").click()
    wait(lambda: len(found(page, ".error")) == 1 and found(page, ".error")[0].id != card.id)


@pytest.mark.slow
def test_language_theme_and_a_new_chat(page):
    ask(page, SPEED)
    found(page, "#language")[0].click()
    found(page, "#theme")[0].click()
    found(page, "#new")[0].click()

    assert word("hello", "en") in found(page, "#welcome")[0].text
    assert page.execute_script("return document.documentElement.dataset.theme") == "dark"
    assert found(page, "#talk li") == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_fits_a_phone(page, language):
    page.execute_script(f"localStorage.setItem('language', '{language}')")
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 375, "height": 700, "deviceScaleFactor": 1, "mobile": True})
    page.refresh()
    ask(page, SPEED)

    send = found(page, "#send")[0].rect
    assert page.execute_script("return document.documentElement.scrollWidth") == 375
    assert send["x"] + send["width"] <= found(page, "#form")[0].rect["x"] + found(page, "#form")[0].rect["width"]
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


RULES = TOP / "samples/drone/documents/zh-rules.pdf"
DRINKING = "机组成员飞行前多少小时内不得饮酒？"


def listed(page, name):
    """What the list of documents says of a file; it is drawn again while files are read."""
    items = page.execute_script("return [...document.querySelectorAll('#list > li')].map((item) => item.innerText)")
    return next((text for text in items if name in text), "")


@pytest.mark.slow
def test_a_document_is_uploaded_asked_filtered_and_deleted(page, address, tmp_path):
    page.get(f"{address}/documents")
    wait(lambda: found(page, "#add")[0].is_displayed())
    # What is on its way appears for a moment only: every bar that was ever shown is counted.
    page.execute_script("""
        window.bars = 0;
        const look = () => { window.bars += document.querySelectorAll('#list progress').length; requestAnimationFrame(look); };
        look();""")
    (tmp_path / "empty.md").touch()
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 no pages")
    found(page, "#add summary")[0].click()
    found(page, "#department")[0].send_keys("飞行部")
    found(page, "#valid_from")[0].send_keys("01012026")
    found(page, "#pick")[0].send_keys("\n".join(map(str, [RULES, tmp_path / "empty.md", tmp_path / "broken.pdf"])))

    wait(lambda: re.search(r"\d+ 段", listed(page, RULES.name)))
    wait(lambda: len(found(page, "#list .fault")) == 2)
    assert "飞行部 · 自 2026-01-01" in listed(page, RULES.name)
    assert "空文件" in listed(page, "empty.md")
    assert "PDF" in " ".join(item.text for item in found(page, "#list .fault"))
    assert page.execute_script("return window.bars") > 0
    # Refusals of the service are errors on the console of the browser, too; nothing else is.
    assert {entry["message"].split()[0] for entry in page.get_log("browser")} == {f"{address}/v1/files"}

    page.get(address)
    wait(lambda: found(page, "#narrow")[0].is_displayed())
    ask(page, DRINKING)
    assert "八小时" in found(page, ".answer .text")[0].text
    assert "zh-rules.pdf" in found(page, ".source")[0].get_attribute("textContent")

    found(page, "#narrow")[0].click()
    assert page.switch_to.active_element.get_attribute("id") == "department"
    page.switch_to.active_element.send_keys("飞行部")
    ask(page, SPEED)
    answer = found(page, ".answer")[1]
    assert "无法回答" in answer.text
    assert "飞行部" in answer.find_element("css selector", ".foot").text
    found(page, "#unfilter")[0].click()
    assert page.switch_to.active_element.get_attribute("id") == "narrow"
    ask(page, SPEED)
    assert SPEED_ANSWER in found(page, ".answer .text")[2].text

    page.get(f"{address}/documents")
    for name in (RULES.name, "broken.pdf"):
        wait(lambda name=name: listed(page, name))
        [*_, delete] = page.find_elements("xpath", f"//ul[@id='list']/li[contains(., '{name}')]//button")
        delete.click()
        assert name in found(page, "#which")[0].text
        found(page, "#yes")[0].click()
        wait(lambda name=name: not listed(page, name))

    page.get(address)
    wait(lambda: found(page, "#model")[0].text == "tiny")
    assert not found(page, "#narrow")[0].is_displayed()
    ask(page, DRINKING)
    assert "八小时" not in found(page, ".answer .text")[-1].text


@pytest.mark.slow
def test_an_answer_offers_questions_to_go_on_with(page):
    ask(page, SPEED)
    (first,) = [item.text for item in found(page, ".next button")]
    assert first == "云雀X3的续航时间是什么？"

    found(page, ".next button")[0].send_keys("\n")
    wait(lambda: len(found(page, ".answer")) == 2 and found(page, "#send")[0].is_displayed())

    assert found(page, ".question p")[1].text == first
    assert "38分钟" in found(page, ".answer .text")[1].text
    assert {SPEED, first}.isdisjoint(item.text for item in found(page, ".next button"))
    page.refresh()
    wait(lambda: len(found(page, "#talk > li")) == 4)
    assert len(found(page, ".next")) <= 1
    assert page.get_log("browser") == []


@pytest.mark.slow
def test_a_vote_names_the_passage_that_has_the_answer(page, votes):
    from selenium.webdriver.support.select import Select

    ask(page, SPEED)
    found(page, ".vote")[0].click()
    wait(lambda: word("thanks") in found(page, ".answer")[0].text)
    ask(page, FLYING_TIME)
    found(page, ".answer")[1].find_elements("css selector", ".vote")[1].click()
    choice = found(page, ".correct select")[0]
    wait(lambda: len(choice.find_elements("css selector", "optgroup option")) > 1)
    Select(choice).select_by_visible_text("documents/manual.md")
    found(page, ".correct .main")[0].click()
    wait(lambda: word("thanks") in found(page, ".answer")[1].text)

    rows = [json.loads(line) for line in (votes / "retrieval_set.jsonl").read_text(encoding="utf-8").splitlines()]
    cited = {"source": "knowledge/graph.jsonl", "section": "最大飞行速度", "text": "云雀X3的最大飞行速度是21米每秒。"}
    assert rows == [{"question": SPEED, **cited}, {"question": FLYING_TIME, "source": "documents/manual.md"}]
    assert page.get_log("browser") == []
