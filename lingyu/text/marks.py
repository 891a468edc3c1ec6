"""Structural marks of a text, other than those of statutes (lingyu/text/legal.py) and sentences."""

import re

from lingyu.text.legal import ITEM
from lingyu.text.normalise import normal

LIST_ITEM = re.compile(rf"\s*(?:[-*+•·●○■□◆◇▪▫➢➤✓✔☑☒☐]|\d+[.)、]|{ITEM})\s*")


def bare(text: str) -> str:
    """The start of a text, normalised and without emphasis, for matching marks."""
    return re.sub(r"^[*_#\s]+", "", normal(text[:200]))
