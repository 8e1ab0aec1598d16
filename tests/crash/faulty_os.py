"""A disk that fails, or a process that dies, at the n-th call of `harness.files` to the operating system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from enum import Enum
from typing import Any

CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir", "close")
GROWING = ("write", "mkdir")  # what a disk that is full goes on refusing


class Fault(Enum):
    """What happens at the call."""

    KILL = "SIGKILL"
    FULL = "ENOSPC"
    BROKEN = "EIO"
    INTERRUPT = "SIGINT"


class Killed(BaseException):
    """The process is gone: nothing handles this, and nothing that is done afterwards reaches the disk."""


class FaultyOs:
    """In the place of `os`: the same but for one call, the n-th of those that change a disk.

    A write that fails has written a half. After a kill nothing changes the disk any more, and descriptors are closed,
    as they are when a process ends. Nothing is made durable for real, which would only take time.
    """

    def __init__(self, fault: Fault | None = None, at: int = 0) -> None:
        self._fault, self._at = fault, at
        self.calls, self._dead = 0, False

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in CALLS:
            return call
        return lambda *arguments, **settings: self._make(name, call, *arguments, **settings)

    def _make(self, name: str, call: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        if name == "fsync":
            call = _not_durable
        if self._dead:
            if name == "close":
                call(*arguments)
            raise Killed
        self.calls += 1
        if self.calls == self._at:
            self._fail(name, call, *arguments)
        if self._fault is Fault.FULL and 0 < self._at < self.calls and name in GROWING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments, **settings)

    def _fail(self, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        if name == "close":
            call(*arguments)
        if name == "write":
            descriptor, content = arguments
            os.write(descriptor, content[: len(content) // 2])
        match self._fault:
            case Fault.KILL:
                self._dead = True
                raise Killed
            case Fault.INTERRUPT:
                raise KeyboardInterrupt
            case Fault.FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case Fault.BROKEN:
                raise OSError(errno.EIO, os.strerror(errno.EIO))


def _not_durable(_: int) -> None:
    """Where fsync would be."""
