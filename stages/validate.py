"""validate: check the rows against the expectations; a broken blocking one stops here.

Reads   out/ingest/tables             the rows as they were read
        lingyu/validate                 a suite a table, for people to read and extend
        lingyu/text/word_lists.yaml      lists of words that the suites name, as well
Writes  out/validate/report           index.html, and the Data Docs page of each table
        out/validate/metrics.json     by table: rows, files, expectations, met, broken (blocking), warned; rows failing each
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field, NonNegativeInt

from lingyu.files import write_json
from lingyu.records import TABLES
from lingyu.stage import StageError, StageParams, start
from lingyu.validate.report import state_of, told, write_report
from lingyu.validate.run import Checker, Outcome
from lingyu.validate.suites import suite_of


class Params(StageParams):
    examples: NonNegativeInt = Field(5, description="Rows shown with each expectation that does not hold.")
    only_warn: list[str] = Field(
        [], description="Blocking expectations that only warn, for a corpus that is knowingly so: `dialogues.answer`."
    )


def run(params: Params, tables: Path, suites: Path, words: Path, out: Path) -> None:
    paths = {table: tables / f"{table}.parquet" for table in TABLES}
    rows = {table: count for table, path in paths.items() if (count := pq.read_metadata(path).num_rows)}
    if not rows:
        raise StageError(
            f"no row in {tables}: nothing to check. See out/ingest/rejected.jsonl for what was under data/ and why it gave none."
        )
    asked = {table: suite_of(suites, words, table) for table in rows}
    known = {f"{table}.{one.name}" for table, suite in asked.items() for one in suite.expectations}
    if unknown := [name for name in params.only_warn if name.split(".")[0] in rows and name not in known]:
        raise StageError(f"params.yaml, validate.only_warn: no expectation named {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")

    checker = Checker()
    outcomes: list[Outcome] = []
    pages: dict[str, str] = {}
    for table, suite in asked.items():
        print(f"{table}: {rows[table]} rows", flush=True)
        found, pages[table] = checker.check(paths[table], suite, params.only_warn, params.examples)
        outcomes += found
    metrics = {table: numbers([one for one in outcomes if one.table == table], paths[table]) for table in rows}
    write_report(out / "report", outcomes, metrics, pages)
    write_json(out / "metrics.json", metrics)

    if broken := [one for one in outcomes if state_of(one) == "broken"]:
        raise StageError(
            f"{len(broken)} blocking expectations do not hold ({out}/report/index.html shows all):\n"
            + "\n".join(told(one) for one in broken)
            + "\nMend the files under data/ or their mapping in params.yaml, ingest.sources; or list the expectation in "
            "params.yaml, validate.only_warn, to go on with a warning.\n修正 data/ 里的文件或列映射；或写入 validate.only_warn，仅作警告。"
        )


def numbers(outcomes: list[Outcome], path: Path) -> dict[str, Any]:
    """What `dvc metrics diff` compares: how many expectations hold, and how many rows break each."""
    states = [state_of(one) for one in outcomes]
    return {
        "rows": pq.read_metadata(path).num_rows,
        "files": len(pq.read_table(path, columns=["source"])["source"].unique()),
        "expectations": len(outcomes),
        "met": states.count("met"),
        "broken": states.count("broken"),
        "warned": states.count("warned"),
        "failing": {one.expectation.name: one.broken for one in outcomes},
    }


if __name__ == "__main__":
    start(
        run,
        Params,
        tables=Path("out/ingest/tables"),
        suites=Path("lingyu/validate"),
        words=Path("lingyu/text/word_lists.yaml"),
        out=Path("out/validate"),
    )
