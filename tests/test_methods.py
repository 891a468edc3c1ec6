"""The methods that params.yaml turns on: each on the smallest record that shows its rule, and all of them for grounding."""

from collections import Counter

import pytest
from rows import dialogue, document, exam, fact, label

from bench.generation import claims, texts_of
from lingyu.generate.rules import articles, definitions, exams, keywords, retrieval, situations, skills, turns, weak
from lingyu.generate.rules.methods import Methods, Reasons, more_instructions
from lingyu.generate.rules.taught import Taught
from lingyu.records import Dialogue
from lingyu.retrieve.prompt import NOTHING_FOUND, with_passages
from lingyu.retrieve.retrievers import Choice
from lingyu.retrieve.support import contains

RULE = "飞行安全细则"
ARTICLES = [
    document("1", "第一条 本细则所称高空作业，是指在三十米以上进行的作业。", RULE, "第一章 总则 / 第一条"),
    document("2", "第二条 机组不得在雷雨中起飞。夜间起飞的，应当打开航行灯。", RULE, "第一章 总则 / 第二条"),
    document("3", "第三条 机长应当履行下列职责：\n（一）检查电池电量；\n（二）通报天气变化。", RULE, "第二章 人员 / 第三条"),
    document(
        "4",
        "第四条 有下列行为之一的，停飞十日，并处五百元罚款：\n（一）酒后操作无人机的；\n（二）擅自关闭定位的。",
        RULE,
        "第二章 人员 / 第四条",
    ),
    document("5", "第五条 任何人在机场内不得从事下列活动：\n（一）放飞气球；\n（二）燃放烟花。", RULE, "第三章 场地 / 第五条"),
]
ENGLISH = document(
    "e", "The pilot must not fly over crowds. Every crew must log each landing.", "Flight Rules", "Part I / Article 7", language="en"
)
FACTS = [
    fact("f1", "云雀", "升限", "120米"),
    fact("f2", "云雀", "航程", "5千米"),
    fact("f3", "游隼", "升限", "300米"),
    fact("f4", "Lark", "ceiling", "120 m", language="en"),
    fact("f5", "Lark", "range", "5 km", language="en"),
]
EXAMS = [
    exam("x1", "云雀的升限是（　）米。", ["120", "300", "80"], [0]),
    exam("x2", "下列哪些要登记？", ["起飞时间", "降落时间", "午饭"], [0, 1]),
    exam("x3", "Which light is on at night?", ["the red one", "the blue one"], [0], language="en"),
]
CONSULT = dialogue("d1", "雷雨天能起飞吗？", "根据《飞行安全细则》第二条，不能起飞。", "consult").model_copy(
    update={"references": [ARTICLES[1].id]}
)
ON = {
    "exams": {"choices": 3, "judgements": 3},
    "retrieval": {
        "a_fact": 2, "an_article": 2, "dialogues": 1.0, "passages": 2, "unanswerable": 0.3, "max_characters": 240,
    },
    "definitions": {"questions": 3, "names": 1, "max_asked_by": 80},
    "situations": {"questions": 2, "basis": 1},
    "keywords": {"a_fact": 1, "documents": 1.0, "dialogues": 1.0, "most": 4},
    "turns": {"an_entity": 1, "an_article": 1, "most": 3},
    "weak": [{"name": "weather words", "task": "weather", "patterns": {"有雷雨": "雷", "无雷雨": "气球|电池|定位"}}],
    "skills": 0.5,
}  # fmt: skip
OFF = {
    "exams": {"choices": 0, "judgements": 0},
    "retrieval": {**ON["retrieval"], "a_fact": 0, "an_article": 0, "dialogues": 0.0},
    "definitions": {"questions": 0, "names": 0, "max_asked_by": 80},
    "situations": {"questions": 0, "basis": 0},
    "keywords": {"a_fact": 0, "documents": 0.0, "dialogues": 0.0, "most": 4},
    "turns": {"an_entity": 0, "an_article": 0, "most": 3},
    "weak": [],
    "skills": 0.0,
}
METHODS = {"exam", "retrieval", "definition", "situation", "keywords", "turns", "weak"}


def taught() -> Taught:
    documents = [*ARTICLES, ENGLISH]
    whole = articles.articles_of(documents, 100)
    return Taught(documents, FACTS, [CONSULT], [label("l", "雷", "有雷雨", "weather")], EXAMS, whole, seed=1)


def made(params: dict) -> list[Dialogue]:
    return list(more_instructions(Methods.model_validate(params), taught(), Reasons()))


def test_every_number_title_and_quotation_of_an_answer_stands_in_the_records_it_names():
    texts = {row.id: "|".join(texts_of(row.model_dump(exclude={"id", "source"}))) for row in [*ARTICLES, ENGLISH, *FACTS, *EXAMS, CONSULT]}
    rows, checked = made(ON), 0

    for row in rows:
        ground = "|".join(texts[record] for record in row.references)
        for message in row.messages:
            if message.role == "assistant" and row.method != weak.METHOD:
                missing = [claim for claim in claims(message.content) if not contains(claim, ground)]
                checked += len(claims(message.content))
                assert missing == [], (row.method, message.content)

    assert {row.method for row in rows} == METHODS
    assert checked > 50


def test_every_row_names_its_record_and_has_an_id_of_its_own():
    rows = made(ON)
    known = {row.id for row in [*ARTICLES, ENGLISH, *FACTS, *EXAMS, CONSULT]} | {label("l", "雷", "有雷雨", "weather").id}

    assert len({row.id for row in rows}) == len(rows)
    assert all(row.references and set(row.references) <= known for row in rows)
    assert {row.teacher for row in rows if row.method != weak.METHOD} == {"rules"}
    assert all(row.messages[-1].role == "assistant" and row.messages[-1].content for row in rows)


def test_methods_left_at_nought_make_nothing():
    assert made(OFF) == []


def test_the_same_records_make_the_same_rows():
    assert made(ON) == made(ON)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_wording_stands_twice(language):
    forms = [
        *exams.WORDINGS[language].one, *exams.WORDINGS[language].several, exams.WORDINGS[language].dev, exams.WORDINGS[language].test,
        *exams.WORDINGS[language].judged, *exams.WORDINGS[language].filled,
        *definitions.WORDINGS[language].defined, *definitions.WORDINGS[language].named, *definitions.WORDINGS[language].untitled,
        *situations.WORDINGS[language].asked, *situations.WORDINGS[language].based,
        *keywords.WORDINGS[language].question, *keywords.WORDINGS[language].passage, *turns.WORDINGS[language].then,
        *(skill[language] for skill in skills.skills().values()),
    ]  # fmt: skip

    assert len(forms) > 40
    assert [form for form, times in Counter(forms).items() if times > 1] == []


# Exams


def test_an_item_is_asked_with_its_options_in_several_orders_and_answered_by_letter_and_text():
    rows = list(exams.instructions([EXAMS[0]], 3, 0, seed=1))

    assert len({row.messages[0].content for row in rows}) == 3
    for row in rows:
        letter, text = row.messages[1].content.split(". ")
        assert text == "120"
        assert f"{letter}. 120" in row.messages[0].content


def test_all_right_options_are_named():
    (row,) = exams.instructions([EXAMS[1]], 1, 0, seed=1)

    assert row.messages[1].content == "A. 起飞时间、B. 降落时间"
    assert "不止一项" in row.messages[0].content or "哪几项" in row.messages[0].content or "多项" in row.messages[0].content


@pytest.mark.parametrize(
    ("item", "asked", "answers"),
    [
        (EXAMS[0], "云雀的升限是120米。", {"对。该处应为“120”，与所说一致。"}),
        (EXAMS[0], "云雀的升限是300米。", {"不对。该处应为“120”。"}),
        (EXAMS[1], "午饭", {"不对。这道题的正确答案是“起飞时间”、“降落时间”。"}),
        (EXAMS[1], "降落时间", {"对，但不止这一项。正确的有“起飞时间”、“降落时间”。"}),
        (EXAMS[2], "the blue one", {"Wrong. The answer to this item is “the red one”."}),
    ],
)
def test_an_option_is_judged_with_the_reason(item, asked, answers):
    rows = exams.instructions([item], 0, 3, seed=1)

    assert {row.messages[1].content for row in rows if asked in row.messages[0].content} == answers


@pytest.mark.parametrize(
    ("options", "right", "choices", "judgements", "reason"),
    [
        (["甲", "甲"], [0], 0, 0, "two options are the same, or one is blank"),
        (["甲"], [0], 0, 0, "too few or too many options"),
        (["甲", "乙", "以上都对"], [2], 1, 0, "its options cannot be reordered"),
    ],
)
def test_items_that_cannot_be_asked_are_told(options, right, choices, judgements, reason):
    told = []

    rows = list(exams.instructions([exam("x", "？", options, right)], 2, 2, 1, lambda record, why: told.append(why)))

    assert [sum(row.task == task for row in rows) for task in (exams.CHOICE, exams.JUDGE)] == [choices, judgements]
    assert reason in told


def test_a_right_and_a_wrong_option_are_judged_by_turns():
    items = [exam(f"x{n}", f"第{n}题？", ["甲", "乙", "丙", "丁"], [n % 4]) for n in range(40)]

    verdicts = Counter(row.messages[1].content[0] for row in exams.instructions(items, 0, 2, seed=1))
    first = Counter(row.messages[1].content[0] for row in exams.instructions(items, 0, 1, seed=1))

    assert verdicts == {"对": 40, "不": 40}
    assert 10 < first["对"] < 30


def test_a_test_item_has_the_other_options_as_wrong():
    (row,) = exams.questions([EXAMS[1]], 5)

    assert (row.answer, row.wrong) == ("A. 起飞时间、B. 降落时间", ["C. 午饭"])


# Definitions


@pytest.mark.parametrize(
    ("text", "language", "term", "answer"),
    [
        ("本细则所称高空作业，是指在三十米以上进行的作业。", "zh", "高空作业", "高空作业，是指在三十米以上进行的作业。"),
        ("（二）返航点指的是起飞时记下的位置；", "zh", "返航点", "返航点指的是起飞时记下的位置。"),
        ("其中，遥控台（站）是指操控飞机的设备。", "zh", "遥控台（站）", "遥控台（站）是指操控飞机的设备。"),
        ("Geofence means a border that software keeps.", "en", "Geofence", "Geofence means a border that software keeps."),
        ("The term “home point” is defined as the place of take-off.", "en", "home point", None),
        ("它是指一种很小的飞机。", "zh", None, None),
        ("这样做主要是指机组的操作失误。", "zh", None, None),
        ("作业是指下列活动：", "zh", None, None),
        ("本条例所称承运是指前款规定的运输。", "zh", None, None),
        ("风大就不飞。", "zh", None, None),
    ],
)
def test_a_sentence_that_defines_gives_the_term_and_is_the_answer(text, language, term, answer):
    found = definitions.definitions_of([document("1", text, RULE, language=language)])
    rows = list(definitions.instructions(found, 1, 0, 80, seed=1))

    assert [one.term for one in found] == ([term] if term else [])
    if answer:
        assert [row.messages[1].content for row in rows] == [answer]
        assert answer.rstrip("。.") in text.rstrip("；")


def test_a_term_defined_twice_in_one_document_is_left_and_told():
    told = []

    found = definitions.definitions_of(
        [document("1", "甲机是指很小的飞机。"), document("2", "甲机是指很大的飞机。"), document("3", "甲机是指第三种飞机。", "另一本")],
        lambda record, why: told.append(why),
    )

    assert [one.record.place for one in found] == ["3"]
    assert told == ["its document defines the term twice"] * 2


def test_the_meaning_asks_for_the_term():
    found = definitions.definitions_of(ARTICLES)

    asked = list(definitions.instructions(found, 0, 1, 80, seed=1))

    assert [(row.messages[1].content, row.task) for row in asked] == [("高空作业。", "name")]
    assert "在三十米以上进行的作业" in asked[0].messages[0].content


# Situations


@pytest.mark.parametrize(
    ("text", "asked", "verdict"),
    [
        ("机组不得在雷雨中起飞。", "机组是否可以在雷雨中起飞", "不可以。"),
        ("夜间起飞的，应当打开航行灯。", "夜间起飞的，是否应当打开航行灯", "应当。"),
        ("每个架次都应当填写日志本。", "每个架次是否都应当填写日志本", "应当。"),
        ("严禁在油库附近使用明火。", "是否允许在油库附近使用明火", "不允许。"),
        ("起飞之前必须检查全部电池。", "起飞之前是否必须检查全部电池", "必须。"),
        ("机组不得不在河边紧急降落。", None, "a sentence that permits, or cannot be turned round"),
        ("检查人员不得少于两人，并出示证件。", None, "a sentence that permits, or cannot be turned round"),
        ("机组可以在河边紧急降落。", None, "a sentence that permits, or cannot be turned round"),
        ("自机组知道或者应当知道之日起三日内报告。", None, "a sentence that permits, or cannot be turned round"),
        ("机长清偿依法应当缴纳的税款和费用。", None, "a sentence that permits, or cannot be turned round"),
        ("应当予以停飞的，依照公司规定处理。", None, "a sentence that permits, or cannot be turned round"),
        ("机组应当起飞，并且不得超过限高。", None, "a sentence with more than one rule"),
        ("违反前款规定的，应当立即停飞检查。", None, "a sentence that points at others"),
        ("安全员应当对其进行安全教育培训。", None, "a sentence that points at others"),
        ("应当检查。", None, "a sentence too short or too long to ask"),
        ("机长是飞行的责任人，副驾驶应当协助机长。", None, "a sentence that states something before its rule"),
        ("夜间飞行的机组不得擅自更换航线。", None, "a question that would answer itself"),
    ],
)
def test_what_a_sentence_settles(text, asked, verdict):
    (article,), told = articles.articles_of([document("1", text, RULE, "第九条")], 100), []

    found = list(situations.instructions([article], 1, 1, lambda record, why: told.append(why)))

    if asked:
        assert asked in found[0].messages[0].content
        assert found[0].messages[1].content == f"{verdict}《{RULE}》第九条规定：“{text}”"
    else:
        assert found == []
        assert verdict in told


@pytest.mark.parametrize(
    ("number", "asked", "answer"),
    [
        (2, "机长是否应当检查电池电量", f"应当。《{RULE}》第三条写明：“机长应当履行下列职责”，其中有“检查电池电量”。"),
        (3, "酒后操作无人机", f"停飞十日，并处五百元罚款。依据是《{RULE}》第四条。"),
        (4, "在机场内放飞气球", f"不允许。《{RULE}》第五条写明：“任何人在机场内不得从事下列活动”，其中有“放飞气球”。"),
    ],
)
def test_what_a_list_settles(number, asked, answer):
    (article,) = articles.articles_of([ARTICLES[number]], 100)

    rows = [row for row in situations.instructions([article], 1, 1) if asked in row.messages[0].content]

    assert [row.messages[1].content for row in rows] == [answer]


def test_a_consequence_that_hangs_on_more_than_the_act_is_not_attached_to_it():
    text = "有下列情形之一，警告无效的，应当停飞：（一）酒后操作无人机；（二）超过限高飞行。"
    (article,) = articles.articles_of([document("1", text, RULE, "第九条")], 100)

    assert list(situations.instructions([article], 1, 1)) == []


def test_a_question_names_the_title_where_two_say_the_same_or_one_speaks_of_its_own_place():
    texts = ["机组应当打开航行灯。", "本市机组应当打开警灯。", "机组应当穿上反光背心。"]
    rows = [document("1", texts[0], "甲市规则", "第一条"), document("2", texts[0], "乙市规则", "第一条")]
    rows += [document("3", texts[1], "甲市规则", "第二条"), document("4", texts[2], "甲市规则", "第三条")]

    asked = [row.messages[0].content for row in situations.instructions(articles.articles_of(rows, 100), 9, 1)]

    assert len(asked) > 6
    assert [question for question in asked if "市规则" not in question and "背心" not in question] == []
    assert [question for question in asked if "市规则" not in question and "背心" in question] != []


def test_what_two_articles_of_a_title_say_alike_is_not_asked():
    rows = [document(str(n), f"机组夜间应当打开航行灯。第{n}句。", RULE, f"第{number}条") for n, number in enumerate("一二三")]
    told = []

    assert list(situations.instructions(articles.articles_of(rows, 100), 2, 1, lambda record, why: told.append(why))) == []
    assert told == ["another article of the title settles it, too"] * 3


def test_english_turns_verb_and_subject_round():
    (article,) = articles.articles_of([ENGLISH], 100)

    asked = {row.messages[0].content: row.messages[1].content for row in situations.instructions([article], 9, 1)}

    assert asked["May the pilot fly over crowds?"] == "No. Flight Rules, Article 7: “The pilot must not fly over crowds.”"
    assert asked["Must every crew log each landing?"] == "Yes. Flight Rules, Article 7: “Every crew must log each landing.”"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("根据第二条，不能起飞。", f"依据《{RULE}》第二条。"),
        ("根据第二条和第四条，不能起飞，违者受罚。", f"依据《{RULE}》第二条、第四条。"),
        ("根据第二条和第三十条，不能起飞。", None),
        ("不能起飞。", None),
    ],
)
def test_people_s_questions_rest_on_the_articles_that_the_answer_cites_and_refers_to(reply, answer):
    asked = dialogue("d", "雷雨天能起飞吗？", reply).model_copy(update={"references": [ARTICLES[1].id, ARTICLES[3].id, ARTICLES[4].id]})

    rows = list(situations.basis([asked], articles.articles_of(ARTICLES, 100), 1, 1))

    assert [row.messages[1].content for row in rows] == ([answer] if answer else [])


# Retrieval


def shelf() -> retrieval.Shelf:
    return retrieval.Shelf(ARTICLES, FACTS, 240, Choice(name="bm25"))


def test_the_right_passage_stands_among_others_in_the_form_of_the_service():
    rows = list(retrieval.instructions(retrieval.of_facts(FACTS, 2, 1), shelf(), 3, 0.0, 1))

    assert len(rows) == 2 * len(FACTS)
    places = set()
    for row in rows:
        fact_ = next(one for one in FACTS if one.id == row.references[0])
        shown, _, question = row.messages[0].content.partition("\n\n")
        lines = [line for line in shown.split("\n") if line.startswith("[")]
        right = [place for place, line in enumerate(lines) if fact_.entity in line and fact_.values[0] in line]
        assert (len(lines), len(right)) == (3, 1)
        assert fact_.entity in question
        places.add(right[0])
    assert len(places) > 1


def test_the_prompt_is_the_one_of_professional_mode_letter_for_letter():
    asked = list(retrieval.of_facts(FACTS[:1], 1, 1))
    found = shelf()

    (row,) = retrieval.instructions(asked, found, 1, 0.0, 1)

    assert row.messages[0].content == with_passages(asked[0].question, found.right(asked[0], 1))


def test_without_the_right_passage_the_answer_is_that_of_the_service_and_rests_on_no_passage():
    rows = list(retrieval.instructions(retrieval.of_facts(FACTS, 2, 1), shelf(), 2, 1.0, 1))

    assert {row.messages[1].content for row in rows} == set(NOTHING_FOUND.values())
    for row in rows:
        entity, value = next((one.entity, one.values[0]) for one in FACTS if one.id == row.references[0])
        passages = row.messages[0].content.split("\n\n")[0].split("\n")
        assert not [line for line in passages if entity in line and value in line]


def test_about_a_share_goes_without():
    many = [fact(f"m{n}", f"机{n}", "升限", f"{n}00米") for n in range(1, 101)]

    rows = retrieval.instructions(retrieval.of_facts(many, 1, 1), retrieval.Shelf([], many, 240, Choice(name="bm25")), 3, 0.2, 1)

    assert 10 <= sum(row.messages[1].content in NOTHING_FOUND.values() for row in rows) <= 30


def test_what_people_asked_is_never_called_unanswerable_and_shows_all_that_its_answer_cites():
    whole = articles.articles_of(ARTICLES, 100)
    invented = CONSULT.model_copy(
        update={"messages": [CONSULT.messages[0], CONSULT.messages[1].model_copy(update={"content": "见第三十条。"})]}
    )
    told = []
    asked = retrieval.of_dialogues([CONSULT, invented], whole, 1.0, 1, lambda record, why: told.append(why))

    (row,) = retrieval.instructions(asked, shelf(), 2, 1.0, 1)

    assert row.messages[1].content == CONSULT.messages[1].content
    assert "第二条 机组不得在雷雨中起飞" in row.messages[0].content
    assert row.references == [CONSULT.id, ARTICLES[1].id]
    assert told == [situations.UNKNOWN]


def test_a_question_whose_passages_do_not_fit_is_told():
    told, narrow = [], retrieval.Shelf(ARTICLES, [], 12, Choice(name="bm25"))

    rows = retrieval.instructions(
        retrieval.of_articles(articles.articles_of(ARTICLES[:1], 100), 4, 1), narrow, 1, 0.0, 1,
        lambda record, why: told.append(why),
    )  # fmt: skip

    assert [row for row in rows if "规定了什么" in row.messages[0].content] == []
    assert set(told) == {"its passages are more than fit"}


# Keywords, turns, weak labels, skills


def test_keywords_stand_in_the_text_and_tell_it_from_others():
    texts = [row.text for row in ARTICLES]
    words = keywords.Words(texts, [], ["航行灯"])

    found = keywords.keywords_of(ARTICLES[1].text, words, 4)

    assert len(found) >= 2
    assert "航行灯" in found
    assert all(word in ARTICLES[1].text for word in found)


def test_the_keywords_of_a_fact_are_what_its_question_names():
    rows = list(keywords.from_facts([FACTS[0], FACTS[3]], 2, 1))

    assert [row.messages[1].content for row in rows] == ["云雀、升限"] * 2 + ["Lark, ceiling"] * 2
    assert all(part in row.messages[0].content for row in rows[:2] for part in ("云雀", "升限"))


def test_a_text_without_words_to_search_for_is_told():
    told = []

    assert (
        list(
            keywords.from_text(
                document("1", "好的。"), "passage", "好的。", keywords.Words([], [], []), 4, 1, lambda r, why: told.append(why)
            )
        )
        == []
    )
    assert told == ["fewer than two words to search for"]


def test_a_dialogue_names_its_entity_once_and_answers_every_turn_from_its_fact():
    told = []

    rows = list(turns.of_facts(FACTS, 1, 3, 1, lambda record, why: told.append((record.place, why))))

    assert [[message.role for message in row.messages] for row in rows] == [["user", "assistant"] * 2] * 2
    first = rows[0]
    assert {first.messages[1].content, first.messages[3].content} == {"120米。", "5千米。"}
    assert "云雀" in first.messages[0].content
    assert "云雀" not in first.messages[2].content
    assert set(first.references) == {FACTS[0].id, FACTS[1].id}
    assert told == [("f3", "nothing else is known of its entity")]


def test_a_dialogue_about_an_article_asks_where_it_stands_last():
    (row,) = turns.of_articles(articles.articles_of(ARTICLES[1:2], 100), 1, 1)

    assert [message.content for message in row.messages if message.role == "assistant"] == [
        f"出自《{RULE}》第二条。",
        f"根据《{RULE}》第二条：机组不得在雷雨中起飞。夜间起飞的，应当打开航行灯。",
        "在“第一章 总则”之下。",
    ]


SIGNAL = weak.Signal(name="storm words", task="weather", patterns={"storm": "雷|thunder", "calm": "晴"})


def test_a_signal_labels_what_one_of_its_patterns_matches_and_the_row_names_it():
    told = []
    texts = [
        document("1", "雷雨将至。"),
        document("2", "天气晴朗。"),
        document("3", "雷雨转晴。"),
        document("4", "刮风。"),
        dialogue("5", "打雷了？", "停飞。"),
    ]

    labels = list(weak.labelled(SIGNAL, texts, lambda record, why: told.append((record.place, why))))
    rows = list(weak.instructions(SIGNAL, labels, [0], 90, 1))

    assert [(row.place, row.label) for row in labels] == [("1", "storm"), ("2", "calm"), ("5", "storm")]
    assert told == [("3", "storm words: several classes match"), ("4", "storm words: no class matches")]
    assert {(row.method, row.teacher, row.task) for row in rows} == {("weak", "signal: storm words", "classify")}
    assert rows[0].messages[0].content.startswith("判断下面的文本属于哪一类")


def test_texts_of_one_class_are_nothing_to_choose_from():
    told = []

    labels = weak.labelled(
        SIGNAL,
        [document("1", "雷雨将至。"), document("2", "Thunder.", language="en")],
        lambda record, why: told.append((record.place, why)),
    )

    assert labels == []
    assert told == [("1", "storm words: only one class found"), ("2", "storm words: only one class found")]


def test_the_labels_of_a_column_can_be_a_signal_too():
    column = weak.Signal(name="desk that answered", task="desk")
    rows = [label("1", "证件怎么补办？", "窗口", "desk"), label("2", "车停哪里？", "门卫", "desk"), label("3", "晴。", "calm", "weather")]

    assert weak.labelled(column, rows) == rows[:2]
    assert [weak.given_by_column([column, SIGNAL], row) for row in rows] == [True, True, False]


@pytest.mark.parametrize(("patterns", "fault"), [({"a": "(", "b": "x"}, "regular expression"), ({"a": "x"}, "one class only")])
def test_a_signal_that_cannot_label_is_an_error_by_name(patterns, fault):
    with pytest.raises(ValueError, match=fault):
        weak.Signal(name="s", task="t", patterns=patterns)


def test_a_share_of_the_rows_stands_under_the_name_of_its_skill():
    rows = made(ON)

    named = list(skills.with_skills(rows, 0.5, 1))

    shares = Counter(map(skills.has_skill, named))
    assert 0.3 < shares[True] / len(rows) < 0.7
    assert [row.id for row in named] == [row.id for row in rows]
    assert all(after.messages[-len(before.messages) :] == before.messages for before, after in zip(rows, named, strict=True))


def test_a_row_with_a_system_message_of_its_own_keeps_it():
    (row,) = skills.with_skills(skills.with_skills(made(ON)[:1], 1.0, 1), 1.0, 1)

    assert [message.role for message in row.messages].count("system") == 1


def test_every_task_of_the_methods_has_a_skill():
    assert {row.task for row in made(ON)} <= set(skills.skills())


def test_reasons_are_counted_by_table_and_method(tmp_path):
    from lingyu.ledger import Ledger

    reasons, ledger = Reasons(), Ledger()
    list(more_instructions(Methods.model_validate(ON), taught(), reasons))
    ledger.read("documents", "a.md")
    ledger.kept("documents", "a.md")

    reasons.count(ledger)

    (entry,) = ledger.entries()
    assert entry["changed"]["definition: defines nothing"] >= 3
