"""Kill this process at its nth change of a file, or refuse that change: ``TOWERMILL_FAULT``.

On the path of a process that is to be disturbed, Python imports this as it starts. Python tells of
each call that opens, renames or removes a file before it is made. What native code writes (Polars,
Arrow, TensorFlow) is not counted; changes around it are.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

#: Events of the interpreter that change files; ``open`` if it may write.
_CHANGES = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate"),
    *("shutil.copyfile", "shutil.move"),
}
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _disturb(told: str) -> None:
    """Act on ``<kill|refuse|count>:<n>:<folder>``: only changes below the folder count."""
    action, number, folder = told.split(":", 2)
    state = {"count": 0, "done": False}

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if state["done"] or not _changes(event, arguments):
            return
        if not any(str(one).startswith(folder) for one in arguments[:2]):
            return
        state["count"] += 1
        if action == "count":
            os.write(int(number), b".")
        elif state["count"] == int(number):
            state["done"] = True
            if action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)


def _changes(event: str, arguments: tuple[object, ...]) -> bool:
    if event != "open":
        return event in _CHANGES
    _, mode, flags = arguments[:3]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wxa+")
    return isinstance(flags, int) and bool(flags & _WRITE)


if told := os.environ.pop("TOWERMILL_FAULT", ""):
    _disturb(told)
