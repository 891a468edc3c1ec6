"""mix: what goes into training how often, what is refused, and what the gate lets through."""

import json
import re

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lingyu.base import tiny
from lingyu.files import read_jsonl, read_table, write_table, write_tables
from lingyu.generate.registry import METHODS
from lingyu.generate.tables import MADE
from lingyu.mix.balance import Entry, copies, pieces, replayed, weighted
from lingyu.model.chat import CHATML
from lingyu.records import Dialogue, Document, Message, Preference, Question
from lingyu.stage import StageError
from stages import mix
from stages.mix import NO_REASONING

WEIGHTS = {
    "pretrain": {"document": 1.0, "statement": 1.0},
    "sft": {method: 1.0 for method in METHODS if method not in {"corruption", "judged"}},
    "preference": {"given": 1.0, "corruption": 1.0, "judged": 1.0},
}
PARAMS = {
    "seed": 1,
    "weights": WEIGHTS,
    "tasks": {},
    "sources": [],
    "temperature": 1.0,
    "max_repeats": 4.0,
    "multi_turn_share": None,
    "general_share": {"pretrain": 0.5, "sft": 0.5},
    "general_repeats": 2,
    "max_tokens": 200,
    "max_prompt_tokens": 160,
    "long_dialogues": "refuse",
    "leaks": {"near": 0.8, "near_long": 0.5, "contained": 0.9, "min_contained": 10, "passage": 60},
}
ORIGIN = {"place": "row 1", "licence": "CC0", "language": "en"}


def test_rows_reach_their_tables_and_are_counted(tmp_path):
    mixed = run(
        tmp_path, train=[document("d1")], instructions=[instruction("i1")], prompts=[question("p1", "taught")], questions=[question("q1")]
    )

    found = {path: len(mixed(path)) for path in ("train/pretrain", "train/sft", "train/preference", "train/prompts", "test/questions")}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert found == {"train/pretrain": 1, "train/sft": 1, "train/preference": 0, "train/prompts": 1, "test/questions": 1}
    assert metrics["train/sft"]["by_method"]["fact"] == {"rows": 1, "tokens": metrics["train/sft"]["tokens"]}
    assert metrics["train/pretrain"]["by_source"] == {"a.md": {"rows": 1, "tokens": len("Rules / Part 1\ntext of d1")}}


def test_weights_repeat_rows_or_leave_them_out(tmp_path):
    weights = {**WEIGHTS, "sft": {**WEIGHTS["sft"], "fact": 3.0, "article": 0.0}}

    mixed = run(tmp_path, {"weights": weights}, instructions=[instruction("i1"), instruction("i2", method="article")])

    assert sorted(row.id for row in mixed("train/sft")) == ["i1", "i1#2", "i1#3"]
    assert [(row["id"], row["reason"]) for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")] == [("i2", "over its share")]


def test_a_method_without_a_weight_goes_in_once(tmp_path):
    mixed = run(tmp_path, {"weights": {"sft": {"fact": 0.0}}}, instructions=[instruction("i1", method="given"), instruction("i2")])

    assert [row.id for row in mixed("train/sft")] == ["i1"]


@pytest.mark.parametrize("table", ["sft", "preference"])
def test_weights_name_no_other_method(table):
    with pytest.raises(ValueError, match="fct; known: given, "):
        mix.Params.model_validate({**PARAMS, "weights": {table: {"fct": 1.0}}})


@pytest.mark.parametrize(
    ("changed", "trained"),
    [
        ({}, ["a1", "b1", "b2"]),
        ({"tasks": {"fact": {"weight": 2.0}}}, ["a1", "a1#2", "b1", "b2"]),
        ({"sources": [{"pattern": "b/*", "weight": 0.0}]}, ["a1"]),
        ({"sources": [{"pattern": "b/*", "most": 1}]}, ["a1", "b1"]),
        ({"tasks": {"recall": {"most": 1}}, "sources": [{"pattern": "b/*", "weight": 3.0}]}, ["a1", "b1", "b1#2", "b1#3"]),
        ({"sources": [{"pattern": "b/*", "weight": 2.0}, {"pattern": "*", "weight": 0.0}]}, ["b1", "b1#2", "b2", "b2#2"]),
        ({"tasks": {"fact": {"weight": 0.5}}, "sources": [{"pattern": "*", "weight": 2.0}]}, ["a1", "b1", "b1#2", "b2", "b2#2"]),
    ],
)
def test_tasks_and_sources_have_weights_and_caps(tmp_path, changed, trained):
    rows = [instruction("a1"), *(instruction(row_id, method="article", task="recall", source="b/x.md") for row_id in ("b1", "b2"))]

    mixed = run(tmp_path, changed, instructions=rows)

    assert sorted(row.id for row in mixed("train/sft")) == trained
    total = json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))["total"]
    assert total["in"] + total["made"] == total["out"] + sum(total["dropped"].values())


def test_a_task_or_file_that_is_not_there_is_told(tmp_path):
    changed = {"tasks": {"fakt": {"most": 1}}, "sources": [{"pattern": "general/*"}, {"pattern": "a*"}]}

    with pytest.raises(StageError) as error:
        run(tmp_path, changed, train=[document("g1", scope="general")], instructions=[instruction("i1")])

    task, source = str(error.value).splitlines()[1:]
    assert re.search(r"mix\.tasks: .*'fakt'.*fact$", task)
    assert re.search(r"mix\.sources: .*'general/\*'.*a\.md$", source)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 90 / 99), (2.0, 3 / 4), (1e9, 1 / 2)])
def test_temperature_evens_out_the_sources(tmp_path, temperature, share):
    rows = [
        instruction(f"{source}{number}", source=source)
        for source, count in (("big", 900), ("small", 90))
        for number in range(100, 100 + count)
    ]

    mixed = run(tmp_path, {"temperature": temperature, "max_repeats": 9.0}, instructions=rows)

    sources = [row.source for row in mixed("train/sft")]
    assert abs(sources.count("big") / len(sources) - share) < 0.03
    assert abs(len(sources) - 990) < 60


def test_temperature_repeats_a_row_only_so_often(tmp_path):
    rows = [*(instruction(f"b{number}", source="big") for number in range(100)), instruction("s1", source="small")]

    mixed = run(tmp_path, {"temperature": 1e9, "max_repeats": 3.0}, instructions=rows)

    assert [row.source for row in mixed("train/sft")].count("small") == 3


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_dialogues_with_several_questions_have_their_share(tmp_path, share):
    rows = [*(instruction(f"s{number}") for number in range(200)), *(talk(f"m{number}", 2) for number in range(200))]

    mixed = run(tmp_path, {"multi_turn_share": share}, instructions=rows)

    tokens = {"s": 0, "m": 0}
    for row in mixed("train/sft"):
        tokens[row.id[0]] += len(tiny.chat().render(row.messages))
    assert abs(tokens["m"] / sum(tokens.values()) - share) < 0.06
    assert max(tokens.values()) > 0


def test_a_share_of_what_is_not_there_stops_the_run(tmp_path):
    with pytest.raises(StageError, match=r"multi_turn_share is 0\.5.*train/sft.*multi-turn"):
        run(tmp_path, {"multi_turn_share": 0.5}, instructions=[instruction("s1")])


def test_a_long_dialogue_is_split_between_turns(tmp_path):
    rows = [talk("m1", 20), instruction("i1", answer="x" * 300), instruction("i2")]

    mixed = run(tmp_path, {"long_dialogues": "split"}, instructions=rows)

    parts = sorted((row for row in mixed("train/sft") if row.id.startswith("m1")), key=lambda row: row.id)
    assert [row.id for row in parts][:3] == ["m1/1", "m1/2", "m1/3"]
    assert parts[1].place == "row 1, part 2"
    assert [message for row in parts for message in row.messages if message.role != "system"] == talk("m1", 20).messages[1:]
    assert {(row.messages[0].role, row.messages[1].role, row.messages[-1].role) for row in parts} == {("system", "user", "assistant")}
    assert all(sum(len(message.content) for message in row.messages) <= 200 for row in parts)
    assert [(row["id"], row["reason"]) for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")] == [("i1", "too long")]


def test_nothing_general_to_replay_is_said(tmp_path, capsys):
    run(tmp_path / "bare", train=[document("d1")], instructions=[instruction("i1")])
    assert "forgetting in pretrain, sft:" in capsys.readouterr().out

    run(tmp_path / "half", train=[document("d1")], general=[document("g1", scope="general")], instructions=[instruction("i1")])
    assert "forgetting in sft:" in capsys.readouterr().out

    run(tmp_path / "off", {"general_share": {"pretrain": 0, "sft": 0}}, train=[document("d1")])
    assert capsys.readouterr().out == ""


def test_general_rows_fill_their_share_and_no_more(tmp_path):
    general = [document(f"g{number}", scope="general") for number in range(20)]

    mixed = run(
        tmp_path, train=[document(f"d{number}", text="x" * 20) for number in range(4)], statements=[document("s1")], general=general
    )

    tokens = {"domain": 0, "general": 0}
    for row in mixed("train/pretrain"):
        tokens[row.scope] += len(row.text)
    assert 0 <= tokens["general"] - tokens["domain"] < 12


def test_rows_left_out_as_too_long_are_told_with_what_to_raise(tmp_path, capsys):
    run(tmp_path, instructions=[instruction("i1", answer="x" * 300), instruction("i2")], questions=[question("q1", asked="y" * 200)])

    told = capsys.readouterr().out
    assert told.count("train/sft 1/2, test/questions 1/1") == 2
    assert "mix.max_tokens (200)" in told
    assert "mix.max_tokens（200）" in told


def test_a_long_document_is_split_and_a_long_dialogue_refused(tmp_path):
    long = document("d1", text="One sentence stands here. " * 20)

    mixed = run(tmp_path, train=[long], instructions=[instruction("i1", answer="x" * 300), instruction("i2")])

    parts = sorted(mixed("train/pretrain"), key=lambda row: int(row.id.partition("/")[2]))
    assert len(parts) >= 3
    assert "".join(row.text for row in parts) == f"Rules / Part 1\n{long.text}"
    assert all(len(row.text) <= 200 for row in parts)
    assert [row.id for row in mixed("train/sft")] == ["i2"]
    assert [(row["id"], row["reason"]) for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")] == [("i1", "too long")]


def test_a_test_text_stays_whole(tmp_path):
    mixed = run(tmp_path, instructions=[instruction("i1")], test=[document("t1", text="long " * 100)])

    assert [row.id for row in mixed("test/domain")] == ["t1"]


@pytest.mark.parametrize(
    ("trained", "asked", "leaks"),
    [
        ("What is the ceiling of Lark 1?", "What is the ceiling of Lark 1?", True),
        ("what is the ceiling of lark 1", "What is the ceiling of Lark 1?", True),
        ("What is the ceiling of Lark 2?", "What is the ceiling of Lark 1?", False),
        ("Name the weight.", "What is the ceiling of Lark 1?", False),
    ],
)
def test_a_row_that_asks_a_test_question_does_not_train(tmp_path, trained, asked, leaks):
    mixed = run(
        tmp_path,
        train=[document("d1")],
        instructions=[instruction("i1", asked=trained)],
        preferences=[preference("p1", asked=trained)],
        prompts=[question("r1", "taught", asked=trained)],
        questions=[question("q1", asked=asked)],
    )

    assert [len(mixed(f"train/{table}")) for table in ("sft", "preference", "prompts")] == [0 if leaks else 1] * 3
    found = [(leak["table"], leak["id"], leak["held_id"]) for leak in read_jsonl(tmp_path / "out" / "leaks.jsonl")]
    assert found == [("train/sft", "i1", "q1"), ("train/preference", "p1", "q1"), ("train/prompts", "r1", "q1")] * leaks


def test_a_text_of_the_test_does_not_train(tmp_path):
    text = "The pilot in command checks the batteries before every flight of the day."

    mixed = run(tmp_path, train=[document("d1", text=text), document("d2")], test=[document("t1", text=text.upper())])

    assert [row.id for row in mixed("train/pretrain")] == ["d2"]


def test_a_classification_leaks_by_its_text_alone(tmp_path):
    frame = "Which class does the text below belong to?\n\nText: {}\nClass:"
    trained, asked = frame.format("The drone hit a tree near the river."), frame.format("All went well over the empty field.")

    mixed = run(
        tmp_path,
        instructions=[instruction("i1", asked=trained, method="classify")],
        questions=[question("q1", asked=asked, method="classify")],
    )

    assert len(mixed("train/sft")) == 1


def test_training_on_a_record_kept_for_the_test_stops_the_run(tmp_path):
    with pytest.raises(StageError, match=r"1 training rows .*test.*\n  i1 \(a\.md, row 1, method fact\)"):
        run(tmp_path, instructions=[instruction("i1", references=["f1"])], questions=[question("q1", references=["f1"])])


def test_taught_records_may_be_trained_on(tmp_path):
    mixed = run(tmp_path, instructions=[instruction("i1", references=["f1"])], questions=[question("q1", "taught", references=["f1"])])

    assert len(mixed("train/sft")) == 1


def test_nothing_to_train_on_is_an_error_that_names_the_reasons(tmp_path):
    with pytest.raises(StageError, match=r"\{'too long': 1\}.*section mix"):
        run(tmp_path, instructions=[instruction("i1", answer="x" * 500)])


def test_same_rows_same_bytes_in_an_order_by_hash(tmp_path):
    rows = {"train": [document(f"d{number}") for number in range(9)], "instructions": [instruction(f"i{number}") for number in range(9)]}

    one, _ = run(tmp_path / "one", **rows), run(tmp_path / "two", **rows)

    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one" / "out").rglob("*") if path.is_file())
    assert len(files) == 18
    assert [path for path in files if (tmp_path / "one" / path).read_bytes() != (tmp_path / "two" / path).read_bytes()] == []
    ids = [row.id for row in one("train/sft")]
    assert sorted(ids) != ids


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0, 0), (1.0, 100, 100), (2.5, 230, 270), (0.3, 15, 45)])
def test_weights_say_how_often_rows_go_in(weight, least, most):
    entries = [entry(f"E{number}") for number in range(100)]

    assert least <= sum(times for _, times in weighted(entries, lambda _: weight, seed=1)) <= most


@pytest.mark.parametrize(
    ("domain", "share", "most", "tokens"),
    [(90, 0.1, 4, 10), (9000, 0.1, 4, 400), (9000, 0.1, 1, 100), (90, 0.0, 4, 0), (0, 0.1, 4, 100)],
)
def test_general_rows_go_in_up_to_their_share(domain, share, most, tokens):
    entries = [entry(f"E{number}", tokens=10) for number in range(10)]

    assert sum(row.tokens * times for row, times in replayed(entries, domain, share, most, seed=1)) == tokens


def test_copies_have_ids_of_their_own():
    assert [copy.row.id.partition("#")[2] for copy in copies(entry("A"), 3)] == ["", "2", "3"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("短文。", ["短文。"]),
        ("一二三四。\n\n五六七八。九十。", ["一二三四。\n\n", "五六七八。九十。"]),
        ("一二三四五。六七八九十。", ["一二三四五。", "六七八九十。"]),
        ("一二三四五六七八九十一二三四", ["一二三四五六七", "八九十一二三四"]),
        ("", [""]),
    ],
)
def test_a_long_text_is_split_at_its_best_boundary_and_nothing_is_lost(text, parts):
    assert pieces(text, lambda part: len(part) <= 8) == parts
    assert "".join(parts) == text


def run(folder, changed=(), *, train=(), dev=(), test=(), general=(), template=CHATML, **made):
    """mix on these documents and made rows; what it wrote, by table."""
    parts = {"train": [*train, *general], "dev": dev, "test": test}
    for part, rows in parts.items():
        write_tables(folder / part, {"documents": list(rows)})
    for name, row_type in MADE.items():
        write_table(folder / "approved" / f"{name}.parquet", made.get(name, []), row_type)
    write_base(folder / "base", template)
    params = mix.Params.model_validate({**PARAMS, **dict(changed)})

    mix.run(params, folder / "base", *(folder / part for part in parts), folder / "approved", out=folder / "out")

    return lambda table: list(read_table(folder / "out" / f"{table}.parquet", mix.ROW_TYPES[table.split("/")[1]]))


def write_base(folder, template=CHATML):
    """A tokenizer with a token for each byte, so that lengths can be counted by hand."""
    folder.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: number for number, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def document(row_id, text=None, scope="domain"):
    source = "a.md" if scope == "domain" else "general/g.md"
    return Document(id=row_id, source=source, scope=scope, title="Rules", section="Part 1", text=text or f"text of {row_id}", **ORIGIN)


def provenance(method, references, **more):
    made = {"task": method, "references": references, "method": method, "teacher": "rules", "prompt_hash": "", "review": "auto"}
    return {**made, "source": "a.md", "scope": "domain", **ORIGIN, **more}


def instruction(row_id, asked=None, answer="Yes.", method="fact", references=("f0",), **more):
    messages = [Message(role="user", content=asked or f"Ask {row_id}?"), Message(role="assistant", content=answer)]
    return Dialogue(id=row_id, messages=messages, **provenance(method, list(references), **more))


def talk(row_id, exchanges):
    """Several questions and answers under a system message."""
    turns = [
        message
        for number in range(exchanges)
        for message in (Message(role="user", content=f"{row_id}, {number}?"), Message(role="assistant", content=f"Yes, {number}."))
    ]
    return Dialogue(id=row_id, messages=[Message(role="system", content="Be brief."), *turns], **provenance("given", ["f0"]))


def preference(row_id, asked):
    messages = [Message(role="user", content=asked)]
    return Preference(id=row_id, messages=messages, chosen="Yes.", rejected="No.", **provenance("corruption", ["f0"]))


def question(row_id, known="documents", asked=None, method="fact", references=()):
    messages = [Message(role="user", content=asked or f"Test {row_id}?")]
    return Question(id=row_id, messages=messages, answer="Yes.", wrong=[], known=known, **provenance(method, [*references] or [known]))


def entry(row_id, tokens=1):
    return Entry(document(row_id), "document", tokens)


def test_what_the_base_s_chat_template_cannot_write_is_left_out_by_name(tmp_path):
    rows = [instruction("a"), instruction("b")]
    rows[1] = rows[1].model_copy(update={"messages": [Message(role="system", content="s"), *rows[1].messages]})
    no_system = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"

    mixed = run(tmp_path, {}, instructions=rows, template=no_system + CHATML)

    assert {row.id for row in mixed("train/sft")} == {"a"}
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["reason"]) for row in dropped] == [("b", "not in the chat template")]


def test_a_row_whose_reasoning_the_chat_template_has_no_place_for_is_left_out_by_that_name(tmp_path):
    rows = [instruction("a"), instruction("b")]
    thought = rows[1].messages[-1].model_copy(update={"reasoning": "Because."})
    rows[1] = rows[1].model_copy(update={"messages": [*rows[1].messages[:-1], thought]})

    mixed = run(tmp_path, {}, instructions=rows, template=CHATML.replace("(message.reasoning_content or '')", "''"))

    assert {row.id for row in mixed("train/sft")} == {"a"}
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["reason"]) for row in dropped] == [("b", NO_REASONING)]
    assert "base.model.reasoning" in NO_REASONING
