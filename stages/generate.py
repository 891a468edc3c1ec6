"""generate: make training rows and frozen test questions from the records, each with its provenance.

Reads   out/split/train             the tables to learn from
        out/split/dev               those to choose checkpoints by
        out/split/test              those to test with
Writes  out/generate/made           instructions, dev_instructions, preferences, dev_preferences, test_preferences, prompts, questions,
                                    and facts as text: statements, dev_statements, test_statements (all .parquet)
        out/generate/teacher.jsonl  every exchange with a teacher that is a model; empty with the rules. Read by the next run: nothing is
                                    asked twice. What comes in while a run asks is kept in .lingyu/generate/teacher.jsonl
        out/generate/dropped.jsonl  what a teacher was asked about and gave no row, with the reason and what it said; empty with the rules
        out/generate/ledger.json    records used or left out, rows made, by table and source

Facts of all parts are stated in the text for pretraining, but only those of the training part are ever asked: whether
the model answers the others shows what it learnt from documents alone. A fact that a given row of the training part
speaks of is not among those others. Test questions have wordings of their own. A teacher that is a model sees records of the
training part only, and what it makes of them goes if it speaks of a fact kept for dev or test.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.files import read_table, write_jsonl, write_table
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Language, Made, Preference, Row
from lingyu.stage import StageParams, start
from lingyu.teach import MADE, articles, classify, corruption, exams, facts, given, knowledge, skills, weak
from lingyu.teach.articles import Article
from lingyu.teach.choice import shuffled
from lingyu.teach.methods import Methods, Reasons, Taught, more_instructions
from lingyu.teach.weak import Signal
from lingyu.teacher.asked import Answers, Counts, Lesson, ask_all
from lingyu.teacher.asking import Drop, Learn, table_of
from lingyu.teacher.checks import Limits, questions_of
from lingyu.teacher.teacher import Settings


class KnowledgeParams(StageParams):
    statements: NonNegativeInt
    statements_per_document: PositiveInt
    questions: NonNegativeInt
    dev_facts: NonNegativeInt
    held_out_statements: NonNegativeInt
    max_wrong: PositiveInt


class ClassifyParams(StageParams):
    shots: list[NonNegativeInt]
    test_shots: NonNegativeInt
    max_example_chars: PositiveInt


class ArticleParams(StageParams):
    max_chars: PositiveInt
    recalls: NonNegativeInt
    cites: NonNegativeInt
    statements: NonNegativeInt
    dev_articles: NonNegativeInt
    held_out_share: float = Field(ge=0, le=1)


class PairParams(StageParams):
    swapped: NonNegativeInt
    a_fact: NonNegativeInt
    dev_facts: NonNegativeInt
    test_facts: NonNegativeInt
    demonstrations: NonNegativeInt


class PromptParams(StageParams):
    given: NonNegativeInt
    facts: NonNegativeInt
    classify: NonNegativeInt


class TestParams(StageParams):
    taught: NonNegativeInt
    documents: NonNegativeInt
    classify: NonNegativeInt
    given: NonNegativeInt
    exams: NonNegativeInt


class Params(Methods):
    seed: int
    teacher: Settings
    checks: Limits
    asked: Counts
    knowledge: KnowledgeParams
    classify: ClassifyParams
    articles: ArticleParams
    pairs: PairParams
    prompts: PromptParams
    test: TestParams


@dataclass(frozen=True)
class Part:
    """The tables of one part, as split wrote them."""

    documents: list[Document]
    facts: list[Fact]
    dialogues: list[Dialogue]
    labels: list[Label]
    exams: list[Exam]
    preferences: list[Preference]


def run(params: Params, train: Path, dev: Path, test: Path, out: Path, work: Path = Path(".lingyu/generate")) -> None:
    learn, choose, hold = read_part(train), read_part(dev), read_part(test)
    ledger, reasons = Ledger(), Reasons()
    statutes = statutes_of(learn, params.articles, params.seed)
    tables = rows_made(params, learn, choose, hold, statutes, reasons)
    made: dict[str, list[Row]] = {name: list(rows) for name, rows in tables.items()}
    lesson = lesson_of(params, learn, statutes, [*choose.facts, *hold.facts], made["instructions"])
    answers = ask_all(lesson, params.teacher, work / "teacher.jsonl", out / "teacher.jsonl")
    for answered in answers.rows:
        made[table_of(answered)].append(answered)
    made["instructions"] = [
        *skills.with_skills((row for row in made["instructions"] if isinstance(row, Dialogue)), params.skills, params.seed)
    ]

    for name, row_type in MADE.items():
        rows = list({row.id: row for row in made[name]}.values())
        count_made(ledger, f"made/{name}", made[name], rows)  # as its file: preferences are records, and made, too
        write_table(out / "made" / f"{name}.parquet", rows, row_type)
    count_used(ledger, [learn, choose, hold], [row for rows in made.values() for row in rows if isinstance(row, Made)], answers.asked)
    count_answers(ledger, answers)
    reasons.count(ledger)
    for row in made["instructions"]:
        if isinstance(row, Dialogue) and skills.has_skill(row):
            ledger.changed("made/instructions", row.source, "named its skill")
    write_jsonl(out / "dropped.jsonl", map(dropped, answers.drops))
    ledger.write(out / "ledger.json")


@dataclass(frozen=True)
class Statutes:
    """The articles of the training part, those of them to ask about, and those kept back for the test."""

    whole: list[Article]
    asked: list[Article]
    kept_back: list[Article]

    def readable(self, documents: Iterable[Document]) -> list[Document]:
        """The documents without those that hold an article kept back."""
        hidden = {record for article in self.kept_back for record in (article.record.id, *article.references)}
        return [row for row in documents if row.id not in hidden]


def statutes_of(learn: Part, params: ArticleParams, seed: int) -> Statutes:
    """None is kept back that a given row of training refers to."""
    referred = {record for row in (*learn.dialogues, *learn.preferences) for record in row.references}
    statutes = Statutes(articles.articles_of(learn.documents, params.max_chars), [], [])
    for article in statutes.whole:
        free = articles.is_held_out(article, params.held_out_share, seed) and not referred & {article.record.id, *article.references}
        (statutes.kept_back if free else statutes.asked).append(article)
    return statutes


def rows_made(params: Params, learn: Part, choose: Part, hold: Part, statutes: Statutes, reasons: Reasons) -> dict[str, Iterable[Row]]:
    """Every table of MADE. A sample is the first rows in an order by hash, so that most of it stays when data is added."""
    signalled = learn.labels
    learn, choose, hold = (replace(part, labels=judged(part.labels, params.weak)) for part in (learn, choose, hold))
    seed, of_facts, of_labels, of_articles, test = params.seed, params.knowledge, params.classify, params.articles, params.test

    every_fact = [*learn.facts, *choose.facts, *hold.facts]
    wrong_values = knowledge.other_values(every_fact)
    taught = shuffled(learn.facts, seed, "taught")
    spoilt = knowledge.mentioned(hold.facts, given.texts([*learn.dialogues, *learn.preferences]))
    unasked = shuffled((fact for fact in hold.facts if fact.id not in spoilt), seed, "unasked")
    stated = shuffled(every_fact, seed, "stated")[: of_facts.held_out_statements]

    preferred = shuffled(learn.preferences, seed, "preferred")
    classes = classify.classes_of(learn.labels, of_labels.max_example_chars)

    whole, asked, kept_back = statutes.whole, statutes.asked, statutes.kept_back
    numbers = articles.numbers_of(whole)
    open_to_questions = Taught(statutes.readable(learn.documents), learn.facts, learn.dialogues, signalled, learn.exams, asked)

    instructions = [
        *given.instructions(learn.dialogues),
        *given.demonstrations(preferred[: params.pairs.demonstrations]),
        *facts.instructions(learn.facts, of_facts.questions, seed),
        *classify.instructions(learn.labels, classes, of_labels.shots, seed),
        *articles.instructions(asked, of_articles.recalls, of_articles.cites, seed),
        *more_instructions(params, open_to_questions, of_labels.shots, of_labels.max_example_chars, seed, reasons),
    ]
    dev_instructions = [
        *given.instructions(choose.dialogues),
        *facts.dev_instructions([*taught[: of_facts.dev_facts], *shuffled(choose.facts, seed)[: of_facts.dev_facts]]),
        *classify.instructions(choose.labels, classes, of_labels.shots, seed),
        *articles.dev_instructions(asked, of_articles.dev_articles, seed),
        *exams.dev_instructions(choose.exams if params.exams.choices else []),
    ]

    pairs, dev_pairs, test_pairs = ([] if learn.preferences else swapped(part, classes, params) for part in (learn, choose, hold))
    if not (learn.preferences or pairs):  # neither talk nor classes: what was made of documents, facts and exams
        pairs, dev_pairs = (other_answers(rows, params) for rows in (instructions, dev_instructions))

    return {
        "instructions": instructions,
        "dev_instructions": dev_instructions,
        "preferences": [
            *given.preferences(learn.preferences),
            *corruption.fact_pairs(
                learn.facts, wrong_values, lambda fact: knowledge.training_questions(fact, params.pairs.a_fact, seed + 2)
            ),
            *corruption.article_pairs([article for article in asked if article.short], numbers, seed),
            *corruption.negation_pairs(given.instructions(learn.dialogues)),
            *pairs,
        ],
        "dev_preferences": [
            *given.preferences(choose.preferences),
            *corruption.fact_pairs(taught[: params.pairs.dev_facts], wrong_values, knowledge.dev_questions),
            *dev_pairs,
        ],
        "test_preferences": [
            *given.preferences(hold.preferences),
            *corruption.fact_pairs(taught[: params.pairs.test_facts], wrong_values, knowledge.test_questions),
            *test_pairs,
        ],
        "prompts": [
            *islice(given.prompts(preferred or pairs, use="prompt"), params.prompts.given),
            *facts.prompts(taught[: params.prompts.facts], wrong_values, of_facts.max_wrong, seed),
            *classify.questions(
                shuffled(learn.labels, seed, "prompts")[: params.prompts.classify], classes, of_labels.test_shots, seed, use="prompt"
            ),
        ],
        "questions": [
            *islice(facts.questions(taught, "taught", wrong_values, of_facts.max_wrong, seed), test.taught),
            *islice(facts.questions(unasked, "documents", wrong_values, of_facts.max_wrong, seed), test.documents),
            *islice(classify.questions(shuffled(hold.labels, seed, "test"), classes, of_labels.test_shots, seed), test.classify),
            *articles.questions(asked, "taught", numbers, test.taught, seed),
            *articles.questions(kept_back, "documents", numbers, test.documents, seed),
            *given.questions(shuffled(hold.dialogues, seed, "test"), test.given),
            *islice(given.prompts(shuffled(hold.preferences, seed, "test")), test.given),
            *exams.questions(shuffled(hold.exams, seed, "test"), test.exams),
        ],
        "statements": [
            *knowledge.statement_documents(
                ((fact, knowledge.statements(fact, of_facts.statements, seed)) for fact in every_fact),
                of_facts.statements_per_document,
                seed,
            ),
            *articles.statements(whole, of_articles.statements, seed),
        ],
        "dev_statements": [
            *knowledge.statement_documents(
                ((fact, knowledge.dev_statements(fact)) for fact in stated), of_facts.statements_per_document, seed
            ),
            *articles.dev_statements(whole if of_articles.statements else [], of_articles.dev_articles, seed),
        ],
        "test_statements": knowledge.statement_documents(
            ((fact, knowledge.test_statements(fact)) for fact in stated), of_facts.statements_per_document, seed
        ),
    }


def swapped(part: Part, classes: dict[tuple[str, Language], classify.Classes], params: Params) -> list[Preference]:
    """Answers against other answers, for a corpus that nobody brought pairs for."""
    return other_answers([*given.instructions(part.dialogues), *classify.instructions(part.labels, classes, [0], params.seed)], params)


def other_answers(rows: list[Dialogue], params: Params) -> list[Preference]:
    return list(islice(corruption.swapped_pairs(shuffled(rows, params.seed), params.seed), params.pairs.swapped))


def lesson_of(params: Params, learn: Part, statutes: Statutes, kept: list[Fact], rows: list[Row]) -> Lesson:
    """What a teacher may see, and what its rows must neither repeat nor give away."""
    seen = Learn(
        documents=[row for row in statutes.readable(learn.documents) if row.scope == "domain"],
        facts=[row for row in learn.facts if row.scope == "domain"],
        dialogues=[row for row in given.instructions(learn.dialogues) if row.scope == "domain"],
        labels=[row for row in learn.labels if row.scope == "domain"],
        seed=params.seed,
    )
    questions = ["\n".join(questions_of(row)) for row in rows if isinstance(row, Dialogue)]
    return Lesson(seen, params.asked, params.checks, questions, knowledge.Mentions(kept).first)


def judged(labels: list[Label], signals: Iterable[Signal]) -> list[Label]:
    """The labels that people gave: without those that params.yaml calls a signal."""
    return [row for row in labels if not weak.given_by_column(signals, row)]


def read_part(folder: Path) -> Part:
    tables: dict[str, Any] = {name: list(read_table(folder / f"{name}.parquet", row_type)) for name, row_type in TABLES.items()}
    return Part(**tables)


def count_made(ledger: Ledger, table: str, made: list[Row], kept: list[Row]) -> None:
    for row in made:
        ledger.made(table, row.source, row.method if isinstance(row, Made) else "statement")
    for row in kept:
        ledger.left(table, row.source)
    for source, count in (Counter(row.source for row in made) - Counter(row.source for row in kept)).items():
        ledger.dropped(table, source, "made twice", count)


def count_answers(ledger: Ledger, answers: Answers) -> None:
    """What a teacher was asked about and gave no row, and the citations that stand in no source."""
    for drop in answers.drops:
        table = f"made/{table_of(drop.row)}"
        ledger.made(table, drop.record.source, drop.method)
        ledger.dropped(table, drop.record.source, drop.reason)
    for (table, source), count in answers.invented.items():
        ledger.changed(f"made/{table}", source, "invented citations", count)


def dropped(drop: Drop) -> dict[str, Any]:
    about = {"id": drop.record.id, "source": drop.record.source, "place": drop.record.place}
    why = {"method": drop.method, "reason": drop.reason, "evidence": drop.evidence, "prompt_hash": drop.prompt_hash}
    return {"table": table_of(drop.row), **why, "record": about, "row": drop.row.model_dump() if drop.row else None}


def count_used(ledger: Ledger, parts: list[Part], made: list[Made], asked: set[str]) -> None:
    """Which records the made rows rest on. Facts are stated, all of them; a document is read by mix, whether asked or not."""
    used = {reference for row in made for reference in (row.id, *row.references)}
    for part in parts:
        for field in fields(part):
            for row in getattr(part, field.name):
                ledger.came(field.name, row.source)
                if row.id in used or field.name == "facts":
                    ledger.left(field.name, row.source)
                else:
                    ledger.dropped(field.name, row.source, FRUITLESS if row.id in asked else UNUSED[field.name])


FRUITLESS = "no answer about it passed the checks"
UNUSED = {
    "documents": "not asked about",
    "dialogues": "over the number of test questions",
    "labels": "over the number of test questions, or its class is not in the training part",
    "exams": "not asked about",
    "preferences": "",
}

if __name__ == "__main__":
    start(run, Params, train=Path("out/split/train"), dev=Path("out/split/dev"), test=Path("out/split/test"), out=Path("out/generate"))
