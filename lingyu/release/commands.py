"""`lingyu verify` and `lingyu rebuild`."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any, language: str) -> None:
    what = (
        "a folder, a version under releases/, huggingface:owner/name@version, modelscope:owner/name@version · 目录、版本号或 Hub 上的版本"
    )
    verify = commands.add_parser("verify", help="whether the files, signature and lineage of a release hold · 校验发布的文件、签名与溯源")
    verify.add_argument("release", metavar="RELEASE", help=what)
    verify.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="the public key that it should be signed with · 应使用的公钥")
    verify.add_argument("--lang", choices=["zh", "en"], default=language)
    verify.set_defaults(run=verify_release)
    rebuild = commands.add_parser("rebuild", help="make a release again, and compare · 从 git 与 DVC 远端重建发布并比较")
    rebuild.add_argument("release", metavar="RELEASE", help=what)
    rebuild.add_argument(
        "--from", dest="source", default=".", metavar="REPOSITORY", help="git repository; this folder by default · git 仓库"
    )
    rebuild.add_argument("--into", type=Path, metavar="FOLDER", help="for the clone; .lingyu/rebuild/… by default · 克隆目录")
    rebuild.add_argument("--lang", choices=["zh", "en"], default=language)
    rebuild.set_defaults(run=rebuild_release)


def verify_release(args: argparse.Namespace) -> int:
    """Exit status 1 where anything does not hold."""
    from lingyu.release import verify

    words = {
        "en": ("checked", "note", "FAULT", "The release is as its manifest says.", "The release is not what it should be: {} faults."),
        "zh": ("已检查", "说明", "问题", "该发布与其清单一致。", "该发布有 {} 处问题。"),
    }[args.lang]
    with verify.fetched(args.release) as folder:
        found = verify.verdict(folder, args.key, Path())
    for word, lines in zip(words, (found.checked, found.remarks, found.faults), strict=False):
        for line in lines:
            print(f"{word}: {line}")
    print(words[4].format(len(found.faults)) if found.faults else words[3])
    return 1 if found.faults else 0


def rebuild_release(args: argparse.Namespace) -> int:
    """Exit status 1 where the bytes differ."""
    from lingyu.files import short_hash
    from lingyu.release import verify
    from lingyu.release.rebuild import rebuild

    with verify.fetched(args.release) as folder:
        into = args.into or Path(".lingyu", "rebuild", short_hash(args.release)[:8])
        made = rebuild(folder, args.source, into)
    words = {
        "en": ("The bytes are the same", "The bytes differ", "stages", "files", "largest difference of a metric", "other here"),
        "zh": ("字节完全一致", "字节不同", "个阶段", "文件", "指标的最大差异", "本机不同"),
    }[args.lang]
    print(f"{words[0 if made.same else 1]}: {into} ({made.count - len(made.stages)}/{made.count} {words[2]})")
    for name, lines in ((words[3], made.files), (words[2], made.stages), (words[5], made.environment)):
        if lines:
            print(f"  {name}: {', '.join(lines)}")
    if not made.same and made.metrics:
        far = max(made.metrics, key=lambda one: abs(one[2] - one[1]))
        print(f"  {words[4]}: {far[0]} {far[1]:.4f} → {far[2]:.4f}")
        for name, then, now in made.metrics:
            print(f"    {name:32} {then:10.4f} {now:10.4f} {now - then:+.4f}")
    return 0 if made.same else 1
