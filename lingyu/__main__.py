"""The command `lingyu` (`python -m lingyu` without installing).

lingyu ledger [--source PATTERN]              row counts of every file through all stages
lingyu ledger --since COMMIT                  what is new in the corpus since then: documents, and rows by part
lingyu review FILE                            import a reviewer's file into the corpus; `make review FILE=…` then updates data/
lingyu export --to llamafactory|datasets DIR  export the training data for other trainers
lingyu params [STAGE]                         the values in force, and where each comes from
lingyu profile NAME, lingyu recipe NAME       write a profile or a recipe into params.yaml; `make recipe` also replaces data/
lingyu recipes [NAME…|--all]                  list the systems that recipes rebuild; run some on their sample corpora and check them
lingyu plan [STAGE]                           memory, disk and time of each training, before it starts
lingyu evaluate TARGET --items FILE           a model's folder, an endpoint or a file of answers, asked the questions of a file
lingyu harness FOLDER --tasks NAME…           lm-evaluation-harness on a checkpoint, its results beside those of evaluate
lingyu track --to URI                         the last run in MLflow: parameters, metrics, report, registered model
lingyu diff RUN RUN                           which items two evaluations answer differently, and whether that is chance
lingyu compare A B [C…]                       a page on which people compare answers blind; win rates, Bradley–Terry, Elo, kappa
lingyu verify RELEASE [--key PUBLIC.pem]      whether the files, signature and lineage of a release hold
lingyu rebuild RELEASE                        make a release again from git and the DVC remote, and compare
lingyu checkpoints [--remove STAGE|all]       what trainings that were killed or have ended left under .lingyu
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from lingyu.judge import command as compare
from lingyu.ledger_report import WORDS, disagreements, is_outdated, read_account, render
from lingyu.release import commands as releases
from lingyu.stage import PARAMS_FILE, StageError, mapping_at, read_params


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 if there is nothing to show, the numbers do not balance, or there is an error to fix."""
    parser = argparse.ArgumentParser(prog="lingyu")
    commands = parser.add_subparsers(dest="command", required=True)
    ledger = commands.add_parser("ledger", help="row counts of every file through all stages · 各文件的数据行在每个阶段的去向")
    ledger.add_argument("--source", metavar="PATTERN", help="only matching files, stage by stage; * also matches / · 只显示匹配的文件")
    ledger.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    language = "zh" if os.environ.get("LANG", "").startswith("zh") else "en"
    ledger.add_argument("--since", metavar="COMMIT", help="what is new since then, in documents and rows · 自该提交以来新增的文件与行")
    ledger.add_argument("--lang", choices=["zh", "en"], default=language)
    ledger.set_defaults(run=show_ledger)
    review = commands.add_parser("review", help="import a reviewer's file into the corpus · 导入审核结果文件")
    review.add_argument("file", type=Path, metavar="FILE", help=".xlsx, .jsonl, or .json exported from Label Studio")
    review.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    review.set_defaults(run=take_review)
    export = commands.add_parser("export", help="export the training data for other trainers · 导出训练数据，供其他训练框架使用")
    export.add_argument("--to", required=True, choices=["llamafactory", "datasets"])
    export.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder · 新目录")
    export.add_argument(
        "--test", action="store_true", help="also export the held-out test tables; never train on them · 同时导出测试集，切勿用于训练"
    )
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
    recipes = commands.add_parser("recipes", help="list, run and check the recipes that rebuild known systems · 列出、运行并核对各系统配方")
    recipes.add_argument("names", metavar="NAME", nargs="*", help="run these in .lingyu/recipes · 运行这些配方")
    recipes.add_argument("--all", action="store_true", help="run all · 全部运行")
    recipes.add_argument("--jobs", type=int, default=1, help="so many at a time · 同时运行的个数")
    recipes.add_argument("--profile", default="tiny", help="the sizes, of profiles/ · 规模")
    recipes.add_argument("--page", type=Path, help="write the verdicts to this Markdown file · 将结果写入该文件")
    recipes.add_argument("--lang", choices=["zh", "en"], default=language)
    recipes.set_defaults(run=show_recipes)
    plan = commands.add_parser("plan", help="memory, disk and time of each training, before it starts · 训练前预估内存、磁盘与时间")
    plan.add_argument(
        "stage", nargs="?", metavar="STAGE", help="pretrain, reward, sft or sft@lora; all by default · 阶段名，默认全部训练阶段"
    )
    plan.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    plan.add_argument("--gpu", type=float, metavar="GIB", help="plan for a GPU of this memory, here or not · 按这一显存的 GPU 预估")
    plan.add_argument("--json", action="store_true", help="bytes and seconds, a line each · 以 JSON 输出字节数与秒数")
    plan.add_argument("--lang", choices=["zh", "en"], default=language)
    plan.set_defaults(run=show_plan)
    checkpoints = commands.add_parser("checkpoints", help="what trainings left: list it, or remove it · 列出或删除训练留下的检查点")
    checkpoints.add_argument(
        "--remove", metavar="STAGE", help="of one stage (pretrain, sft@lora), or all; a run keeps its own · 阶段名或 all"
    )
    checkpoints.add_argument("--work", type=Path, default=Path(".lingyu"), help="where they are · 检查点目录")
    checkpoints.add_argument("--lang", choices=["zh", "en"], default=language)
    checkpoints.set_defaults(run=show_checkpoints)
    add_evaluation(commands, language)
    comparing = commands.add_parser("compare", help="answers side by side, blind: people vote · 盲评：并排比较回答")
    compare.add(comparing, language)
    add_judge(comparing)
    comparing.set_defaults(judge_of=lambda args: judge_of(args, common_of()))
    releases.add(commands, language)
    args = parser.parse_args(arguments)
    try:
        status: int = args.run(args)
    except StageError as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return 1
    return status


def add_evaluation(commands: Any, language: str) -> None:
    evaluate = commands.add_parser("evaluate", help="ask a model the questions of a file · 用题目文件评测一个模型")
    evaluate.add_argument(
        "target", metavar="TARGET", help="a model's folder, http://…/v1, or a file of answers · 模型目录、接口地址或答案文件"
    )
    evaluate.add_argument("--items", type=Path, required=True, metavar="FILE", help="CSV, XLSX, JSONL, JSON, or a questions.parquet of mix")
    evaluate.add_argument("--model", default="", help="its name at the endpoint; the key is in LINGYU_EVALUATE_KEY · 接口中的模型名")
    evaluate.add_argument("--task", default="", help="what the questions are called, where the file does not say · 任务名")
    evaluate.add_argument("--column", action="append", default=[], metavar="OURS=THEIRS", help="question=题干 · 列名对应")
    add_judge(evaluate)
    evaluate.add_argument("--people", type=Path, metavar="FILE", help="people's scores: id and a column each criterion · 人工打分文件")
    evaluate.add_argument("--out", type=Path, metavar="FOLDER", help="for the run; .lingyu/evaluate/… by default · 结果目录")
    evaluate.add_argument("--lang", choices=["zh", "en"], default=language)
    evaluate.set_defaults(run=run_evaluation)
    harness = commands.add_parser("harness", help="lm-evaluation-harness on a checkpoint · 用 lm-evaluation-harness 评测检查点")
    harness.add_argument("model", type=Path, metavar="FOLDER", help="of a model: out/select/model, out/sft/lora/model · 模型目录")
    harness.add_argument("--tasks", nargs="+", required=True, metavar="NAME", help="of the harness, or of --include · 任务名")
    harness.add_argument("--include", type=Path, metavar="FOLDER", help="task YAMLs of your own · 自备任务的目录")
    harness.add_argument("--python", default="", help="of another environment that has lm-eval · 装有 lm-eval 的其他环境的 Python")
    harness.add_argument("--chat", action="store_true", help="ask by the chat template · 使用对话模板")
    harness.add_argument("--shots", type=int, help="examples before each question; the task's own number by default · 示例数")
    harness.add_argument("--limit", type=int, help="only so many items of a task, to try it · 每个任务的题目数")
    harness.add_argument("--online", action="store_true", help="fetch data that are not on this machine · 允许下载数据")
    harness.add_argument("--out", type=Path, metavar="FILE", help="JSON; .lingyu/harness/… by default · 结果文件")
    harness.add_argument("--lang", choices=["zh", "en"], default=language)
    harness.set_defaults(run=run_harness)
    track = commands.add_parser("track", help="the last run in MLflow · 把最近一次运行记录到 MLflow")
    track.add_argument("--to", default="", metavar="URI", help="http://… or sqlite:///…; else MLFLOW_TRACKING_URI · 服务地址")
    track.add_argument("--experiment", default="lingyu", help="its name in MLflow · 实验名")
    track.add_argument("--register", default="", metavar="NAME", help="also as a version of this registered model · 注册为该模型的一个版本")
    track.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    track.set_defaults(run=run_track)
    diff = commands.add_parser("diff", help="what changed between two evaluations · 对比两次评测")
    diff.add_argument("before", type=Path, metavar="RUN", help="a folder of lingyu evaluate, or predictions (.parquet)")
    diff.add_argument("after", type=Path, metavar="RUN")
    diff.add_argument("--show", type=int, default=5, help="fixed and broken items to print · 显示的题目数")
    diff.add_argument("--lang", choices=["zh", "en"], default=language)
    diff.set_defaults(run=show_diff)


def add_judge(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--judge",
        nargs="?",
        const="",
        metavar="URL",
        help="a language model judges, too: that of evaluate.common.judge, or at this address · 由语言模型评审",
    )
    command.add_argument("--judge-model", default="", help="its name there; the key is in LINGYU_JUDGE_KEY · 评审模型名")


def common_of() -> dict[str, Any]:
    sections = read_params() if PARAMS_FILE.exists() else {}
    return mapping_at(sections, "evaluate", "common") if "common" in sections.get("evaluate", {}) else {}


def judge_of(args: argparse.Namespace, common: dict[str, Any]) -> dict[str, Any]:
    """The judge that the command asks for: none, that of params.yaml, or one at another address."""
    if args.judge is None:
        if getattr(args, "people", None):
            raise StageError("--people compares people's scores with a judge's: name one by --judge.")
        return {}
    own = dict(common.get("judge") or {})
    if args.judge:
        own["base_url"] = args.judge
    if args.judge_model:
        own["model"] = args.judge_model
    if not own.get("base_url") or not own.get("model"):
        raise StageError("which judge? Write --judge URL --judge-model NAME, or set evaluate.common.judge in params.yaml.")
    from pydantic import ValidationError

    from lingyu.judge.rubric import Judge

    try:
        Judge.model_validate(own)
    except ValidationError as error:
        raise StageError(
            f"the judge: {'; '.join('.'.join(map(str, fault['loc'])) + ': ' + fault['msg'] for fault in error.errors())}"
        ) from None
    return own


def run_evaluation(args: argparse.Namespace) -> int:
    from lingyu.evaluate import run
    from lingyu.evaluate.settings import Settings
    from lingyu.files import read_json, short_hash
    from lingyu.select.names import name_of

    common = common_of()
    settings = Settings.model_validate({"checkpoint": args.target, **common, "judge": judge_of(args, common)})
    if wrong := [column for column in args.column if "=" not in column]:
        raise StageError(f"--column {wrong[0]}: write OURS=THEIRS, such as question=题干.")
    columns = dict(column.split("=", 1) for column in args.column)
    out = args.out or Path(".lingyu", "evaluate", short_hash(args.target, args.model, args.items.as_posix())[:8])
    record = run.evaluate(args.target, args.items, out, settings, args.task, columns, args.model, args.people)
    for line in run.table(read_json(out / "metrics.json"), lambda metric: getattr(name_of(metric), args.lang)):
        print(line)
    for line in run.remarks(record):
        print(line)
    print(out)
    return 0


def run_track(args: argparse.Namespace) -> int:
    from lingyu.track import track

    run, new = track(args.out, Path("dvc.lock"), args.to, args.experiment, args.register)
    print(f"{run} {'is new 新建' if new else 'was there already 已存在'}")
    return 0


def run_harness(args: argparse.Namespace) -> int:
    from lingyu.evaluate import harness, run
    from lingyu.files import short_hash
    from lingyu.select.names import name_of

    record = harness.run(args.model, args.tasks, args.include, args.python, args.chat, args.shots, args.limit, args.online)
    mine = harness.ours(args.model, Path("out", "evaluate"))
    out = args.out or Path(".lingyu", "harness", f"{short_hash(str(record['files']), *args.tasks)[:8]}.json")
    harness.save({**record, "ours": {"checkpoint": mine[0], "dev": mine[1]} if mine else None}, out)
    print(f"lm-evaluation-harness {record['harness']}, transformers {record['transformers']}")
    for line in harness.lines(record):
        print(line)
    if mine:
        print({"en": f"evaluate@{mine[0]}, dev items", "zh": f"evaluate@{mine[0]}，开发集"}[args.lang])
        for line in run.table(mine[1], lambda metric: getattr(name_of(metric), args.lang)):
            print(line)
    print(out)
    return 0


def show_diff(args: argparse.Namespace) -> int:
    from lingyu.evaluate import run
    from lingyu.evaluate.metrics import named
    from lingyu.select.names import name_of
    from lingyu.select.report import figure, format_p, signed

    found = run.diff(args.before, args.after)
    words = {
        "en": ("items in common", "only before", "only after", "fixed", "broken"),
        "zh": ("道共同题目", "道仅在前者", "道仅在后者", "由错变对", "由对变错"),
    }[args.lang]
    print(f"{found.shared} {words[0]}, {found.only_before} {words[1]}, {found.only_after} {words[2]}")
    for name, change in found.changes.items():
        if not named(name).detail:
            before, after = figure(change["before_value"], name), figure(change["after_value"], name)
            title, moved = getattr(name_of(name), args.lang), f"{signed(change['difference'], name)}, p {format_p(change['chance'])}"
            print(f"  {title:44} {before:>8} → {after:>8}  {moved}  n = {change['count']}")
    for word, pairs in ((words[3], found.fixed), (words[4], found.broken)):
        print(f"{word}: {len(pairs)}")
        for row, new in pairs[: args.show]:
            print(f"  {row.id}  {one_line(row.prompt)}\n    = {one_line(row.answer)}")
            print(f"    - {one_line(row.reply)}\n    + {one_line(new.reply)}")
    return 0


def one_line(text: str, most: int = 100) -> str:
    """The end of a longer text: that of a prompt is its question."""
    whole = " ".join(text.split())
    return whole if len(whole) <= most else f"…{whole[-most:]}"


def show_ledger(args: argparse.Namespace) -> int:
    if args.since:
        from lingyu.retrain.new_data import State, compared

        print(compared(State.at(args.since), State.now(sorted(Path().glob("?*.dvc")))).markdown())
        return 0
    words, account = WORDS[args.lang], read_account(args.out, args.source or "*")
    if not account.stages:
        print(words["none"].format(out=args.out), file=sys.stderr)
        return 1
    if args.source and not account.sources():
        print(words["unmatched"].format(pattern=args.source), file=sys.stderr)
        return 1
    for line in render(account, args.lang, detailed=args.source is not None):
        print(line)
    if is_outdated(args.out.absolute().parent):
        print(words["before"])
    return 1 if any(disagreements(account)) else 0


def take_review(args: argparse.Namespace) -> int:
    from lingyu.review.import_decisions import corpus_of, import_file

    made = args.out / "generate" / "made"
    if not made.is_dir():
        raise StageError(f"{made} not found: run `make repro` first, so that the decisions can be matched to their rows.")
    imported = import_file(args.file, corpus_of(Path("data.dvc")), made)
    count, unused = len(imported.decisions), len(imported.unmet)
    print(f"{imported.path}: {count} decisions imported, {unused} of them not used. 已导入 {count} 条审核决定，其中 {unused} 条未采用。")
    for decision, reason in imported.unmet.items():
        print(f"  {decision.where}: {reason}: {decision.id}")
    return 0


def export_data(args: argparse.Namespace) -> int:
    from lingyu.export import datasets_folder, llamafactory

    write = {"llamafactory": llamafactory.export, "datasets": datasets_folder.export}[args.to]
    for name, count in write(args.out / "mix", args.folder, args.test).items():
        print(f"{count:9,}  {name}")
    return 0


def show_params(args: argparse.Namespace) -> int:
    from lingyu.params import listing, page

    # The command knows the stages; nothing else of lingyu does.
    from stages.__main__ import documented, flows_of, items_of, section_of, stages_of

    sections, known = read_params(), [*stages_of(), *flows_of()]
    if args.markdown:
        print(page.page(documented()), end="")
        return 0
    name, _, only = (args.stage or "").partition("@")
    if name and name not in known:
        raise StageError(f"no stage or flow is named {name!r}. Known 可选: {', '.join(known)}.")
    written = listing.written_like()
    print("\n".join(listing.headlines(written, args.lang)))
    for stage in [name] if name else stages_of():
        for item in [only] if only else items_of(stage, sections):
            print(f"\n{stage}@{item}" if item else f"\n{stage}")
            for line in listing.shown(listing.settings(section_of(stage), sections, stage, item), written, args.lang, args.reasons):
                print(line)
    return 0


def write_into_params(args: argparse.Namespace) -> int:
    from lingyu.params.fields import value_text
    from lingyu.params.rewrite import PROFILES, RECIPES, known, rewritten

    folder = {"profile": PROFILES, "recipe": RECIPES}[args.command]
    if args.name not in (names := known(folder)):
        listed = "\n".join(f"  {name:12} {about}" for name, about in names.items())
        raise StageError(f"no {args.command} is named {args.name!r}. Known 可选:\n{listed}\nmake {args.command} NAME=…")
    read_params()
    text, changes = rewritten(PARAMS_FILE.read_text(encoding="utf-8"), folder / f"{args.name}.yaml")
    PARAMS_FILE.write_text(text, encoding="utf-8")
    for change in changes:
        new = "removed 删除" if change.new is None else value_text(change.new)
        print(
            f"  {change.key}: {new}"
            if isinstance(change.old, dict) or change.old is None
            else f"  {change.key}: {value_text(change.old)} → {new}"
        )
    print(f"{PARAMS_FILE} has {args.command} {args.name}: {len(changes)} values changed. `git diff {PARAMS_FILE}` shows them.")
    print(f"{PARAMS_FILE} 已按 {args.name} 改写，共改动 {len(changes)} 项；可用 `git diff {PARAMS_FILE}` 查看。")
    return 0


def show_recipes(args: argparse.Namespace) -> int:
    """Exit status 1 also where a check does not hold."""
    from lingyu.recipes import recipe as read
    from lingyu.recipes.listing import listed
    from lingyu.recipes.run import last_verdict, lines_of, page, run, run_all

    known = read.recipes()
    chosen = known if args.all else [read.named(name) for name in args.names]
    if not chosen:
        print("\n".join(listed(known, {one.name: last_verdict(one.name) for one in known}, args.lang)))
        return 0
    if len(chosen) == 1:
        made = [run(chosen[0], args.profile)]
        print("\n".join(lines_of(made[0], args.lang)))
    else:
        made = run_all(chosen, args.jobs, args.profile)
    if args.page:
        verdicts = {one.name: last_verdict(one.name) for one in known}
        args.page.write_text(page(known, {name: one for name, one in verdicts.items() if one}), encoding="utf-8")
    for one in chosen if len(chosen) == 1 else []:
        print(f"report 报告: .lingyu/recipes/{one.name}/out/select/report.html")
        print(f"service 服务: bentoml serve $PWD/.lingyu/recipes/{one.name}/out/package/bento")
    return 0 if all(one["holds"] for one in made) else 1


def show_plan(args: argparse.Namespace) -> int:
    """Exit status 1 also where a training cannot fit."""
    from lingyu.plan import STAGES, planned
    from lingyu.train import machine

    machine.assumed = args.gpu and args.gpu * 2**30
    # The command knows the stages; nothing else of lingyu does.
    from stages.__main__ import base_of, params_of

    name, _, only = (args.stage or "").partition("@")
    if name and name not in STAGES:
        raise StageError(f"{args.stage!r} is no training. Trainings 训练阶段: {', '.join(STAGES)}.")
    sections, fits = read_params(), True
    base = base_of(sections) if "base" in sections else None
    for stage in [name] if name else [stage for stage in STAGES if stage in sections]:
        for item in [only] if only else list(sections[stage].get("candidates", [None]) if sections[stage] else [None]):
            made = planned(stage, item, params_of(stage).load(stage, item), args.out, base, args.lang)
            print(*made.as_lines(args.json), sep="\n", flush=True)
            fits = fits and made.fits
    return 0 if fits else 1


def show_checkpoints(args: argparse.Namespace) -> int:
    from lingyu.checkpoint_report import ALL, kept_under, removed, shown

    found = kept_under(args.work, args.remove or ALL)
    for line in removed(found, args.lang) if found and args.remove else shown(found, args.work, args.lang):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
