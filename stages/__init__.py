"""One module a stage of dvc.yaml: what it reads, what it does, what it writes."""

import sys

if sys.argv[0] == "-m":  # `python -m stages.<name>` looks its module up: this process is a stage, and its imports are part of its time
    from lingyu.runtime import collect_rarely

    collect_rarely()
