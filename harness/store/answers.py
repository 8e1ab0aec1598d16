"""Answers and scores by content: what was computed once from the same inputs is read back, not computed again.

The unit is the batch: the rows of one key are written in one transaction, served whole or not at all, and checked on
every reading against a SHA-256 over their columns, key and weights. That finds damage, not forgery: whoever may write
the file may write a digest too.

A batch that fails its check stops the reader and is not computed again in silence: one wrong byte says that a disk or
a hand changed the file, so its other pages are doubtful, and writing into a damaged tree spreads the damage.

SQLite writes the file by itself, and not through `harness.files`: a kill, a full disk or a broken one in the middle of
a transaction leaves the journal from which the next reader brings back what was before.

That rollback journal is kept: write-ahead logging needs shared memory, which the network folders that caches
often live in do not have, and batches are written far too seldom to gain from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from harness.clock import Clock
from harness.errors import BrokenRunError
from harness.files import PRIVATE, make_folder
from harness.records import StoredAnswer, StoredScore

ANSWERS = "answers.sqlite"  # inside the cache folder
SCHEMA_VERSION = 2
BUSY_SECONDS = 60.0  # how long to wait for another process that is writing

_DELETE_IT = "delete the file: nothing but computing time is lost"
_EMPTY_IT = f"`harness cache --prune` empties it; if that fails too, {_DELETE_IT}"
_DAMAGED = f"it is damaged: {_EMPTY_IT}"
_ELSEWHERE = "or choose another folder with HARNESS_CACHE"
_REMEDIES = {
    sqlite3.SQLITE_FULL: f"free some space, {_ELSEWHERE}",
    sqlite3.SQLITE_IOERR: f"look at the disk and its quota, {_ELSEWHERE}",
    sqlite3.SQLITE_READONLY: f"make it writable, {_ELSEWHERE}",
    sqlite3.SQLITE_CANTOPEN: f"make it readable and writable, {_ELSEWHERE}",
    sqlite3.SQLITE_BUSY: "another process is writing to it; run again when that has ended",
    sqlite3.SQLITE_NOTADB: _DELETE_IT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """What is stored, or was removed, of one set of weights; `bytes` is content, without the file's own pages."""

    weights: str
    batches: int
    answers: int
    scores: int
    bytes: int
    first_use: str  # ISO 8601, UTC
    last_use: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Weights whose stored rows were forgotten because a recomputed sample disagreed with them."""

    weights: str
    refused: str  # ISO 8601, UTC
    rows: int
    why: str


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Table(Generic[Row]):
    """Where one kind of row is kept, and how it becomes columns and comes back."""

    name: str
    columns: dict[str, str]  # name -> SQLite type
    write: Callable[[Row], tuple[str | int | float, ...]]
    read: Callable[..., Row]


# Adding zero makes an int a float and -0.0, which SQLite does not keep, 0.0: what is hashed is what is read back.
_ANSWER: _Table[StoredAnswer] = _Table(
    "answer",
    {"tokens": "TEXT", "ended": "INTEGER", "near_tie": "INTEGER", "logprob": "REAL", "seconds": "REAL"},
    lambda row: (json.dumps(row.tokens), int(row.ended), int(row.near_tie), row.logprob + 0.0, row.seconds + 0.0),
    lambda tokens, ended, near_tie, logprob, seconds: StoredAnswer(
        tokens=tuple(json.loads(tokens)),
        ended=bool(ended),
        near_tie=bool(near_tie),
        logprob=logprob,
        seconds=seconds,
    ),
)
_SCORE: _Table[StoredScore] = _Table(
    "score",
    {"logprob": "REAL", "is_greedy": "INTEGER"},
    lambda row: (row.logprob + 0.0, int(row.is_greedy)),
    lambda logprob, is_greedy: StoredScore(logprob=logprob, is_greedy=bool(is_greedy)),
)

_SCHEMA = (
    "CREATE TABLE batch (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, weights TEXT NOT NULL, "
    "rows INTEGER NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL, first_use TEXT NOT NULL, "
    "last_use TEXT NOT NULL, UNIQUE (kind, key))",
    *(
        f"CREATE TABLE {table.name} (batch INTEGER NOT NULL REFERENCES batch ON DELETE CASCADE, "
        + "place INTEGER NOT NULL, "
        + "".join(f"{name} {kind} NOT NULL, " for name, kind in table.columns.items())
        + "PRIMARY KEY (batch, place)) WITHOUT ROWID"
        for table in (_ANSWER, _SCORE)
    ),
    "CREATE TABLE refusal (weights TEXT NOT NULL, refused TEXT NOT NULL, rows INTEGER NOT NULL, why TEXT NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the batch table says of one batch, for counting and pruning."""

    id: int
    kind: str
    weights: str
    rows: int
    bytes: int
    first_use: str
    last_use: str


class AnswerStore:
    """The store in one file; several processes may have it open at once, each in one thread.

    Raises:
        BrokenRunError: from every method, when the file is damaged, is no such store, or cannot be read or written.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Open the store, or create it, for its owner only."""
        self._path = path
        self._clock = clock
        self._used: dict[tuple[str, str], str] = {}  # (kind, key) -> last use; written on closing, not on every read
        with self._explained():
            make_folder(path.parent, mode=PRIVATE)
            # Only to create: closing a descriptor of a file that is in use would drop this process's locks on it.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write when each batch was last used, and close the file."""
        try:
            self._write_uses()
        finally:
            self._connection.close()

    def answers(self, key: str) -> tuple[StoredAnswer, ...] | None:
        """The answers of a batch, in order; None when it is not stored."""
        return self._get(_ANSWER, key)

    def put_answers(self, key: str, weights: str, rows: Sequence[StoredAnswer]) -> None:
        """Store a batch of answers; one that is there already must be equal and stays (BrokenRunError otherwise)."""
        self._put(_ANSWER, key, weights, rows)

    def scores(self, key: str) -> tuple[StoredScore, ...] | None:
        """The scores of a batch, in order; None when it is not stored."""
        return self._get(_SCORE, key)

    def put_scores(self, key: str, weights: str, rows: Sequence[StoredScore]) -> None:
        """Store a batch of scores; one that is there already must be equal and stays (BrokenRunError otherwise)."""
        self._put(_SCORE, key, weights, rows)

    def refuse(self, weights: str, why: str) -> int:
        """Forget everything of these weights and keep a note of why; returns how many rows that were."""
        with self._transaction("IMMEDIATE") as connection:
            gone = [batch for batch in self._batches() if batch.weights == weights]
            self._delete(gone)
            rows = sum(batch.rows for batch in gone)
            connection.execute("INSERT INTO refusal VALUES (?, ?, ?, ?)", (weights, _stamp(self._clock()), rows, why))
        return rows

    def refusals(self) -> tuple[Refusal, ...]:
        """Every refusal since the store was last emptied, oldest first."""
        with self._transaction("DEFERRED"):
            rows = self._checked("SELECT * FROM refusal ORDER BY rowid", [str, str, int, str])
        return tuple(Refusal(weights=weights, refused=at, rows=count, why=why) for weights, at, count, why in rows)

    def summary(self) -> tuple[StoredWeights, ...]:
        """What is stored, by weights, the most recently used first."""
        self._write_uses()
        with self._transaction("DEFERRED"):
            return _by_weights(self._batches())

    def prune(
        self, *, weights: str | None = None, unused_since: datetime | None = None, keep_bytes: int | None = None
    ) -> tuple[StoredWeights, ...]:
        """Remove batches, shrink the file, and return what was removed.

        `weights` says whose batches may go. Of these go the ones not used since `unused_since`, then the least
        recently used until the file is no larger than `keep_bytes`; with neither given, all of them. With nothing
        given the store is emptied, refusals included; an empty file still takes a few pages.
        """
        self._write_uses()
        all_of_them = unused_since is None and keep_bytes is None
        before = "" if unused_since is None else _stamp(unused_since)
        gone = []
        with self._transaction("IMMEDIATE") as connection:
            for batch in self._batches():
                if weights not in {None, batch.weights}:
                    continue
                too_large = keep_bytes is not None and self._bytes_in_use() > keep_bytes
                if all_of_them or batch.last_use < before or too_large:
                    self._delete([batch])
                    gone.append(batch)
            if all_of_them and weights is None:
                connection.execute("DELETE FROM refusal")
        with self._explained():
            self._connection.execute("VACUUM")
        return _by_weights(gone)

    def _prepare(self) -> None:
        """Write the schema into a new file; refuse a file of another one."""
        with self._explained():
            self._connection.execute("PRAGMA foreign_keys = ON")
            if self._is_new():
                with self._transaction("IMMEDIATE") as connection:
                    if self._is_new():  # else another process was faster
                        for statement in _SCHEMA:
                            connection.execute(statement)
            version = self._number("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise BrokenRunError(
                f"{self._path}: a store of format {version}, this version reads {SCHEMA_VERSION}; {_DELETE_IT}"
            )

    def _is_new(self) -> bool:
        return self._number("SELECT count(*) FROM sqlite_master") == 0

    def _bytes_in_use(self) -> int:
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._number("PRAGMA page_size")

    def _number(self, query: str) -> int:
        (number,) = self._connection.execute(query).fetchone()
        return int(number)

    def _get(self, table: _Table[Row], key: str) -> tuple[Row, ...] | None:
        with self._transaction("DEFERRED"):  # so that the batch and its rows are of the same moment
            found = self._find(table, key)
        return None if found is None else found[1]

    def _find(self, table: _Table[Row], key: str) -> tuple[str, tuple[Row, ...]] | None:
        """The weights and rows of a batch inside a transaction, checked; None when it is not stored."""
        query = "SELECT id, weights, rows, bytes, digest FROM batch WHERE kind = ? AND key = ?"
        batch = self._connection.execute(query, (table.name, key)).fetchone()
        if batch is None:
            return None
        number, weights, *written = batch
        query = f"SELECT place, {', '.join(table.columns)} FROM {table.name} WHERE batch = ? ORDER BY place"
        rows = self._connection.execute(query, (number,)).fetchall()
        if written != [len(rows), *_seal(table.name, key, weights, rows)]:
            raise self._damaged(f"batch {key[:12]}")
        self._used[table.name, key] = _stamp(self._clock())
        return weights, tuple(table.read(*columns) for _, *columns in rows)

    def _put(self, table: _Table[Row], key: str, weights: str, rows: Sequence[Row]) -> None:
        places = [(place, *table.write(row)) for place, row in enumerate(rows)]
        with self._transaction("IMMEDIATE") as connection:
            found = self._find(table, key)
            if found is None:
                now = _stamp(self._clock())
                batch = (table.name, key, weights, len(rows), *_seal(table.name, key, weights, places), now, now)
                insert = "INSERT INTO batch VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"
                number = connection.execute(insert, batch).lastrowid
                insert = f"INSERT INTO {table.name} VALUES (?, ?{', ?' * len(table.columns)})"
                connection.executemany(insert, [(number, *columns) for columns in places])
            elif found != (weights, tuple(rows)):
                raise BrokenRunError(
                    f"{self._path}: batch {key[:12]} is stored with other {table.name}s than the same inputs gave now, "
                    f"so neither can be trusted; `harness cache --prune --weights {weights[:12]}`, then run again"
                )

    def _batches(self) -> list[_Batch]:
        """Every batch, the least recently used first; inside a transaction."""
        query = "SELECT id, kind, weights, rows, bytes, first_use, last_use FROM batch ORDER BY last_use, id"
        return [_Batch(*row) for row in self._checked(query, [int, str, str, int, int, str, str])]

    def _checked(self, query: str, types: list[type]) -> list[Any]:
        """Rows that no digest covers, of the types that were written."""
        rows = self._connection.execute(query).fetchall()
        if any([type(value) for value in row] != types for row in rows):
            raise self._damaged("the list of what is stored")
        return rows

    def _delete(self, batches: Sequence[_Batch]) -> None:
        self._connection.executemany("DELETE FROM batch WHERE id = ?", [(batch.id,) for batch in batches])

    def _write_uses(self) -> None:
        if self._used:
            with self._transaction("IMMEDIATE") as connection:
                # The latest, so that a clock which was set back makes nothing look older than it is.
                update = "UPDATE batch SET last_use = max(last_use, ?) WHERE kind = ? AND key = ?"
                connection.executemany(update, [(at, *batch) for batch, at in self._used.items()])
            self._used.clear()

    @contextlib.contextmanager
    def _transaction(self, mode: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; IMMEDIATE takes the writer's place at once, so that two cannot deadlock."""
        with self._explained():
            self._connection.execute(f"BEGIN {mode}")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite has rolled back itself after some errors
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite raises into one message with the path and what to do."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # used after close(): our own mistake, not the file's
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from a message that quotes damaged text
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # without its extension
            raise BrokenRunError(f"{self._path}: {error}; {_REMEDIES.get(code, _DAMAGED)}") from error
        except OSError as error:
            raise BrokenRunError(f"{self._path}: {error.strerror}; make its folder writable, {_ELSEWHERE}") from error

    def _damaged(self, what: str) -> BrokenRunError:
        return BrokenRunError(f"{self._path}: {what} is not what was written, so nothing of it is used; {_EMPTY_IT}")


def _seal(kind: str, key: str, weights: str, rows: Sequence[Any]) -> tuple[int, str]:
    """The size and the SHA-256 of everything that a batch says; rows are columns with their place first."""
    # What JSON does not know, such as bytes, is never written: it only has to make another digest when it is read.
    content = json.dumps([kind, key, weights, rows], default=repr).encode("utf-8")
    return len(content), hashlib.sha256(content).hexdigest()


def _stamp(moment: datetime) -> str:
    """A moment as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _by_weights(batches: Sequence[_Batch]) -> tuple[StoredWeights, ...]:
    """One record for each set of weights, the last used first; `batches` come least recently used first."""
    found = []
    for weights in dict.fromkeys(batch.weights for batch in reversed(batches)):
        own = [batch for batch in batches if batch.weights == weights]
        found.append(
            StoredWeights(
                weights=weights,
                batches=len(own),
                answers=sum(batch.rows for batch in own if batch.kind == _ANSWER.name),
                scores=sum(batch.rows for batch in own if batch.kind == _SCORE.name),
                bytes=sum(batch.bytes for batch in own),
                first_use=min(batch.first_use for batch in own),
                last_use=own[-1].last_use,
            )
        )
    return tuple(found)
