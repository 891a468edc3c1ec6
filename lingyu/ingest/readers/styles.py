"""The style sheets within a web page, as far as they decide which text is shown: hidden, struck out, raised, lowered."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Properties that matter, by the name reported or acted upon; the value says whether they apply.
ZERO = re.compile(r"[+]?0*\.?0+(?:px|pt|em|rem|ex|ch|%|vw|vh|cm|mm|in)?")
KINDS: dict[str, Callable[[str], bool]] = {
    "display": lambda value: value == "none",
    "visibility": lambda value: value in ("hidden", "collapse"),
    "content-visibility": lambda value: value == "hidden",
    "opacity": lambda value: ZERO.fullmatch(value) is not None,
    "font-size": lambda value: ZERO.fullmatch(value) is not None,
    "text-decoration": lambda value: "line-through" in value,
    "vertical-align": lambda value: value in ("super", "sub"),
}
SAME = {"text-decoration-line": "text-decoration"}
COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
# At-rules that always hold are unwrapped; those for print, narrow screens and the like are left out.
ALWAYS = re.compile(
    r"@(?:media\s+(?:only\s+)?(?:screen|all)|layer\s+[\w.-]+|layer|supports\s+[^{};]+)\s*\{((?:[^{}]*\{[^{}]*\})*[^{}]*)\}", re.IGNORECASE
)
AT_RULE = re.compile(r"@[^{};]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}|@[^{};]+;")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
DECLARATION = re.compile(r"\s*([a-z-]+)\s*:\s*([^;]*?)\s*(!\s*important)?\s*(?:;|$)", re.IGNORECASE)
STEP = re.compile(r"\s*([>+~])\s*|\s+")
PART = re.compile(
    r"""(?P<tag>\*|[a-z][\w-]*)|\.(?P<of_class>[\w-]+)|\#(?P<id>[\w-]+)
    |\[\s*(?P<name>[\w-]+)\s*(?:(?P<how>[~|^$*]?=)\s*(?:"(?P<quoted>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[\w-]+))\s*)?\]""",
    re.IGNORECASE | re.VERBOSE,
)
Declarations = dict[str, tuple[str, bool]]  # by property its value, and whether it is !important


@dataclass(frozen=True)
class Rule:
    """parts: the compounds of the selector, last first, each with what connects it to the next: "", " ", ">", "+", "~"."""

    parts: tuple[tuple[str, tuple[re.Match[str], ...]], ...]
    weight: tuple[int, int, int]
    said: Declarations


class Styles:
    """The rules of a page's own style sheets that may hide, strike out or shift text."""

    def __init__(self, page: Any) -> None:
        self.rules: list[Rule] = []
        for sheet in page.iter("style"):
            text = COMMENT.sub("", sheet.text or "")
            while (unwrapped := ALWAYS.sub(r"\1", text)) != text:
                text = unwrapped
            for selectors, body in RULE.findall(AT_RULE.sub("", text)):
                if said := declarations(body):
                    self.rules += [rule for one in selectors.split(",") if (rule := rule_of(one.strip(), said))]

    def of(self, element: Any) -> dict[str, str]:
        """The values that hold for an element, of those that matter: the style attribute before the sheets, !important before all."""
        found: dict[str, tuple[tuple[Any, ...], str]] = {}
        sources = [(rule.weight, number, rule.said) for number, rule in enumerate(self.rules) if matches(element, rule.parts)]
        if own := element.get("style"):
            sources.append(((9, 0, 0), 0, declarations(own)))
        for weight, number, said in sources:
            for name, (value, important) in said.items():
                rank = (important, weight, number)
                if name not in found or rank >= found[name][0]:
                    found[name] = rank, value
        return {name: value for name, (_, value) in found.items()}


def declarations(body: str) -> Declarations:
    found: Declarations = {}
    if ":" not in body:
        return found
    for name, value, important in DECLARATION.findall(body):
        known = SAME.get(name.lower(), name.lower())
        if known in KINDS and not (known in found and found[known][1] and not important):
            found[known] = value.strip().lower(), bool(important)
    return found


def rule_of(selector: str, said: Declarations) -> Rule | None:
    """None for a selector that is not understood: of states and pseudo-elements, which no text of its own has."""
    parts, weight, at, link = [], [0, 0, 0], 0, ""
    while at < len(selector):
        compound: list[re.Match[str]] = []
        while match := PART.match(selector, at):
            if match["tag"] and compound:
                return None
            compound.append(match)
            at = match.end()
            weight[0 if match["id"] else 2 if match["tag"] else 1] += match["tag"] != "*"
        if not compound:
            return None
        parts.append((link, tuple(compound)))
        if at < len(selector):
            step = STEP.match(selector, at)
            if not step:
                return None
            link, at = step[1] or " ", step.end()
    return Rule(tuple(reversed(parts)), (weight[0], weight[1], weight[2]), said) if parts else None


def matches(element: Any, parts: tuple[tuple[str, tuple[re.Match[str], ...]], ...], at: int = 0) -> bool:
    link, compound = parts[at]
    if not all(holds(element, part) for part in compound):
        return False
    if at + 1 == len(parts):
        return True
    if link in ("+", "~"):
        near = element.itersiblings(preceding=True)
        return any(matches(one, parts, at + 1) for number, one in enumerate(near) if link == "~" or number == 0)
    above = element.iterancestors()
    return any(matches(one, parts, at + 1) for number, one in enumerate(above) if link == " " or number == 0)


def holds(element: Any, part: re.Match[str]) -> bool:
    if part["tag"]:
        return part["tag"] == "*" or part["tag"].lower() == element.tag
    if part["of_class"]:
        return part["of_class"] in (element.get("class") or "").split()
    if part["id"]:
        return bool(part["id"] == element.get("id"))
    value = element.get(part["name"].lower())
    if value is None or not part["how"]:
        return value is not None
    wanted = part["quoted"] or part["single"] or part["bare"] or ""
    tests = {
        "=": value == wanted,
        "~=": wanted in value.split(),
        "|=": value == wanted or value.startswith(f"{wanted}-"),
        "^=": bool(wanted) and value.startswith(wanted),
        "$=": bool(wanted) and value.endswith(wanted),
        "*=": bool(wanted) and wanted in value,
    }
    return bool(tests[part["how"]])
