"""A lock says what a suite was, and names everything that is not so any more."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import EvidenceRefusedError
from harness.trust.digests import seal
from harness.trust.locks import SuiteLock, changes_since, read_lock, write_lock

FILES = {"suite.yaml": "a" * 64, "test.jsonl": "b" * 64}
BARS = {"checks": [{"kind": "better_than", "min_gain": 0.0}, {"kind": "valid_output", "bar": 0.95}]}
LOCK = SuiteLock(
    suite="s", tool_version="1", locked=datetime(2026, 1, 2, tzinfo=UTC).isoformat(), files=FILES, bars=BARS
)


def test_a_lock_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = write_lock(tmp_path / "suite.lock", LOCK)
    assert len(written.digest) == 64
    assert written == replace(LOCK, digest=written.digest)
    assert read_lock(tmp_path / "suite.lock") == written
    assert changes_since(written, files=FILES, bars=BARS) == ()
    later = write_lock(tmp_path / "later.lock", replace(LOCK, locked="2026-01-03T00:00:00+00:00"))
    assert later.digest != written.digest, "the time is part of what is sealed"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({**FILES, "test.jsonl": "c" * 64}, f"test.jsonl: changed (SHA-256 {'c' * 16}, locked {'b' * 16})"),
        ({"suite.yaml": "a" * 64}, f"test.jsonl: in the lock, and no longer part of the suite (SHA-256 {'b' * 16})"),
        ({**FILES, "new": "d" * 64}, f"new: part of the suite, and not in the lock (SHA-256 {'d' * 16})"),
    ],
)
def test_a_file_is_named_with_both_digests_when_it_is_not_the_locked_one(files: dict[str, str], line: str) -> None:
    assert changes_since(LOCK, files=files, bars=BARS) == (line,)


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        ([BARS["checks"][0], {"kind": "valid_output", "bar": 0.9}], "checks.1.bar: 0.9, locked 0.95"),
        ([BARS["checks"][0], {"kind": "valid_output"}], "checks.1.bar: nothing, locked 0.95"),
        ([BARS["checks"][0]], "checks: better_than, locked better_than, valid_output"),
        ([], "checks: none, locked better_than, valid_output"),
        ([7], "checks: [7], locked better_than, valid_output"),
        ([{"name": "x"}], "checks: {'name': 'x'}, locked better_than, valid_output"),
        (7, "checks: 7, locked better_than, valid_output"),
    ],
)
def test_a_bar_is_named_with_both_values_when_it_moved(checks: list[dict[str, object]], line: str) -> None:
    assert changes_since(LOCK, files=FILES, bars={"checks": checks}) == ((line,) if line else ())


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda text: text.replace("0.95", "0.5"), "changed since it was written"),
        (lambda text: text.replace("2026-01-02", "2025-01-02"), "changed since it was written"),
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "not a lock of format 1"),
        (lambda text: text[:-10], "no lock that can be read"),
        (lambda text: "[]", "not a lock of format 1"),
    ],
)
def test_a_lock_that_was_touched_is_refused(edit: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.lock"
    write_lock(path, LOCK)
    path.write_text(edit(path.read_text()))  # type: ignore[operator]
    with pytest.raises(EvidenceRefusedError, match=reason):
        read_lock(path)


@pytest.mark.parametrize(
    "changes", [{"files": {"a": ["b"]}}, {"files": {"a": None}}, {"files": [[1, "b"]]}, {"bars": [[1, 2]]}]
)
def test_a_lock_whose_names_or_digests_are_no_text_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "suite.lock"
    write_lock(path, LOCK)
    body = {key: item for key, item in json.loads(path.read_text()).items() if key != "digest"}
    path.write_text(json.dumps(seal({**body, **changes})))
    with pytest.raises(EvidenceRefusedError, match="incomplete: a name or a digest is no text"):
        read_lock(path)


def test_a_bar_is_named_when_it_was_an_object_and_is_none_any_more() -> None:
    lock = replace(LOCK, bars={"budget": {"looks": 3}})
    assert changes_since(lock, files=FILES, bars={"budget": 3}) == ("budget: 3, locked {'looks': 3}",)
    assert changes_since(lock, files=FILES, bars={"budget": {"looks": 4}}) == ("budget.looks: 4, locked 3",)


@pytest.mark.parametrize(
    ("time", "why"),
    [("yesterday", "Invalid isoformat string"), ("2026-01-02T00:00:00", "its time has no time zone")],
)
def test_a_lock_without_a_certain_time_is_refused(time: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceRefusedError, match=f"incomplete: {why}"):
        write_lock(tmp_path / "suite.lock", replace(LOCK, locked=time))
