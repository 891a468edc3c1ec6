"""The report as the service shows it: styles and scripts are files of their own, because its Content-Security-Policy allows no others."""

import re
from pathlib import Path

STYLE = re.compile(r"<style>\n?(.*?)</style>", re.DOTALL)
SCRIPT = re.compile(r"<script>\n?(.*?)</script>", re.DOTALL)


def put(report: Path, folder: Path) -> None:
    """The report as index.html with the files that it loads. What questions and answers say is escaped in it, so no tag is theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    page = report.read_text(encoding="utf-8")
    files: dict[str, str] = {}

    def linked(kind: str, tag: str, found: re.Match[str]) -> str:
        name = f"{len(files)}.{kind}"
        files[name] = found[1]
        return tag.format(f"static/report/{name}")

    page = STYLE.sub(lambda found: linked("css", '<link rel="stylesheet" href="{}">', found), page)
    page = SCRIPT.sub(lambda found: linked("js", '<script src="{}"></script>', found), page)
    (folder / "index.html").write_text(page, encoding="utf-8")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
