"""The command `lingyu` (`python -m lingyu` without installing): what a person asks of a run.

lingyu ledger [--source PATTERN]              where the rows went, from file to training row
lingyu review FILE                            take a reviewer's file into the corpus; `make review FILE=…` then updates data/
lingyu export --to llamafactory|datasets DIR  the training data alone, for other trainers
lingyu params [STAGE]                         the values in force, and where each comes from
lingyu profile NAME, lingyu recipe NAME       write a profile or a recipe into params.yaml; `make recipe` also replaces data/
lingyu checkpoints [--remove STAGE|all]       what trainings that were killed or have ended left under .lingyu
"""

import argparse
import os
import sys
from pathlib import Path

from lingyu.ledger_report import WORDS, disagreements, of_data_before, read_account, shown
from lingyu.stage import PARAMS_FILE, StageError, read_params


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
    params = commands.add_parser("params", help="the values in force, and where each comes from · 当前取值及其来源")
    params.add_argument(
        "stage", nargs="?", metavar="STAGE", help="a stage or flow, or sft@lora; all stages by default · 阶段名，默认全部阶段"
    )
    params.add_argument("--reasons", action="store_true", help="also what each key means · 同时显示各项含义")
    params.add_argument("--markdown", action="store_true", help="docs/params.md: every key with its type, default and reason · 参数文档")
    params.add_argument("--lang", choices=["zh", "en"], default=language)
    params.set_defaults(run=show_params)
    profile = commands.add_parser("profile", help="write the sizes of a profile into params.yaml · 按机器规模改写 params.yaml")
    profile.add_argument("name", metavar="NAME", nargs="?", default="", help="of profiles/NAME.yaml · profiles/ 中的文件名")
    profile.set_defaults(run=write_into_params)
    recipe = commands.add_parser("recipe", help="write a recipe into params.yaml, after the profile · 按领域配方改写 params.yaml")
    recipe.add_argument("name", metavar="NAME", nargs="?", default="", help="of recipes/NAME.yaml · recipes/ 中的文件名")
    recipe.set_defaults(run=write_into_params)
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


def show_params(asked: argparse.Namespace) -> int:
    from lingyu.params import listing, page

    # The command knows the stages; nothing else of lingyu does.
    from stages.__main__ import documented, flows_of, items_of, section_of, stages_of

    sections, known = read_params(), [*stages_of(), *flows_of()]
    if asked.markdown:
        print(page.page(documented()), end="")
        return 0
    name, _, only = (asked.stage or "").partition("@")
    if name and name not in known:
        raise StageError(f"no stage or flow is named {name!r}. Known 可选: {', '.join(known)}.")
    written = listing.written_like()
    print("\n".join(listing.headlines(written, asked.lang)))
    for stage in [name] if name else stages_of():
        for item in [only] if only else items_of(stage, sections):
            print(f"\n{stage}@{item}" if item else f"\n{stage}")
            for line in listing.shown(listing.settings(section_of(stage), sections, stage, item), written, asked.lang, asked.reasons):
                print(line)
    return 0


def write_into_params(asked: argparse.Namespace) -> int:
    from lingyu.params.fields import value_text
    from lingyu.params.rewrite import PROFILES, RECIPES, known, rewritten

    folder = {"profile": PROFILES, "recipe": RECIPES}[asked.command]
    if asked.name not in (names := known(folder)):
        listed = "\n".join(f"  {name:12} {about}" for name, about in names.items())
        raise StageError(f"no {asked.command} is named {asked.name!r}. Known 可选:\n{listed}\nmake {asked.command} NAME=…")
    read_params()
    text, changes = rewritten(PARAMS_FILE.read_text(encoding="utf-8"), folder / f"{asked.name}.yaml")
    PARAMS_FILE.write_text(text, encoding="utf-8")
    for change in changes:
        new = "removed 删除" if change.new is None else value_text(change.new)
        print(
            f"  {change.key}: {new}"
            if isinstance(change.old, dict) or change.old is None
            else f"  {change.key}: {value_text(change.old)} → {new}"
        )
    print(f"{PARAMS_FILE} has {asked.command} {asked.name}: {len(changes)} values changed. `git diff {PARAMS_FILE}` shows them.")
    print(f"{PARAMS_FILE} 已按 {asked.name} 改写，共改动 {len(changes)} 项；可用 `git diff {PARAMS_FILE}` 查看。")
    return 0


def show_checkpoints(asked: argparse.Namespace) -> int:
    from lingyu.checkpoint_report import ALL, kept_under, removed, shown

    found = kept_under(asked.work, asked.remove or ALL)
    for line in removed(found, asked.lang) if found and asked.remove else shown(found, asked.work, asked.lang):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
