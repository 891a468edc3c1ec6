"""The winner is the simplest checkpoint that the best one does not beat, and the report says so in two languages."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from predictions import prediction
from rows import document

from lingyu.evaluate import metrics
from lingyu.evaluate.metrics import Prediction
from lingyu.evaluate.settings import NewTokens, Settings
from lingyu.files import hashes, read_json, read_table, write_json, write_jsonl, write_table
from lingyu.records import Document, Message, Preference, Question
from lingyu.select import report
from lingyu.select.names import HEADINGS, NAMES, heading, name_of
from lingyu.stage import StageError
from stages import select

TEMPLATE = Path(__file__).parent.parent / "web" / "report"
PAIR = select.Pair(before="sft-full", after="align-dpo", zh="DPO 对齐", en="Alignment by DPO", guarded=True)
CHECKPOINTS = {"base": "base", "sft-full": "sft/full", "align-dpo": "align/dpo"}
SETTINGS = Settings(
    checkpoint="base", threads=1, resamples=20, max_new_tokens=dict.fromkeys(NewTokens.model_fields, 2), batch_tokens=2048, stride=16
)
PARAMS = select.Params(
    checkpoints=CHECKPOINTS,
    settings=dict.fromkeys(CHECKPOINTS, SETTINGS),
    shown_only=["base"],
    primary=["fact_exact", "chat_exact"],
    level=0.05,
    general_reference="base",
    max_general_rise=0.1,
    pairs=[PAIR],
    examples=3,
    resamples=200,
    seed=0,
)
FACTS, CHATS = 40, 20


@pytest.fixture
def made(tiny_model):
    """A folder as evaluate leaves it: for each checkpoint, how many facts and general questions of dev it got right. All of them are the
    same untrained model, which is asked the test."""

    def make(
        tmp_path, right: dict[str, tuple[int, int]], bits: dict[str, float] | None = None, task="fact", general=3, params=PARAMS
    ) -> Path:
        return leave(tmp_path, tiny_model, right, bits or {}, task, general, params)

    return make


def leave(tmp_path, tiny_model, right, bits, task, general, params) -> Path:
    for name, (facts, chats) in right.items():
        rows = [answered(task, i, i < facts) for i in range(FACTS)] + [answered("chat", i, i < chats) for i in range(CHATS)]
        rows += [blank("general", i, bits=100 * bits.get(name, 1.0), bytes=100) for i in range(general)]
        rows += [blank("classify", i, answer="低", label="低" if i < 3 else "invalid", options=["低", "高"], exact=i < 3) for i in range(4)]
        folder = tmp_path / "evaluate" / name
        write_table(folder / "predictions.parquet", rows, Prediction)
        write_json(folder / "metrics.json", metrics.measured(rows, 50, 0))
        checkpoint = params.checkpoints.get(name, name)
        model = tmp_path / checkpoint / "model"
        shutil.copytree(tiny_model, model)
        (model / "name.txt").write_text(name)
        write_json(folder / "checkpoint.json", {"checkpoint": checkpoint, "rewarded": True, "files": hashes(model), "curve": []})
    questions = [asked(task, i) for i in range(8)] + [asked("chat", i) for i in range(2)] + [asked("classify", 0, wrong=["白色"])]
    write_table(tmp_path / "test" / "questions.parquet", questions, Question)
    write_table(tmp_path / "test" / "domain.parquet", [], Document)
    write_table(tmp_path / "test" / "general.parquet", [], Document)
    write_table(tmp_path / "test" / "preference.parquet", [], Preference)
    write_json(tmp_path / "retrieval.json", [])
    return tmp_path


def tell_of(folder: Path, name: str, **values) -> None:
    """Change what evaluate wrote of a checkpoint."""
    path = folder / "evaluate" / name / "checkpoint.json"
    write_json(path, {**read_json(path), **values})


def answered(task, i, correct):
    return blank(
        task, i, answer="红色", reply="红色" if correct else "<b>白色</b>", exact=correct, char_f1=float(correct), chrf=float(correct)
    )


def blank(task, i, **fields) -> Prediction:
    return prediction(task, id=f"{task}{i}", group=f"{task}{i}", **fields)


def asked(task, i, wrong=()) -> Question:
    source = {"source": "s", "place": "1", "licence": "x", "scope": "domain", "language": "zh", "known": ""}
    by = {"references": [], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": ""}
    return Question(
        **source, **by, id=f"{task}{i}", task=task, messages=[Message(role="user", content="题目")], answer="红色", wrong=list(wrong)
    )


def outcomes(winner: dict) -> list[tuple[str, str, str]]:
    """(incumbent, challenger, outcome)"""
    return [(each["incumbent"], one["name"], one["outcome"]) for each in winner["rounds"] for one in each["challengers"]]


def selected(folder: Path, params=PARAMS) -> dict:
    select.run(
        params,
        folder,
        folder / "test",
        folder / "reward",
        folder / "answers",
        folder / "tables",
        folder / "retrieval.json",
        TEMPLATE,
        folder / "select",
    )
    return read_json(folder / "select" / "winner.json")


def test_a_challenger_wins_that_beats_the_simpler_one(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)}))

    assert (winner["checkpoint"], winner["folder"]) == ("align-dpo", "out/align/dpo/model")
    assert outcomes(winner) == [("sft-full", "align-dpo", "promoted")]
    assert (tmp_path / "select" / "model" / "name.txt").read_text() == "align-dpo"


def test_a_tie_goes_to_the_simpler_one(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (0, 10), "sft-full": (30, 10), "align-dpo": (33, 10)}))

    assert winner["checkpoint"] == "sft-full"
    assert outcomes(winner) == [("sft-full", "align-dpo", "no difference")]
    assert winner["rounds"][0]["challengers"][0]["primary"]["corrected_chance"] == 0.25
    for language, verdict in {"zh": "没有显著差异", "en": "no significant difference"}.items():
        assert verdict in winner["why"][language]
        assert "align-dpo" in winner["why"][language]


def test_what_is_shown_only_cannot_win(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (22, 10), "sft-full": (20, 10), "align-dpo": (20, 10)}))

    assert winner["checkpoint"] == "sft-full"


def test_whoever_forgot_general_text_is_held_back(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (40, 10)}, {"align-dpo": 1.2})

    winner = selected(folder)

    assert winner["checkpoint"] == "sft-full"
    assert "+20%, limit +10%" in winner["barred"]["align-dpo"][0]["en"]


def test_without_general_documents_the_choice_says_that_forgetting_was_not_measured(tmp_path, made, capsys):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10)}, general=0)
    params = PARAMS.model_copy(update={"checkpoints": {name: PARAMS.checkpoints[name] for name in ("base", "sft-full")}})

    winner = selected(folder, params)

    assert winner["checkpoint"] == "sft-full"
    assert "未测量遗忘" in winner["why"]["zh"]
    assert "so forgetting was not measured: the model may have lost general ability." in winner["why"]["en"]
    assert winner["why"]["en"] in capsys.readouterr().out
    assert winner["why"]["en"] in (tmp_path / "select/report.html").read_text(encoding="utf-8")


def test_a_reference_that_was_not_evaluated_is_told(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})

    winner = selected(folder, PARAMS.model_copy(update={"general_reference": "bsae"}))

    assert "bsae (select.general_reference) was not evaluated, so forgetting was not measured" in winner["why"]["en"]


def test_a_guarded_checkpoint_that_lost_something_is_held_back(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (0, 0), "sft-full": (20, 20), "align-dpo": (40, 5)}))

    assert winner["checkpoint"] == "sft-full"
    assert any(name_of("chat_exact").en in reason["en"] and "sft-full" in reason["en"] for reason in winner["barred"]["align-dpo"])


def test_who_gains_facts_and_loses_something_else_is_not_promoted_whatever_the_pairs_say(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 20), "align-dpo": (40, 5)})

    winner = selected(folder, PARAMS.model_copy(update={"pairs": []}))

    assert (winner["checkpoint"], winner["barred"]) == ("sft-full", {})
    assert outcomes(winner) == [("sft-full", "align-dpo", "lost")]
    assert name_of("chat_char_f1").en in winner["why"]["en"]
    assert name_of("chat_char_f1").zh in winner["why"]["zh"]


def test_weighted_tasks_are_traded_against_each_other(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 20), "align-dpo": (40, 16)})

    weighted = selected(folder, PARAMS.model_copy(update={"pairs": [], "weights": {"fact": 2.0, "chat": 1.0}}))

    assert (weighted["checkpoint"], weighted["primary"]) == ("align-dpo", "weighted_score")
    with pytest.raises(StageError, match=r"select\.weights names poem.* Measured: fact_exact"):
        selected(folder, PARAMS.model_copy(update={"weights": {"poem": 1.0}}))


def test_a_margin_of_an_unknown_metric_is_an_error(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 20), "align-dpo": (40, 16)})

    with pytest.raises(StageError, match=r"select\.margins: no metric is named fact_exakt"):
        selected(folder, PARAMS.model_copy(update={"margins": {"fact_exakt": 0.1}}))


def test_who_is_worse_than_the_reference_is_held_back(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (20, 20), "sft-full": (20, 20), "align-dpo": (40, 5)}))

    assert winner["checkpoint"] == "sft-full"
    assert any(name_of("chat_char_f1").en in reason["en"] and "base" in reason["en"] for reason in winner["barred"]["align-dpo"])


@pytest.mark.parametrize(("right", "barred"), [(0.0, False), (0.3, True)])
def test_a_reference_that_cites_nothing_bars_nobody_for_inventing(right, barred):
    reference = {"cite_exact": {"value": right}, "cite_invented": {"value": 0.0}, "fact_exact": {"value": 0.5}}

    assert select.can_be_worse("cite_invented", reference) is barred
    assert select.can_be_worse("cite_exact", reference)
    assert select.can_be_worse("wrong_refusals", reference)


def test_the_test_is_asked_of_the_winner_its_parent_and_the_reference_alone(tmp_path, made):
    checkpoints = {**CHECKPOINTS, "sft-lora": "sft/lora"}
    params = PARAMS.model_copy(update={"checkpoints": checkpoints, "settings": dict.fromkeys(checkpoints, SETTINGS)})
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10), "sft-lora": (20, 10)}, params=params)

    winner = selected(folder, params)

    assert winner["looks"]["asked"] == ["base", "sft-full", "align-dpo"]
    assert {path.stem for path in (folder / "select/test").iterdir()} == {"base", "sft-full", "align-dpo"}
    rows = list(read_table(folder / "select/test/align-dpo.parquet", Prediction))
    assert [row.id for row in rows] == [question.id for question in read_table(folder / "test/questions.parquet", Question)]
    assert read_json(folder / "select/metrics.json")["fact_exact"]["count"] == 8


def test_models_of_others_stand_beside_the_winner_and_cannot_win(tmp_path, made, capsys):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})
    write_table(folder / "test/general.parquet", [document(1, "夜里下雨。")], Document)
    ids = [question.id for question in read_table(folder / "test/questions.parquet", Question)]
    write_jsonl(folder / "answers/glm.jsonl", [{"id": id_, "reply": "红色"} for id_ in ids[2:]] + [{"id": "other", "reply": "红色"}])

    winner = selected(folder)

    board = {
        (row["checkpoint"], row["metric"]): row
        for row in csv.DictReader((folder / "select/leaderboard.csv").read_text(encoding="utf-8").splitlines())
    }
    assert winner["checkpoint"] == "align-dpo"
    assert (board["glm", "fact_exact"]["value"], board["glm", "fact_exact"]["count"]) == ("0.75", "8")
    assert "2 items without an answer count as wrong, 1 ids are of no item" in capsys.readouterr().out
    assert "glm" in (folder / "select/report.html").read_text(encoding="utf-8")
    assert "glm" not in winner["looks"]["asked"]
    (folder / "answers/glm.jsonl").rename(folder / "answers/base.jsonl")
    with pytest.raises(StageError, match="base is the name of another candidate"):
        selected(folder)


def test_looks_at_the_test_are_counted_by_model_and_test(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})

    counts = [selected(folder)["looks"]["models_ever_asked"] for _ in range(2)]
    (folder / "align/dpo/model/name.txt").write_text("retrained")
    tell_of(folder, "align-dpo", files=hashes(folder / "align/dpo/model"))
    counts.append(selected(folder)["looks"]["models_ever_asked"])
    write_table(folder / "test/questions.parquet", [asked("fact", 100)], Question)
    counts.append(selected(folder)["looks"]["models_ever_asked"])

    assert counts == [3, 3, 4, 3]
    assert len(read_json(folder / "select/looks.json")) == 7


def test_without_a_winner_the_report_is_written_and_the_stage_fails(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 0), "align-dpo": (20, 0)}, {"align-dpo": 2.0, "sft-full": 2.0})

    with pytest.raises(StageError, match=r"(?s)no checkpoint passed the gate.*sft-full: bits per byte.*select\.max_general_rise"):
        selected(folder)

    assert heading("no_winner").zh in (folder / "select" / "report.html").read_text(encoding="utf-8")
    assert not (folder / "select" / "model").exists()


def test_the_choice_says_which_kinds_of_training_were_not_evaluated(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})
    everything = {**PARAMS.checkpoints, "pretrain": "pretrain"}
    known = {name: {"checkpoint": checkpoint, "rewarded": True, "curve": [1]} for name, checkpoint in everything.items()}

    without_pretraining, only_base = selected(folder)["why"], report.not_part({"base": {**known["base"], "rewarded": False}})

    assert report.not_part(known) is None
    assert without_pretraining["en"].endswith(" Not evaluated in this run: continued pretraining.")
    assert without_pretraining["zh"].endswith("本次没有评测：继续预训练。")
    assert only_base["en"] == "Not evaluated in this run: continued pretraining, fine-tuning, alignment, a reward model."
    assert report.not_part({**known, "pretrain": {**known["pretrain"], "curve": []}})["zh"] == "本次没有评测：继续预训练。"


def test_no_folder_of_a_stage_without_candidates_is_needed(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10)})

    winner = selected(folder, PARAMS.model_copy(update={"checkpoints": {"base": "base", "sft-full": "sft/full"}}))

    assert winner["checkpoint"] == "sft-full"
    assert not (folder / "align").exists()


def test_what_former_candidates_left_is_removed(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10), "gone": (1, 1)})

    selected(folder)

    assert {path.name for path in (folder / "evaluate").iterdir()} == {"base", "sft-full", "align-dpo"}


def test_a_winner_that_is_not_what_was_evaluated_is_refused(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})
    (folder / "align/dpo/model/name.txt").write_text("another")

    with pytest.raises(StageError, match=r"name\.txt.*dvc repro evaluate@align-dpo"):
        selected(folder)


def test_a_winner_that_was_not_fetched_is_named(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (20, 10), "align-dpo": (35, 10)})
    (folder / "align/dpo/model/name.txt").unlink()

    with pytest.raises(StageError, match=r"name\.txt.*dvc pull .*align/dpo/model"):
        selected(folder)


def test_with_only_one_checkpoint_it_wins(tmp_path, made):
    folder = made(tmp_path, {"sft-full": (20, 0)})

    winner = selected(folder, PARAMS.model_copy(update={"checkpoints": {"sft-full": "sft/full"}}))

    assert (winner["checkpoint"], winner["rounds"]) == ("sft-full", [])


def test_a_corpus_without_facts_is_decided_by_the_next_metric(tmp_path, made):
    winner = selected(made(tmp_path, {"base": (0, 0), "sft-full": (0, 18), "align-dpo": (0, 18)}, task="poem"))

    assert winner["primary"] == "chat_exact"


def test_no_primary_metric_names_what_was_measured(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (0, 0), "align-dpo": (0, 0)})

    with pytest.raises(StageError, match=r"none of select\.primary \(cite_exact\) was measured\. Measured: fact_exact"):
        selected(folder, PARAMS.model_copy(update={"primary": ["cite_exact"]}))


def test_all_shown_only_is_an_error(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0)})

    with pytest.raises(StageError, match=r"\(base\).*shown_only"):
        selected(folder, PARAMS.model_copy(update={"checkpoints": {"base": "base"}}))


def test_checkpoints_must_have_answered_the_same_items(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (0, 0), "align-dpo": (0, 0)})
    write_table(folder / "evaluate" / "align-dpo" / "predictions.parquet", [blank("fact", 0, correct=True)], Prediction)

    with pytest.raises(StageError, match=r"align-dpo and base .*dvc repro evaluate"):
        selected(folder)


def test_the_tables_hold_every_metric_and_every_pair(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 10), "align-dpo": (35, 10)})

    selected(folder)

    leaderboard, dev, stages = (
        [*csv.DictReader((folder / "select" / f"{name}.csv").read_text().splitlines())] for name in ("leaderboard", "dev", "stages")
    )
    assert list(leaderboard[0]) == ["checkpoint", "metric", "value", "low", "high", "count"]
    assert {row["checkpoint"] for row in leaderboard} == {"base", "sft-full", "align-dpo"}
    assert {row["checkpoint"] for row in dev} == {"base", "sft-full", "align-dpo"}
    assert next(row["count"] for row in dev if row["metric"] == "fact_exact") == "40"
    fact = next(row for row in stages if row["metric"] == "fact_exact")
    assert (fact["before"], fact["after"], fact["before_value"], fact["after_value"], fact["count"]) == (
        "sft-full",
        "align-dpo",
        "0.5",
        "0.875",
        "40",
    )
    assert float(fact["low"]) < float(fact["difference"]) < float(fact["high"])


def test_the_report_stands_alone_in_both_languages(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 10), "align-dpo": (35, 10)})
    curve = [{"step": 10.0, "train_loss": 4.0, "eval_loss": None}, {"step": 20.0, "train_loss": 3.0, "eval_loss": 3.5}]
    tell_of(folder, "base", curve=curve)
    table = folder / "test/questions.parquet"
    write_table(table, [*read_table(table, Question), asked("rubric_quiz", 0)], Question)

    selected(folder)

    page = (folder / "select" / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)|https?://|@import", page)
    assert page.count('lang="zh">') - 1 == page.count('lang="en">') > 50
    assert page.count("<polyline") == 2
    assert page.count('class="matrix"') == 3
    assert page.count('class="question"') == 3
    assert page.count("<details id=") == 12
    assert page.count('data-outcome="scored"') == page.count('<option value="scored">') == 1


def test_every_metric_and_heading_has_a_name_in_both_languages():
    assert [metric.name for metric in metrics.METRICS if metric.name not in NAMES] == []
    assert [name for name in NAMES.values() if not all(name)] == []
    assert [term for term in HEADINGS.values() if not re.search("[\u4e00-\u9fffp]", term.zh) or not term.en.isascii()] == []


def outcome(question, found, why="", for_some=False):
    more = {"section": "停飞", "text": "", "rank": 1 if found else None, "instead": "documents/other.md, 第一章" if why else "", "why": why}
    return {"question": question, "source": "documents/manual.md", "found": found, "for_some": for_some, **more}


def test_a_question_that_an_earlier_run_found_must_still_find_its_passage(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 10), "sft-full": (30, 10), "align-dpo": (33, 10)})
    write_json(folder / "retrieval.json", [outcome("谁可以停飞？", True), outcome("Who is told?", False, "refused")])
    selected(folder)

    write_json(
        folder / "retrieval.json",
        [
            outcome("谁可以停飞？", False, "other passages"),
            outcome("Who is told?", False, "refused"),
            outcome("密", False, "refused", True),
        ],
    )
    for _ in range(2):  # the run that failed is not what the next is compared with
        with pytest.raises(StageError) as error:
            selected(folder)
        assert "谁可以停飞？ – documents/manual.md, 停飞: found documents/other.md, 第一章 first" in str(error.value)
        assert "Who is told?" not in str(error.value)
        section = (
            (folder / "select" / "report.html").read_text(encoding="utf-8").split(heading("retrieval_set").zh)[1].split("</section>")[0]
        )
        assert [heading(f"retrieval {state}").en in section for state in ("lost", "not found")] == [True, True]
        assert (section.count("<summary>"), section.count("<li>")) == (2, 2)
        assert "密" not in section

    write_json(folder / "retrieval.json", [outcome("Who is told?", False, "refused")])  # the line was taken out of the corpus
    assert selected(folder)["checkpoint"] == "sft-full"


def test_two_runs_give_the_same_bytes(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (20, 10), "align-dpo": (35, 10)})
    write_json(folder / "retrieval.json", [outcome("谁可以停飞？", True)])
    selected(folder)
    first = {path: path.read_bytes() for path in (folder / "select").rglob("*") if path.is_file()}

    selected(folder)

    assert len(first) == 12 + len([*(folder / "align/dpo/model").iterdir()])
    assert first == {path: path.read_bytes() for path in (folder / "select").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("high", "expected"),
    [(4.4, [0, 2, 4]), (1.0, [0, 0.5, 1.0]), (0.3, [0, 0.1, 0.2, 0.3]), (2500, [0, 1000, 2000]), (7, [0, 2, 4, 6])],
)
def test_ticks_are_round(high, expected):
    assert report.ticks(0, high) == pytest.approx(expected)


@pytest.mark.parametrize("losses", [[-0.4, -0.1], [0.3, -0.2], [0.0, 0.0]])
def test_losses_below_zero_stay_within_the_chart(losses):
    drawn = report.chart([{"step": float(step), "train_loss": loss, "eval_loss": loss} for step, loss in enumerate(losses, 1)])

    heights = [down for _, down in drawn["dots"]] + [down for down, _ in drawn["losses"]]
    assert all(8 <= down <= report.HEIGHT - report.BOTTOM for down in heights)
    assert "0" in [label for _, label in drawn["losses"]]


def test_a_curve_without_losses_has_no_chart():
    assert report.chart([]) == {}
    assert report.chart([{"step": 1.0, "train_loss": None, "eval_loss": None}]) == {}


def test_a_model_of_others_is_compared_on_the_questions_that_it_was_asked():
    """Texts and pairs, which only checkpoints have, come after the questions."""
    asked = [prediction("fact", id=str(item), group=str(item), exact=1.0) for item in range(30)]
    others = [row.model_copy(update={"values": {"exact": 0.0}}) for row in asked]
    texts = [prediction("general", id=f"text {item}", group=f"text {item}", bits=4.0, bytes=1.0) for item in range(5)]

    (move,) = report.against("sft", {"sft": [*asked, *texts], "others": others}, "fact_exact", 0.05, 100, 0)["others"]

    assert (move["metric"], move["direction"], move["example"]) == ("fact_exact", "better", 0)
