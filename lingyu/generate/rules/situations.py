"""Situations with the article that settles them: what a sentence forbids or demands, what a list forbids, demands or attaches to an act,
and people's own questions with the articles that their answer rests on.

Rules only ask what one sentence settles by itself: it has one "must" or "must not" and points at no other provision. The answer quotes it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from pydantic import Field, NonNegativeInt

from lingyu.evaluate.rules import citations
from lingyu.generate.provenance import Left, exchange, provenance, unheard
from lingyu.generate.rules.articles import Article
from lingyu.generate.rules.taught import Taught
from lingyu.generate.stable_choice import picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue
from lingyu.stage import StageParams
from lingyu.text.legal import ITEM_HEAD, POINTS_ELSEWHERE, STATUTE_ITEM
from lingyu.text.sentences import RULE

METHOD = "situation"
TASK, BASIS = "situation", "basis"

# What a sentence has, what is asked in its place, what is answered.
MODALS: tuple[tuple[str, str, str], ...] = (
    # To its end the sentence says one thing: 不得少于两人，并出示证件 also demands one.
    (r"([还也都均])?不得(?!不|已)(?=[^，]+$)", r"是否\1可以", "不可以。"),
    (r"(?:严禁|禁止)(?=[^，]{2,}$)(?!.{0,8}的)", "是否允许", "不允许。"),
    (r"([还也都均])?应当", r"是否\1应当", "应当。"),
    (r"([还也都均])?必须", r"是否\1必须", "必须。"),
)
# No rule, but part of what another speaks of: 应当知道之日, 应当缴纳的税款, 应当给予处罚的，.
PART_OF_CASE = re.compile(r"应当(?:知道|到达)|(?:应当|必须)[^，的]{1,4}的|(?:应当|必须|不得|禁止)[^，]*的(?=，|$)")
# Statements before the rule, which a question would swallow: 负责人是第一责任人，其他人应当 …
STATED = re.compile(r"(?<![凡但若只还])是(?!否|指)[^，]*，")
# What says by its own word that it is not allowed: to ask whether one may do it illegally is no question.
ANSWERED = re.compile(r"非法|违法|违规|违反|擅自")
# Who is meant anyway: 任何人在机场内放飞气球 → 在机场内放飞气球.
ANYONE = re.compile(r"^任何(?:单位|组织|个人|人)(?:(?:、|和|或者?|以及)(?:单位|组织|个人))?，?")
ANY_MODAL = re.compile(r"不得|禁止|严禁|应当|必须|不应|可以|不准")
# English turns subject and verb round instead: The pilot must … → Must the pilot …
ENGLISH = re.compile(r"(?P<who>[A-Z][^,;:]{1,60}?) (?P<modal>must not|shall not|may not|must|shall) (?P<what>[^;:]+)")
ENGLISH_MODAL = re.compile(r"\b(?:must|shall|may|should|cannot|can|will)\b")
ENGLISH_ASKED = {"must": ("Must", "Yes."), "shall": ("Must", "Yes.")}
NO_NAME = re.compile(r"(?:A|An|The|All|Any|Every|Each|Both|Whoever|Anyone|Everybody|Nobody|Pilots?|Operators?)\b")
# What cannot be understood by itself, or may be otherwise elsewhere.
POINTING = re.compile(
    rf"{POINTS_ELSEWHERE}|但|除外|^(?:其|该|此|并|也|同时|以及|经)"
    r"|[对将由向]其(?![他余中])"
    r"|\b(?:this|that|these|those|above|below|following|section|article|unless|except|they|it|he|she)\b",
    re.IGNORECASE,
)
# Of which city, which rules? Only the title tells.
LOCAL = re.compile(r"本[市省区县州法条办规细公单]|我[国省市]")
SHORTEST, LONGEST = {"zh": 10, "en": 24}, {"zh": 90, "en": 200}

# Lists: （一）…；（二）… under a sentence that ends in a colon.
ITEMS = re.compile(rf"(?<!第){STATUTE_ITEM}\s*([^；。\n（(]+(?:(?!{STATUTE_ITEM})[（(][^）)]*[）)][^；。\n（(]*)*)")
LEAD = re.compile(r"([^。\n]+)[：:]\s*(?=[（(]一[）)])")
WITH_CONSEQUENCE = re.compile(r"(?:违反[^，]*，)?(?P<who>[^，]{0,20}?)有下列(?:行为|情形)之一的?，(?P<then>[^第]+(?:第(?![（(])[^第]*)*)")
FURTHER = re.compile(r"[^，；]*的，")  # 调解无效的，应当准予离婚: hangs on more than the act
FORBIDDEN = re.compile(r"(?P<who>[^，]*?，?)(?:不得|禁止|严禁)(?P<where>在[^，]{2,30}?)?(?:有|从事|实施|进行)?下列(?:行为|活动)")
DEMANDED = re.compile(r"(?P<who>[^，除]{2,30})应当(?:依法)?履行下列[^，]{0,12}(?:职责|义务|责任)")


class Forms(Phrases):
    asked: Annotated[tuple[str, ...], blanks("q", may=("t",))]
    treated: Annotated[tuple[str, ...], blanks("t", "i")]
    allowed: Annotated[tuple[str, ...], blanks("t", "i")]
    settled: Annotated[str, blanks("y", "t", "n", "s")]
    listed: Annotated[str, blanks("y", "t", "n", "s", "i", or_empty=True)]
    consequence: Annotated[str, blanks("t", "n", "s", or_empty=True)]
    based: Annotated[tuple[str, ...], blanks("q")]
    basis: Annotated[str, blanks("x")]
    between: str


WORDINGS = Wordings("situations", Forms)


class Params(StageParams):
    """Rows about situations that articles decide."""

    questions: NonNegativeInt = Field(0, description="Wordings of each situation that an article decides.")
    basis: NonNegativeInt = Field(0, description="Wordings that ask for the articles behind a given answer, where they are known.")


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    yield from instructions(taught.articles, params.questions, taught.seed, left)
    yield from basis(taught.dialogues, taught.articles, params.basis, taught.seed, left)


def instructions(articles: Iterable[Article], count: int, seed: int, left: Left = unheard) -> Iterator[Dialogue]:
    """Every situation that an article settles, in `count` wordings each.

    The title stays out of a question only where no other title says the same, and where it is not 本市 that is spoken of.
    """
    found = []
    for article in articles if count else ():
        own = [*from_lists(article), *from_sentences(article, left)]
        found += [(article, *situation) for situation in own]
        if not own:
            left(article.record, "settles nothing in one sentence")
    times = Counter(about for _, _, about, _ in found)
    within = Counter((article.title, about) for article, _, about, _ in found)
    for article, forms, about, answer in found:
        if within[article.title, about] > 1:
            left(article.record, "another article of the title settles it, too")
            continue
        if times[about] > 1 or LOCAL.search(about):
            forms = [form for form in forms if "{t}" in form]
        for form in picks(count, len(forms), seed, METHOD, article.record.id, about):
            asked = forms[form].format(t=article.title, q=about, i=about)
            yield Dialogue(
                **provenance(article.record, method=METHOD, task=TASK, asked=asked, references=article.references),
                messages=exchange(asked, answer.format(t=article.title, n=article.number)),
            )


Situation = tuple[Sequence[str], str, str]  # the wordings to ask it in, what fills them, the answer without title and number


def from_sentences(article: Article, left: Left) -> Iterator[Situation]:
    language = article.record.language
    words = WORDINGS[language]
    for match in RULE[language].finditer(article.text):
        sentence = match[0].strip()
        modals = (ANY_MODAL if language == "zh" else ENGLISH_MODAL).findall(sentence)
        if not modals or ITEM_HEAD.match(sentence):
            continue
        if len(modals) > 1 or "；" in sentence:
            left(article.record, "a sentence with more than one rule")
        elif language == "zh" and STATED.search(sentence):
            left(article.record, "a sentence that states something before its rule")
        elif POINTING.search(sentence) or "：" in sentence or "（一）" in sentence:
            left(article.record, "a sentence that points at others")
        elif not SHORTEST[language] <= len(sentence) <= LONGEST[language]:
            left(article.record, "a sentence too short or too long to ask")
        elif turned := (in_chinese if language == "zh" else in_english)(sentence):
            asked, verdict = turned
            if verdict.startswith("不") and ANSWERED.search(asked):
                left(article.record, "a question that would answer itself")
                continue
            yield words.asked, asked, words.settled.format(y=verdict, t="{t}", n="{n}", s=braced(sentence))
        else:
            left(article.record, "a sentence that permits, or cannot be turned round")


def in_chinese(sentence: str) -> tuple[str, str] | None:
    """The sentence as a question, and the verdict."""
    for pattern, asked, verdict in () if PART_OF_CASE.search(sentence) else MODALS:
        if re.search(pattern, sentence):
            return re.sub(pattern, asked, sentence, count=1), verdict
    return None


def in_english(sentence: str) -> tuple[str, str] | None:
    match = ENGLISH.fullmatch(sentence)
    if match is None or match["who"].startswith(("No ", "Nobody", "If ", "When ", "Where ", "In ")):
        return None
    who = match["who"][0].lower() + match["who"][1:] if NO_NAME.match(match["who"]) else match["who"]
    first, verdict = ENGLISH_ASKED.get(match["modal"], ("May", "No."))
    return f"{first} {who} {match['what']}", verdict


def from_lists(article: Article) -> Iterator[Situation]:
    """What a list attaches to each of its items; only of Chinese statutes, which number them so."""
    words, lead = WORDINGS[article.record.language], LEAD.search(article.text)
    if article.record.language != "zh" or lead is None:
        return
    said = lead[1].strip()
    items = [item.strip().removesuffix("的") for item in ITEMS.findall(article.text[lead.end() :])]
    items = [item for item in items if 4 <= len(item) <= LONGEST["zh"] and not POINTING.search(item) and "其他" not in item]
    if (found := WITH_CONSEQUENCE.fullmatch(said)) and not FURTHER.match(found["then"]):
        for item in items:
            yield words.treated, found["who"] + item, words.consequence.format(t="{t}", n="{n}", s=braced(found["then"]))
    elif (found := FORBIDDEN.fullmatch(said)) and not ANY_MODAL.search(found["who"]):
        for item in items:
            act = ANYONE.sub("", found["who"]) + (found["where"] or "") + item
            yield words.allowed, act, words.listed.format(y="不允许。", t="{t}", n="{n}", s=braced(said), i=braced(item))
    elif found := DEMANDED.fullmatch(said):
        for item in items:
            asked = f"{found['who']}是否应当{item}"
            yield words.asked, asked, words.listed.format(y="应当。", t="{t}", n="{n}", s=braced(said), i=braced(item))


def braced(text: str) -> str:
    """The text as format leaves it."""
    return text.replace("{", "{{").replace("}", "}}")


def basis(dialogues: Iterable[Dialogue], articles: Iterable[Article], count: int, seed: int, left: Left = unheard) -> Iterator[Dialogue]:
    """People's first questions, `count` wordings each, answered by the articles that the given answer both refers to and cites.

    A given answer that cites an article it does not refer to is left out: what it rests on is not known.
    """
    of_row = by_row(articles)
    for dialogue in dialogues if count else ():
        known = referred(dialogue, of_row)
        cited = cited_by(dialogue)
        named = [article for article in known if citations(article.number)[1] <= cited]
        if len(dialogue.messages) > 2 or not named or strange(dialogue, known):
            left(dialogue, "not one question" if len(dialogue.messages) > 2 else UNKNOWN if cited else "its answer cites no article")
            continue
        words, question = WORDINGS[dialogue.language], dialogue.messages[0].content.strip()
        said = words.between.join(places_of(named))
        for form in picks(count, len(words.based), seed, BASIS, dialogue.id):
            asked = words.based[form].format(q=question)
            references = [article.record.id for article in named]
            fields = provenance(dialogue, method=METHOD, task=BASIS, asked=asked, references=references)
            yield Dialogue(**fields, messages=exchange(asked, words.basis.format(x=said)))


UNKNOWN = "its answer cites an article that it does not refer to"


def by_row(articles: Iterable[Article]) -> dict[str, Article]:
    """The articles by each of their rows."""
    return {row: article for article in articles for row in (article.record.id, *article.references)}


def referred(dialogue: Dialogue, of_row: dict[str, Article]) -> list[Article]:
    """The articles that a dialogue refers to, each once."""
    found = [of_row[row] for row in dialogue.references if row in of_row]
    return list({article.record.id: article for article in found}.values())


def cited_by(dialogue: Dialogue) -> frozenset[str]:
    return citations(dialogue.messages[-1].content)[1]


def strange(dialogue: Dialogue, known: Iterable[Article]) -> bool:
    """Whether the answer cites an article that is not among these."""
    return bool(cited_by(dialogue) - {number for article in known for number in citations(article.number)[1]})


def places_of(articles: Iterable[Article]) -> Iterator[str]:
    """The articles by number, those of one title under it."""
    numbers = defaultdict(list)
    for article in articles:
        numbers[article.title, article.record.language].append(article.number)
    for (title, language), of_title in numbers.items():
        between = WORDINGS[language].between.join(of_title)
        yield f"《{title}》{between}" if language == "zh" else f"{title}, {between}"
