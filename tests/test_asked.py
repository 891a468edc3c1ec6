"""The methods with a teacher: what each makes of which record, and what the checks take from it."""

import json

import pytest
from openai_server import Reply, asked_for, good_answer, serving
from rows import dialogue, document, fact, label
from teaching import exchanges, lesson, reasons, teach

from lingyu.generate.llm import prompts
from lingyu.generate.llm.run import METHODS
from lingyu.generate.registry import LLM
from lingyu.records import Dialogue, Preference

WIND = document(1, "风速超过12米每秒时不得起飞。值班员每30分钟记录一次风速。", title="《飞行手册》", section="第五条")
POWER = document(2, "电池电量低于百分之二十应当返航。返航途中不再执行任务。", title="《飞行手册》", section="第六条")
ENGLISH = document(3, "Keep the drone in sight at all times. Land when the wind exceeds 12 metres per second.", language="en")
FACTS = [fact(4, "云雀X3", "升限", "120米"), fact(5, "云雀X3", "续航时间", "46分钟"), fact(6, "白鹭M2", "升限", "90米")]
TALK = dialogue(7, "昨天下午飞行时电池鼓包了，还能继续用吗？", "不能继续用。鼓包说明电芯已经损坏。应当停用并送到回收点。")
CASE = dialogue(8, "邻居在大风天放无人机，合规吗？", "不合规。").model_copy(update={"references": [WIND.id]})
MESSAGE = label(9, "你怎么又把电池忘在车上了，说了多少遍！", "hurt", task="message")

FOREIGN = "The battery is damaged and you should stop using it now and hand it in at the nearest collection point, as it may catch fire."


def changed(kind: str, **fields):
    """A teacher that answers well but for these fields of one kind of answer."""
    return lambda body, _: Reply(good_answer(body) | (fields if asked_for(body) == kind else {}))


# Method, what it may see, how it is switched on, and what the rows it makes say.
MAKING = [
    ("reliable", [WIND], {"records": 5}, 2, ["风速超过12米每秒时不得起飞，是吗？", "风速超过12米每秒时不得起飞。"]),
    ("reliable", [ENGLISH], {"records": 1}, 2, ["Keep the drone in sight at all times，是吗？", "Keep the drone in sight at all times."]),
    ("entity", FACTS, {"records": 2}, 4, None),
    ("seeds", [WIND, POWER], {"records": 1}, 2, None),
    ("scenario", [POWER], {"records": 1}, 1, ["电池电量低于百分之二十应当返航，对吗？", "电池电量低于百分之二十应当返航。"]),
    ("opinion", [CASE, WIND], {"records": 1}, 1, [CASE.messages[0].content, None]),
    ("retold", [TALK], {"records": 1}, 1, ["不能继续用，对吗？", "不能继续用。"]),
    ("clarify", [TALK], {"records": 1}, 1, ["昨天下午飞行时电池鼓包了", "请问昨天下午飞行是什么时候的事？"]),
    ("replaced", [TALK], {"records": 1}, 1, [TALK.messages[0].content, TALK.messages[1].content]),
    ("judged", [TALK], {"records": 1}, 1, [TALK.messages[0].content]),
    ("nvc", [MESSAGE], {"records": 1}, 1, None),
]


@pytest.mark.parametrize(("method", "records", "switched", "count", "said"), MAKING)
def test_what_a_method_makes(tmp_path, method, records, switched, count, said):
    with serving() as server:
        done = teach(server.url, tmp_path, lesson(*records, **{method: switched}))

    assert len(done.rows) == count, done.drops
    for row in done.rows:
        assert row.method == method
        assert row.references[0] in {record.id for record in records}
        assert row.prompt_hash in {exchange["id"] for exchange in exchanges(tmp_path)}
        assert isinstance(row, Preference if method == "judged" else Dialogue)
    for text, message in zip(said or [], done.rows[0].messages, strict=False):
        assert text in {None, message.content}


def test_every_method_is_tried_above_and_no_other():
    assert {method for method, *_ in MAKING} == {module.METHOD for module in METHODS} == {method.name for method in LLM}


def test_an_opinion_sees_the_articles_and_cites_them(tmp_path):
    with serving() as server:
        [row] = teach(server.url, tmp_path, lesson(CASE, WIND, opinion={"records": 1})).rows

    assert row.references == [CASE.id, WIND.id]
    assert "《飞行手册》 / 第五条" in row.messages[-1].content


def test_a_conversation_ends_in_an_answer_and_keeps_its_turns(tmp_path):
    with serving() as server:
        [row] = teach(server.url, tmp_path, lesson(TALK, retold={"records": 1})).rows

    assert [message.role for message in row.messages] == ["user", "assistant"] * 3


def test_a_pair_is_the_best_against_the_worst_of_what_was_sampled(tmp_path):
    with serving() as server:
        [pair] = teach(server.url, tmp_path, lesson(TALK, judged={"records": 1, "samples": 3})).rows

    assert pair.chosen.count("不清楚") == 0
    assert pair.rejected.count("不清楚") == 2
    judged = [json.loads(exchange["content"])["scores"] for exchange in exchanges(tmp_path) if exchange["prompt"] == "judged/2-judge"]
    assert sorted(judged) == [[5, 7, 9], [9, 7, 5]]


def test_a_judge_that_prefers_what_comes_first_makes_no_pair(tmp_path):
    with serving(changed("Scores", scores=[9, 5, 1])) as server:
        done = teach(server.url, tmp_path, lesson(TALK, judged={"records": 1}))

    assert (done.rows, reasons(done)) == ([], ["judge_not_sure"])


def test_a_later_round_is_shown_what_an_earlier_one_made(tmp_path):
    with serving() as server:
        first, _ = teach(server.url, tmp_path, lesson(WIND, POWER, seeds={"records": 1, "examples": 9})).rows

    shown = [json.loads(body)["messages"][1]["content"] for body in server.asked if "Instructions" in body]
    made = f"- {first.messages[0].content}"
    assert [made in prompt for prompt in shown] == [False, True]


def test_the_rewriting_of_a_message_names_all_elements_and_the_risk(tmp_path):
    with serving() as server:
        [row] = teach(server.url, tmp_path, lesson(MESSAGE, nvc={"records": 1})).rows

    assert MESSAGE.text in row.messages[0].content
    assert [line.split("：")[0] for line in row.messages[1].content.splitlines()] == ["风险", "观察", "感受", "需要", "请求", "改写"]
    assert row.messages[1].content.startswith("风险：高\n")


@pytest.mark.parametrize(
    ("records", "switched", "script", "reason"),
    [
        ([WIND], "reliable", changed("Grounded", answer="风速超过15米每秒时不得起飞。"), "invented_number"),
        ([WIND], "reliable", changed("Grounded", answer="按第九条，风速超过12米每秒时不得起飞。"), "invented_article"),
        ([WIND], "reliable", changed("Grounded", answer="风速超过12米每秒时可以起飞。"), "lost_negation"),
        ([WIND], "reliable", changed("Grounded", evidence="风速再大也能飞。"), "invented_evidence"),
        ([WIND], "reliable", changed("Grounded", answerable=False), "not_answerable"),
        ([WIND], "reliable", changed("Questions", questions=["风速超过20米每秒怎么办？"]), "not_answerable"),
        ([document(1, "，。！？……")], "reliable", changed(""), "empty_passage"),
        ([document(1, "风速。")], "reliable", changed(""), "short_passage"),
        (FACTS[:2], "entity", changed("Items", items=[{"question": "升限？", "answer": "云雀X3的升限是150米。"}]), "invented_number"),
        ([POWER], "scenario", changed("Turns", turns=[{"user": "怎么办？", "assistant": "请打开GPS再返航。"}]), "invented_term"),
        ([CASE, WIND], "opinion", changed("Opinion", applies=False), "not_answerable"),
        ([CASE, WIND], "opinion", changed("Opinion", opinion="依《民法典》第五条，不得起飞。"), "invented_title"),
        ([TALK], "retold", changed("Turns", turns=[{"user": "能用吗？", "assistant": "不能继续用。"}]), "single_turn"),
        ([TALK], "clarify", changed("Inquiry", question="请停用电池。"), "no_question"),
        ([TALK], "clarify", changed("Inquiry", opening="我的X9电池鼓包了。"), "invented_term"),
        ([TALK], "replaced", changed("Reply", answer="抱歉，我无法回答这个问题。"), "refusal"),
        ([TALK], "replaced", changed("Reply", answer=FOREIGN), "wrong_language"),
        ([TALK], "replaced", changed("Reply", answer="天气晴朗，适合郊游野餐，记得多带些水果和零食。"), "not_told_by_the_source"),
        ([TALK], "judged", changed("Scores", scores=[1]), "scores_missing"),
        ([TALK], "judged", changed("Reply", answer="停用。"), "no_difference"),
        ([MESSAGE], "nvc", changed("Rewriting", need=" "), "element_missing"),
        ([MESSAGE], "nvc", changed("Rewriting", feeling="抱歉，我无法回答这个问题。"), "refusal"),
        ([MESSAGE], "nvc", changed("Rewriting", risk="severe"), "not_the_json_asked_for"),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_named_drop(tmp_path, records, switched, script, reason):
    with serving(script) as server:
        done = teach(server.url, tmp_path, lesson(*records, **{switched: {"records": 9}}))

    assert reason in reasons(done)


def test_a_judge_that_misses_something_in_the_passage_takes_the_row(tmp_path):
    with serving(changed("Verdict", supported=False, unsupported="每30分钟")) as server:
        done = teach(server.url, tmp_path, lesson(WIND, reliable={"records": 1, "verify": True}))

    assert [(drop.reason, drop.evidence) for drop in done.drops] == [("judged_unsupported", "每30分钟")] * 2
    assert all(drop.row for drop in done.drops)
    assert json.loads(server.asked[-1])["temperature"] == 0


def test_a_question_that_is_there_already_is_not_made_again(tmp_path):
    there = ("风速超过12米每秒时不得起飞是吗？",)

    with serving() as server:
        done = teach(server.url, tmp_path, lesson(WIND, questions=there, reliable={"records": 1}))

    assert [(drop.reason, drop.evidence) for drop in done.drops] == [("near_duplicate", there[0])]
    assert len(done.rows) == 1


def test_a_row_that_speaks_of_the_test_goes(tmp_path):
    with serving() as server:
        done = teach(server.url, tmp_path, lesson(WIND, told="值班员", reliable={"records": 1}))

    assert [(drop.reason, drop.evidence) for drop in done.drops] == [("speaks_of_the_test", "值班员")]


def test_invented_citations_are_counted(tmp_path):
    with serving(changed("Opinion", opinion="依第八条和第九条，大风天不得起飞，风速超过12米每秒。")) as server:
        done = teach(server.url, tmp_path, lesson(CASE, WIND, opinion={"records": 1}))

    assert done.invented == {("instructions", "a.md"): 2}


def test_a_method_that_finds_nothing_to_ask_about_is_told(tmp_path, capfd):
    with serving() as server:
        teach(server.url, tmp_path, lesson(WIND, reliable={"records": 1}, clarify={"records": 1}))

    told = capfd.readouterr().err
    assert "clarify" in told


def test_every_prompt_stands_in_both_languages_with_the_same_blanks():
    found = sorted(prompts.FOLDER.glob("*/*.md"))
    names = {str(path.relative_to(prompts.FOLDER))[: -len(".zh.md")] for path in found}

    assert len(found) == 2 * len(names) > 20
    for name in names:
        blanks = [set(prompts.BLANK.findall("".join(prompts.parts(name, language)))) for language in ("zh", "en")]
        assert blanks[0] == blanks[1] != set(), name


def test_what_is_filled_in_is_not_filled_in_again():
    [_, user] = prompts.messages("judged/1-answer", "zh", {"question": "{{question}} {x}"})

    assert user["content"].startswith("{{question}} {x}\n")
