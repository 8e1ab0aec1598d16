"""Trainings by content: an interrupted one goes on in its folder, a finished one is not trained again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.files import PRIVATE, hold, make_folder, new_folder, remove_tree, write_bytes, write_json, write_text
from harness.records import TrainingHistory
from harness.strict_json import StrictJsonError, parse

TRAININGS = "trainings"  # inside the cache folder
RESULT, HISTORY, SEAL = "result", "history.json", "seal.json"
BEGUN = "begun"  # when its first step was taken, ISO 8601


@dataclass(frozen=True, slots=True)
class StoredTraining:
    """One training that is kept, finished or not."""

    key: str
    finished: bool
    bytes: int
    last_use: datetime


@dataclass(frozen=True, slots=True)
class TrainingStore:
    """Trainings in a folder, one folder for each key: a digest of all that its result depends on."""

    folder: Path

    def fetch(self, key: str, target: Path) -> TrainingHistory | None:
        """Copy a finished training's files into `target`; None when there is none that is as it was kept."""
        result = self.folder / key / RESULT
        try:
            seal = parse((result / SEAL).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, StrictJsonError):
            return None
        contents = {path.name: path.read_bytes() for path in sorted(result.iterdir()) if path.name != SEAL}
        if seal != {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}:
            return None
        from harness.store.facts import read_record

        os.utime(result.parent)
        history = read_record(TrainingHistory, result / HISTORY)
        for name, content in contents.items():
            if name != HISTORY:
                write_bytes(target / name, content)
        return history

    def history_of(self, files: Mapping[str, str]) -> TrainingHistory | None:
        """The history of a finished training that made exactly these files (name -> SHA-256); None: none here did."""
        from harness.store.facts import read_record

        for path in sorted(self.folder.glob(f"*/{RESULT}/{SEAL}")):
            try:
                seal = dict(parse(path.read_text(encoding="utf-8")))
                told = hashlib.sha256((path.parent / HISTORY).read_bytes()).hexdigest()
            except (OSError, UnicodeDecodeError, StrictJsonError, TypeError, ValueError):
                continue
            if seal == {**files, HISTORY: told}:
                return read_record(TrainingHistory, path.parent / HISTORY)
        return None

    def keep(self, key: str, source: Path, history: TrainingHistory) -> None:
        """Keep a finished training's files; its checkpoints are dropped."""
        from harness.store.facts import to_plain

        place = self.folder / key
        if (place / RESULT).exists():
            remove_tree(place / RESULT)  # it was found to be damaged
        with new_folder(place / RESULT) as building:
            for path in sorted(source.iterdir()):
                write_bytes(building / path.name, path.read_bytes())
            write_json(building / HISTORY, to_plain(history))
            digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(building.iterdir())}
            write_json(building / SEAL, digests)
        for checkpoint in place.glob("checkpoint-*"):
            remove_tree(checkpoint)

    @contextlib.contextmanager
    def working(self, key: str) -> Iterator[Path | None]:
        """The folder of an unfinished training; None while another process trains there. A dead owner holds nothing."""
        place = self.folder / key
        make_folder(place, mode=PRIVATE)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(hold(place, seconds=0))
            except BlockingIOError:
                yield None
                return
            yield place

    def begun(self, key: str, now: datetime) -> str | None:
        """When a training began, ISO 8601: `now`, if it was not begun before; None where that was made unreadable."""
        path = self.folder / key / BEGUN
        if not path.is_file():
            write_text(path, now.isoformat())
        try:
            return datetime.fromisoformat(path.read_text(encoding="utf-8")).isoformat()
        except ValueError:
            return None

    def summary(self) -> tuple[StoredTraining, ...]:
        """What is kept, the latest used first."""
        found = [
            StoredTraining(
                key=place.name,
                finished=(place / RESULT / SEAL).is_file(),
                bytes=sum(path.stat().st_size for path in place.rglob("*") if path.is_file()),
                last_use=datetime.fromtimestamp(place.stat().st_mtime, UTC),
            )
            for place in (self.folder.iterdir() if self.folder.is_dir() else ())
        ]
        return tuple(sorted(found, key=lambda one: one.last_use, reverse=True))

    def prune(self, *, unused_since: datetime | None, keep_bytes: int | None) -> tuple[StoredTraining, ...]:
        """Remove those not used since a time, or the least recently used until the rest is small enough, or all.

        One that a process is working on stays.
        """
        kept, removed = 0, []
        for one in self.summary():
            kept += one.bytes
            old = unused_since is not None and one.last_use < unused_since
            large = keep_bytes is not None and kept > keep_bytes
            if old or large or (unused_since is None and keep_bytes is None):
                place = self.folder / one.key
                with contextlib.suppress(BlockingIOError), hold(place, seconds=0):
                    remove_tree(place)
                    removed.append(one)
        return tuple(removed)
