"""Commands that `accelerate launch` starts in several processes at once."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness.environment import launched, launched_alone_in_vain, launched_sharded
from harness.errors import ExitCode, InvalidInputError

HEAD_START = 10.0  # seconds


def refuse_many_processes(suite: Path) -> None:
    """Refuse a command that one process runs; the first says why, and the others end with the same code.

    Raises:
        InvalidInputError: there are several, or weights are to be shared out.
    """
    index, count = launched()
    if index > 0:
        time.sleep(HEAD_START)  # the launcher ends all when the first one ends, and that one is to be heard
        sys.exit(int(ExitCode.INVALID))
    if launched_sharded():
        raise InvalidInputError("`run` answers with whole weights: start it without FSDP or DeepSpeed")
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
            "MASTER_ADDR is set and RANK is not: `accelerate launch --cpu --num_processes N` starts one process "
            "without MPI, whatever N; start several with `ACCELERATE_USE_CPU=true accelerate launch --multi_gpu "
            "--num_processes N ...`, or one without accelerate"
        )
    return launched()[0] == 0
