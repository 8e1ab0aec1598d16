"""The store of answers: whole batches or none, never a row that was not written, whatever happens to the file."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from harness.clock import utc_now
from harness.errors import BrokenRunError
from harness.records import StoredAnswer, StoredScore
from harness.store import answers as answers_module
from harness.store.answers import AnswerStore

START = datetime(2026, 1, 5, 12, 40, tzinfo=UTC)
OURS, THEIRS = "1" * 64, "2" * 64


class SettableClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: int) -> None:
        self.now += timedelta(days=days)


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def some_answers(seed: int, count: int = 4) -> tuple[StoredAnswer, ...]:
    rng = random.Random(seed)
    return tuple(
        StoredAnswer(
            tokens=tuple(rng.randrange(49_152) for _ in range(rng.randrange(30))),
            ended=rng.random() < 0.5,
            near_tie=rng.random() < 0.5,
            logprob=-rng.random(),
            seconds=rng.random(),
        )
        for _ in range(count)
    )


def some_scores(seed: int, count: int = 8) -> tuple[StoredScore, ...]:
    rng = random.Random(seed)
    return tuple(StoredScore(logprob=-10 * rng.random(), is_greedy=rng.random() < 0.5) for _ in range(count))


def columns(rows: tuple[StoredAnswer | StoredScore, ...] | None) -> list[tuple[object, ...]] | None:
    """Every column, `seconds` included, which the equality of answers leaves out."""
    return None if rows is None else [astuple(row) for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers.sqlite"


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


def opened(path: Path) -> AnswerStore:
    return AnswerStore(path, clock=utc_now)


def sql(path: Path, statement: str, *values: object) -> None:
    """Change the file behind the store's back."""
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


# What goes in comes out


def test_rows_come_back_as_they_were_when_the_file_is_opened_again(path: Path) -> None:
    rows, scores = some_answers(1), some_scores(2)
    with opened(path) as store:
        store.put_answers(key_of("a"), OURS, rows)
        store.put_scores(key_of("s"), OURS, scores)
    with opened(path) as store:
        assert columns(store.answers(key_of("a"))) == columns(rows)
        assert columns(store.scores(key_of("s"))) == columns(scores)


def test_nothing_comes_back_when_the_key_is_another(path: Path) -> None:
    with opened(path) as store:
        store.put_answers(key_of("a"), OURS, some_answers(1))
        assert store.answers(key_of("b")) is None
        assert store.scores(key_of("a")) is None  # a key of answers says nothing about scores


@pytest.mark.parametrize("logprob", [-0.0, 0.0, -1e-300, -1 / 3, -1e300, 5e-324])
def test_a_log_probability_survives_to_the_last_bit(path: Path, logprob: float) -> None:
    with opened(path) as store:
        store.put_scores(key_of("s"), OURS, [StoredScore(logprob=logprob, is_greedy=True)])
    with opened(path) as store:
        assert store.scores(key_of("s")) == (StoredScore(logprob=logprob, is_greedy=True),)


def test_whole_seconds_and_no_tokens_are_kept_too(path: Path) -> None:
    row = StoredAnswer(tokens=(), ended=True, near_tie=False, logprob=-0.5, seconds=1)
    with opened(path) as store:
        store.put_answers(key_of("a"), OURS, [row])
        assert columns(store.answers(key_of("a"))) == columns((row,))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_row_is_refused_when_its_number_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="log-probability must be finite"):
        StoredScore(logprob=value, is_greedy=False)
    with pytest.raises(ValueError, match="must be finite"):
        StoredAnswer(tokens=(1,), ended=True, near_tie=False, logprob=-0.5, seconds=value)


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    opened(path).close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


# The same key twice


def test_a_second_equal_batch_changes_nothing_even_if_it_took_longer(path: Path) -> None:
    first = some_answers(1)
    again = tuple(replace(row, seconds=row.seconds + 1) for row in first)
    with opened(path) as one, opened(path) as two:
        one.put_answers(key_of("a"), OURS, first)
        two.put_answers(key_of("a"), OURS, again)
        assert columns(two.answers(key_of("a"))) == columns(first)
        assert [(s.batches, s.answers) for s in two.summary()] == [(1, 4)]


@pytest.mark.parametrize("other", ["a row less", "another row", "another order", "other weights"])
def test_a_second_batch_is_refused_when_it_differs(path: Path, other: str) -> None:
    rows = some_scores(1)
    changed = {
        "a row less": rows[:-1],
        "another row": (*rows[:-1], StoredScore(logprob=rows[-1].logprob - 1e-12, is_greedy=rows[-1].is_greedy)),
        "another order": rows[::-1],
        "other weights": rows,
    }[other]
    with opened(path) as store:
        store.put_scores(key_of("s"), OURS, rows)
        with pytest.raises(BrokenRunError, match=r"neither can be trusted; `harness cache --prune --weights"):
            store.put_scores(key_of("s"), THEIRS if other == "other weights" else OURS, changed)
        assert store.scores(key_of("s")) == rows


# A damaged file


DAMAGE = {
    "a token": "UPDATE answer SET tokens = replace(tokens, '1', '2') WHERE place = 1",
    "a flag": "UPDATE answer SET ended = 1 - ended WHERE place = 1",
    "a time": "UPDATE answer SET seconds = seconds + 1e-9 WHERE place = 1",
    "a type": "UPDATE answer SET near_tie = CAST('1' AS BLOB) WHERE place = 1",
    "a missing row": "DELETE FROM answer WHERE place = 2",
    "a missing last row": "DELETE FROM answer WHERE place = 3",
    "a foreign row": "INSERT INTO answer SELECT batch, 4, tokens, ended, near_tie, logprob, 1.0 FROM answer LIMIT 1",
    "a moved row": "UPDATE answer SET place = 7 WHERE place = 2",
    "the weights": f"UPDATE batch SET weights = '{THEIRS}'",
    "the key": f"UPDATE batch SET key = '{key_of('b')}'",
    "the count": "UPDATE batch SET rows = rows + 1",
    "the size": "UPDATE batch SET bytes = bytes - 1",
    "the digest": "UPDATE batch SET digest = replace(digest, 'a', 'b')",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_batch_is_refused_when_a_column_was_changed(path: Path, what: str) -> None:
    with opened(path) as store:
        store.put_answers(key_of("a"), OURS, some_answers(1))
    sql(path, DAMAGE[what])
    with opened(path) as store:
        with pytest.raises(BrokenRunError, match="not what was written") as raised:
            store.answers(key_of("b" if what == "the key" else "a"))
        assert str(path) in str(raised.value) and "`harness cache --prune`" in str(raised.value)
        store.prune()  # what the message says to do
        assert store.answers(key_of("a")) is None


@pytest.mark.parametrize("column", ["batch.weights", "batch.first_use", "batch.rows", "refusal.why"])
def test_the_lists_are_refused_when_a_column_is_of_another_type(path: Path, column: str) -> None:
    with opened(path) as store:
        store.put_answers(key_of("a"), OURS, some_answers(1))
        store.refuse(THEIRS, "a sample disagreed")
    table, name = column.split(".")
    sql(path, f"UPDATE {table} SET {name} = CAST('x' AS BLOB)")
    with opened(path) as store, pytest.raises(BrokenRunError, match=r"not what was written.*delete the file"):
        (store.summary if table == "batch" else store.refusals)()


def test_a_flipped_bit_never_serves_another_row(path: Path) -> None:
    batches = {key_of(i): (some_answers(i), some_scores(i)) for i in range(6)}
    with opened(path) as store:
        for key, (rows, scores) in batches.items():
            store.put_answers(key, OURS, rows)
            store.put_scores(key, THEIRS, scores)
        store.refuse("3" * 64, "a sample disagreed")
    whole = path.read_bytes()
    rng = random.Random(20260105)
    # Half of them in the first page, where the header and the schema are.
    positions = [rng.randrange(4096) for _ in range(150)] + [rng.randrange(len(whole)) for _ in range(250)]
    seen: Counter[str] = Counter()
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        seen.update(_read_all(path, batches))
    assert seen["whole"] > 1000 and seen["refused"] > 100, seen


def _read_all(path: Path, batches: dict[str, tuple[tuple[StoredAnswer, ...], tuple[StoredScore, ...]]]) -> list[str]:
    """Do to a damaged file all that a run and `harness cache` do: only whole batches or one kind of error come out."""
    seen = []
    try:
        with opened(path) as store:
            for key, (rows, scores) in batches.items():
                for get, put, weights, wanted in (
                    (store.answers, store.put_answers, OURS, rows),
                    (store.scores, store.put_scores, THEIRS, scores),
                ):
                    try:
                        if get(key) is None:  # not found, so it is computed and stored again
                            seen.append("missing")
                            put(key, weights, wanted)  # type: ignore[arg-type]
                        assert columns(get(key)) == columns(wanted)
                        seen.append("whole")
                    except BrokenRunError:
                        seen.append("refused")
            for look in (store.summary, store.refusals, store.prune):
                try:
                    look()
                except BrokenRunError:
                    seen.append("refused")
    except BrokenRunError:
        seen.append("refused")
    return seen


# A file that is not ours


def test_a_file_is_refused_when_it_is_not_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_text("These are my notes, and nobody else's.\n" * 100)
    with pytest.raises(BrokenRunError, match="delete the file") as raised:
        opened(path)
    assert str(path) in str(raised.value)
    assert path.read_text().startswith("These are my notes")


def test_a_file_is_refused_when_it_is_of_another_version(path: Path) -> None:
    opened(path).close()
    sql_version(path, 7)
    with pytest.raises(BrokenRunError, match=r"format 7, this version reads 2; delete the file"):
        opened(path)


def sql_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_a_file_is_refused_and_left_alone_when_it_is_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BrokenRunError, match=r"format 0, this version reads 2"):
        opened(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store_when_its_maker_was_killed_at_once(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with opened(path) as store:
        store.put_scores(key_of("s"), OURS, some_scores(1))
        assert store.scores(key_of("s")) == some_scores(1)


# What the disk and other processes do


def test_the_folder_is_named_when_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(BrokenRunError, match="HARNESS_CACHE") as raised:
        opened(tmp_path / "cache" / "answers.sqlite")
    assert str(tmp_path / "cache" / "answers.sqlite") in str(raised.value)


def test_a_read_only_store_serves_but_does_not_take(path: Path) -> None:
    with opened(path) as store:
        store.put_scores(key_of("s"), OURS, some_scores(1))
    path.chmod(0o400)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with opened(path) as store:
        assert store.summary()[0].scores == 8
        with pytest.raises(BrokenRunError, match=r"readonly.*make it writable"):
            store.put_scores(key_of("t"), OURS, some_scores(2))


FULL_DISK = """
import resource, sys
from pathlib import Path
from harness.clock import utc_now
from harness.errors import BrokenRunError
from harness.records import StoredScore
from harness.store.answers import AnswerStore

store = AnswerStore(Path(sys.argv[1]), clock=utc_now)
store.put_scores("a" * 64, "w", [StoredScore(logprob=-1.0, is_greedy=True)])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    store.put_scores("b" * 64, "w", [StoredScore(logprob=-i / 7, is_greedy=True) for i in range(100_000)])
except BrokenRunError as error:
    print(error)
"""


def test_the_file_is_named_and_stays_whole_when_a_write_fails(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert str(path) in done.stdout and "disk" in done.stdout and "HARNESS_CACHE" in done.stdout
    with opened(path) as store:
        assert store.scores("a" * 64) == (StoredScore(logprob=-1.0, is_greedy=True),)
        assert store.scores("b" * 64) is None


def test_a_writer_gives_up_with_a_message_when_another_never_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "BUSY_SECONDS", 0.05)
    with opened(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokenRunError, match="locked; another process is writing to it"):
            store.put_scores(key_of("s"), OURS, some_scores(1))
        assert store.scores(key_of("s")) is None  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        store.put_scores(key_of("s"), OURS, some_scores(1))
        assert store.scores(key_of("s")) == some_scores(1)


WRITER = """
import sys
from pathlib import Path
from harness.clock import utc_now
from harness.records import StoredAnswer
from harness.store.answers import AnswerStore

path, first, batches, rows, seconds = Path(sys.argv[1]), *map(int, sys.argv[2:])
print("ready", flush=True)
sys.stdin.readline()
with AnswerStore(path, clock=utc_now) as store:
    for batch in range(first, first + batches):
        store.put_answers(f"{batch:064x}", "w", [
            StoredAnswer(tokens=tuple(range(row % 100)), ended=True, near_tie=False, logprob=-1, seconds=float(seconds))
            for row in range(rows)
        ])
        print(batch, flush=True)
"""


def start_writers(path: Path, *starts: int, batches: int, rows: int) -> list[subprocess.Popen[str]]:
    """Processes that begin to write at the same time, each from another batch on; their rows differ in seconds only."""
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen(
            [*command, *map(str, (first, batches, rows, number))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, first in enumerate(starts)
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return writers


def test_only_whole_batches_are_left_when_the_writer_is_killed(path: Path) -> None:
    journal = path.with_name(path.name + "-journal")
    whole = in_the_middle = 0
    for attempt in range(12):
        # Batches larger than SQLite's page cache, so that a kill also finds the file itself half written.
        (writer,) = start_writers(path, 100 * attempt, batches=100, rows=10_000)
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline())]
        while not journal.exists():  # it exists only inside a write
            assert writer.poll() is None
        time.sleep(0.01 * (attempt % 4))  # at once, or so much later that a write may just have ended
        writer.send_signal(signal.SIGKILL)
        acknowledged += map(int, writer.communicate()[0].split())
        in_the_middle += journal.exists()
        with opened(path) as store:
            found = [batch for batch in range(100 * attempt, 100 * attempt + 100) if store.answers(f"{batch:064x}")]
            assert set(acknowledged) <= set(found)  # and reading has checked that each is whole
            whole += len(found)
            (summary,) = store.summary()
            assert (summary.batches, summary.answers) == (whole, 10_000 * whole)
    assert in_the_middle >= 2  # else no kill tested anything


def test_writers_and_a_reader_agree_when_they_run_at_once(path: Path) -> None:
    writers = start_writers(path, 0, 10, 20, batches=200, rows=20)  # most batches are of all three
    with opened(path) as store:
        while any(writer.poll() is None for writer in writers):
            for batch in range(220):
                rows = store.answers(f"{batch:064x}")
                assert rows is None or (len({row.seconds for row in rows}) == 1 and len(rows) == 20)
        for writer in writers:
            writer.communicate()
        assert [writer.returncode for writer in writers] == [0, 0, 0]
        (summary,) = store.summary()
        assert (summary.batches, summary.answers) == (220, 4400)
        assert all(store.answers(f"{batch:064x}") for batch in range(220))


def test_a_reader_finds_a_batch_whole_or_not_at_all_when_another_removes_it(path: Path) -> None:
    rows = some_scores(1, 200)

    def put_and_remove() -> None:
        with opened(path) as store:
            for _ in range(150):
                store.put_scores(key_of("s"), OURS, rows)
                store.refuse(OURS, "to see what a reader finds")

    with ThreadPoolExecutor(1) as pool, opened(path) as store:
        working = pool.submit(put_and_remove)
        found = []
        while not working.done():
            found.append(store.scores(key_of("s")))
        working.result()
    assert {None, rows} >= set(found)


def test_one_store_is_made_when_many_open_it_first_at_once(tmp_path: Path) -> None:
    start = Barrier(8)

    def open_and_put(path: Path, number: int) -> int:
        start.wait()
        with opened(path) as store:
            store.put_scores(key_of(number), OURS, some_scores(number))
            return len(store.scores(key_of(number)) or ())

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(5):
            path = tmp_path / str(attempt) / "answers.sqlite"
            assert list(pool.map(open_and_put, [path] * 8, range(8))) == [8] * 8
            with opened(path) as store:
                assert [one.batches for one in store.summary()] == [8]


# Looking, forgetting, pruning


def test_the_summary_counts_by_weights_and_the_last_used_come_first(path: Path, clock: SettableClock) -> None:
    with AnswerStore(path, clock=clock) as store:
        store.put_answers(key_of("a"), OURS, some_answers(1))
        store.put_scores(key_of("s"), OURS, some_scores(1))
        clock.pass_days(1)
        store.put_scores(key_of("t"), THEIRS, some_scores(2))
        clock.pass_days(1)
        store.answers(key_of("a"))
    with AnswerStore(path, clock=clock) as store:
        ours, theirs = store.summary()
    assert (ours.weights, ours.batches, ours.answers, ours.scores) == (OURS, 2, 4, 8)
    assert (theirs.weights, theirs.batches, theirs.answers, theirs.scores) == (THEIRS, 1, 0, 8)
    assert (ours.first_use[:10], ours.last_use[:10]) == ("2026-01-05", "2026-01-07")
    assert (theirs.first_use, theirs.last_use) == ("2026-01-06T12:40:00.000000+00:00",) * 2
    assert 0 < theirs.bytes < ours.bytes < path.stat().st_size


def test_reading_writes_nothing_until_the_store_is_closed(path: Path, clock: SettableClock) -> None:
    with AnswerStore(path, clock=clock) as store:
        store.put_scores(key_of("s"), OURS, some_scores(1))
    before = path.read_bytes()
    with AnswerStore(path, clock=clock) as store:
        clock.pass_days(1)
        store.scores(key_of("s"))
        assert path.read_bytes() == before
    assert path.read_bytes() != before


def test_a_batch_does_not_grow_older_when_the_clock_is_set_back(path: Path, clock: SettableClock) -> None:
    with AnswerStore(path, clock=clock) as store:
        store.put_scores(key_of("s"), OURS, some_scores(1))
        clock.pass_days(-30)
        store.scores(key_of("s"))
        assert store.summary()[0].last_use[:10] == "2026-01-05"


def test_everything_of_the_weights_is_forgotten_when_they_are_refused(path: Path, clock: SettableClock) -> None:
    with AnswerStore(path, clock=clock) as store:
        store.put_answers(key_of("a"), OURS, some_answers(1))
        store.put_scores(key_of("s"), OURS, some_scores(1))
        store.put_scores(key_of("t"), THEIRS, some_scores(2))
        assert store.refuse(OURS, "row 3 of a batch was computed again and differs") == 12
        assert (store.answers(key_of("a")), store.scores(key_of("s"))) == (None, None)
        assert store.scores(key_of("t")) == some_scores(2)
        assert store.refuse(OURS, "again") == 0
        store.put_answers(key_of("a"), OURS, some_answers(9))  # what is computed now may be stored again
    with AnswerStore(path, clock=clock) as store:
        assert columns(store.answers(key_of("a"))) == columns(some_answers(9))
        first, second = store.refusals()
        assert (first.weights, first.rows, first.refused[:10]) == (OURS, 12, "2026-01-05")
        assert (first.why, second.why) == ("row 3 of a batch was computed again and differs", "again")


@pytest.fixture
def aged(path: Path, clock: SettableClock) -> AnswerStore:
    """Ten batches of about 20 kB, one a day, ours and theirs in turn; then the first was used once more."""
    with AnswerStore(path, clock=clock) as store:
        for day in range(10):
            store.put_scores(key_of(day), (OURS, THEIRS)[day % 2], some_scores(day, 1000))
            clock.pass_days(1)
        store.scores(key_of(0))
    return AnswerStore(path, clock=clock)


def days_left(store: AnswerStore) -> list[int]:
    return [day for day in range(10) if store.scores(key_of(day)) is not None]


def test_everything_goes_when_pruning_names_nothing(aged: AnswerStore, path: Path) -> None:
    with aged as store:
        store.refuse("3" * 64, "a sample disagreed")
        before = path.stat().st_size
        removed = store.prune()
        assert [(one.weights, one.batches, one.scores) for one in removed] == [(OURS, 5, 5000), (THEIRS, 5, 5000)]
        assert (store.summary(), store.refusals(), days_left(store)) == ((), (), [])
        assert path.stat().st_size < before / 5


def test_the_unused_go_when_pruning_by_age(aged: AnswerStore) -> None:
    with aged as store:
        removed = store.prune(unused_since=START + timedelta(days=6))
        assert [(one.weights, one.batches) for one in removed] == [(THEIRS, 3), (OURS, 2)]
        assert days_left(store) == [0, 6, 7, 8, 9]  # the first was used again


def test_the_least_recently_used_go_first_when_pruning_by_size(aged: AnswerStore, path: Path) -> None:
    with aged as store:
        assert store.prune(keep_bytes=path.stat().st_size) == ()
        limit = path.stat().st_size // 2
        assert sum(one.batches for one in store.prune(keep_bytes=limit)) in {5, 6}
        assert limit // 2 < path.stat().st_size <= limit
        left = days_left(store)
        assert left in ([0, 6, 7, 8, 9], [0, 7, 8, 9])  # the first was used again
        store.prune(keep_bytes=0)
        assert days_left(store) == []


def test_only_these_weights_go_when_the_file_would_still_be_too_large(aged: AnswerStore) -> None:
    with aged as store:
        assert [(one.weights, one.batches) for one in store.prune(weights=THEIRS, keep_bytes=0)] == [(THEIRS, 5)]
        assert days_left(store) == [0, 2, 4, 6, 8]


def test_only_these_weights_go_when_pruning_by_weights(aged: AnswerStore) -> None:
    with aged as store:
        assert [one.batches for one in store.prune(weights=THEIRS, unused_since=START + timedelta(days=4))] == [2]
        assert days_left(store) == [0, 2, 4, 5, 6, 7, 8, 9]
        assert [one.batches for one in store.prune(weights=THEIRS)] == [3]
        assert days_left(store) == [0, 2, 4, 6, 8]
        assert store.prune(weights="4" * 64) == ()


def test_a_batch_that_was_just_read_is_not_pruned_as_unused(aged: AnswerStore) -> None:
    with aged as store:
        store.scores(key_of(3))
        store.prune(unused_since=START + timedelta(days=9))
        assert days_left(store) == [0, 3, 9]
