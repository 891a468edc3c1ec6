"""What the scripts of this folder share: a browser, and waiting in it.

Each is started as `python tests/systems/NAME.py FOLDER ADDRESS [QUESTION]`.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAITS = 60  # seconds for an answer of the model


@contextmanager
def browser() -> Iterator[Any]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        sys.exit("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield made
    finally:
        made.quit()


def open_page(page: Any, address: str) -> None:
    """In Chinese, without what an earlier visit left."""
    page.get(address)
    page.execute_script("localStorage.clear(); localStorage.setItem('language', 'zh')")
    page.refresh()


def found(page: Any, selector: str) -> list[Any]:
    elements: list[Any] = page.find_elements("css selector", selector)
    return elements


def wait(what: str, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAITS
    while time.monotonic() < until:
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"waited {WAITS} s in vain: {what}")


def answered(page: Any, count: int) -> bool:
    """Whether so many answers of the chat page are there, and the last is complete."""
    return len(found(page, ".answer")) == count and found(page, "#send")[0].is_displayed()


def must(what: str, holds: bool) -> None:
    if not holds:
        sys.exit(what)


def places() -> tuple[Path, str, *tuple[str, ...]]:
    """The recipe's folder, the address of its service, and what to ask there."""
    return Path(sys.argv[1]), *sys.argv[2:]
