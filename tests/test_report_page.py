"""The report as a person meets it: a real browser filters its items, follows a link to one, and reads it on a phone."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from test_browser import browser  # noqa: F401  (a fixture)
from test_select import made, selected  # noqa: F401  (fixtures)

from lingyu.judge.server import Serving
from lingyu.release import report_page
from lingyu.serve.app import make_app


@pytest.fixture
def page(tmp_path, made, browser):  # noqa: F811  (the fixtures)
    selected(made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)}))
    browser.set_window_size(1100, 900)
    browser.get((tmp_path / "select/report.html").as_uri())
    browser.get_log("browser")
    return browser


@pytest.fixture(params=["file", "service"])
def either(request, page, tmp_path):
    """The report as a file, and as the service shows it under its Content-Security-Policy."""
    if request.param == "file":
        yield page
        return
    report_page.put(tmp_path / "select/report.html", tmp_path / "report")
    with Serving(make_app(lambda: None, Path("web/pages"), tmp_path / "report"), 0) as serving:
        page.get(f"{serving.url}report")
        yield page


def shown(page) -> int:
    return sum(item.is_displayed() for item in page.find_elements(By.CSS_SELECTOR, ".list > details"))


def test_items_are_filtered_by_task_outcome_and_text_and_opened_by_a_link(either):
    page = either
    assert page.find_element(By.CSS_SELECTOR, ".bar rect").size["width"] > 5
    assert page.find_element(By.CSS_SELECTOR, ".languages input").value_of_css_property("opacity") == "0"  # styled
    task, outcome = (Select(page.find_element(By.NAME, name)) for name in ("task", "outcome"))
    assert shown(page) == 11

    task.select_by_visible_text("fact")
    assert shown(page) == 8
    outcome.select_by_value("right")
    assert shown(page) == 0
    assert page.find_element(By.CSS_SELECTOR, ".filter output b").text == "0"
    outcome.select_by_index(0)
    page.find_element(By.NAME, "text").send_keys("no such words")
    assert shown(page) == 0

    page.find_element(By.CSS_SELECTOR, ".worst .question a").click()
    opened = page.find_element(By.CSS_SELECTOR, ".list > details[open]")
    assert page.current_url.endswith(f"#{opened.get_attribute('id')}")
    assert shown(page) == 11
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_phone_shows_the_report_without_scrolling_sideways_in_either_language(page):
    page.set_window_size(390, 844)

    for language in ("zh", "en"):
        page.find_element(By.CSS_SELECTOR, f"label[for={language}]").click()
        width, inner = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner
        assert not any(one.is_displayed() for one in page.find_elements(By.CSS_SELECTOR, f"span[lang]:not([lang={language}])")[:40])
