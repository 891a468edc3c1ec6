"""The command `lingyu` (`python -m lingyu` without installing): what a person asks of a run.

lingyu ledger [--source PATTERN]              where the rows went, from file to training row
lingyu review FILE                            take a reviewer's file into the corpus; `make review FILE=…` then updates data/
lingyu export --to llamafactory|datasets DIR  the training data alone, for other trainers
lingyu checkpoints [--remove STAGE|all]       what trainings that were killed or have ended left under .lingyu
"""

import argparse
import os
import sys
from pathlib import Path

from lingyu.ledger_report import WORDS, disagreements, of_data_before, read_account, shown
from lingyu.stage import StageError


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 where there is nothing to show, the numbers do not add up, or a person has something to mend."""
    parser = argparse.ArgumentParser(prog="lingyu")
    commands = parser.add_subparsers(dest="command", required=True)
    ledger = commands.add_parser("ledger", help="where the rows went, from file to training row · 每个文件的行去了哪里")
    ledger.add_argument("--source", metavar="PATTERN", help="only files like this, stage by stage; * reaches into folders · 只看这些文件")
    ledger.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    language = "zh" if os.environ.get("LANG", "").startswith("zh") else "en"
    ledger.add_argument("--lang", choices=["zh", "en"], default=language)
    ledger.set_defaults(run=show_ledger)
    review = commands.add_parser("review", help="take a reviewer's file into the corpus · 收回审核文件")
    review.add_argument("file", type=Path, metavar="FILE", help=".xlsx, .jsonl, or Label Studio's .json")
    review.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    review.set_defaults(run=take_review)
    export = commands.add_parser("export", help="the training data alone, for other trainers · 单独导出训练数据")
    export.add_argument("--to", required=True, choices=["llamafactory", "datasets"])
    export.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder · 新文件夹")
    export.add_argument("--test", action="store_true", help="the held-out tables too; never train on them · 连同测试集，切勿用于训练")
    export.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    export.set_defaults(run=export_data)
    checkpoints = commands.add_parser("checkpoints", help="what trainings left: list it, or remove it · 列出或删除训练留下的检查点")
    checkpoints.add_argument(
        "--remove", metavar="STAGE", help="of one stage (pretrain, sft@lora), or all; a run keeps its own · 阶段名或 all"
    )
    checkpoints.add_argument("--work", type=Path, default=Path(".lingyu"), help="where they are · 检查点目录")
    checkpoints.add_argument("--lang", choices=["zh", "en"], default=language)
    checkpoints.set_defaults(run=show_checkpoints)
    asked = parser.parse_args(arguments)
    try:
        status: int = asked.run(asked)
    except StageError as error:
        print(f"{asked.command}: {error}", file=sys.stderr)
        return 1
    return status


def show_ledger(asked: argparse.Namespace) -> int:
    words, account = WORDS[asked.lang], read_account(asked.out, asked.source or "*")
    if not account.stages:
        print(words["none"].format(out=asked.out), file=sys.stderr)
        return 1
    if asked.source and not account.sources():
        print(words["unmatched"].format(pattern=asked.source), file=sys.stderr)
        return 1
    for line in shown(account, asked.lang, detailed=asked.source is not None):
        print(line)
    if of_data_before(asked.out.absolute().parent):
        print(words["before"])
    return 1 if any(disagreements(account)) else 0


def take_review(asked: argparse.Namespace) -> int:
    from lingyu.review.import_decisions import bring, corpus_of

    made = asked.out / "generate" / "made"
    if not made.is_dir():
        raise StageError(f"{made} is not there: run `make repro` first, so that the decisions can be held against their rows.")
    brought = bring(asked.file, corpus_of(Path("data.dvc")), made)
    count, lost = len(brought.decisions), len(brought.unmet)
    print(f"{brought.path}: {count} decisions, {lost} of them not used. 收回 {count} 条决定，其中 {lost} 条没有用上。")
    for decision, reason in brought.unmet.items():
        print(f"  {decision.where}: {reason}: {decision.id}")
    return 0


def export_data(asked: argparse.Namespace) -> int:
    from lingyu.export import datasets_folder, llamafactory

    write = {"llamafactory": llamafactory.export, "datasets": datasets_folder.export}[asked.to]
    for name, count in write(asked.out / "mix", asked.folder, asked.test).items():
        print(f"{count:9,}  {name}")
    return 0


def show_checkpoints(asked: argparse.Namespace) -> int:
    from lingyu.checkpoint_report import ALL, kept_under, removed, shown

    found = kept_under(asked.work, asked.remove or ALL)
    for line in removed(found, asked.lang) if found and asked.remove else shown(found, asked.work, asked.lang):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
