"""The committed log: what came after a verdict decides whether it is still believed."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from pathlib import Path

import pytest
from evidence_factory import SUITE, Fixture
from forging import NOW, SUITE_DIGEST, Shipped

from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.judge import judge_run, report_run
from harness.trust.history import (
    LOG,
    Event,
    LogEntry,
    append_entry,
    log_path,
    next_sequence,
    note_start,
    read_log,
    refuse_outlived,
    refuse_overtaken_run,
)
from harness.trust.verdicts import timestamp

LATER = NOW + timedelta(hours=1)


def refusal(run: Shipped) -> str:
    with pytest.raises(EvidenceRefusedError) as caught:
        run.verify(history=run.log)
    return str(caught.value)


def note(run: Shipped, event: str, *, sequence: int | None = None, verdict: str | None = None) -> None:
    """Append a line about the run's adapter, with the next number or a given one."""
    adapter = run.verify().verdict.adapter_digest
    with next_sequence(run.log, adapter=adapter, suite=SUITE_DIGEST) as following:
        append_entry(
            run.log,
            LogEntry(
                adapter=adapter,
                suite=SUITE_DIGEST,
                sequence=following if sequence is None else sequence,
                event=event,  # type: ignore[arg-type]
                run_id="later",
                time="2026-03-02T00:00:00Z",
                verdict=verdict,
            ),
        )


def test_a_judgement_is_noted_before_it_begins_and_before_its_verdict_is_out(shipped: Shipped) -> None:
    started, done = read_log(shipped.log)
    assert (started.event, started.sequence, started.verdict) == ("started", 1, None)
    assert (done.event, done.sequence, done.run_id) == ("ship", 2, "run")
    assert shipped.verify(history=shipped.log).verdict.sequence == done.sequence


@pytest.mark.parametrize("event", ["hold", "undecided", "started"])
def test_a_newer_line_that_does_not_ship_ends_the_belief(event: str, shipped: Shipped) -> None:
    note(shipped, event)
    assert ("judged again since" if event == "started" else f"a newer verdict on this adapter is {event}") in refusal(
        shipped
    )
    assert shipped.verify(), "without a history it cannot be known"


def test_a_start_is_outlived_by_the_ship_that_followed_and_a_hold_is_not(shipped: Shipped) -> None:
    for event in ("started", "ship"):
        note(shipped, event, verdict="f" * 64 if event == "ship" else None)
    assert shipped.verify(history=shipped.log)
    note(shipped, "hold", verdict="e" * 64)
    note(shipped, "ship", verdict="d" * 64)
    assert "a newer verdict on this adapter is hold" in refusal(shipped)


def test_other_adapters_and_suites_do_not_matter(shipped: Shipped) -> None:
    note_start(shipped.log, adapter="a" * 64, suite=SUITE_DIGEST, run_id="x", time="t")
    adapter = shipped.verify().verdict.adapter_digest
    note_start(shipped.log, adapter=adapter, suite="b" * 64, run_id="x", time="t")
    assert shipped.verify(history=shipped.log)


def test_judging_again_keeps_the_older_ship_and_a_hold_ends_it(shipped: Shipped, tmp_path: Path) -> None:
    shutil.copytree(shipped.folder, tmp_path / "published")
    published = Shipped(tmp_path / "published", shipped.registry)
    shipped.judge(LATER)
    assert shipped.verify(now=LATER, history=shipped.log).verdict.sequence == 4
    assert published.verify(now=LATER, history=shipped.log)
    held = Fixture(candidate_right=lambda i: False).write(tmp_path / "held")
    judge_run(held, lambda: LATER, registry=shipped.registry)
    for run in (shipped, published):
        with pytest.raises(EvidenceRefusedError, match="a newer verdict on this adapter is hold"):
            run.verify(now=LATER, history=shipped.log)


def test_a_judgement_that_breaks_leaves_its_start_in_the_log(shipped: Shipped, tmp_path: Path) -> None:
    shutil.copytree(shipped.folder, tmp_path / "published")
    published = Shipped(tmp_path / "published", shipped.registry)
    broken = Fixture(edit_benchmarks=lambda rows: rows[:1]).write(tmp_path / "broken")
    with pytest.raises(BrokenRunError):
        judge_run(broken, lambda: LATER, registry=shipped.registry)
    assert "judged again since" in refusal(published)
    assert [entry.event for entry in read_log(shipped.log)] == ["started", "ship", "started"]
    shipped.judge(LATER)
    assert published.verify(now=LATER, history=shipped.log), "until a newer verdict stands"


@pytest.mark.parametrize("slip", ["no such check", "better_than", "better_than/exact_match/bar"])
def test_a_slip_in_the_name_of_a_check_leaves_verdict_and_log_as_they_were(slip: str, shipped: Shipped) -> None:
    def everything() -> dict[Path, bytes]:
        places = (*shipped.folder.rglob("*"), *shipped.registry.rglob("*"))
        return {path: path.read_bytes() for path in places if path.is_file()}

    before = everything()
    assert shipped.verdict in before and shipped.envelope in before and shipped.log in before
    with pytest.raises(InvalidInputError, match=r"known: better_than/exact_match/bare, .*adapter_is_live"):
        shipped.judge(LATER, accepted={slip: "why"})
    assert everything() == before
    assert shipped.verify(history=shipped.log)


# What is judged again


def numbered(project: Path, day: int, fixture: Fixture | None = None) -> Shipped:
    """The evidence of a run of that day of March, on the adapter and the suite of all others; not judged yet."""
    finished = f"2026-03-{day:02}T10:00:00+00:00"
    folder = project / "reports" / "fixture" / f"202603{day:02}-090000-abcdef"
    return Shipped(replace(fixture or Fixture(), finished=finished).write(folder), project / "baselines")


def files_of(run: Shipped) -> dict[Path, bytes]:
    """All that judging changes."""
    return {path: path.read_bytes() for path in (*run.folder.rglob("*"), *run.registry.rglob("*")) if path.is_file()}


def test_a_verdict_expires_by_the_age_of_its_evidence_however_often_it_is_given(tmp_path: Path) -> None:
    run, finished = numbered(tmp_path, 1), datetime(2026, 3, 1, 10, tzinfo=UTC)
    for judged, expires in (
        (finished - timedelta(days=1), finished + timedelta(days=29)),  # the clock was set back
        (finished, finished + timedelta(days=30)),
        (finished + timedelta(days=29), finished + timedelta(days=30)),
    ):
        run.judge(judged)
        assert run.verify(now=judged, history=run.log).verdict.expires == timestamp(expires)


def test_evidence_is_refused_and_keeps_its_verdict_when_it_is_older_than_a_verdict_lives(tmp_path: Path) -> None:
    run, end = numbered(tmp_path, 1), datetime(2026, 3, 31, 10, tzinfo=UTC)
    run.judge(end - timedelta(seconds=1))
    before = files_of(run)
    for late in (end, end + timedelta(days=400)):
        with pytest.raises(EvidenceRefusedError) as caught:
            run.judge(late)
        assert str(caught.value) == (
            f"{run.folder}: its answers were made until 2026-03-01T10:00:00+00:00, and evidence is judged for 30 days; "
            f"`harness run --fresh` answers anew, `harness report {run.folder}` still shows the verdict that it had"
        )
        assert files_of(run) == before
    assert report_run(run.folder, registry=run.registry).record.verdict.decision == "ship"


@pytest.mark.parametrize("finished", ["", "today", "2026-03-01", "2026-03-01T10:00:00", "2026-03-01T10:00:00+99:00"])
def test_evidence_is_refused_when_it_does_not_say_when_it_was_finished(finished: str, tmp_path: Path) -> None:
    run = Shipped(Fixture(finished=finished).write(tmp_path / "run"), tmp_path / "baselines")
    with pytest.raises(EvidenceRefusedError, match=r"manifest\.json: finished: '.*' is no time in UTC"):
        run.judge()
    assert not run.registry.exists()


@pytest.mark.parametrize(
    ("newer", "why"),
    [
        (Fixture(candidate_right=lambda i: False), "is hold"),
        (Fixture(invalid_probes=2), "is undecided"),
        (Fixture(edit_benchmarks=lambda rows: rows[:1]), "was not judged to its end"),
    ],
)
def test_an_older_run_is_not_judged_again_when_a_newer_one_did_not_ship(
    newer: Fixture, why: str, tmp_path: Path
) -> None:
    older, blocking = numbered(tmp_path, 1), numbered(tmp_path, 2, newer)
    older.judge(NOW + timedelta(days=1))
    with contextlib.suppress(BrokenRunError):
        blocking.judge(NOW + timedelta(days=2))
    before = files_of(older)
    with pytest.raises(EvidenceRefusedError) as caught:
        older.judge(NOW + timedelta(days=3))
    assert str(caught.value) == (
        f"{older.log}: run '20260302-090000-abcdef' of the same adapter is newer than '20260301-090000-abcdef' and "
        f"{why}, so the older one is not judged again; judge '20260302-090000-abcdef', or run again with --fresh"
    )
    assert files_of(older) == before, "nothing is dropped or written"
    numbered(tmp_path, 3).judge(NOW + timedelta(days=3))
    with pytest.raises(EvidenceRefusedError, match="run '20260302-090000-abcdef' of the same adapter is newer"):
        older.judge(NOW + timedelta(days=3))


def test_an_older_run_is_judged_again_when_what_blocks_is_not_newer_evidence_on_its_adapter(tmp_path: Path) -> None:
    older, newer, log = numbered(tmp_path, 1), numbered(tmp_path, 2), tmp_path / "baselines" / "fixture" / LOG
    held = numbered(tmp_path, 3, Fixture(suite_text=SUITE + "# another\n", candidate_right=lambda i: False))
    for run in (older, newer, held):
        run.judge()
    adapter = older.verify().verdict.adapter_digest
    shard = "20260302-090000-abcdef-shard-1-of-2"  # which is never judged: the run that it is merged into is
    note_start(log, adapter=adapter, suite=SUITE_DIGEST, run_id=shard, time="t")
    note_start(log, adapter="a" * 64, suite=SUITE_DIGEST, run_id="20260304-090000-abcdef", time="t")
    older.judge()
    note_start(log, adapter=adapter, suite=SUITE_DIGEST, run_id="20260228-090000-abcdef", time="t")
    for run in (older, newer):
        run.judge()
        assert run.verify(history=log).verdict.decision == "ship"


def test_a_verdict_that_the_log_does_not_know_is_refused(shipped: Shipped, tmp_path: Path) -> None:
    lines = shipped.log.read_bytes().splitlines(keepends=True)
    for kept in (b"", lines[0]):
        shipped.log.write_bytes(kept)
        assert "does not know this verdict" in refusal(shipped)
    shipped.log.unlink()
    assert "does not know this verdict" in refusal(shipped)
    unlogged = Shipped(Fixture().write(tmp_path / "unlogged"), shipped.registry)
    judge_run(unlogged.folder, lambda: NOW)
    assert "does not know this verdict" in refusal(unlogged)


# Damage


def test_no_damaged_log_is_believed(shipped: Shipped) -> None:
    note(shipped, "started")
    note(shipped, "ship", verdict="f" * 64)
    whole, draws = shipped.log.read_bytes(), random.Random(7)
    assert shipped.verify(history=shipped.log)
    for place in draws.sample(range(len(whole)), 200):
        changed = bytearray(whole)
        changed[place] ^= 1 << draws.randrange(8)
        shipped.log.write_bytes(changed)
        refusal(shipped)
    for length in range(0, len(whole), 17):
        if whole[:length].endswith(b"\n"):
            continue  # whole lines: a log of an earlier day
        shipped.log.write_bytes(whole[:length])
        refusal(shipped)
    for line in (b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b'{"event":"ship"}\n', b"{" * 2000 + b"\n"):
        for damaged in (line + whole, whole + line):
            shipped.log.write_bytes(damaged)
            refusal(shipped)
    shipped.log.write_bytes(whole.replace(b"\n", b"\r\n"))
    assert "changed since it was written" in refusal(shipped)


def test_a_lost_line_is_missed(shipped: Shipped) -> None:
    for event in ("started", "hold", "started", "ship"):
        note(shipped, event, verdict="f" * 64 if event != "started" else None)
    lines = shipped.log.read_bytes().splitlines(keepends=True)
    for lost in range(len(lines) - 1):
        shipped.log.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
        assert "lines are missing" in refusal(shipped)
    shipped.log.write_bytes(b"".join([*lines[2:], *lines[:2]]))
    assert "lines are missing" in refusal(shipped)


def test_what_was_not_noted_by_us_is_refused(shipped: Shipped) -> None:
    for sequence in (0, -1, 4, 1_000_000):
        whole = shipped.log.read_bytes()
        note(shipped, "ship", sequence=sequence, verdict="f" * 64)
        assert "lines are missing" in refusal(shipped)
        shipped.log.write_bytes(whole)
    edited = json.loads(shipped.log.read_bytes().splitlines()[-1])
    shipped.log.write_bytes(json.dumps({**edited, "event": "hold"}, sort_keys=True, separators=(",", ":")).encode())
    assert "cut off" in refusal(shipped)
    with pytest.raises(EvidenceRefusedError, match="cut off"):
        shipped.judge(LATER)


def test_the_logs_of_two_branches_can_be_merged_and_what_blocks_wins(shipped: Shipped) -> None:
    base = shipped.log.read_bytes()
    note_start(shipped.log, adapter="a" * 64, suite=SUITE_DIGEST, run_id="ours", time="t")
    ours = shipped.log.read_bytes().removeprefix(base)
    shipped.log.write_bytes(base)
    note(shipped, "started")
    note(shipped, "ship", verdict="f" * 64)
    theirs = shipped.log.read_bytes().removeprefix(base)
    for merged in (base + ours + theirs, base + theirs + ours):
        shipped.log.write_bytes(merged)
        assert shipped.verify(history=shipped.log)
    shipped.log.write_bytes(base)
    note(shipped, "started")
    note(shipped, "hold", verdict="e" * 64)
    blocking = shipped.log.read_bytes().removeprefix(base)
    for merged in (base + theirs + blocking, base + blocking + theirs):
        shipped.log.write_bytes(merged)
        assert "a newer verdict on this adapter is hold" in refusal(shipped)
        with next_sequence(shipped.log, adapter=shipped.verify().verdict.adapter_digest, suite=SUITE_DIGEST) as number:
            assert number == 7, "one more than there are lines"


def test_a_verdict_of_the_same_number_on_another_branch_counts_as_newer() -> None:
    def entry(event: str, verdict: str) -> LogEntry:
        return LogEntry(
            adapter="a",
            suite="s",
            sequence=1,
            event=event,
            run_id="r",
            time="t",
            verdict=verdict,  # type: ignore[arg-type]
        )

    both = (entry("hold", "theirs"), entry("ship", "ours"))
    with pytest.raises(EvidenceRefusedError, match="hold"):
        refuse_outlived(both, adapter="a", suite="s", verdict="ours", where="log")
    twice = (entry("ship", "ours"), entry("ship", "ours"))
    refuse_outlived(twice, adapter="a", suite="s", verdict="ours", where="log")


ROOT = Path(__file__).parents[2]
Log = tuple[LogEntry, ...]


def judged(log: Log, branch: str, *events: Event) -> Log:
    """The log after judgements of one adapter by one suite on a branch, each with its start."""
    for event in events:
        for noted in ("started", event):
            number = 1 + len(log)
            verdict = None if noted == "started" else f"{branch}{number}"
            log += (
                LogEntry(
                    adapter="a", suite="s", sequence=number, event=noted, run_id=branch, time="t", verdict=verdict
                ),
            )
    return log


def merges(ours: Log, theirs: Log) -> Iterator[Log]:
    """All orders of two branches' lines in which each keeps its own; what they have in common stands once, in front."""
    shared = sum(a == b for a, b in zip(ours, theirs, strict=False))
    ours, theirs, common = ours[shared:], theirs[shared:], ours[:shared]
    for places in combinations(range(len(ours) + len(theirs)), len(ours)):
        mine, others = iter(ours), iter(theirs)
        yield common + tuple(next(mine if place in places else others) for place in range(len(ours) + len(theirs)))


def is_believed(log: Log, verdict: str | None) -> bool:
    try:
        refuse_outlived(log, adapter="a", suite="s", verdict=str(verdict), where="log")
    except EvidenceRefusedError:
        return False
    return True


def ships(log: Log) -> list[str | None]:
    return [entry.verdict for entry in log if entry.event == "ship"]


def blocks(log: Log) -> bool:
    return any(entry.event in {"hold", "undecided"} for entry in log)


ENDS: tuple[tuple[Event, ...], ...] = ((), ("ship",), ("hold",), *product(("ship", "hold"), repeat=2))


def test_no_merge_of_two_logs_hides_a_hold_and_judging_again_settles_it(tmp_path: Path) -> None:
    merged = set()
    for before, ours, theirs in product(ENDS[:3], ENDS, (*ENDS, ("undecided",))):
        base = judged((), "base", *before)
        mine, other = judged(base, "ours", *ours), judged(base, "theirs", *theirs)
        for log in merges(mine, other):
            for verdict in ships(mine):
                if blocks(other[len(base) :]):
                    assert not is_believed(log, verdict), log
                elif not blocks(mine[len(base) :]):
                    assert is_believed(log, verdict) == is_believed(mine, verdict), log
            again = judged(log, "again", "ship")
            assert is_believed(again, again[-1].verdict), again
            merged.add(again)
    assert len(merged) > 2_000
    path = tmp_path / LOG
    for log in random.Random(3).sample(sorted(merged, key=repr), 100):
        path.unlink(missing_ok=True)
        for entry in log:
            append_entry(path, entry)
        assert read_log(path) == log, "no line is missed"


def test_a_third_log_hides_no_hold_from_what_was_judged_after_two_were_merged() -> None:
    for ours, theirs, third in product((("ship",), ("hold",)), ENDS[1:3], ENDS[1:]):
        other = judged((), "third", *third)
        for both in merges(judged((), "ours", *ours), judged((), "theirs", *theirs)):
            again = judged(both, "again", "ship")
            for log in merges(again, other):
                assert not blocks(other) or not is_believed(log, again[-1].verdict), log
                last = judged(log, "last", "ship")
                assert is_believed(last, last[-1].verdict), last


def test_a_hold_of_another_branch_is_told_when_the_logs_were_merged() -> None:
    ours, theirs = judged((), "ours", "ship", "ship"), judged((), "theirs", "hold")
    for log in (ours + theirs, theirs + ours):
        with pytest.raises(EvidenceRefusedError) as caught:
            refuse_outlived(log, adapter="a", suite="s", verdict=str(ours[-1].verdict), where="log")
        assert str(caught.value) == (
            "log: the logs of two branches were merged, and a verdict on this adapter that this one may not have known "
            "is hold (run 'theirs'); judge again"
        )


def test_one_line_of_another_branch_that_holds_is_enough() -> None:
    ours = judged((), "ours", "ship", "ship")
    hold = replace(ours[1], event="hold", run_id="theirs", verdict="theirs")  # of the judgement that both saw begin
    for log in ((*ours, hold), (ours[0], hold, *ours[1:])):
        with pytest.raises(EvidenceRefusedError, match="the logs of two branches were merged"):
            refuse_outlived(log, adapter="a", suite="s", verdict=str(ours[-1].verdict), where="log")


def test_a_run_that_was_held_may_be_judged_again_itself() -> None:
    held = judged((), "run", "hold")
    refuse_overtaken_run(held, adapter="a", suite="s", run_id="run", where="log")
    with pytest.raises(EvidenceRefusedError, match="run 'run' of the same adapter is newer than 'earlier' and is hold"):
        refuse_overtaken_run(held, adapter="a", suite="s", run_id="earlier", where="log")


NOTING = """
import sys
from pathlib import Path
from harness.trust.history import note_start

for _ in range(5):
    note_start(Path(sys.argv[1]), adapter="a", suite="s", run_id=sys.argv[2], time="t")
"""


def test_no_line_is_lost_when_many_judge_at_once(tmp_path: Path) -> None:
    log = log_path(tmp_path, "s")
    commands = [[sys.executable, "-c", NOTING, str(log), str(number)] for number in range(4)]
    started = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    assert [entry.sequence for entry in read_log(log)] == list(range(1, 21))


def test_a_judgement_that_began_under_the_number_of_the_ship_verdict_ends_the_belief(shipped: Shipped) -> None:
    note(shipped, "started", sequence=2)  # as when the logs of two branches are merged
    assert "this adapter has been judged again since (run 'later', started '2026-03-02T00:00:00Z')" in refusal(shipped)


def write_log(path: Path, *entries: tuple[str, int]) -> None:
    """Lines about adapters (their names) under these numbers."""
    for adapter, sequence in entries:
        append_entry(
            path,
            LogEntry(adapter=adapter, suite="s", sequence=sequence, event="started", run_id="r", time="2026-03-01Z"),
        )


@pytest.mark.parametrize(
    ("entries", "line", "found", "highest"),
    [
        ([("a", 1), ("a", 3)], 2, 3, 2),
        ([("a", 2)], 1, 2, 1),
        ([("a", 1), ("a", 2), ("b", 2)], 3, 2, 1),
        ([("a", 1), ("a", 0)], 2, 0, 2),
        ([("a", 1), ("a", 2), ("a", 1), ("a", 5)], 4, 5, 4),
    ],
)
def test_the_line_and_the_number_are_told_when_one_is_missing(
    entries: list[tuple[str, int]], line: int, found: int, highest: int, tmp_path: Path
) -> None:
    path = tmp_path / "verdicts.jsonl"
    write_log(path, *entries)
    with pytest.raises(EvidenceRefusedError) as caught:
        read_log(path)
    why = f"entry {found} of its adapter, where 1 to {highest} can stand; lines are missing"
    assert str(caught.value) == f"{path}:{line}: {why}"


def test_the_line_is_told_when_it_is_damaged_changed_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    write_log(path, ("a", 1), ("a", 2))
    whole = path.read_bytes()
    assert [entry.sequence for entry in read_log(path)] == [1, 2]
    for content, why in (
        (whole[:-1], "2: cut off; remove this line if it was written as the disk ran full"),
        (whole[:-2] + b"\n", "2: damaged; bring the log back as it was committed"),
        (whole + b"\xff\n", "3: damaged; bring the log back as it was committed"),
        (whole + b"{}\n", "3: damaged; bring the log back as it was committed"),
        (whole.replace(b'"r"', b'"x"', 1), "1: changed since it was written (its own digest does not match)"),
    ):
        path.write_bytes(content)
        with pytest.raises(EvidenceRefusedError) as caught:
            read_log(path)
        assert str(caught.value) == f"{path}:{why}"
    path.unlink()
    assert read_log(path) == ()
    path.mkdir()
    with pytest.raises(EvidenceRefusedError, match=f"^{path}: cannot be read: not a regular file$"):
        read_log(path)


def test_numbers_follow_for_each_adapter_and_suite_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdicts.jsonl"
    for adapter, suite in (("a", "s"), ("a", "s"), ("b", "s"), ("a", "t"), ("a", "s")):
        note_start(path, adapter=adapter, suite=suite, run_id="r", time="2026-03-01T00:00:00Z")
    found = [(entry.adapter, entry.suite, entry.sequence, entry.event, entry.verdict) for entry in read_log(path)]
    assert found == [(a, s, n, "started", None) for a, s, n in (
        ("a", "s", 1), ("a", "s", 2), ("b", "s", 1), ("a", "t", 1), ("a", "s", 3)
    )]  # fmt: skip
