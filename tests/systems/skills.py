"""The chat page has a menu of the skills, in both languages, and a question asked under one goes to the model under its system prompt."""

import json
from functools import partial
from pathlib import Path

from browsing import answered, browser, found, must, open_page, places, wait

# What the page sends is kept where the script can read it.
HOOK = """window.sent = []; const before = window.fetch;
window.fetch = (address, options) => { if (options?.body) window.sent.push(String(options.body)); return before(address, options); };"""


def main(folder: Path, address: str, question: str) -> str:
    settings = json.loads((folder / "out/package/bento/src/settings.json").read_text(encoding="utf-8"))
    names = list(settings["skills"])
    with browser() as page:
        open_page(page, address)
        wait("the menu", lambda: bool(found(page, "#skill option")) and found(page, "#skill")[0].is_displayed())
        shown = [one.text for one in found(page, "#skill option")]
        must(f"the menu has {shown}", shown[1:] == [settings["skill_names"][name]["zh"] for name in names])
        found(page, "#language")[0].click()
        english = [one.text for one in found(page, "#skill option")]
        must(f"in English it has {english}", english[1:] == [settings["skill_names"][name]["en"] for name in names])
        page.execute_script(HOOK)
        found(page, "[value=plain] + span")[0].click()
        for name in names:
            page.execute_script("document.getElementById('skill').value = arguments[0]", name)
            found(page, "#new")[0].click()
            found(page, "#question")[0].send_keys(question + "\n")
            wait(f"the answer of {name}", partial(answered, page, 1))
            must(f"{name} has no answer", bool(found(page, ".answer .text")[-1].text.strip()))
        asked = [json.loads(body)["model"].partition(":")[2] for body in page.execute_script("return window.sent")]
        must(f"asked were {asked}", asked == names)
        severe = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
        must(f"the page reports {severe}", not severe)
    return "、".join(shown[1:])


if __name__ == "__main__":
    print(main(*places()))
