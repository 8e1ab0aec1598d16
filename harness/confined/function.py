"""A function on texts in a process of its own, as the harness calls it; `harness.confined.worker` is the other side."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.environment import worker_environment
from harness.errors import BrokenRunError, InvalidInputError
from harness.limits import RULE_SECONDS, TEXT_SECONDS, WORKER_BYTES

TEXTS_AT_ONCE = 256
CHARACTERS_AT_ONCE = 1 << 20
FUNCTIONS_KEPT = 16  # a suite has one schema and few validators; each keeps a process

# The very harness that runs here, and nothing else, is added to what Python finds by itself; -P keeps the current
# folder from shadowing any of it.
_START = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("harness", sys.argv[1])
sys.modules["harness"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["harness"])
from harness.confined.worker import main
main(*sys.argv[2:])
"""
_HARNESS = Path(__file__).parents[1] / "__init__.py"


@dataclass(frozen=True, slots=True)
class NoResult:
    """There is no result for a text, and why: it took too much."""

    why: str


class ConfinedFunction:
    """One function with its rule. Its process starts when it is first needed and ends with this object.

    Computing time and memory of the process are limited, so that neither the rule nor a text can hang the run, and a
    new process follows one that met its limit. For one thread.
    """

    def __init__(self, target: str, rule: Any) -> None:
        """`target` is "module:function" of what reads the rule, a JSON value, and returns the function on texts."""
        self._target, self._rule = target, rule
        self._worker: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None  # unknown

    def problem(self) -> str:
        """What makes the rule unusable; "" when it can be used."""
        if self._problem is None:
            self._problem = self._start()
        return self._problem

    def __call__(self, text: str) -> Any | NoResult:
        """The result for one text.

        Raises:
            InvalidInputError: the rule is unusable.
            BrokenRunError: the process ended for another reason than its own limits.
        """
        return self.map([text])[0]

    def map(self, texts: Sequence[str]) -> list[Any | NoResult]:
        """The result for each text, in their order; errors as for one."""
        if problem := self.problem():
            raise InvalidInputError(problem)
        return [result for batch in _batches(texts) for result in self._map(batch)]

    def _map(self, texts: list[str]) -> Iterator[Any | NoResult]:
        while texts:
            if self._worker is None and (problem := self._start()):
                raise InvalidInputError(problem)
            self._send(texts)
            answers = 0
            while answers < len(texts) and (reply := self._receive()):
                answer = json.loads(reply)
                yield NoResult(answer) if isinstance(answer, str) else answer[0]
                answers += 1
            if answers == len(texts):
                return
            self._refuse_other_ends()
            yield NoResult(f"it took over {TEXT_SECONDS:g} s of computing")
            texts = texts[answers + 1 :]

    def _start(self) -> str:
        limits = (RULE_SECONDS, TEXT_SECONDS, WORKER_BYTES)
        command = [sys.executable, "-P", "-c", _START, str(_HARNESS), self._target, *map(str, limits)]
        pipe = subprocess.PIPE
        self._worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=worker_environment())
        self._stop = weakref.finalize(self, _end, self._worker)
        self._send(self._rule)
        if reply := self._receive():
            return str(json.loads(reply))
        self._refuse_other_ends()
        return f"takes over {RULE_SECONDS:g} s of computing to be read"

    def _send(self, message: Any) -> None:
        assert self._worker is not None and self._worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, which the missing reply tells
            self._worker.stdin.write(json.dumps(message).encode("ascii") + b"\n")
            self._worker.stdin.flush()

    def _receive(self) -> bytes:
        """One line of the process; empty when it is gone."""
        assert self._worker is not None and self._worker.stdout is not None
        line = self._worker.stdout.readline()
        return line if line.endswith(b"\n") else b""

    def _refuse_other_ends(self) -> None:
        """Bury the process that is gone; BrokenRunError when it did not meet its limit of computing time."""
        assert self._worker is not None
        code, self._worker = self._worker.wait(), None
        self._stop()
        if code != -signal.SIGPROF:
            raise BrokenRunError(f"the process of {self._target} ended with code {code}")


class RememberedFunction(ConfinedFunction):
    """One that is asked about a text only once: answers repeat, and the report asks for what the scores were made of.

    `map` over many texts, before they are asked for one by one, spares a message for each.
    """

    def __init__(self, target: str, rule: Any) -> None:
        super().__init__(target, rule)
        self._known: dict[str, Any | NoResult] = {}

    def map(self, texts: Sequence[str]) -> list[Any | NoResult]:
        """The result for each text, in their order; errors as for one."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, super().map(new), strict=True))
        return [self._known[text] for text in texts]


@lru_cache(maxsize=FUNCTIONS_KEPT)
def remembered(target: str, rule: str) -> RememberedFunction:
    """The one function of this kind and rule, a JSON text, in this process."""
    return RememberedFunction(target, json.loads(rule))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in parts that a pipe takes soon."""
    batch, size = list[str](), 0
    for text in texts:
        if batch and (len(batch) == TEXTS_AT_ONCE or size + len(text) > CHARACTERS_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not sent any more
                pipe.close()
