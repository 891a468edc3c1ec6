"""The chat page sends the latest turns of a conversation along, as many as package.history_turns says and no more."""

import json
from functools import partial
from pathlib import Path

from browsing import answered, browser, found, must, open_page, places, wait
from skills import HOOK


def main(folder: Path, address: str, question: str) -> str:
    turns = json.loads((folder / "out/package/bento/src/settings.json").read_text(encoding="utf-8"))["history_turns"]
    with browser() as page:
        open_page(page, address)
        wait("the model", lambda: bool(found(page, "#model")[0].text))
        page.execute_script(HOOK)
        found(page, "[value=plain] + span")[0].click()
        for number in range(turns + 2):
            found(page, "#question")[0].send_keys(f"{question}\n")
            wait(f"answer {number + 1}", partial(answered, page, number + 1))
            must(f"answer {number + 1} is empty", bool(found(page, ".answer .text")[-1].text.strip()))
        asked = [json.loads(body)["messages"] for body in page.execute_script("return window.sent")]
    earlier = [sum(message["role"] == "user" for message in messages) - 1 for messages in asked]
    must(f"sent along were {earlier}", earlier == [min(number, turns) for number in range(turns + 2)])
    return f"{earlier}"


if __name__ == "__main__":
    print(main(*places()))
