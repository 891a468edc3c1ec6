"""Whether the service says what its documents say: `python -m bench.answers --content FOLDER --work FOLDER --statutes FOLDER…`.

The real service is started twice and asked over HTTP in professional mode: over the content as it is (that of a Bento: model, knowledge,
settings.json), and over the index of the statutes that `bench.retrieval --statutes --work` keeps, with the same model. Asked are

laymen, followups, elsewhere   bench/questions; what the right sentence says was written from the articles before any answer was seen
facts                          questions about the facts of the content: entity and relation, in four wordings
has it, lacks it              bench/questions/attributes.jsonl, over samples/drone: an attribute in everyday words that the graph has of the
                               entity, or that no document states
planted                        names, articles and attributes that no document has; rules turned into their contrary

A check of its own, which shares no code with the service, reads every reply: see `faults`. Replies are kept in --work/answers.jsonl;
--again checks those without asking.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.retrieval import RECORDS, documents_of, shown
from lingyu.files import read_jsonl, read_table
from lingyu.retrieve.chunks import Chunk
from lingyu.text.legal import cited
from stages.index import rate

QUOTED = re.compile(r"“(.*?)” \[(\d+)\]", re.DOTALL)
GAP = re.compile("……| … ")
MARK = re.compile(r" \[(\d+)\]")
FIGURE = re.compile(
    r"\d+(?:[.,:]\d+)*\s*(?:%|℃|°C|[a-z]{1,7}\b|[分秒小时天日周月年米千克公斤吨元倍人架次条块件名个]{0,3})|[一二三四五六七八九十百千万两]{2,}[\u4e00-\u9fff]?",
    re.IGNORECASE,
)
MOST = 0.7  # of the pairs of characters of a sentence of the model
NEGATION = re.compile(r"不得|不可|不能|不应|不准|不要|严禁|禁止|无需|不需|没有|\b(?:not|never|no|without|cannot)\b|n't")
WORDINGS = {
    "zh": ("{entity}的{relation}是多少？", "请问{entity}的{relation}", "我想确认一下{relation}，{entity}的那一项", "{entity} {relation}？"),
    "en": (
        "What is the {relation} of {entity}?",
        "{entity}: {relation}?",
        "Please tell me {entity}'s {relation}.",
        "{relation} for {entity}?",
    ),
}
# Names, attributes and articles that no document of the samples or of the statutes has.
NAMES = {
    "zh": ("紫翎九十号", "铁甲蜗牛", "蓝鲸重载", "星河二零型", "飞猪快递机"),
    "en": ("Marlin", "Thunder Yak", "Blue Whale", "Pike", "Gull Nine"),
}
ATTRIBUTES = {"zh": ("出厂价格", "颜色", "生产厂家", "质保电话"), "en": ("retail price", "colour", "maker", "warranty phone")}
ARTICLES = ("第九百条", "第七百二十一条", "第五百五十条")
FORBIDS = re.compile(r"(?:^|[，。；\n])(?:第[^条]+条 )?([^，。；：（）\n第但]{2,20})不得([^。；：（）\n]{4,60})[。；]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, default=Path("out/package/bento/src"))
    parser.add_argument("--statutes", type=Path, nargs="+", default=[])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--facts", type=int, default=160, help="questions about facts of the content")
    parser.add_argument("--kinds", help="only kinds of questions that begin so: has, lacks, facts, laymen, …", default="")
    parser.add_argument("--again", action="store_true", help="check the replies kept in --work")
    given = parser.parse_args()
    kept = given.work / "answers.jsonl"
    if not given.again:
        asked = [*facts(given.content, given.facts), *attributes(given.content)]
        rows = [*ask(given.content.resolve(), given.work, (row for row in asked if row["kind"].startswith(given.kinds)))]
        if given.statutes:
            others = (row for row in statutes(given.statutes, given.work) if row["kind"].startswith(given.kinds))
            rows += ask(content_of(given.content.resolve(), given.work), given.work, others)
        kept.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    report(list(read_jsonl(kept)), given.work)


# What is asked.


def facts(content: Path, most: int) -> Iterator[dict[str, Any]]:
    chunks = [chunk for chunk in read_table(content / "knowledge/chunks.parquet", Chunk) if chunk.kind == "fact"]
    for number, chunk in enumerate(chunks[:: max(1, len(chunks) // most)]):
        wording = WORDINGS[chunk.language][number % 4]
        yield {"kind": "facts", "turns": [wording.format(entity=chunk.title, relation=chunk.section)], "value": chunk.terms[1:]}
    for number, chunk in enumerate(chunks[:: max(1, len(chunks) // 40)]):
        name, wording = NAMES[chunk.language][number % 5], WORDINGS[chunk.language][number % 4]
        yield {"kind": "a name", "turns": [wording.format(entity=name, relation=chunk.section)], "planted": name}
        attribute = ATTRIBUTES[chunk.language][number % 4]
        yield {"kind": "an attribute", "turns": [wording.format(entity=chunk.title, relation=attribute)], "planted": attribute}


def attributes(content: Path) -> Iterator[dict[str, Any]]:
    titles = {chunk.title for chunk in read_table(content / "knowledge/chunks.parquet", Chunk) if chunk.kind == "fact"}
    for row in read_jsonl(RECORDS / "attributes.jsonl"):
        if row["entity"] in titles:
            kind = "has it" if row["relation"] else "lacks it"
            yield {"kind": kind, "turns": [row["question"]], "value": row["says"]}
    if "苍鹰五号" in titles:
        yield {"kind": "lacks it", "turns": ["苍鹰五号的最长续航是多少？", "那它的最大起飞重量呢？"], "value": []}


def statutes(sources: list[Path], work: Path) -> Iterator[dict[str, Any]]:
    for kind in ("laymen", "followups"):
        for row in read_jsonl(RECORDS / f"{kind}.jsonl"):
            yield {"kind": kind, "turns": row.get("turns") or [row["question"]], "articles": row["articles"], "says": row.get("says", [])}
    for row in read_jsonl(RECORDS / "elsewhere.jsonl"):
        yield {"kind": f"elsewhere, {row['kind']}", "turns": [row["question"]]}
    documents, _ = documents_of(sources, work / "statutes")
    for number, title in enumerate(sorted({row.title for row in documents})):
        for article in ARTICLES:
            yield {"kind": "an article", "turns": [f"《{title}》{article}规定了什么？"], "planted": article}
        name = NAMES["zh"][number % 5]
        yield {"kind": "a name", "turns": [f"{name}的最大起飞重量是多少？"], "planted": name}
    rules = [(row, *found) for row in documents for found in FORBIDS.findall(row.text)]
    for _, who, what in rules[:: max(1, len(rules) // 60)]:
        yield {"kind": "a contrary", "turns": [f"听说{who}可以{what}，对吗？"], "denied": what}


# How it is asked.


def content_of(content: Path, work: Path) -> Path:
    """The model of the content with the index of the statutes."""
    made = work / "content"
    made.mkdir(parents=True, exist_ok=True)
    knowledge = work / "statutes/hybrid"
    threshold = json.loads((knowledge / "fusion.json").read_text(encoding="utf-8"))["calibration"]["threshold"]
    (knowledge / "settings.json").write_text(json.dumps({"passages": 3, "min_score": threshold}))
    for name, place in (("model", content / "model"), ("knowledge", knowledge.resolve()), ("settings.json", content / "settings.json")):
        (made / name).unlink(missing_ok=True)
        (made / name).symlink_to(place)
    return made


def ask(content: Path, work: Path, questions: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    asked = list(questions)
    model = json.loads((content / "settings.json").read_text(encoding="utf-8"))["model"]
    with served(content, work) as address, httpx.Client(base_url=address, timeout=300) as client:
        for number, row in enumerate(asked, 1):
            messages, body = list[dict[str, str]](), dict[str, Any]()
            for turn in row["turns"]:
                messages.append({"role": "user", "content": turn})
                sent = {"model": model, "mode": "professional", "messages": messages}
                body = client.post("/v1/chat/completions", json=sent).raise_for_status().json()
                messages.append({"role": "assistant", "content": body["choices"][0]["message"]["content"]})
            reply = {name: body[name] for name in ("sources", "citations", "answer_source")} | {"content": messages[-1]["content"]}
            print(f"\r{number}/{len(asked)} ", end="", file=sys.stderr, flush=True)
            yield row | reply


@contextmanager
def served(content: Path, work: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {"LINGYU_CONTENT": str(content), "BENTOML_HOME": str(work / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", str(Path.cwd()), "--host", "127.0.0.1", "--port", port]
    with (work / "serve.log").open("a") as log:
        service = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT, cwd=work)
    try:
        for _ in range(600):
            if service.poll() is not None:
                raise SystemExit(f"the service ended: {work / 'serve.log'}")
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait(60)


# How it is read.


def faults(row: dict[str, Any]) -> list[str]:
    """What a reply shows without support: nothing, if all is well."""
    if row["answer_source"] == "none":
        return ["sources with a refusal"] if row["sources"] or row["citations"] else []
    if row["answer_source"] == "quotation":
        found, rest = misquoted(row)
    else:
        found, rest = unproven(row)
        found += [f"the model's words on {row['kind']} that no document has"] if "planted" in row else []
    return found + ([f"without a citation: {rest.strip()}"] if rest.strip() else [])


def misquoted(row: dict[str, Any]) -> tuple[list[str], str]:
    """Quotations that do not stand verbatim in the passage with their number, and what is left of the reply without quotations."""
    found = []
    for quoted, number in QUOTED.findall(row["content"]):
        passage = row["sources"][int(number) - 1]["text"] if 0 < int(number) <= len(row["sources"]) else ""
        found += [f"not in [{number}]: {text}" for text in GAP.split(quoted) if text not in passage and quoted not in passage]
    return found, re.sub(r"^(?:《.*》|[^“]*: )$", "", QUOTED.sub("", row["content"]), flags=re.MULTILINE)


def unproven(row: dict[str, Any]) -> tuple[list[str], str]:
    """What of the model's sentences does not stand in the sentence that they cite, and what has no citation."""
    found = []
    parts = MARK.split(row["content"])
    for text, number, cite in zip(parts[::2], parts[1::2], row["citations"], strict=False):
        source = row["sources"][int(number) - 1]
        if source["text"][cite["start"] : cite["end"]] != cite["text"] or cite["source"] != int(number):
            found.append(f"the citation is not at its place in [{number}]")
        found += [f"{what} not in [{number}]: {text}" for what in unsaid(text, source, cite["text"], row["turns"][-1])]
    return found, parts[-1]


def beside(row: dict[str, Any]) -> bool:
    """Whether a question about what no document has got a reply; of an attribute, one that says it has."""
    told = row["answer_source"] != "none" and (row["kind"] != "an attribute" or folded(row["planted"]) in folded(row["content"]))
    return "planted" in row and told


def unsaid(text: str, source: dict[str, Any], sentence: str, question: str) -> list[str]:
    """What of a sentence of the model is not in the sentence that it cites, or in the headings above that."""
    inside = folded(f"{source['title']}{source['section']}{sentence}")
    found = [one for one in map(folded, FIGURE.findall(unicodedata.normalize("NFKC", text))) if one and not whole(one, inside)]
    if bool(NEGATION.search(text)) != bool(NEGATION.search(sentence)):
        found.append("a negation")
    mine = pairs(text)
    if len(mine & (pairs(inside) | pairs(question))) < MOST * len(mine):
        found.append("most of it")
    return found


def folded(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).lower()


def whole(one: str, text: str) -> bool:
    """Whether the text has it, and not as a part of a longer number."""
    before, after = (r"(?<![\d.])" if one[0].isdigit() else ""), (r"(?!\d)" if one[-1].isdigit() else "")
    return re.search(before + re.escape(one) + after, text) is not None


def pairs(text: str) -> set[str]:
    text = re.sub(r"[^\w]", "", folded(text))
    return {text[at : at + 2] for at in range(len(text) - 1)}


def right(row: dict[str, Any], first: bool) -> bool:
    """Whether the first, or any, sentence shown is of a right article and says what answers the question."""
    quoted = QUOTED.findall(row["content"]) if row["answer_source"] == "quotation" else []
    for text, number in (quoted or [(cite["text"], cite["source"]) for cite in row["citations"]])[: 1 if first else None]:
        source = row["sources"][int(number) - 1]
        article = f"{source['title'].removeprefix('中华人民共和国')} 第{(cited(source['section']) or [''])[-1]}条"
        if article in row["articles"] and any(all(key in text for key in says.split()) for says in row["says"]):
            return True
    return False


# What is told.


def report(rows: list[dict[str, Any]], work: Path) -> None:
    kinds = defaultdict[str, list[dict[str, Any]]](list)
    for row in rows:
        kinds[row["kind"]].append(row)
    wrong = [(row, found) for row in rows if (found := faults(row))]
    print(f"{len(rows)} questions, {len(wrong)} replies with something unsupported\n")
    print("| questions | | model | quotation | none | unsupported | beside the question |\n" + "| --- " * 7 + "|")
    for kind, asked in kinds.items():
        by = Counter(row["answer_source"] for row in asked)
        bad, odd = sum(1 for row in asked if faults(row)), sum(map(beside, asked)) if "planted" in asked[0] else ""
        print(f"| {kind} | {len(asked)} | {by['model']} | {by['quotation']} | {by['none']} | {bad} | {odd} |")
    for kind in filter(kinds.__contains__, ("facts", "has it")):
        told = [any(value in row["content"] for value in row["value"]) for row in kinds[kind]]
        print(f"\n{kind}, told rightly: {shown(rate(told))}")
    laymen = kinds["laymen"]
    if laymen:
        print("\n| laymen's questions | first sentence right | a sentence right | refused |\n| --- | --- | --- | --- |")
        for name, half in (("all", laymen), ("those looked at while it was made", laymen[::2]), ("the others", laymen[1::2])):
            at = [shown(rate([right(row, first) for row in half])) for first in (True, False)]
            print(f"| {name} | {' | '.join(at)} | {shown(rate([row['answer_source'] == 'none' for row in half]))} |")
    with (work / "faults.txt").open("w", encoding="utf-8") as file:
        for row, found in wrong:
            file.write(f"{row['kind']} | {' / '.join(row['turns'])} | {row['answer_source']} | {row['content']} | {'; '.join(found)}\n")
        for row in filter(beside, rows):
            file.write(f"{row['kind']} | {' / '.join(row['turns'])} | {row['answer_source']} | {row['content']} | beside the question\n")


if __name__ == "__main__":
    main()
