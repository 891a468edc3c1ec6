"""Which rows are made of which records: every table that generate writes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Limits
from lingyu.generate.llm.client import Settings
from lingyu.generate.llm.run import Counts
from lingyu.generate.rules import articles, classify, corruption, exams, facts, given, knowledge, weak
from lingyu.generate.rules.articles import Article
from lingyu.generate.rules.methods import Methods, Reasons, more_instructions
from lingyu.generate.rules.taught import Taught
from lingyu.generate.rules.weak import Signal
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Language, Preference, Row, is_task
from lingyu.stage import StageError, StageParams


class KnowledgeParams(StageParams):
    """Statements of facts for pretraining, and questions about them for fine-tuning."""

    statements: NonNegativeInt = Field(
        20,
        description="Wordings that a fact is stated in for pretraining. A small model learns a fact from many of them; 20 is all there "
        "are.",
    )
    statements_per_document: PositiveInt = Field(
        6, description="Facts of different entities in one text, so that nothing can be copied from the line above."
    )
    questions: NonNegativeInt = Field(
        4, description="Questions for each trained fact. A prototype answered reworded questions from 8 on; 7 fixed wordings were too few."
    )
    dev_facts: NonNegativeInt = Field(
        40, description="Trained facts, and as many of the dev part, that are asked in two other wordings to choose the checkpoint by."
    )
    held_out_statements: NonNegativeInt = Field(
        120, description="Facts stated in two wordings each that training never uses, for dev loss and bits per byte."
    )
    max_wrong: PositiveInt = Field(
        20, description="Wrong values listed with a question: enough to notice a confusion, not the whole graph in every row."
    )


class ClassifyParams(StageParams):
    """Classification of labelled texts."""

    shots: list[NonNegativeInt] = Field(
        [0, 1],
        description="A row for each number of solved examples in the prompt. With two examples, half of all tokens of fine-tuning were in "
        "these rows, and one in seven was longer than mix.max_tokens.",
    )
    test_shots: NonNegativeInt = Field(1, description="Solved examples in a test prompt.")
    max_example_chars: PositiveInt = Field(
        90, description="Only texts up to this length are examples; with longer ones a prompt does not fit the tiny model's context."
    )


class ArticleParams(StageParams):
    """Questions about articles of statutes: what one says, and which one says it."""

    max_chars: PositiveInt = Field(
        160, description="Longer articles are only cited, not recalled: their answer would not fit the 512 tokens of the tiny model."
    )
    recalls: NonNegativeInt = Field(2, description="Questions for each article about what it says.")
    cites: NonNegativeInt = Field(1, description="Questions for each article about which one says something.")
    statements: NonNegativeInt = Field(
        0,
        description="Wordings in which pretraining reads how an article begins, next to its number. The sample has few articles; the "
        "recipe statutes sets it.",
    )
    dev_articles: NonNegativeInt = Field(30, description="Trained articles that are asked in other words to choose the checkpoint by.")
    held_out_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Read in pretraining, never asked in training: what the model knows of them it knows from the documents.",
    )


class PairParams(StageParams):
    """Preference pairs made by rules."""

    swapped: NonNegativeInt = Field(
        200,
        description="Pairs of an answer and another answer of its task, where the corpus has no pairs: of dialogues and labels, or "
        "without any of the questions made of documents, facts and exams.",
    )
    rejected: corruption.Rejected = Field(
        "corrupted",
        description="The worse answer of such a pair. corrupted: the answer itself with a figure changed or a negation lost, else as "
        "similar. similar: the answer to the most similar other question. any: any other answer of its task. Trained on 130 such "
        "pairs, the tiny reward model distinguishes 65, 65 and 59 % of people's pairs and 55, 54 and 51 % of right and wrong values.",
    )
    a_fact: NonNegativeInt = Field(
        0,
        description="Pairs of the right and a wrong value for each trained fact. A tiny reward model cannot distinguish them (0.5 to 0.6 "
        "of held-out pairs, whatever its rate and epochs), and gets worse on manner by them. For a large one try 2.",
    )
    dev_facts: NonNegativeInt = Field(
        0, description="Trained facts in two dev wordings, with a wrong value each, to choose the reward model by. Useless without a_fact."
    )
    test_facts: NonNegativeInt = Field(
        40, description="Trained facts in four test wordings, with a wrong value each, to test how much likelier the right value is."
    )
    demonstrations: NonNegativeInt = Field(
        24,
        description="Better replies of people's pairs that fine-tuning sees as dialogues: enough for their manner to appear in sampled "
        "replies, few enough to leave alignment its work.",
    )


class PromptParams(StageParams):
    """Prompts for methods that sample replies (grpo, rloo, ppo, best_of)."""

    given: NonNegativeInt = Field(160, description="Prompts of people's pairs.")
    facts: NonNegativeInt = Field(
        0, description="Questions about facts. The tiny reward model cannot distinguish a right value from a wrong one; a larger one could."
    )
    classify: NonNegativeInt = Field(0, description="Texts to classify; see facts.")


class TestParams(StageParams):
    """Test items by kind."""

    taught: NonNegativeInt = Field(240, description="Questions about trained facts. 240 give an interval of ±6 points at one half.")
    documents: NonNegativeInt = Field(240, description="Questions about facts that only documents state, and as many about articles.")
    classify: NonNegativeInt = Field(120, description="Texts to classify.")
    given: NonNegativeInt = Field(60, description="Of each task among the dialogues that came with the corpus.")
    exams: NonNegativeInt = Field(120, description="Exam items.")


class ChooseParams(StageParams):
    """Dev items by kind, drawn as the test is: other records in other wordings. What selects the winner; the test only reports it."""

    taught: NonNegativeInt = Field(240, description="Questions about trained facts, those that the test does not ask about first.")
    documents: NonNegativeInt = Field(240, description="Questions about facts of the dev part, and about articles left over by the test.")
    classify: NonNegativeInt = Field(120, description="Texts to classify.")
    given: NonNegativeInt = Field(60, description="Of each task among the dialogues that came with the corpus.")
    exams: NonNegativeInt = Field(120, description="Exam items.")


class Params(Methods):
    seed: int = Field(20, description="Chooses wordings, examples and test items. The rows are right whatever it is.")
    teacher: Settings = Field(Settings(), description="The model that makes rows, or none.")
    checks: Limits = Field(Limits(), description="What a model's rows must meet.")
    asked: Counts = Field(
        Counts.model_validate({}), description="The methods that ask the model, each switched on by its number of records."
    )
    knowledge: KnowledgeParams = Field(KnowledgeParams(), description="Statements of facts, and questions about them.")
    classify: ClassifyParams = Field(ClassifyParams(), description="Classification of labelled texts.")
    articles: ArticleParams = Field(ArticleParams(), description="Questions about articles of statutes.")
    pairs: PairParams = Field(PairParams(), description="Preference pairs made by rules.")
    prompts: PromptParams = Field(PromptParams(), description="Prompts for methods that sample replies.")
    test: TestParams = Field(TestParams(), description="Test items by kind.")
    choose: ChooseParams = Field(ChooseParams(), description="Dev items by kind.")


@dataclass(frozen=True)
class Part:
    """The tables of one part, as split wrote them."""

    documents: list[Document]
    facts: list[Fact]
    dialogues: list[Dialogue]
    labels: list[Label]
    exams: list[Exam]
    preferences: list[Preference]


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
    seed, of_facts, of_labels, of_articles = params.seed, params.knowledge, params.classify, params.articles
    test, dev = params.test, params.choose

    every_fact = [*learn.facts, *choose.facts, *hold.facts]
    wrong_values = knowledge.other_values(every_fact)
    taught = shuffled(learn.facts, seed, "taught")
    spoken = list(given.texts([*learn.dialogues, *learn.preferences]))
    unasked, unasked_dev = (
        shuffled((fact for fact in part.facts if fact.id not in spoilt), seed, "unasked")
        for part in (hold, choose)
        for spoilt in [knowledge.mentioned(part.facts, spoken)]
    )
    stated = shuffled(every_fact, seed, "stated")[: of_facts.held_out_statements]

    preferred = shuffled(learn.preferences, seed, "preferred")
    classes = classify.classes_of(learn.labels, of_labels.max_example_chars)

    whole, asked, kept_back = statutes.whole, statutes.asked, statutes.kept_back
    numbers = articles.numbers_of(whole)
    readable = statutes.readable(learn.documents)
    open_to_questions = Taught(
        readable, learn.facts, learn.dialogues, signalled, learn.exams, asked, seed, tuple(of_labels.shots), of_labels.max_example_chars
    )

    instructions = [
        *given.instructions(learn.dialogues),
        *given.demonstrations(preferred[: params.pairs.demonstrations]),
        *facts.instructions(learn.facts, of_facts.questions, seed),
        *classify.instructions(learn.labels, classes, of_labels.shots, seed),
        *articles.instructions(asked, of_articles.recalls, of_articles.cites, seed),
        *more_instructions(params, open_to_questions, reasons),
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
        "dev_questions": [
            *islice(facts.dev_questions(taught[::-1], "taught", wrong_values, of_facts.max_wrong), dev.taught),
            *islice(facts.dev_questions(unasked_dev, "documents", wrong_values, of_facts.max_wrong), dev.documents),
            *islice(
                classify.questions(shuffled(choose.labels, seed, "test"), classes, of_labels.test_shots, seed, use="dev"), dev.classify
            ),
            *articles.dev_questions(asked, "taught", numbers, dev.taught, seed),
            *articles.dev_questions(articles.not_tested(kept_back, test.documents, seed), "documents", numbers, dev.documents, seed),
            *given.questions(shuffled(choose.dialogues, seed, "test"), dev.given, use="dev"),
            *islice(given.prompts(shuffled(choose.preferences, seed, "test"), use="dev"), dev.given),
            *exams.questions(shuffled(choose.exams, seed, "test"), dev.exams, use="dev"),
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
    return list(islice(corruption.other_answers(shuffled(rows, params.seed), params.pairs.rejected, params.seed), params.pairs.swapped))


def stop_at_tasks(params: Params, labels: Iterable[Label]) -> None:
    """Raise where params.yaml names tasks that no label has: the method would make nothing, and nobody would know why."""
    tasks = {label.task for label in labels}
    named = [("generate.weak", signal.task) for signal in params.weak if not signal.patterns]
    named += [("generate.asked.nvc.tasks", task) for task in params.asked.nvc.tasks if params.asked.nvc.records]
    there = ", ".join(sorted(tasks)) or "none, for the corpus has no labels"
    faults = [
        f"  {where}: no label has the task {task!r}; there are: {there}"
        for where, task in named
        if not any(is_task(t, task) for t in tasks)
    ]
    if faults:
        raise StageError("\n".join(["params.yaml names tasks that the corpus does not have:", *faults]))


def judged(labels: list[Label], signals: Iterable[Signal]) -> list[Label]:
    """The labels that people gave: without those that params.yaml calls a signal."""
    return [row for row in labels if not weak.given_by_column(signals, row)]
