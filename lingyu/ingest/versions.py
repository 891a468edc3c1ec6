"""Versions of one statute: of files with the same title the newest is in force, and the others are not to be taught."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePath

from lingyu.records import Document
from lingyu.text.dates import day_of_field, days_in
from lingyu.text.legal import LABEL, bare_title
from lingyu.text.normalise import key

HEAD = 600  # characters above the first article in which its history stands
FEW = 3  # articles from which a document is a statute
# What a title or a file's name says of the version, not of the law: (2010), （2022年修订）, 2019-05-01, (修正版).
_VERSION = re.compile(
    r"[（(【\[][^（）()【】\[\]]*"
    r"(?:(?:19|20)\d\d|[修改]订|修正|修改|现行|有效|废止|失效|新版|旧版|[第最].{0,3}版|amend|revis|version|repeal)"
    r"[^（）()【】\[\]]*[）)】\]]"
    r"|(?:19|20)\d\d[-._/年]?(?:\d{1,2}[-._/月]?(?:\d{1,2}日?)?)?"
    r"(?:\s*(?:年|版|修订版?|修正版?|修改版?|edition|version|revision))?"
    r"|[-_ ]+(?:修订|修正|修改|最新|现行|旧|新)版?$|[-_ ]v\d+$",
    re.IGNORECASE,
)
_IN_FORCE = re.compile(
    r"自\s*((?:19|20)\d\d年\d{1,2}月\d{1,2}日)\s*起\s*(?:施行|实施|生效)"
    r"|(?:comes? into force|effective|takes? effect) (?:on|from) ([^.;\n]{8,20})",
    re.IGNORECASE,
)
# The text above the first article: who passed and amended it, and when.
_HISTORY = re.compile(r"通过|公布|发布|修订|修正|施行|adopted|enacted|amended|revised", re.IGNORECASE)


@dataclass
class Statute:
    """What is remembered of a file that is a statute, to be compared with others of its title."""

    source: str
    valid_from: date | None
    title: str = ""
    articles: dict[str, int] = field(default_factory=dict)  # by number: what stands for its text
    dates: list[date] = field(default_factory=list)  # from which the text says that it holds

    def add(self, row: Document) -> None:
        label = LABEL.search(row.section)
        if not label:
            if not self.articles and _HISTORY.search(row.text[:HEAD]):
                self.dates += days_in(row.text[:HEAD], years=False)
            return
        self.title = self.title or row.title
        self.articles[label[0]] = hash((self.articles.get(label[0]), "".join(row.text.split())))
        if found := _IN_FORCE.search(row.text):
            self.dates += filter(None, [day_of_field(found[1] or found[2])])

    @property
    def law(self) -> str:
        """The title without what it says of the version."""
        title = bare_title(_VERSION.sub("", self.title)).removeprefix("中华人民共和国")
        return key(_VERSION.sub("", title))

    @property
    def since(self) -> date | None:
        """The day of the version: as params.yaml says it, else the last that its name tells, its title, or its text."""
        name = PurePath(self.source).stem
        told = (days for days in (list(days_in(name)), list(days_in(self.title)), self.dates) if days)
        return self.valid_from or max(next(told, []), default=None)


@dataclass(frozen=True)
class Superseded:
    """A file that holds an older version, and the one in force; or, where no day says which is the newer, one that may."""

    source: str
    by: str
    detail: str
    certain: bool


def superseded(statutes: Iterable[Statute]) -> list[Superseded]:
    """The files whose law is in another file in a newer version. The same text in two files is one version."""
    laws: dict[str, list[Statute]] = {}
    for statute in statutes:
        if len(statute.articles) >= FEW and statute.law:
            laws.setdefault(statute.law, []).append(statute)
    found = []
    for versions in laws.values():
        dated = [(version.since, version) for version in versions if version.since]
        newest = max(dated, key=lambda one: one[0])[1] if dated else versions[0]
        for version in versions:
            if version is newest or version.articles == newest.articles:
                continue
            since, latest = version.since, newest.since
            if since and latest and since < latest:
                detail = f"an older version ({since}) of {newest.source} ({latest}); only the newer version is used for training"
                found.append(Superseded(version.source, newest.source, detail, True))
            elif differs(version, newest):
                detail = (
                    f"{version.source} and {newest.source} contain different texts of {version.title}, and it is unknown which is newer; "
                    "set params.yaml, ingest.sources, valid_from. Until then no questions are generated from its articles."
                )
                found.append(Superseded(version.source, newest.source, detail, False))
    return found


def differs(one: Statute, other: Statute) -> bool:
    """Whether two files have other words under the same number; parts of one law in two files have no number in common."""
    return any(text != other.articles.get(number, text) for number, text in one.articles.items())
