"""The command `lingyu` (`python -m lingyu` without installing): what a person asks of a run.

lingyu ledger [--source PATTERN]   where the rows went, from file to training row
"""

import argparse
import os
import sys
from pathlib import Path

from lingyu.account import WORDS, disagreements, read_account, shown


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 where there is nothing to show or the numbers do not add up."""
    parser = argparse.ArgumentParser(prog="lingyu")
    commands = parser.add_subparsers(dest="command", required=True)
    ledger = commands.add_parser("ledger", help="where the rows went, from file to training row · 每个文件的行去了哪里")
    ledger.add_argument("--source", metavar="PATTERN", help="only files like this, stage by stage; * reaches into folders · 只看这些文件")
    ledger.add_argument("--out", type=Path, default=Path("out"), help="the outputs of the stages · 各阶段的输出目录")
    ledger.add_argument("--lang", choices=["zh", "en"], default="zh" if os.environ.get("LANG", "").startswith("zh") else "en")
    asked = parser.parse_args(arguments)

    words, account = WORDS[asked.lang], read_account(asked.out, asked.source or "*")
    if not account.stages:
        print(words["none"].format(out=asked.out), file=sys.stderr)
        return 1
    if asked.source and not account.sources():
        print(words["unmatched"].format(pattern=asked.source), file=sys.stderr)
        return 1
    for line in shown(account, asked.lang, detailed=asked.source is not None):
        print(line)
    return 1 if any(disagreements(account)) else 0


if __name__ == "__main__":
    sys.exit(main())
