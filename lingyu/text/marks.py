"""The marks by which a text shows its structure, beside those of statutes (lingyu/text/legal.py) and sentences."""

import re

from lingyu.text.legal import ITEM
from lingyu.text.normalise import normal

LIST_ITEM = re.compile(rf"\s*(?:[-*+•·●○■□◆◇▪▫➢➤✓✔☑☒☐]|\d+[.)、]|{ITEM})\s*")


def bare(text: str) -> str:
    """The start of a text as its marks are recognised: normal, without emphasis."""
    return re.sub(r"^[*_#\s]+", "", normal(text[:200]))
