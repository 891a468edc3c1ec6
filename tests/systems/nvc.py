"""Two phones on /nvc: a harsh message is asked about with three choices, each of which does what it says; a mild one passes silently."""

from functools import partial
from typing import Any

from browsing import browser, found, must, open_page, places, wait

HARSH = "名单少了两个人。这点事都办不好，废物。"
MILD = "周五下午四点在图书馆门口集合，记得带学生证。"


def main(address: str) -> str:
    with browser() as page:
        open_page(page, f"{address}/nvc")
        wait("the phones", lambda: bool(found(page, ".phone.left textarea")))
        write(page, MILD)
        wait("the mild message on the other phone", lambda: texts(page) == [MILD])
        must("the mild message was asked about", not found(page, ".sheet"))
        rewriting = ""
        for choice in ("discard", "anyway", "use"):
            before = texts(page)
            write(page, HARSH)
            wait("the sheet for the harsh message", lambda: bool(found(page, ".phone.left .sheet")))
            sheet = found(page, ".phone.left .sheet")[0]
            must("the message was sent before the choice", texts(page) == before)
            parts = [one.text.strip() for one in sheet.find_elements("css selector", "dd")]
            must(f"four elements: {parts}", len(parts) == 4 and all(parts))
            rewriting = sheet.find_element("css selector", ".kind").text
            must("the original is not shown", HARSH in sheet.text)
            sheet.find_element("css selector", f"[data-choice={choice}]").click()
            sent = {"discard": [], "anyway": [HARSH], "use": [rewriting]}[choice]
            wait(f"what {choice} sends", partial(says, page, [*before, *sent]))
        must(f"the page reports {page.get_log('browser')}", page.get_log("browser") == [])
    return f"discard, anyway, use; {rewriting[:60]}"


def write(page: Any, text: str) -> None:
    field = found(page, ".phone.left textarea")[0]
    field.clear()
    field.send_keys(text + "\n")


def says(page: Any, wanted: list[str]) -> bool:
    return texts(page) == wanted


def texts(page: Any) -> list[str]:
    """On the other phone."""
    return [item.text for item in found(page, ".phone.right .messages p")]


if __name__ == "__main__":
    print(main(places()[1]))
