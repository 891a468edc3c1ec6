"""What a person can put right, and how it is told from what nobody foresaw."""

import errno
import os
import shutil
from pathlib import Path


class StageError(Exception):
    """Something the person running the stage can put right. Shown without a traceback."""


def disk_is_full(error: Exception) -> bool:
    """Whether an error comes of it. Arrow and safetensors only say so in words, torch that writing failed; else the disk is asked."""
    told = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    words = [*map(os.strerror, told), "iostream error", "PytorchStreamWriter failed writing"]
    of_file = isinstance(error, OSError) and error.errno in told
    return of_file or any(word in str(error) for word in words) or no_room()


def no_room(folder: Path = Path(".")) -> bool:
    """Whether the disk of the folder has no room left to write into."""
    return shutil.disk_usage(folder).free < 2**20


LEFT = (
    "Nothing made by an earlier run is lost: `dvc checkout` brings back the outputs that belong to dvc.lock.\n"
    "以前的产出没有丢失：`dvc checkout` 恢复与 dvc.lock 对应的产出。"
)
FULL = (
    "the disk is full, or a limit on files is reached. Free some space and run `make repro` again; what is finished is not made twice.\n"
    "磁盘已满，或达到了文件大小的限额。请腾出空间再运行 `make repro`；已完成的部分不会重做。"
)
