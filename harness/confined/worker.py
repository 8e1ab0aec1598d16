"""The process in which one function reads a rule and then works on text after text, both of which may be hostile.

The first line of its input is the rule, as JSON; it answers what is wrong with it, or "". Each later line is a JSON
list of texts; for each of them it answers a line, as soon as it is done: [result], or why there is none.

It limits itself: when the rule or a text takes more than its time of computing, the kernel ends the process with
SIGPROF, whatever C code is running.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

Result = TypeVar("Result")


class UnusableRuleError(Exception):
    """The rule itself is wrong; the message says why."""


def main(target: str, rule_seconds: str, text_seconds: str, memory_bytes: str) -> None:
    """Read the rule, then text after text until the input ends; `target` is "module:function" of what reads a rule."""
    import resource  # POSIX only, so not where the module is merely imported

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted harness closes the input, which ends this
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(memory_bytes) if hard == resource.RLIM_INFINITY else min(hard, int(memory_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    module, _, name = target.partition(":")
    # A line without its end is what an interrupted harness left.
    lines = (line for line in sys.stdin.buffer if line.endswith(b"\n"))
    if (rule := next(lines, None)) is None:
        return None
    try:
        function = _limited(getattr(import_module(module), name), json.loads(rule), float(rule_seconds))
    except UnusableRuleError as error:
        return _say(str(error))
    except (RecursionError, MemoryError):
        return _say("nested too deep or too large to be used")
    _say("")
    for line in lines:
        for text in json.loads(line):
            _say(_answer(function, text, float(text_seconds)))


def _answer(function: Callable[[str], Any], text: str, seconds: float) -> list[Any] | str:
    try:
        return [_limited(function, text, seconds)]
    except RecursionError:
        return "it is nested too deep"
    except MemoryError:
        return "it took more memory than it may"


def _limited(function: Callable[[Any], Result], value: Any, seconds: float) -> Result:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return function(value)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _say(answer: list[Any] | str) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
