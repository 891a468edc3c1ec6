"""`lingyu compare`: a page on which people compare answers without knowing whose they are, and what comes of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingyu.stage import StageError

if TYPE_CHECKING:
    from lingyu.judge.sources import Comparison


def add(compare: argparse.ArgumentParser, language: str) -> None:
    compare.add_argument(
        "targets",
        nargs="+",
        metavar="[NAME=]TARGET",
        help="runs of lingyu evaluate, candidates of params.yaml, or files of answers · 评测结果、候选模型或答案文件",
    )
    compare.add_argument("--items", type=Path, metavar="FILE", help="the questions, where the targets do not have them · 题目文件")
    compare.add_argument("--most", type=int, default=100, help="items, by a choice that stays; 0 for all · 题数上限，0 为全部")
    compare.add_argument("--votes", type=Path, action="append", default=[], metavar="FILE", help="further votes.jsonl · 其他机器上的投票")
    compare.add_argument("--results", action="store_true", help="print what came of it, without the page · 只显示结果")
    compare.add_argument("--json", type=Path, metavar="FILE", help="also write the results there · 将结果写入 JSON")
    compare.add_argument("--preferences", type=Path, metavar="FILE", help="write what people preferred as rows for ingest · 导出偏好数据")
    compare.add_argument("--port", type=int, default=0, help="of 127.0.0.1; any that is free by default · 端口")
    compare.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    compare.add_argument("--folder", type=Path, metavar="FOLDER", help="for the votes; .lingyu/compare/… by default · 投票目录")
    compare.add_argument("--lang", choices=["zh", "en"], default=language)
    compare.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from lingyu.files import short_hash, write_json, write_jsonl
    from lingyu.judge import results, sources, votes

    compared = sources.read(args.targets, args.items, args.out, args.most)
    folder = args.folder or Path(".lingyu", "compare", short_hash(*sorted(compared.names), str(args.items or ""))[:8])
    file = folder / "votes.jsonl"
    if not args.results and not args.preferences and args.judge is None:
        if not compared.pairings:
            raise StageError(f"{', '.join(compared.names)} answer all {len(compared.items)} items in the same words: nothing to compare.")
        serve(compared, file, args.port, args.lang)
    if wanted := args.judge_of(args):
        ask(compared, wanted, folder)
    given = votes.read([*([file] if file.exists() else []), *args.votes])
    found = results.results(compared, given, judged(folder), 1000, 0)
    print("\n".join(results.lines(found, args.lang)))
    write_json(folder / "results.json", found)
    if args.json:
        write_json(args.json, found)
    if args.preferences:
        rows, undecided = votes.preferences(compared.pairings, given)
        write_jsonl(args.preferences, rows)
        told = {
            "en": f"{args.preferences}: {len(rows)} preference pairs; {undecided} pairs without a majority are left out",
            "zh": f"{args.preferences}：{len(rows)} 条偏好数据；{undecided} 对没有多数意见，未导出",
        }
        print(told[args.lang])
    print(folder)
    return 0


def ask(compared: "Comparison", wanted: dict[str, Any], folder: Path) -> None:
    """What a model says of all pairs, kept beside the votes."""
    from lingyu.files import write_json
    from lingyu.judge import pairs
    from lingyu.judge.rubric import Judge

    judge = Judge.model_validate(wanted)
    found = pairs.judged(compared.pairings, judge, folder / "judge.jsonl")
    (folder / "judges").mkdir(parents=True, exist_ok=True)
    write_json(folder / "judges" / f"{judge.model.replace('/', '_')}.json", {"model": judge.model, **found})


def serve(compared: "Comparison", file: Path, port: int, language: str) -> None:
    """The page, until it is interrupted."""
    from lingyu.judge import votes
    from lingyu.judge.server import Serving, make_app

    with votes.Votes(file) as kept, Serving(make_app(compared.pairings, kept), port) as serving:
        print(
            f"{serving.url}  {len(compared.pairings)} 对回答待评；按 Ctrl+C 结束并显示结果"
            if language == "zh"
            else f"{serving.url}  {len(compared.pairings)} pairs to compare; Ctrl+C ends and shows the results",
            flush=True,
        )
        try:
            serving.wait()
        except KeyboardInterrupt:
            print()


def judged(folder: Path) -> dict[str, Any]:
    """What models that were asked before said."""
    from lingyu.files import read_json

    found = [read_json(path) for path in sorted((folder / "judges").glob("*.json"))]
    return {one.pop("model"): one for one in found}
