"""What a run made, in git: data.dvc and dvc.lock on a branch, a tag, both pushed where there is a remote."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lingyu.stage import StageError


def check(branch: str, files: Sequence[Path]) -> None:
    """Before hours of work: raises StageError if they could not be committed, or would not belong to the code that made them."""
    git("var", "GIT_COMMITTER_IDENT")
    changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    if foreign := [path for path in changed if Path(path) not in files]:
        raise StageError(f"not committed: {', '.join(foreign)}. A run that commits its result starts from what is committed. Commit first.")
    if branch != current() and git("branch", "--list", branch):
        raise StageError(
            f"the branch {branch} exists, but this folder is on {current()}. `git switch {branch}`, then `git merge {current()}`; or "
            "choose another retrain.branch."
        )


def committed(branch: str, files: Sequence[Path], message: str) -> str | None:
    """Commit these files, and nothing else, on the branch, which is created if need be; the commit, or None if nothing changed."""
    there = [str(file) for file in files if file.exists()]
    if not git("status", "--porcelain", "--", *there):
        return None
    if branch != current():
        git("switch", "--quiet", "--create", branch)
    git("add", "--", *there)
    git("commit", "--quiet", "--message", message, "--", *there)
    return git("rev-parse", "--short", "HEAD")


def snapshot(files: Sequence[Path], message: str) -> str:
    """A commit of HEAD with these files as they are now, on no branch; neither index nor branch change."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git("read-tree", "HEAD", **index)
        git("add", "--force", "--", *(str(file) for file in files if file.exists()), **index)
        return git("commit-tree", git("write-tree", **index), "-p", "HEAD", "-m", message)


def remote() -> str:
    """The git remote, origin if there are several; "" if there is none."""
    remotes = git("remote").splitlines()
    return "origin" if "origin" in remotes else next(iter(remotes), "")


def tagged(name: str, message: str) -> None:
    git("tag", "--annotate", "--force", "--message", message, name)


def pushed(branch: str, *tags: str) -> bool:
    """Push branch and tags; whether there is a remote."""
    if not (to := remote()):
        return False
    git("push", "--quiet", to, branch, *(f"refs/tags/{tag}" for tag in tags))
    return True


def current() -> str:
    """The branch of this folder; empty where a commit is checked out."""
    return git("branch", "--show-current")


def git(*words: str, **environment: str) -> str:
    more = {**os.environ, **environment}
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=more)
    if done.returncode:
        raise StageError(f"`git {' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.rstrip()
