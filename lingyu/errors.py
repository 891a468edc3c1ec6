"""Errors that the user can fix, as opposed to bugs."""

import errno
import os
import shutil
from pathlib import Path


class StageError(Exception):
    """An error that the person running the stage can fix. Shown without a traceback."""


class Unavailable(StageError):
    """Something outside, such as an endpoint or a hub, does not answer. Unlike other errors it may pass by itself: a flow tries again."""


UNAVAILABLE = os.EX_TEMPFAIL  # exit status of a stage that ends in Unavailable


def disk_is_full(error: Exception) -> bool:
    """Whether a full disk caused the error. Arrow, safetensors and torch only report it in the message; otherwise check the disk."""
    codes = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    words = [*map(os.strerror, codes), "iostream error", "PytorchStreamWriter failed writing"]
    of_file = isinstance(error, OSError) and error.errno in codes
    return of_file or any(word in str(error) for word in words) or no_room()


def no_room(folder: Path = Path(".")) -> bool:
    """Whether the disk of the folder is full."""
    return shutil.disk_usage(folder).free < 2**20


LEFT = (
    "Outputs of earlier runs are not lost: `dvc checkout` restores the outputs recorded in dvc.lock.\n"
    "以前的输出没有丢失：`dvc checkout` 可恢复 dvc.lock 中记录的输出。"
)
FULL = (
    "the disk is full or a file size limit was reached. Free some space and run `make repro` again; finished stages are not rerun.\n"
    "磁盘已满，或达到文件大小上限。请清理空间后重新运行 `make repro`；已完成的阶段不会重跑。"
)
