"""The question as it is searched for: of a conversation, the last question with what it leaves to the turns before it.

"那它的最大起飞重量呢？" says nothing by itself. A model rewrites it where there is one that can; else names and words of the earlier
question are carried over.
"""

import re
from collections.abc import Callable, Sequence

# In Chinese a pronoun is a character among others: 其他 and 这样 refer to nothing in particular.
REFERS = re.compile(
    r"它们?|他们|她们|其(?![他它余中实次])|[这那该此](?:个|些|种|类|项|条|款|样的|时候?|里|边|份)|上述|前者|后者"
    r"|\b(?:it|its|they|them|their|that|those|these|this|there|he|she|one|ones)\b",
    re.IGNORECASE,
)
# What opens a question that goes on from the last one.
OPENS = re.compile(r"^\s*(?:那么|那|还有|另外|此外|然后|再问一下|and|but|or|then|so|what about|how about)[，,：:\s]*", re.IGNORECASE)
ENDS = re.compile(r"呢\s*[？?。.!！]*\s*$")
MARKS = re.compile(r"[\s？?。.!！，,、；;]+")
ENOUGH = 8  # Chinese characters, or two of a Latin word, that a question needs to stand by itself
LONGEST = 200  # characters of a rewritten question: a longer one is no question

Rewrite = Callable[[Sequence[str]], str]
"""From the questions of a conversation, the last one last, to the last one as a question that stands by itself."""


def standalone(questions: Sequence[str], names: frozenset[str] = frozenset(), rewrite: Rewrite | None = None) -> str:
    """The last of a conversation's questions as one that can be searched for. names: entities of the knowledge base.

    What `rewrite` returns is taken if it is a question of its own; a model that cannot rewrite says all kinds of things.
    """
    *earlier, last = questions
    if not earlier or not leans(last):
        return last
    if rewrite is not None and usable(made := rewrite(questions).strip(), questions):
        return made
    before = standalone(earlier, names)
    rest = OPENS.sub("", last).strip()
    old, new = longest_name(before, names), longest_name(rest, names)
    if new and old:
        # Another entity, and either the same question about it or one of its own.
        return before.replace(old, new) if bare(rest, new) else rest
    if old:
        return REFERS.sub(old, rest, count=1) if REFERS.search(rest) else f"{old} {rest}"
    return f"{before} {rest}"


def leans(question: str) -> bool:
    """Whether a question needs the turns before it: a pronoun, an opening or end that goes on, or hardly a word."""
    text = question.strip()
    found = REFERS.search(text)
    # A pronoun after a whole clause refers to that clause.
    refers = found is not None and weight(text[: found.start()]) < ENOUGH
    return bool(refers or OPENS.match(text) or ENDS.search(text)) or weight(text) < ENOUGH


def weight(text: str) -> float:
    """Its length in Chinese characters, two of other scripts for one."""
    return sum(1 if character >= "\u3000" else 0.5 for character in MARKS.sub("", text))


def usable(made: str, questions: Sequence[str]) -> bool:
    """Whether it is one line, not too long, no mere repetition, and shares most of its characters with the conversation."""
    said = set("".join(questions).lower())
    known = [character in said for character in MARKS.sub("", made).lower()]
    return bool(known) and len(made) <= LONGEST and "\n" not in made and made not in questions[:-1] and sum(known) >= 0.7 * len(known)


def bare(question: str, name: str) -> bool:
    """Whether nothing but the name is left of a question."""
    return len(MARKS.sub("", ENDS.sub("", question).replace(name, ""))) <= 1


def longest_name(text: str, names: frozenset[str]) -> str:
    return max((name for name in names if len(name) > 1 and name in text), key=lambda name: (len(name), name), default="")
