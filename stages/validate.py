"""validate: check the rows against the expectations; a broken blocking one stops here.

Reads   out/ingest/tables             the rows as they were read
        lingyu/expect                 a suite a table, for people to read and extend
Writes  out/validate/report           index.html, and the Data Docs page of each table
        out/validate/metrics.json     by table: rows, expectations, met, broken (blocking), warned
"""

from html import escape
from pathlib import Path

from pydantic import NonNegativeInt

from lingyu.expect.run import Checker
from lingyu.expect.suites import Outcome, columns_of, suite_of
from lingyu.files import read_tables, write_json
from lingyu.stage import StageError, StageParams, start


class Params(StageParams):
    examples: NonNegativeInt
    only_warn: list[str]


def run(params: Params, tables: Path, suites: Path, out: Path) -> None:
    rows = {table: listed for table, listed in read_tables(tables).items() if listed}
    if not rows:
        raise StageError(
            f"no row in {tables}: nothing to check. See out/ingest/rejected.jsonl for what was under data/ and why it gave none."
        )
    expectations = {table: suite_of(suites / f"{table}.yaml") for table in rows}
    known = {f"{table}.{one.name}" for table, suite in expectations.items() for one in suite}
    if unknown := [name for name in params.only_warn if name.split(".")[0] in rows and name not in known]:
        raise StageError(f"params.yaml, validate.only_warn: no expectation named {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")

    checker = Checker()
    outcomes: list[Outcome] = []
    report = out / "report"
    report.mkdir(parents=True, exist_ok=True)
    for table, listed in rows.items():
        print(f"{table}: {len(listed)} rows", flush=True)
        found, page = checker.check(table, [columns_of(row) for row in listed], expectations[table], params.only_warn, params.examples)
        outcomes += found
        (report / f"{table}.html").write_text(page, encoding="utf-8")
    (report / "report.css").write_text(STYLE, encoding="utf-8")
    (report / "index.html").write_text(index(outcomes), encoding="utf-8")
    write_json(out / "metrics.json", {table: numbers(outcomes, table, len(listed)) for table, listed in rows.items()})

    if broken := [one for one in outcomes if one.blocking and not one.met]:
        raise StageError(
            f"{len(broken)} blocking expectations do not hold ({report}/index.html shows all):\n"
            + "\n".join(told(one) for one in broken)
            + "\nMend the files under data/ or their mapping in params.yaml, ingest.sources; or list the expectation in "
            "params.yaml, validate.only_warn, to go on with a warning.\n修正 data/ 里的文件或列映射；或写入 validate.only_warn，仅作警告。"
        )


def told(one: Outcome) -> str:
    """A broken expectation, with how often it is broken and where."""
    about = one.expectation.column or ", ".join(one.expectation.column_list)
    much = f"{one.broken} of {one.rows} rows" if one.broken else f"found {one.observed}"
    return "\n".join(
        [
            f"  {one.table}.{one.expectation.name}, column {about}: {much}. {one.expectation.why.en} {one.expectation.why.zh}",
            *(f"    {e}" for e in one.examples),
        ]
    )


def numbers(outcomes: list[Outcome], table: str, rows: int) -> dict[str, int]:
    own = [one for one in outcomes if one.table == table]
    return {
        "rows": rows,
        "expectations": len(own),
        "met": sum(one.met for one in own),
        "broken": sum(one.blocking and not one.met for one in own),
        "warned": sum(not one.blocking and not one.met for one in own),
    }


def index(outcomes: list[Outcome]) -> str:
    """The page to open first: every expectation, its outcome, and where it does not hold."""
    lines = []
    for one in sorted(outcomes, key=lambda one: (one.met, not one.blocking)):
        state = ("met", "met 符合") if one.met else ("broken", "broken 不符合") if one.blocking else ("warned", "warned 警告")
        much = "" if one.met and not one.broken else f"{one.broken} / {one.rows}" if one.broken else one.observed
        examples = "".join(f"<li>{escape(example)}</li>" for example in one.examples)
        cells = [
            state[1],
            f'<a href="{one.table}.html">{one.table}</a>',
            f"<code>{escape(one.expectation.name)}</code>",
            f"{escape(one.expectation.why.en)}<br>{escape(one.expectation.why.zh)}" + (f"<ul>{examples}</ul>" if examples else ""),
            escape(much),
        ]
        lines.append(f'<tr class="{state[0]}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return PAGE.format(rows="\n".join(lines))


PAGE = """<!DOCTYPE html>
<html lang="zh">
<head><meta charset="utf-8"><title>Data docs · 数据检查</title><link rel="stylesheet" href="report.css"></head>
<body>
<h1>Data docs · 数据检查</h1>
<p>What was expected of the rows under <code>out/ingest/tables</code>, and what holds. Broken blocking expectations stop the road;
warned rows are mended or dropped by <code>clean</code>.<br>
对读入数据的期望及结果：不符合者停止流程；警告者由 <code>clean</code> 修复或去掉。</p>
<table>
<tr><th>outcome 结果</th><th>table 表</th><th>expectation 期望</th><th>why and where 原因与位置</th><th>rows 行数</th></tr>
{rows}
</table>
</body>
</html>
"""

STYLE = """body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; color: #222; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #ccc; padding: .35rem .6rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
ul { margin: .2rem 0; padding-left: 1.2rem; color: #555; }
th, td a, td code { white-space: nowrap; }
.met td:first-child { background: #e3f3e3; }
.broken td:first-child { background: #f9d7d7; }
.warned td:first-child { background: #fdf0cc; }
.collapse { display: block; }
.fa-check-circle::before { content: "✓"; color: #2a7d2a; }
.fa-times::before { content: "✗"; color: #b32d2d; }
.fa-exclamation-triangle::before { content: "!"; color: #a67700; }
.cooltip .top { display: none; }
nav, footer, .navbar, #ge-cta-footer { display: none; }
"""


if __name__ == "__main__":
    start(run, Params, tables=Path("out/ingest/tables"), suites=Path("lingyu/expect"), out=Path("out/validate"))
