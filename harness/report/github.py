"""A judged run as GitHub Actions reads it: annotations at the suite's lines, a step's outputs, text without commands.

The runner looks for commands in every line of standard output and standard error alike (actions/runner,
Runner.Worker/Handlers/ScriptHandler.cs and OutputManager.cs), and takes back exactly the escapes that are made here
(Runner.Common/ActionCommand.cs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.findings import CheckResult, Status
from harness.report.formatting import UNSAFE, clean, clip, one_line

if TYPE_CHECKING:  # reading suites takes libraries that inert text does not need
    from harness.suite.checks import CheckSpec
    from harness.suite.load import LoadedSuite

SHOWN = 10  # annotations of each kind that GitHub keeps of a step
MESSAGE_LIMIT = 1_000  # characters
SUMMARY_LIMIT = 1024 * 1024  # bytes of a step's summary; a longer one is not shown at all

Kind = Literal["error", "warning"]
KINDS: tuple[Kind, ...] = ("error", "warning")

_WORDS: dict[Status, str] = {"pass": "passed", "fail": "failed", "undecided": "undecided"}
# What a declaration calls the thing it speaks of, which stands in the name of its results.
_SUBJECTS = ("scorer", "benchmark", "judge", "prompts")
# The runner compares by the rules of a language, which see neither white space nor marks without width, so all that
# is not printable ASCII may stand before and between the characters of a command.
_COMMAND = re.compile(r"(?:\A|(?<=[\r\n]))(?=[^!-9;-~\r\n]*:[^!-~\r\n]*:)")
# Azure Pipelines and TeamCity name what they obey: ##vso[...], ##teamcity[...].
_OLD_COMMAND = re.compile(r"#[^!-~\r\n]*#(?=[^!-~\r\n]*(?:[A-Za-z]\w*)?\[)")


def check_annotations(checks: Sequence[CheckResult], suite: LoadedSuite, file: str | None) -> tuple[str, ...]:
    """Return one command for each check that tells against the candidate, at most ten errors and ten warnings.

    An error is a blocking check that failed; a warning is a blocking one that is undecided, or a failed one that does
    not block. `file` is the suite's path in the checkout, None when it is not there.
    """
    found: list[str] = []
    for kind in KINDS:
        wanted = sorted((check for check in checks if _kind(check) == kind), key=lambda check: not check.blocking)
        shown = wanted if len(wanted) <= SHOWN else wanted[: SHOWN - 1]
        found += [_annotation(kind, check, suite, file) for check in shown]
        if more := len(wanted) - len(shown):
            found.append(
                _command(kind, "The summary of this step lists every check.", {"title": f"{more} more checks"})
            )
    return tuple(found)


def outputs(values: Mapping[str, str]) -> str:
    """Return what a step appends to its output file; a value may have any characters and lines."""
    text = ""
    for name, value in values.items():
        end = "END"
        while end in value:
            end += "_"
        text += f"{name}<<{end}\n{value}\n{end}\n"
    return text


def inert(text: str) -> str:
    """Return text in which the runner finds no command: a backslash stands where one would begin."""
    return _COMMAND.sub(r"\\", _OLD_COMMAND.sub(lambda match: match[0] + "\\", text))


def inert_json(text: str) -> str:
    """Return the same JSON value, on one line as before, in which neither runner nor terminal finds a command."""
    text = _OLD_COMMAND.sub(lambda match: match[0].replace("#", "\\u0023"), text)
    return UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _kind(check: CheckResult) -> Kind | None:
    if check.status == "fail":
        return "error" if check.blocking else "warning"
    return "warning" if check.status == "undecided" and check.blocking and not check.accepted else None


def _annotation(kind: Kind, check: CheckResult, suite: LoadedSuite, file: str | None) -> str:
    told = check.reason + (f"; to settle it: {check.needs}" if check.needs else "")
    place = {} if file is None else {"file": clean(file), "line": str(_line(check, suite))}
    title = one_line(clean(f"{check.name} {_WORDS[check.status]}"))
    return _command(kind, clip(one_line(clean(told)), MESSAGE_LIMIT), {**place, "title": title})


def _command(kind: Kind, message: str, properties: Mapping[str, str]) -> str:
    listed = ",".join(f"{name}={_escape(value, also=':,')}" for name, value in properties.items())
    return f"::{kind} {listed}::{_escape(message)}"


def _escape(text: str, *, also: str = "") -> str:
    for character in "%\r\n" + also:  # the per cent sign first, since the others are written with it
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _line(check: CheckResult, suite: LoadedSuite) -> int:
    """The line that declares a check, or the checks, where it is one that is always on."""
    places = _places(check, suite.suite.checks)
    return next((suite.lines[place] for place in places if place in suite.lines), 1)


def _places(check: CheckResult, declared: Sequence[CheckSpec]) -> Iterable[str]:
    """Keys of the suite's lines, the likeliest first: the very declaration, one of its kind and name, all checks."""
    alike = [
        (f"checks.{number}", spec)
        for number, spec in enumerate(declared)
        if spec.kind == check.kind and f"{check.name}/".startswith(f"{spec.name or spec.kind}/")
    ]
    yield from (place for place, spec in alike if _declares(spec, check.name))
    yield from (place for place, _ in alike)
    yield "checks"


def _declares(spec: CheckSpec, name: str) -> bool:
    head, _, tag = name.partition("[")
    subject = "".join(f"/{value}" for key in _SUBJECTS if (value := getattr(spec, key, None)) is not None)
    of_tag = tag.removesuffix("]") == (getattr(spec, "tag", None) or "")
    return of_tag and f"{head}/".startswith(f"{spec.name or spec.kind}{subject}/")
