"""Each parser for ten minutes of computing: whatever the input, it is read, or refused as the parser declares.

HARNESS_FUZZ_SECONDS sets the time for each parser, HARNESS_FUZZ_SEED repeats a search.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parents[1]
for name in ("data", "scoring", "suite", "systems", "trust"):
    sys.path.append(str(TESTS / name))

from fuzzed_evidence import EVIDENCE  # noqa: E402
from fuzzed_handed import HANDED  # noqa: E402
from fuzzed_inputs import INPUTS, Entry, Parser  # noqa: E402
from mutation import inputs  # noqa: E402

from harness.limits import TEXT_SECONDS, WORKER_BYTES  # noqa: E402

pytestmark = pytest.mark.slow
ORDER = ("suite", "rows", "adapter", "trust", "reply", "json", "schema", "run", "benchmark", "registry", "rules")
PARSERS: Mapping[str, Parser] = {**INPUTS, **HANDED, **EVIDENCE}
SECONDS = float(os.environ.get("HARNESS_FUZZ_SECONDS", "600"))  # of computing
SEED = int(os.environ.get("HARNESS_FUZZ_SEED", "0")) or secrets.randbits(48)
MOST_SECONDS = 5.0  # of computing, for one input
FRAMES = 900  # that a parser may have on the stack: what Python allows, less what a command takes
TAKEN, REFUSED, FAULTY = b"t", b"r", b"f"


class TooSlowError(BaseException):
    """One input takes too long; no parser catches it."""


@dataclass
class Search:
    """What came of the inputs so far; `failures` has the shortest input of each kind of failure."""

    parser: Parser
    entries: Mapping[str, Entry]
    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    cut_off: int = 0
    slowest: tuple[float, str] = (0.0, "")
    failures: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def feed(self, name: str, content: bytes) -> None:
        begun = seconds_of_computing()
        run = apart if self.parser.confined else here
        outcome, told = run(self.parser, self.entries[name], content)
        seconds = seconds_of_computing() - begun
        self.slowest = max(self.slowest, (seconds, name))
        self.taken[name] += outcome == TAKEN
        self.refused[name] += outcome == REFUSED
        if outcome == FAULTY:
            self.note(name, content, told)
        elif told:
            self.cut_off += 1
        elif seconds > MOST_SECONDS:
            self.note(name, content, f"too slow\n{seconds:.1f} s of computing")

    def note(self, name: str, content: bytes, told: str) -> None:
        kind = f"{name}: {told.partition(chr(10))[0]}"
        if kind not in self.failures or len(content) < len(self.failures[kind][0]):
            self.failures[kind] = (content, told)


def seconds_of_computing() -> float:
    """Of this process and of those of its children that have ended."""
    return sum(os.times()[:4])


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End what takes more than so much computing, and what goes deeper than it could in a command."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    frame, depth, allowed = sys._getframe(), 0, sys.getrecursionlimit()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    before = signal.signal(signal.SIGPROF, stop)
    try:
        sys.setrecursionlimit(depth + FRAMES)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.setrecursionlimit(allowed)
        signal.signal(signal.SIGPROF, before)


def here(parser: Parser, entry: Entry, content: bytes) -> tuple[bytes, str]:
    """What came of an input, and of a failure what it was: its kind on the first line."""
    try:
        with limited(MOST_SECONDS + 1):
            return (TAKEN if entry.feed(content) else REFUSED), ""
    except parser.declared:
        return REFUSED, ""
    except BaseException as error:  # any other exception is what is looked for
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/harness/" in frame.filename] or frames
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return FAULTY, f"{type(error).__name__} at {where}\n{''.join(traceback.format_exception(error))[-4000:]}"


def apart(parser: Parser, entry: Entry, content: bytes) -> tuple[bytes, str]:
    """The same in a process with the limits of a confined worker; meeting one refuses the input, as it does there."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        signal.alarm(120)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES + held_bytes(), resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(TEXT_SECONDS) + 1, int(TEXT_SECONDS) + 1))
        outcome, told = here(parser, entry, content)
        os.write(writing, outcome + told.encode("utf-8", "replace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    if said:
        return said[:1], said[1:].decode()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL, signal.SIGPROF}:
        return REFUSED, "cut off"
    return FAULTY, f"ended with status {status}"


def held_bytes() -> int:
    """Of address space, by this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def search(parser: Parser, folder: Path, seconds: float) -> Search:
    found = Search(parser, parser.entries(folder))
    drawn = st.one_of(
        [
            st.tuples(st.just(name), entry.inputs if entry.inputs is not None else inputs(entry.given))
            for name, entry in found.entries.items()
        ]
    )
    until, batch = seconds_of_computing() + seconds, SEED
    while seconds_of_computing() < until:

        @seed(batch)
        @settings(
            max_examples=2000,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=drawn)
        def feed(case: tuple[str, bytes]) -> None:
            if seconds_of_computing() < until:
                found.feed(*case)

        feed()
        batch += 1
    return found


@pytest.mark.parametrize("name", ORDER)
def test_every_input_is_read_or_refused_as_declared_when_it_is_anything(name: str, tmp_path: Path) -> None:
    found = search(PARSERS[name], tmp_path, SECONDS)
    taken, refused = found.taken.total(), found.refused.total()
    print(
        f"\nfuzz {name}: {taken + refused:,} inputs, {taken:,} accepted, {refused:,} refused, "
        f"{found.cut_off:,} cut off, {len(found.failures)} kinds of failure, "
        f"slowest {found.slowest[0]:.2f} s ({found.slowest[1]}), {SECONDS:g} s, seed {SEED}",
        flush=True,
    )
    for place, (kind, (content, told)) in enumerate(found.failures.items()):
        path = tmp_path / f"failure-{place}"
        path.write_bytes(content)
        print(f"--- {kind}\n{path}: {content[:1500]!r}\n{told}", flush=True)
    assert list(found.failures) == []
    assert [entry for entry in found.entries if not found.taken[entry]] == []
    always = {entry for entry, how in found.entries.items() if how.always_odd}
    assert [entry for entry in found.entries if not found.refused[entry] and entry not in always] == []
