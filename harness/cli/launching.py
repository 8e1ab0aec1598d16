"""Commands that `accelerate launch` starts in several processes at once."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.environment import launched, launched_alone_in_vain
from harness.errors import ExitCode, InvalidInputError


def refuse_many_processes(suite: Path) -> None:
    """Refuse a command that one process runs; the first says why, and the others end with the same code.

    Raises:
        InvalidInputError: there are several.
    """
    index, count = launched()
    if index > 0:
        sys.exit(int(ExitCode.INVALID))
    if count > 1:
        raise InvalidInputError(
            f"`run` was started in {count} processes, and answers in one: train with `accelerate launch ... -m harness "
            f"train {suite} --out adapter`, then judge with `harness run {suite} --adapter adapter`"
        )


def refuse_lost_processes() -> bool:
    """Whether this is the process that talks.

    Raises:
        InvalidInputError: several were asked for, and one was started.
    """
    if launched_alone_in_vain():
        raise InvalidInputError(
            "`accelerate launch --cpu --num_processes N` starts one process without MPI, whatever N; start several "
            "with `ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N ...`"
        )
    return launched()[0] == 0
