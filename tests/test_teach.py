"""The methods that make rows, each on the smallest record that shows its rule."""

import pytest
from rows import preference

from lingyu.generate.rules import articles, classify, corruption, facts, given, knowledge
from lingyu.generate.stable_choice import picks, shuffled
from lingyu.records import Dialogue, Document, Fact, Label, Message

ORIGIN = {"source": "a.jsonl", "place": "row 1", "licence": "CC0", "scope": "domain"}
LANGUAGES = ("zh", "en")


@pytest.mark.parametrize(("count", "below", "found"), [(0, 5, 0), (3, 5, 3), (9, 5, 5), (3, 100, 3), (0, 0, 0)])
def test_picks_are_different_numbers_and_the_same_every_time(count, below, found):
    first, second = list(picks(count, below, "key")), list(picks(count, below, "key"))

    assert first == second
    assert len(set(first)) == found
    assert all(0 <= number < below for number in first)


def test_most_of_a_sample_stays_when_rows_are_added():
    few = [fact(entity=f"E{number}") for number in range(100)]
    more = [*few, *(fact(entity=f"F{number}") for number in range(20))]

    stayed = {row.id for row in shuffled(few, 1)[:50]} & {row.id for row in shuffled(more, 1)[:50]}

    assert len(stayed) >= 35


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_enough_wordings(language):
    words = knowledge.WORDINGS[language]

    counts = [len(set(forms)) for forms in (words.statements, words.prefixes, words.cores, words.suffixes)]

    assert all(count >= least for count, least in zip(counts, ({"zh": 20, "en": 14}[language], 9, 10, 5), strict=True))
    assert [len(set(forms)) for forms in (words.dev_questions, words.test_questions)] == [2, 4]
    assert [len(set(forms)) for forms in (words.dev_statements, words.test_statements)] == [2, 2]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_wording_of_one_use_contains_one_of_another(language):
    words = knowledge.WORDINGS[language]
    uses = [words.statements, words.dev_statements, words.test_statements, words.cores, words.dev_questions, words.test_questions]

    shared = [
        (core, other)
        for one in uses
        for two in uses
        if one is not two
        for core in one
        for other in two
        if core.rstrip("。？.?").casefold() in other.casefold()
    ]

    assert shared == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_wording_names_what_it_is_about(language):
    words = knowledge.WORDINGS[language]

    for form in (*words.statements, *words.dev_statements, *words.test_statements):
        assert all(slot in form for slot in ("{e}", "{r}", "{v}")), form
    for form in (*words.cores, *words.dev_questions, *words.test_questions):
        assert "{e}" in form, form
        assert "{r}" in form, form
        assert "{v}" not in form, form


def test_training_questions_are_as_many_and_as_different_as_asked_for():
    questions = knowledge.training_questions(fact(), 8, seed=1)

    assert len(set(questions)) == 8
    assert questions == knowledge.training_questions(fact(), 8, seed=1)
    assert questions != knowledge.training_questions(fact(), 8, seed=2)


@pytest.mark.parametrize(
    ("language", "values", "said"),
    [
        ("zh", ["120米"], "120米。"),
        ("zh", ["火灾。", "坠落"], "火灾、坠落。"),
        ("en", ["120 m."], "120 m."),
        ("en", ["fire", "fall"], "fire and fall."),
    ],
)
def test_the_answer_is_one_sentence_with_all_values(language, values, said):
    assert knowledge.answer(fact(values=values, language=language)) == said


def test_no_document_of_statements_speaks_of_an_entity_twice():
    known = [fact(entity=entity, relation=relation) for entity in "ABCDEFGH" for relation in ("升限", "航程", "重量")]

    documents = list(knowledge.statement_documents(((row, knowledge.statements(row, 5, 1)) for row in known), 6, 1))

    assert sum(len(document.text.splitlines()) for document in documents) == len(known) * 5
    for document in documents:
        entities = [next(entity for entity in "ABCDEFGH" if entity in line) for line in document.text.splitlines()]
        assert len(set(entities)) == len(entities) <= 6


def test_statements_of_different_sources_and_languages_stay_apart():
    known = [fact(entity="A"), fact(entity="B", source="b.jsonl"), fact(entity="C", language="en")]

    documents = list(knowledge.statement_documents(((row, knowledge.statements(row, 1, 1)) for row in known), 6, 1))

    assert sorted((document.source, document.language) for document in documents) == [
        ("a.jsonl", "en"),
        ("a.jsonl", "zh"),
        ("b.jsonl", "zh"),
    ]


def test_a_wrong_value_belongs_to_the_relation_and_is_nowhere_right():
    known = [
        fact(entity="A", values=["1米"]),
        fact(entity="B", values=["2米"]),
        fact(entity="C", values=["3米"], kind="气球"),
        fact(entity="A", values=["4米"], place="row 9"),
    ]

    others = knowledge.other_values(known)

    assert others[known[0].id] == ["2米"]
    assert sorted(others[known[1].id]) == ["1米", "4米"]
    assert others[known[2].id] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("云雀的升限是多少？", True),
        ("云雀能飞到120米吗？", True),
        ("云雀好看吗？", False),
        ("升限120米的是哪一种？", False),
        ("", False),
    ],
)
def test_a_text_mentions_a_fact_by_its_entity_and_its_relation_or_value(text, found):
    assert knowledge.mentioned([fact()], [text]) == ({fact().id} if found else set())


def test_test_questions_ask_every_fact_once_before_one_is_asked_again():
    known = [fact(entity=entity) for entity in "ABC"]

    asked = list(facts.questions(known, "documents", knowledge.other_values(known), 5, seed=1))

    assert [row.references[0] for row in asked[:3]] == [row.id for row in known]
    assert len({row.id for row in asked}) == len({row.messages[0].content for row in asked}) == 12
    assert asked[0].answer == "120米。"


def test_prompts_are_rows_of_their_own():
    known = [fact()]

    made = [*facts.instructions(known, 500, 1), *facts.prompts(known, {known[0].id: []}, 5, 1)]

    assert len({row.id for row in made}) == len(made)


def test_examples_come_from_other_texts_and_other_classes_first():
    train = [label(f"文本{number}", "低高"[number % 2]) for number in range(8)]
    classes = classify.classes_of(train, max_chars=10)

    made = list(classify.instructions(train, classes, [0, 2], seed=1))

    assert len({row.id for row in made}) == 16
    for row in made[1::2]:
        own, *examples = row.references
        assert own not in examples
        assert {text.label for text in train if text.id in examples} == {"低", "高"}
        assert row.messages[0].content.count("文本：") == 3


def test_the_prompt_lists_the_classes_and_ends_in_the_text():
    train = [label("平安\n降落", "低"), label("撞树", "高")]
    classes = classify.classes_of(train, max_chars=10)

    first, _ = classify.questions(train, classes, shots=0, seed=1)

    assert first.messages[0].content == "判断下面的文本属于哪一类，只答类名。可选：低、高\n\n文本：平安 降落\n类别："
    assert (first.answer, first.wrong) == ("低", ["高"])
    assert classify.text_asked(first.messages[0].content, "zh") == "平安 降落"


def test_a_class_that_training_does_not_have_is_not_asked():
    classes = classify.classes_of([label("a", "低")], max_chars=10)

    assert list(classify.questions([label("b", "高"), label("c", "低", task="other")], classes, shots=0, seed=1)) == []


@pytest.mark.parametrize(
    ("section", "number"),
    [
        ("第一章 总则 / 第五条", "第五条"),
        ("第 12 条", "第12条"),
        ("第二十条之一", "第二十条之一"),
        ("Part I / Article 7", "Article 7"),
        ("第一章 总则", None),
        ("第五条 说明", None),
    ],
)
def test_articles_are_known_by_their_heading(section, number):
    found = articles.articles_of([article(section, "正文。")], longest=100)

    assert [row.number for row in found] == ([number] if number else [])


def test_the_rows_of_an_article_are_read_as_one_without_its_number():
    rows = [article("第五条", "第五条　飞行前应当检查。", place="1"), article("第五条", "检查应当记录。", place="2")]

    (found,) = articles.articles_of(rows, longest=100)

    assert found.text == "飞行前应当检查。\n检查应当记录。"
    assert found.opening == "飞行前应当检查"
    assert [found.record.id, *found.references] == [row.id for row in rows]


def test_an_article_that_stands_twice_is_not_asked_for_nor_an_opening_that_two_articles_have():
    rows = [article("第一条", "甲。"), article("总则 / 第一条", "乙。"), article("第二条", "丙。"), article("第三条", "丙。丁。")]

    found = articles.articles_of(rows, longest=100)
    made = list(articles.instructions(found, 1, 1, seed=1))

    assert [row.number for row in found] == ["第二条", "第三条"]
    assert [row.task for row in made] == ["recall", "recall"]


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("飞行前，应当检查。其他。", "飞行前，应当检查"),
        ("飞行活动开始前的一个小时内，应当检查。", "飞行活动开始前的一个小时内"),
        ("飞" * 41, ""),
    ],
)
def test_a_citation_is_asked_for_by_how_the_article_begins(text, opening):
    (found,) = articles.articles_of([article("第五条", text)], longest=100)

    assert found.opening == opening


def test_articles_are_recalled_and_cited():
    found = articles.articles_of([article("第五条", "严禁酒后飞行。"), article("第六条", "应当登记。")], longest=100)

    recalled, cited = [row.messages[-1].content for row in articles.instructions(found, 1, 1, seed=1)][:2]
    asked = list(articles.questions(found, "documents", articles.numbers_of(found), 10, seed=1))

    assert recalled == "根据《飞行规则》第五条：严禁酒后飞行。"
    assert cited == "出自《飞行规则》第五条。"
    assert {(row.task, row.answer, *row.wrong) for row in asked if "第五条" in row.answer or "酒" in row.answer} == {
        ("recall", "严禁酒后飞行。"),
        ("cite", "第五条", "第六条"),
    }


def test_a_long_article_is_cited_but_not_recalled():
    found = articles.articles_of([article("第五条", "严禁酒后飞行。违者受罚。")], longest=8)

    assert [row.task for row in articles.instructions(found, 2, 1, seed=1)] == ["cite"]
    assert [row.task for row in articles.questions(found, "taught", articles.numbers_of(found), 10, seed=1)] == ["cite"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_statement_of_an_article_names_title_number_and_beginning_in_a_wording_of_its_own(language):
    words = articles.WORDINGS[language]
    forms = [*words.statements, *words.dev_statements]

    assert len(set(forms)) == len(forms) > 10
    assert all(mark in form for form in forms for mark in ("{t}", "{n}", "{s}"))
    assert not set(forms) & {form for part in (words.train, words.dev, words.test) for kind in part.values() for form in kind}


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("飞行前，应当检查电池电量。其他。", ["飞行前，应当检查电池电量", "应当检查电池电量"]),
        ("起飞之前应当报告下列事项：\n（一）飞行的时间和地点；\n（二）甲。", ["起飞之前应当报告下列事项", "飞行的时间和地点"]),
        ("飞" * 41, []),
    ],
)
def test_training_quotes_how_an_article_begins_and_its_clauses(text, quotes):
    (found,) = articles.articles_of([article("第五条", text)], longest=100)

    assert list(found.quotes) == quotes


def test_a_clause_that_two_articles_have_is_quoted_of_neither():
    rows = [article("第五条", "甲应当检查。情节严重的处以罚款。"), article("第六条", "乙应当登记。情节严重的处以罚款。")]

    assert [list(row.quotes) for row in articles.articles_of(rows, longest=100)] == [["甲应当检查"], ["乙应当登记"]]


def test_every_quotation_comes_once_before_one_comes_again_and_no_question_twice():
    found = articles.articles_of([article("第五条", "飞行前，应当检查电池电量。其他。")], longest=1)
    forms = len(articles.WORDINGS["zh"].train[articles.CITE])

    few, all_ = ([row.messages[0].content for row in articles.instructions(found, 0, count, seed=1)] for count in (2, 99))

    assert ["“飞行前，应当检查电池电量”" in few[0], "“应当检查电池电量”" in few[1]] == [True, True]
    assert len(set(all_)) == len(all_) == 2 * forms


def test_how_an_article_begins_is_stated_beside_its_number():
    found = articles.articles_of([article("第五条", "严禁酒后飞行。违者受罚。"), article("第六条", "飞" * 41)], longest=100)

    (row,) = articles.statements(found, 1, seed=1)

    assert all(part in row.text for part in ("《飞行规则》", "第五条", "严禁酒后飞行"))
    assert (row.source, row.place, row.licence, row.title, row.section) == (found[0].record.source, found[0].record.place, "CC0", "", "")
    assert len(list(articles.dev_statements(found, 10, seed=1))) == 2


@pytest.mark.parametrize(("share", "held"), [(0.0, 0), (1.0, 50)])
def test_the_share_of_held_out_articles(share, held):
    found = articles.articles_of([article(f"第{number}条", f"内容{number}。") for number in range(50)], longest=100)

    assert len(found) == 50
    assert sum(articles.is_held_out(row, share, 1) for row in found) == held


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("不得超速。", "可以超速。"),
        ("不得不返航。", None),
        ("严禁烟火，禁止停留。", "允许烟火，禁止停留。"),
        ("不应当起飞。", "应当起飞。"),
        ("You must not fly.", "You must fly."),
        ("It is not safe and cannot fly.", "It is safe and cannot fly."),
        ("Never fly.", "always fly."),
        ("返航。", None),
        ("呼之不应的，立即送医。", None),
    ],
)
def test_a_lost_negation(text, lost):
    assert corruption.without_negation(text) == lost


def test_a_fact_pair_differs_in_the_value_only():
    known = [fact(entity="A", values=["1米"]), fact(entity="B", values=["2米"])]

    first, second = corruption.fact_pairs(known, knowledge.other_values(known), lambda row: ["问"])

    assert (first.chosen, first.rejected) == ("1米。", "2米。")
    assert (second.chosen, second.rejected) == ("2米。", "1米。")


def test_an_article_pair_has_another_number_or_lacks_the_negation():
    found = articles.articles_of([article("第五条", "严禁酒后飞行。"), article("第六条", "应当登记。")], longest=100)

    first, second = corruption.article_pairs(found, articles.numbers_of(found), seed=1)

    assert first.rejected == "根据《飞行规则》第五条：允许酒后飞行。"
    assert second.rejected == "根据《飞行规则》第五条：应当登记。"


def test_a_swapped_pair_has_the_answer_to_another_question_of_its_task():
    rows = [dialogue("可以起飞。"), dialogue("返航。"), dialogue("返航。", reasoning="想"), dialogue("起飞前。", task="other")]

    for way in ("any", "similar"):
        assert [(pair.chosen, pair.rejected) for pair in corruption.other_answers(rows, way, seed=1)] == [
            ("可以起飞。", "返航。"),
            ("返航。", "可以起飞。"),
        ]


def test_a_pair_from_a_dialogue_needs_a_negation_and_no_reasoning():
    rows = [dialogue("不得起飞。"), dialogue("可以起飞。"), dialogue("不得起飞。", reasoning="想")]

    assert [(pair.chosen, pair.rejected) for pair in corruption.negation_pairs(rows)] == [("不得起飞。", "可以起飞。")]


@pytest.mark.parametrize(("task", "reasoning", "found"), [("", None, "chat"), ("", "想", "reason"), ("advice", None, "advice")])
def test_the_task_of_a_given_dialogue(task, reasoning, found):
    (row,) = given.instructions([dialogue("好。", reasoning=reasoning, task=task)])

    assert row.task == found


def test_a_given_question_ends_before_the_answer():
    (row,) = given.questions([dialogue("好。", reasoning="想")], most=5)

    assert [message.role for message in row.messages] == ["user"]
    assert (row.answer, row.task, row.known) == ("好。", "reason", "")


def test_two_pairs_about_one_question_make_one_prompt():
    pairs = [preference(row, "怎么办？", "停飞。", worse) for row, worse in enumerate(["照飞。", "再说。"])]

    (row,) = given.prompts(pairs)

    assert (row.answer, row.task, row.messages) == ("停飞。", "preferred", pairs[0].messages)
    assert len(row.wrong) == 1
    assert row.wrong[0] in {"照飞。", "再说。"}


def fact(entity="云雀", relation="升限", values=("120米",), language="zh", kind="无人机", **origin):
    values = {**ORIGIN, **origin, "entity": entity, "relation": relation, "values": list(values), "language": language, "kind": kind}
    return Fact(id="/".join([entity, relation, language, values["place"], values["source"]]), **values)


def label(text, name, task="risk"):
    return Label(id=f"{task}/{text}", language="zh", text=text, label=name, task=task, **ORIGIN)


def article(section, text, **origin):
    return Document(id=f"{section}/{text}", language="zh", title="飞行规则", section=section, text=text, **{**ORIGIN, **origin})


def dialogue(reply, reasoning=None, task=""):
    messages = [Message(role="user", content="怎么办？"), Message(role="assistant", content=reply, reasoning=reasoning)]
    made = {"task": task, "references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}
    return Dialogue(id=f"{reply}/{reasoning}", language="zh", messages=messages, **made, **ORIGIN)
