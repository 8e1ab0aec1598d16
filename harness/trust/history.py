"""The committed log of verdicts, `baselines/<suite>/verdicts.jsonl`: what was judged, when, and how it ended.

A verdict file cannot know what was found after it; the log can. It stands beside the count of looks and not in it:
a look is counted once for a candidate and a test set, while here every judgement counts, and its start alone ends the
belief in an earlier one.

A line is appended before an adapter is judged ("started") and one before its verdict is written. Its number is one more
than the lines of its pair of adapter and suite that the log has by then. So a line that was lost is missed, and logs of
two branches can be merged line by line: a verdict with number s knew s - 1 lines of its pair, all with numbers below s.
When more of them are there, some were merged in that it did not know; then what blocks among the numbers from the
lowest that stands twice blocks it too, until the adapter is judged again. Each line is sealed by a digest, which shows
damage. What is cut off at the end cannot be seen from inside: the log of the protected branch decides.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from harness.errors import EvidenceRefusedError
from harness.files import append_line, hold, make_folder
from harness.limits import FILE_BYTES, read_within
from harness.strict_json import StrictJsonError, canonical, parse
from harness.trust.digests import seal

LOG = "verdicts.jsonl"
SHARD = "-shard-"  # in the id of a shard

Event = Literal["started", "ship", "hold", "undecided"]
BLOCKING = frozenset({"hold", "undecided"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of the log. `verdict` is the SHA-256 of the verdict file; None while there is none."""

    adapter: str  # digest over all its files
    suite: str  # digest
    sequence: int  # 1 + the lines of this adapter and suite that were there when it was made
    event: Event
    run_id: str
    time: str  # RFC 3339, UTC; decides nothing
    verdict: str | None = None


def log_path(registry: Path, suite: str) -> Path:
    """Where the log of a suite is kept."""
    return registry / suite / LOG


def read_log(path: Path) -> tuple[LogEntry, ...]:
    """Every line of the log; none when there is no file.

    Raises:
        EvidenceRefusedError: it cannot be read, or a line is damaged, cut off or missing.
    """
    try:
        content = read_within(path, FILE_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise EvidenceRefusedError(f"{path}: cannot be read: {error.strerror}") from None
    if content and not content.endswith(b"\n"):
        last = content.count(b"\n") + 1
        raise EvidenceRefusedError(f"{path}:{last}: cut off; remove this line if it was written as the disk ran full")
    entries = tuple(_read_line(line, f"{path}:{n}") for n, line in enumerate(content.split(b"\n")[:-1], start=1))
    _refuse_gaps(entries, path)
    return entries


def _read_line(line: bytes, where: str) -> LogEntry:
    try:
        value = parse(line.decode("utf-8"))
        entry = TypeAdapter(LogEntry).validate_python(value)
    except (UnicodeDecodeError, StrictJsonError, ValidationError):
        raise EvidenceRefusedError(f"{where}: damaged; bring the log back as it was committed") from None
    if _line(entry).encode("utf-8") != line:
        raise EvidenceRefusedError(f"{where}: changed since it was written (its own digest does not match)")
    return entry


def _line(entry: LogEntry) -> str:
    return canonical(seal(asdict(entry)))


def _refuse_gaps(entries: Iterable[LogEntry], path: Path) -> None:
    lines: Counter[tuple[str, str]] = Counter()
    for number, entry in enumerate(entries, start=1):
        pair = (entry.adapter, entry.suite)
        lines[pair] += 1
        if not 1 <= entry.sequence <= lines[pair]:
            raise EvidenceRefusedError(
                f"{path}:{number}: entry {entry.sequence} of its adapter, where 1 to {lines[pair]} can stand; "
                "lines are missing"
            )


@contextlib.contextmanager
def next_sequence(path: Path, *, adapter: str, suite: str) -> Iterator[int]:
    """Hold the log while its next line about an adapter and a suite, whose number this is, is made.

    Raises:
        EvidenceRefusedError: the log is damaged.
    """
    make_folder(path.parent)
    with hold(path.parent):
        yield 1 + sum((entry.adapter, entry.suite) == (adapter, suite) for entry in read_log(path))


def append_entry(path: Path, entry: LogEntry) -> None:
    """Append a line, wholly or not at all."""
    append_line(path, _line(entry))


def note_start(path: Path, *, adapter: str, suite: str, run_id: str, time: str) -> None:
    """Append that an adapter is about to be judged, which alone ends the belief in an older verdict on it.

    Raises:
        EvidenceRefusedError: the log is damaged.
    """
    with next_sequence(path, adapter=adapter, suite=suite) as sequence:
        append_entry(
            path,
            LogEntry(adapter=adapter, suite=suite, sequence=sequence, event="started", run_id=run_id, time=time),
        )


def refuse_overtaken_run(entries: Sequence[LogEntry], *, adapter: str, suite: str, run_id: str, where: str) -> None:
    """Refuse to judge a run when a newer one of the same adapter and suite did not end in ship.

    Run ids begin with their time. A shard is no run: what is judged is the run that its shards are merged into.

    Args:
        entries: the log, as `read_log` gives it.
        adapter: digest over all the adapter's files.
        suite: digest of the suite.
        run_id: the run that is to be judged.
        where: the log's name, for messages.

    Raises:
        EvidenceRefusedError: the newer run was held or undecided, or its judgement started and did not end.
    """
    last = {entry.run_id: entry for entry in entries if (entry.adapter, entry.suite) == (adapter, suite)}
    for newer in sorted(name for name in last if name > run_id and SHARD not in name):
        if (event := last[newer].event) != "ship":
            found = "was not judged to its end" if event == "started" else f"is {event}"
            raise EvidenceRefusedError(
                f"{where}: run {newer!r} of the same adapter is newer than {run_id!r} and {found}, so the older one is "
                f"not judged again; judge {newer!r}, or run again with --fresh"
            )


def refuse_outlived(entries: Sequence[LogEntry], *, adapter: str, suite: str, verdict: str, where: str) -> None:
    """Accept a ship verdict only when the log knows it, and nothing after it on the same adapter and suite blocks.

    What blocks is a hold, an undecided verdict, or a judgement that started and did not end in a ship verdict. A later
    ship verdict does not: the adapter is as good as it was. In the merged logs of two branches, a hold or an undecided
    verdict that it may not have known blocks it as well.

    Args:
        entries: the log, as `read_log` gives it.
        adapter: digest over all the adapter's files.
        suite: digest of the suite.
        verdict: SHA-256 of the verdict file.
        where: the log's name, for messages.

    Raises:
        EvidenceRefusedError: the verdict is not in the log, or is outlived.
    """
    found = [entry for entry in entries if (entry.adapter, entry.suite) == (adapter, suite)]
    own = [entry for entry in found if (entry.event, entry.verdict) == ("ship", verdict)]
    if not own:
        raise EvidenceRefusedError(
            f"{where}: does not know this verdict, so it cannot say whether a newer one stands; "
            "give the log of the project that judged"
        )
    since = min(entry.sequence for entry in own)
    later = [entry for entry in found if entry.sequence >= since and entry not in own]
    shipped = max(entry.sequence for entry in (*own, *later) if entry.event == "ship")
    for entry in later:
        if entry.event in BLOCKING:
            raise EvidenceRefusedError(
                f"{where}: a newer verdict on this adapter is {entry.event} (run {entry.run_id!r})"
            )
    for entry in _merged_in(found, since):
        if entry.event in BLOCKING:
            raise EvidenceRefusedError(
                f"{where}: the logs of two branches were merged, and a verdict on this adapter that this one may not "
                f"have known is {entry.event} (run {entry.run_id!r}); judge again"
            )
    for entry in later:
        if entry.event == "started" and entry.sequence >= shipped:
            raise EvidenceRefusedError(
                f"{where}: this adapter has been judged again since (run {entry.run_id!r}, started {entry.time!r}), "
                "and no newer verdict stands"
            )


def _merged_in(found: Sequence[LogEntry], since: int) -> list[LogEntry]:
    """Lines of a pair below number `since` that its verdict may not have known; none where no more are than it knew."""
    below = [entry for entry in found if entry.sequence < since]
    if len(below) < since:
        return []
    # What branches have in common stands once: up to the first unknown line, no number is given by one of them alone.
    times = Counter(entry.sequence for entry in below)
    first = min(number for number, count in times.items() if count > 1)
    return [entry for entry in below if entry.sequence >= first]
