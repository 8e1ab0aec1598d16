"""The command line, in whose second process the kernel kills at step 7."""

from __future__ import annotations

import os
import signal
from typing import Any

from harness.cli.main import main
from harness.train.watch import ValidationWatch

measured = ValidationWatch.on_log


def killed(self: ValidationWatch, args: Any, state: Any, *more: Any, **settings: Any) -> None:
    if state.global_step == 7 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    measured(self, args, state, *more, **settings)


ValidationWatch.on_log = killed  # type: ignore[method-assign]
main()
