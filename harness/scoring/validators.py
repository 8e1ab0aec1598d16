"""Plug-in validators: a raw answer judged by a regular expression, an XML Schema or a grammar, within limits."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harness.errors import BrokenRunError, InvalidInputError
from harness.records import Score
from harness.scoring import validator_worker

Kind = Literal["regex_anywhere", "regex_whole", "xml_schema", "grammar"]

# Texts of different forms; a rule that takes all of them is no test of an answer.
PROBES = ("a", "0", "{}", "<a/>", "a b\nc")


class Validator:
    """One rule in a process of its own, which is started when it is first needed and ends with this object.

    The process limits its own computing time and memory (`validator_worker`), so that neither the rule nor a text
    can hang the run. For one thread.
    """

    def __init__(self, kind: Kind, rule: str) -> None:
        self._kind, self._rule = kind, rule
        self._worker: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None  # unknown

    def problem(self) -> str:
        """What makes the rule unusable, or that it accepts whatever it is given; "" when it can judge."""
        if self._problem is None:
            self._problem = self._start()
            if not self._problem and all(self.accepts(probe) for probe in PROBES):
                self._problem = "it accepts every text it was tried on, so it cannot find anything wrong"
        return self._problem

    def accepts(self, text: str) -> bool:
        """Whether the text, without white space around it, is accepted; one that takes too much is not.

        Raises:
            InvalidInputError: the rule is unusable.
            BrokenRunError: the process ended for another reason than its own limits.
        """
        if self._problem:
            raise InvalidInputError(self._problem)
        if self._worker is None and (problem := self._start()):
            raise InvalidInputError(problem)
        return self._ask(text) is True

    def _start(self) -> str:
        # By its path, since the file stands alone; -P keeps the folder it lies in from shadowing other modules.
        command = [sys.executable, "-P", str(Path(validator_worker.__file__))]
        self._worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stop = weakref.finalize(self, _end, self._worker)
        problem = self._ask([self._kind, self._rule])
        return (
            f"takes over {validator_worker.CPU_SECONDS:g} s of computing to be read"
            if problem is None
            else str(problem)
        )

    def _ask(self, message: Any) -> Any:
        """The reply of the process; None when it met its limit, and then it is gone."""
        worker = self._worker
        assert worker is not None and worker.stdin is not None and worker.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, which the missing reply tells
            worker.stdin.write(json.dumps(message).encode("ascii") + b"\n")
            worker.stdin.flush()
        if reply := worker.stdout.readline():
            return json.loads(reply)
        self._worker = None
        code = worker.wait()
        self._stop()
        if code != -signal.SIGPROF:
            raise BrokenRunError(f"the process that judges answers by {self._kind} ended with code {code}")
        return None


@cache
def validator(kind: Kind, rule: str) -> Validator:
    """The one validator of this rule in this process."""
    return Validator(kind, rule)


def accepted(text: str, *, by: Validator) -> Score:
    """1 when the validator accepts the raw text, else 0; also 0 when it takes too much, whichever system answered."""
    return Score(float(by.accepts(text)))


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not sent any more
                pipe.close()
