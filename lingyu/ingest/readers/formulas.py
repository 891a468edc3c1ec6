"""Converts formulas of Office (OMML) and the web (MathML) to LaTeX between $; a formula that is only a line of signs stays a line."""

import re
from collections.abc import Callable
from typing import Any

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"

_FUNCTIONS = {
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "log",
    "ln",
    "lg",
    "exp",
    "lim",
    "max",
    "min",
    "sup",
    "inf",
    "arcsin",
    "arccos",
    "arctan",
}
_LARGE = {"∑": "\\sum", "∏": "\\prod", "∫": "\\int", "∬": "\\iint", "∭": "\\iiint", "∮": "\\oint", "⋃": "\\bigcup", "⋂": "\\bigcap"}
_ACCENTS = {
    sign: f"\\{command}"
    for command, signs in {
        "hat": "\u0302^", "tilde": "\u0303~", "bar": "\u0304", "overline": "\u0305¯‾", "dot": "\u0307˙", "ddot": "\u0308¨",
        "vec": "\u20d7→", "check": "\u030cˇ", "breve": "\u0306˘", "overbrace": "⏞", "underbrace": "⏟", "underline": "_",
    }.items()
    for sign in signs
}  # fmt: skip


def between_marks(said: str) -> str:
    """A formula as it appears in the text."""
    said = " ".join(said.split())
    return f"${said}$" if re.search(r"[\\_^&{]", said) else said


def of_office(element: Any) -> str:
    """m:oMath or m:oMathPara, with several lines kept separate."""
    if element.tag == f"{M}oMathPara":
        return "\n".join(filter(None, (of_office(part) for part in element.iter(f"{M}oMath"))))
    return between_marks(_omml(element))


def of_web(element: Any) -> str:
    """<math>, from its LaTeX annotation if it has one."""
    for note in element.iter("annotation"):
        if "tex" in (note.get("encoding") or "").lower() and (note.text or "").strip():
            return between_marks(note.text)
    alternative = (element.get("alttext") or "").strip()
    if "\\" in alternative:
        return between_marks(alternative)
    return between_marks(_mathml(element))


def _group(said: str) -> str:
    """An argument in braces."""
    return "{" + said.strip() + "}"


def _script(mark: str, said: str) -> str:
    said = said.strip()
    return "" if not said else mark + (said if len(said) == 1 else _group(said))


def _base(said: str) -> str:
    """The base of a script, in braces unless it is a sign, a number, a command or has its own brackets."""
    said = said.strip()
    return said if re.fullmatch(r"\w*|\\[A-Za-z]+|\S|[(\[].*[)\]]", said) else _group(said)


def _joined(parts: list[str]) -> str:
    """The joined parts, with a space between a command and a following letter."""
    whole = ""
    for part in filter(None, parts):
        whole += (" " if re.search(r"\\[A-Za-z]+$", whole) and part[0].isalpha() else "") + part
    return whole


def _named(name: str) -> str:
    return f"\\{name.strip()}" if name.strip() in _FUNCTIONS else name


def _fraction(above: str, below: str, kind: str = "") -> str:
    if kind == "lin":
        return f"{_base(above)}/{_base(below)}"
    return f"\\binom{_group(above)}{_group(below)}" if kind == "noBar" else f"\\frac{_group(above)}{_group(below)}"


def _root(within: str, degree: str) -> str:
    return f"\\sqrt{f'[{degree.strip()}]' if degree.strip() else ''}{_group(within)}"


def _matrix(rows: list[list[str]]) -> str:
    return "\\begin{matrix}" + " \\\\ ".join(" & ".join(row) for row in rows) + "\\end{matrix}"


def _omml(element: Any) -> str:
    return _joined([_omml_part(child) for child in element])


def _omml_part(element: Any) -> str:
    tag = element.tag
    if tag in (f"{W}del", f"{W}moveFrom", f"{W}rPr") or not isinstance(tag, str):
        return ""
    if tag in (f"{M}t", f"{W}t", f"{A}t"):
        return element.text or ""
    if tag == f"{M}r":
        return _named("".join(_omml_part(child) for child in element))
    name = tag.removeprefix(M)
    if name.endswith("Pr"):
        return ""
    made = _OFFICE.get(name)
    return made(element) if made else _omml(element)


def _child(element: Any, name: str) -> str:
    child = element.find(f"{M}{name}")
    return _omml(child) if child is not None else ""


def _property(element: Any, name: str, otherwise: str = "") -> str:
    """A property of a formula part: m:naryPr/m:chr …; an element without a value means no sign."""
    for properties in element:
        if isinstance(properties.tag, str) and properties.tag.endswith("Pr") and (found := properties.find(f"{M}{name}")) is not None:
            return found.get(f"{M}val") or ""
    return otherwise


def _nary(element: Any) -> str:
    sign = _property(element, "chr", "∫")
    scripts = _script("_", _child(element, "sub")) + _script("^", _child(element, "sup"))
    return _joined([_LARGE.get(sign, sign) + scripts, " " if not scripts else "", _child(element, "e")])


def _delimited(element: Any) -> str:
    parts = [_omml(part) for part in element.findall(f"{M}e")]
    return _property(element, "begChr", "(") + _property(element, "sepChr", "|").join(parts) + _property(element, "endChr", ")")


def _accented(element: Any) -> str:
    sign = _property(element, "chr", "\u0302")
    return _ACCENTS.get(sign, "\\hat") + _group(_child(element, "e"))


def _bar(element: Any) -> str:
    return ("\\overline" if _property(element, "pos") == "top" else "\\underline") + _group(_child(element, "e"))


def _grouped(element: Any) -> str:
    command = _ACCENTS.get(_property(element, "chr", "⏟"), "")
    return command + (_group(_child(element, "e")) if command else _child(element, "e"))


_OFFICE: dict[str, Callable[[Any], str]] = {
    "f": lambda part: _fraction(_child(part, "num"), _child(part, "den"), _property(part, "type")),
    "sSup": lambda part: _base(_child(part, "e")) + _script("^", _child(part, "sup")),
    "sSub": lambda part: _base(_child(part, "e")) + _script("_", _child(part, "sub")),
    "sSubSup": lambda part: _base(_child(part, "e")) + _script("_", _child(part, "sub")) + _script("^", _child(part, "sup")),
    "sPre": lambda part: "{}" + _script("_", _child(part, "sub")) + _script("^", _child(part, "sup")) + _child(part, "e"),
    "rad": lambda part: _root(_child(part, "e"), _child(part, "deg")),
    "nary": _nary,
    "d": _delimited,
    "func": lambda part: _joined([_named(_child(part, "fName")), _child(part, "e")]),
    "limLow": lambda part: _named(_child(part, "e")) + _script("_", _child(part, "lim")),
    "limUpp": lambda part: _named(_child(part, "e")) + _script("^", _child(part, "lim")),
    "acc": _accented,
    "bar": _bar,
    "groupChr": _grouped,
    "m": lambda part: _matrix([[_omml(cell) for cell in row.findall(f"{M}e")] for row in part.findall(f"{M}mr")]),
    "eqArr": lambda part: _matrix([[_omml(row)] for row in part.findall(f"{M}e")]),
}


def _mathml(element: Any) -> str:
    name = element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
    if name in ("annotation", "annotation-xml", "mphantom", "mspace", "none", "mprescripts", ""):
        return ""
    children: list[Any] = [child for child in element if isinstance(child.tag, str)]
    if not children:
        text = " ".join((element.text or "").split())
        return _LARGE.get(text, _named(text)) if name in ("mi", "mo") else text
    parts = [_mathml(child) for child in children]
    first, second, third = [*parts, "", "", ""][:3]
    forms: dict[str, Callable[[], str]] = {
        "mfrac": lambda: _fraction(first, second),
        "msup": lambda: _base(first) + _script("^", second),
        "msub": lambda: _base(first) + _script("_", second),
        "msubsup": lambda: _base(first) + _script("_", second) + _script("^", third),
        "munder": lambda: _base(first) + _script("_", second),
        "mover": lambda: _ACCENTS[second] + _group(first) if second in _ACCENTS else _base(first) + _script("^", second),
        "munderover": lambda: _base(first) + _script("_", second) + _script("^", third),
        "msqrt": lambda: _root(_joined(parts), ""),
        "mroot": lambda: _root(first, second),
        "mtable": lambda: _matrix([[_mathml(cell) for cell in row] for row in children]),
        "mfenced": lambda: (element.get("open") or "(") + ",".join(parts) + (element.get("close") or ")"),
    }
    return forms[name]() if name in forms else _joined(parts)
