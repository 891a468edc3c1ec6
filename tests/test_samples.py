"""The sample corpora: large enough, consistent with themselves, and what the scripts in samples/ make."""

import csv
import importlib
import importlib.util
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

from lingyu.generate.rules import articles, knowledge
from lingyu.text.ngrams import grams_of, similarity
from stages import ingest

SAMPLES = Path(__file__).parent.parent / "samples"
DRONE = SAMPLES / "drone"
CHAPTERS = {path.name: path.read_text(encoding="utf-8") for path in sorted((DRONE / "documents").glob("*.md"))}


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_drone", SAMPLES / "make_drone.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_drone"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_drone"]


def rows(name):
    return [json.loads(line) for line in (DRONE / name).read_text(encoding="utf-8").splitlines()]


def reports():
    with (DRONE / "incidents/reports.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


FACTS = rows("knowledge/graph.jsonl")
VALUES = {(f["entity"], f["relation"]): f["values"][0] for f in FACTS}
OF_KIND = defaultdict(lambda: defaultdict(set))
for fact in FACTS:
    OF_KIND[fact["kind"]][fact["relation"]].add(fact["values"][0])
KIND = {f["entity"]: f["kind"] for f in FACTS}


def sentences(text):
    return [s for s in re.split(r"(?<=[。！？；\n])|(?<=[.?!]) ", text) if s.strip()]


def test_the_corpus_is_as_large_as_promised():
    labels = Counter(row["label"] for row in reports())

    assert len({f["entity"] for f in FACTS}) >= 150
    assert len(FACTS) >= 600
    assert len(rows("reasoning/questions.jsonl")) >= 160
    assert sum(labels.values()) >= 400
    assert set(labels) == {"低风险", "一般风险", "较大风险", "重大风险", "low", "moderate", "serious", "critical"}
    assert min(labels.values()) >= 20
    assert len(rows("preference/pairs.jsonl")) >= 160
    assert len(rows("general/qa.jsonl")) >= 400
    assert sum(name.startswith("zh-") for name in CHAPTERS) >= 24
    assert sum(name.startswith("en-") for name in CHAPTERS) >= 8


def test_every_file_is_small_and_the_text_is_readable():
    files = [path for path in SAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]

    assert len(files) > 40
    assert [f for f in files if f.stat().st_size >= 1_000_000] == []
    assert sum(f.stat().st_size for f in files) < 6_000_000
    for file in files:
        if file.suffix not in {".docx", ".pdf", ".xlsx"}:
            assert "\ufffd" not in file.read_text(encoding="gb18030" if file.name == "asked.csv" else "utf-8")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("knowledge/graph.jsonl", {"entity", "kind", "relation", "values", "language"}),
        ("reasoning/questions.jsonl", {"question", "answer", "reasoning"}),
        ("preference/pairs.jsonl", {"prompt", "chosen", "rejected"}),
        ("general/qa.jsonl", {"instruction", "input", "output"}),
    ],
)
def test_rows_have_their_fields_and_none_stands_twice(name, keys):
    found = rows(name)

    assert [row for row in found if set(row) != keys] == []
    assert [row for row, count in Counter(json.dumps(row, ensure_ascii=False) for row in found).items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "key"),
    [("reasoning/questions.jsonl", ["question"]), ("general/qa.jsonl", ["instruction", "input"])],
)
def test_nothing_is_asked_twice(name, key):
    asked = Counter(tuple(row[k] for k in key) for row in rows(name))

    assert [question for question, count in asked.items() if count > 1] == []


def test_a_fact_has_one_value_and_no_name_or_value_hides_in_another():
    assert len(VALUES) == len(FACTS)
    assert [(a, b) for a in KIND for b in KIND if a != b and a in b] == []
    for relations in OF_KIND.values():
        assert sum(map(len, relations.values())) == len(set().union(*relations.values()))
        for values in relations.values():
            assert [(a, b) for a in values for b in values if a != b and a in b] == []


def test_guessing_a_value_is_seldom_right():
    counts = defaultdict(Counter)
    for fact in FACTS:
        counts[fact["kind"], fact["relation"]][fact["values"][0]] += 1

    assert all(4 <= len(relations) <= 5 for relations in OF_KIND.values())
    assert max(count.most_common(1)[0][1] / count.total() for count in counts.values()) <= 0.25
    assert sum(count.most_common(1)[0][1] for count in counts.values()) / len(FACTS) < 0.2


def stated():
    """For every fact, the files that state it, and the sentences."""
    files, wordings = defaultdict(set), defaultdict(set)
    for name, text in CHAPTERS.items():
        for sentence in sentences(text):
            for entity in (e for e in KIND if e in sentence):
                for relation in OF_KIND[KIND[entity]]:
                    value = VALUES.get((entity, relation))
                    if value and relation in sentence and value in sentence:
                        files[entity, relation].add(name)
                        wordings[entity, relation].add(sentence.strip())
    return files, wordings


def test_every_fact_stands_in_four_chapters_in_four_wordings():
    files, wordings = stated()

    assert [fact for fact in VALUES if len(files[fact]) != 4 or len(wordings[fact]) != 4] == []


def test_no_sentence_gives_an_entity_a_value_that_the_graph_does_not():
    checked, wrong = 0, []
    for name, text in CHAPTERS.items():
        for sentence in sentences(text):
            for entity in (e for e in KIND if e in sentence):
                rest = sentence.replace(entity, "")
                values = sorted({v for vs in OF_KIND[KIND[entity]].values() for v in vs}, key=len, reverse=True)
                found = re.findall("|".join(rf"(?<!\d){re.escape(v)}" for v in values), rest)
                right = {v for (e, _), v in VALUES.items() if e == entity}
                checked += 1
                wrong += [(name, sentence, v) for v in found if v not in right]

    assert checked > 3 * len(FACTS)
    assert wrong == []


def test_chapters_begin_with_an_introduction_and_have_sections():
    for name, text in CHAPTERS.items():
        title, intro = text.split("\n\n")[:2]
        assert title.startswith("# "), name
        assert (150 if name.startswith("zh") else 300) <= len(intro) <= 600, (name, len(intro))
        assert text.count("\n## ") >= 3, name


def test_one_section_does_not_tell_all_about_one_entity():
    for text in CHAPTERS.values():
        for section in text.split("\n## ")[1:]:
            told = Counter(entity for sentence in sentences(section) for entity in KIND if entity in sentence)
            assert max(told.values()) <= 3


def test_decisions_rest_on_open_facts_and_are_balanced(maker):
    found = rows("reasoning/questions.jsonl")
    answers, entities = defaultdict(Counter), set()
    for row in found:
        entity = next(e for e in KIND if e in row["question"])
        fact, why = sentences(row["reasoning"])
        relation = next(r for r in OF_KIND[KIND[entity]] if r in fact)
        value = VALUES[entity, relation]
        assert fact in (f"{relation}是{value}。", f"The {relation} is {value}.")
        assert value in why
        assert maker.fact_is_open(entity, relation)
        assert len(row["reasoning"]) <= (40 if re.search("[一-鿿]", row["reasoning"]) else 90)
        answers[relation][row["answer"]] += 1
        entities.add(entity)

    assert len(answers) >= 20
    assert len(entities) >= 100
    for relation, count in answers.items():
        assert len(count) == 2, relation
        assert max(count.values()) - min(count.values()) <= 2, (relation, count)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("六级", 6),
        ("两人", 2),
        ("0.5千克", 0.5),
        ("每秒2.5米", 2.5),
        ("800米", 800),
        ("1.5千米", 1500),
        ("提前18小时", 18),
        ("提前1天", 24),
        ("半年", 182.5),
        ("三年", 1095),
        ("60天", 60),
        ("每30架次", 30),
        ("12 hours", 12),
        ("2 days", 48),
        ("90 days", 90),
        ("seven people", 7),
        ("28%", 28),
    ],
)
def test_amounts_are_compared_in_one_unit(maker, text, number):
    assert maker.amount(text) == number


def test_preferences_rest_on_open_facts_and_the_better_reply_is_true(maker):
    found = rows("preference/pairs.jsonl")
    true_but_worse = 0
    for row in found:
        entity = next(e for e in KIND if e in row["prompt"])
        relation = next(r for r in OF_KIND[KIND[entity]] if r in row["prompt"].replace(entity, ""))
        assert maker.fact_is_open(entity, relation)
        assert VALUES[entity, relation] in row["chosen"]
        assert row["chosen"] != row["rejected"]
        true_but_worse += VALUES[entity, relation] in row["rejected"]

    assert 0.5 < true_but_worse / len(found) < 0.8  # most pairs are about manner, not about the value


def test_each_prompt_of_the_preferences_has_one_better_reply_and_two_worse_ones():
    replies = defaultdict(list)
    for row in rows("preference/pairs.jsonl"):
        replies[row["prompt"]].append((row["chosen"], row["rejected"]))

    assert len(replies) >= 400
    for pairs in replies.values():
        assert len(pairs) == len(set(pairs)) == 2
        assert len({chosen for chosen, _ in pairs}) == 1


def test_about_sixty_of_a_hundred_facts_are_open(maker):
    assert 0.55 < sum(maker.fact_is_open(*fact) for fact in VALUES) / len(VALUES) < 0.65


def test_incident_reports_are_short_and_differ():
    found = reports()

    assert len({row["text"] for row in found}) == len(found)
    for row in found:
        if row["label"].isascii():
            assert len(row["text"].split()) <= 25
        else:
            assert len(row["text"]) <= 40, row


def test_general_rows_say_nothing_of_the_domain():
    text = "".join((DRONE / f"general/{name}").read_text(encoding="utf-8") for name in ("prose.zh.md", "prose.en.md", "qa.jsonl"))

    assert len(text.encode()) > 80_000
    assert re.findall(rf"(?<![A-Za-z])(?:{'|'.join(KIND)})(?![a-z])", text) == []


def held_out_wordings(language):
    facts, statutes = knowledge.WORDINGS[language], articles.WORDINGS[language]
    of_statutes = [form for forms in (*statutes.dev.values(), *statutes.test.values()) for form in forms]
    return [*facts.dev_statements, *facts.test_statements, *facts.dev_questions, *facts.test_questions, *of_statutes]


@pytest.mark.parametrize(("language", "word", "least"), [("zh", r"[^\s“”]", 3), ("en", r"[a-z']+", 2)])
def test_held_out_wordings_are_made_of_what_the_tiny_base_has_read(language, word, least):
    read = "".join(path.read_text(encoding="utf-8") for path in sorted((DRONE / "general").iterdir())).lower()
    known = Counter(re.findall(word, read))

    said = [part for form in held_out_wordings(language) for part in re.findall(word, re.sub(r"\{.\}", " ", form).lower())]

    assert len(said) > 80
    assert {part: known[part] for part in said if known[part] < least} == {}


def test_general_text_has_sections_enough_to_hold_some_out():
    prose = [(DRONE / f"general/prose.{language}.md").read_text(encoding="utf-8") for language in ("zh", "en")]
    headings = [re.findall("^## .+$", text, re.MULTILINE) for text in prose]

    assert [len(found) == len(set(found)) >= 100 for found in headings] == [True, True]


@pytest.mark.slow
def test_the_script_makes_the_committed_bytes(maker, tmp_path):
    maker.main(tmp_path)

    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {p.relative_to(DRONE): p.read_bytes() for p in DRONE.rglob("*") if p.is_file()}
    assert len(made) > 38
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


@pytest.mark.slow
def test_the_pdf_and_the_docx_agree_with_the_graph():
    import docx
    import pdfplumber

    with pdfplumber.open(DRONE / "documents/zh-rules.pdf") as pdf:
        pages = [page.extract_text() for page in pdf.pages]
    text = re.sub(r"\s", "", "".join(pages))
    told = [(e, r, v) for (e, r), v in VALUES.items() if f"{e}的{r}为{v}" in text]
    tables = docx.Document(str(DRONE / "documents/zh-card.docx")).tables
    cells = [
        (row.cells[0].text, head.text, cell.text)
        for t in tables
        for row in t.rows[1:]
        for head, cell in list(zip(t.rows[0].cells, row.cells, strict=True))[1:]
    ]

    assert len(pages) >= 2
    assert all("飞行安全细则" in page and f"第 {i} 页" in page for i, page in enumerate(pages, 1))
    assert len(told) > 40
    assert len(cells) > 200
    assert [c for c in cells if VALUES.get(c[:2], "—") != c[2]] == []


# law, clinic, school


def lines(name):
    return [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["law", "clinic", "school"])
def test_each_script_makes_the_committed_bytes(tmp_path, name):
    importlib.import_module(f"make_{name}").main(tmp_path / name)

    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {p.relative_to(SAMPLES): p.read_bytes() for p in SAMPLES.glob(f"{name}*/**/*") if p.is_file()}
    assert len(made) >= 5
    assert sorted(made) == sorted(kept)
    assert [file for file in made if made[file] != kept[file]] == []


def test_law_is_as_large_as_promised():
    exams, charges = lines("law/exams/items.jsonl"), (SAMPLES / "law/cases/charges.csv").read_text(encoding="utf-8").splitlines()[1:]
    articles = [re.findall("^第.+?条 ", (SAMPLES / "written/law" / file).read_text(encoding="utf-8"), re.MULTILINE) for file in LAWS]

    assert sum(map(len, articles)) == 120
    assert len(lines("law/consultations/consultations.jsonl")) >= 150
    assert len(exams) == 60
    assert sum(len(item["answer"]) > 1 for item in exams) == 20
    assert len(lines("law-inquiries/dialogues.jsonl")) == 72
    assert len(lines("law/cases/opinions.jsonl")) == len(charges) == 40
    assert len({line.rpartition(",")[2] for line in charges}) >= 12
    assert len(lines("law/answers/ranked.jsonl")) == 40


LAWS = ["labour.md", "lease.md", "consumer.md", "penal.md"]


def test_consultations_and_opinions_cite_their_articles_and_no_other_statute():
    rows = lines("law/consultations/consultations.jsonl") + lines("law/cases/opinions.jsonl")
    titles = {re.match("# (.+)", (SAMPLES / "written/law" / file).read_text(encoding="utf-8"))[1] for file in LAWS}
    for row in rows:
        given = row.get("reference") or row["laws"]
        heads = [re.match("《.+?》第.+?条", passage) for passage in given]
        for head in filter(None, heads):
            assert head[0] in row["answer"]
        for title in re.findall("《(澜川[^〈》]+?法)》", row["answer"]):
            assert title in titles | {"澜川家政服务办法"}  # which the labour law refers to
        assert not set(row.get("distractors", [])) & set(given)
        assert not re.search("[①②③]", row["answer"])


def test_an_exam_item_has_its_right_options_among_four():
    for item in lines("law/exams/items.jsonl"):
        assert list(item["options"]) == ["A", "B", "C", "D"]
        assert set(item["answer"]) <= set("ABCD")
        assert len(set(item["options"].values())) == 4
        assert item["article"] in item["explanation"]


def test_clinic_is_as_large_as_promised():
    guide = (SAMPLES / "clinic/guides/guide.md").read_text(encoding="utf-8")
    asked = list(csv.DictReader((SAMPLES / "clinic/consultations/asked.csv").read_text(encoding="gb18030").splitlines()))
    triples = (SAMPLES / "clinic/triples/tcm.tsv").read_text(encoding="utf-8").splitlines()

    assert len(lines("clinic/knowledge/graph.jsonl")) >= 150
    assert len(asked) == len({row["ask"] for row in asked}) == 300
    assert list(asked[0]) == ["department", "title", "ask", "answer"]
    assert len(re.findall("^## ", guide, re.MULTILINE)) == len({row["department"] for row in asked}) == 28
    assert len(re.findall("^### ", guide, re.MULTILINE)) == 60
    assert len(lines("clinic/dialogues/dialogues.jsonl")) == 120
    assert len(triples) == len(set(triples)) > 300
    with pytest.raises(UnicodeDecodeError):
        (SAMPLES / "clinic/consultations/asked.csv").read_text(encoding="utf-8")


def test_a_doctor_asks_at_most_eight_questions_gets_short_replies_and_then_advises():
    asked = []
    for row in lines("clinic/dialogues/dialogues.jsonl"):
        _, *turns, advice = [message["content"] for message in row["messages"]]
        questions, replies = turns[::2], turns[1::2]
        assert len(questions) == len(replies)
        assert all(question.endswith("？") for question in questions)
        assert max(map(len, replies)) <= 16
        assert not advice.endswith("？")
        asked.append(len(questions))

    assert min(asked) >= 2
    assert max(asked) == 8
    assert sum(asked) / len(asked) > 4


SKILLS = ["retrieval", "support", "socratic", "essay"]


def written(name):
    return yaml.safe_load((SAMPLES / "written" / f"{name}.yaml").read_text(encoding="utf-8"))


def test_school_is_as_large_as_promised():
    planted = Counter(file for file, *_ in written("school/planted"))
    labels = Counter(row["label"] for row in lines("school/messages/messages.jsonl"))

    assert sum(planted.values()) == 20
    for skill in SKILLS:
        rows = lines(f"school/dialogues/{skill}.jsonl")
        assert len(rows) == 40 + planted[f"dialogues/{skill}.jsonl"]
        assert {row["system"] for row in rows} == {written("school/skills")[skill]}
    assert len(lines("school/letters/letters.jsonl")) == 60 + len(written("school/dropped"))
    assert labels == {"伤人": 80, "平和": 40}


def test_letters_are_long_and_their_replies_too():
    rows = written("school/letters")

    assert len({row["信"] for row in rows}) == 60
    assert min(len(row["信"]) for row in rows) > 100
    assert min(len(row["回"]) for row in rows) > 200


def test_harsh_messages_have_the_four_elements_and_mild_ones_none():
    elements = {"观察", "感受", "需要", "请求", "改写"}
    for row in lines("school/messages/messages.jsonl"):
        assert elements & set(row) == (elements if row["label"] == "伤人" else set())
        assert row["label"] == "平和" or row["观察"] in row["text"]


def test_an_answer_cites_the_search_results_that_help_and_no_other():
    helpless = 0
    for row in lines("school/dialogues/retrieval.jsonl"):
        cited = {int(number) for number in re.findall(r"\[(\d)\]", row["messages"][-1]["content"])}
        assert cited <= set(row["useful"])
        assert bool(cited) == bool(row["useful"])
        helpless += not cited

    assert helpless >= 6


def test_what_is_planted_is_listed_beside_the_corpus():
    near = [row for row in lines("school-checks/planted.jsonl") if "of" in row]
    dropped = [row for row in lines("school-checks/planted.jsonl") if "reason" in row]

    assert len(near) == len(written("school/planted"))
    for row in near:
        rows = lines(f"school/{row['file']}")
        pair = [" ".join(m["content"] for m in rows[row[which] - 1]["messages"]) for which in ("line", "of")]
        assert pair[0] != pair[1]
        assert similarity(*map(grams_of, pair)) > 0.85
    letters = lines("school/letters/letters.jsonl")
    listed = {letters[row["line"] - 1]["question"]: row["reason"] for row in dropped}
    assert listed == {row["信"]: row["why"] for row in written("school/dropped")}
    assert Counter(listed.values()) == {"privacy": 3, "safety": 3}


@pytest.mark.parametrize("name", ["law", "clinic", "school"])
def test_ingest_reads_every_row_of_a_corpus(tmp_path, name):
    ingest.run(ingest.Params.model_validate({"sources": written(f"{name}/sources")}), SAMPLES / name, tmp_path)

    rejected = [json.loads(line)["reason"] for line in (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert set(rejected) <= {"running_line"}
    assert "not used" not in (tmp_path / "ledger.json").read_text(encoding="utf-8")
