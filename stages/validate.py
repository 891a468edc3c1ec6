"""validate: check the rows against the expectations; a failed blocking expectation stops the pipeline.

Reads   out/ingest/tables             the rows as they were read
        lingyu/validate                 a suite a table, for people to read and extend
        lingyu/text/word_lists.yaml      word lists that the suites refer to
Writes  out/validate/report           index.html; warnings.json, what is broken without stopping
        out/validate/metrics.json     by table: rows, files, expectations, met, broken (blocking), warned; rows failing each
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field, NonNegativeInt

from lingyu.files import write_json
from lingyu.records import TABLES
from lingyu.stage import StageError, StageParams, start
from lingyu.validate.report import describe, state_of, write_report
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
            f"no rows in {tables}: nothing to check. See out/ingest/rejected.jsonl for the files under data/ and why they produced no rows."
        )
    by_table = {table: suite_of(suites, words, table) for table in rows}
    known = {f"{table}.{one.name}" for table, suite in by_table.items() for one in suite.expectations}
    if unknown := [name for name in params.only_warn if name.split(".")[0] in rows and name not in known]:
        raise StageError(f"params.yaml, validate.only_warn: unknown expectation {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")

    checker = Checker()
    outcomes: list[Outcome] = []
    for table, suite in by_table.items():
        print(f"{table}: {rows[table]} rows", flush=True)
        outcomes += checker.check(paths[table], suite, params.only_warn, params.examples)
    metrics = {table: numbers([one for one in outcomes if one.table == table], paths[table]) for table in rows}
    write_report(out / "report", outcomes, metrics)
    write_json(out / "report" / "warnings.json", [warning(one) for one in outcomes if state_of(one) == "warned"])
    write_json(out / "metrics.json", metrics)

    if broken := [one for one in outcomes if state_of(one) == "broken"]:
        raise StageError(
            f"{len(broken)} blocking expectations failed ({out}/report/index.html lists all):\n"
            + "\n".join(describe(one) for one in broken)
            + "\nFix the files under data/ or their mapping in params.yaml, ingest.sources; or add the expectation to "
            "params.yaml, validate.only_warn, to continue with a warning.\n"
            "请修正 data/ 中的文件或列映射；也可将该期望加入 validate.only_warn，只警告、不中止。"
        )


def numbers(outcomes: list[Outcome], path: Path) -> dict[str, Any]:
    """What `dvc metrics diff` compares: how many expectations passed, and how many rows fail each."""
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


def warning(one: Outcome) -> dict[str, Any]:
    """What `retrain` shows beside the verdict."""
    said = one.expectation.sentence
    extent = {"broken": one.broken, "rows": one.rows, "found": one.observed, "files": one.by_file}
    return {"expectation": f"{one.table}.{one.expectation.name}", "en": said.en, "zh": said.zh, **extent}


if __name__ == "__main__":
    start(
        run,
        Params,
        tables=Path("out/ingest/tables"),
        suites=Path("lingyu/validate"),
        words=Path("lingyu/text/word_lists.yaml"),
        out=Path("out/validate"),
    )
