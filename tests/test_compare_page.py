"""The page of `lingyu compare` as a reviewer meets it: keyboard, both languages, a phone."""

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from test_browser import browser, wait  # noqa: F401  (a fixture)

from lingyu.files import write_jsonl
from lingyu.judge import sources
from lingyu.judge.server import PAGE, Serving, make_app
from lingyu.judge.votes import Votes


def test_the_page_says_everything_in_both_languages():
    tables = [set(re.findall(r"(\w+): \"", part)) for part in (PAGE / "words.js").read_text(encoding="utf-8").split(" en: {")]
    page = (PAGE / "index.html").read_text(encoding="utf-8")

    assert len(tables) == 2
    assert tables[0] == tables[1]
    assert set(re.findall(r"data-(?:word|label)=\"(\w+)\"", page)) <= tables[0]


@pytest.fixture
def served(tmp_path):
    for name in ("one", "other"):
        rows = [{"id": str(n), "question": f"问题{n}<b>？", "reply": f"{name} {n}"} for n in range(3)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    compared = sources.read([str(tmp_path / "one.jsonl"), str(tmp_path / "other.jsonl")], None, Path("out"))
    with Votes(tmp_path / "votes.jsonl") as votes, Serving(make_app(compared.pairings, votes), 0) as serving:
        yield serving.url, votes


def test_a_reviewer_votes_by_keys_takes_one_back_and_ends(served, browser):  # noqa: F811
    url, votes = served
    browser.set_window_size(1100, 900)
    browser.get(url)
    browser.get_log("browser")
    browser.find_element("id", "name").send_keys("王 Li", Keys.ENTER)

    def count():
        return browser.find_element("id", "count").text

    wait(lambda: count() == "0 / 3")
    assert "<b>" in browser.find_element("id", "question").text
    left = browser.find_element("id", "left").text
    for key, then in ((Keys.ARROW_LEFT, "1 / 3"), ("u", "0 / 3"), (Keys.ARROW_LEFT, "1 / 3"), ("t", "2 / 3"), (Keys.ARROW_UP, "3 / 3")):
        browser.find_element("css selector", "body").send_keys(key)
        wait(lambda then=then: count() == then)

    assert browser.find_element("id", "end").is_displayed()
    assert list(votes.by_reviewer["王 Li"].values()) == [left.split()[0], "tie", "bad"]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_phone_shows_both_answers_without_scrolling_sideways_in_either_language(served, browser):  # noqa: F811
    browser.set_window_size(500, 844)
    browser.get(served[0])
    browser.find_element("id", "name").clear()
    browser.find_element("id", "name").send_keys("a", Keys.ENTER)
    wait(lambda: browser.find_element("id", "left").is_displayed())

    titles = set()
    for _ in range(2):
        browser.find_element("id", "language").click()
        titles.add(browser.find_element("css selector", "[data-choice=left]").text)
        width, inner = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner
        assert browser.find_element("css selector", "[data-choice=right]").is_displayed()
    assert len(titles) == 2
