"""Where an interrupted training goes on: checkpoints that are whole, of this very training, and otherwise ignored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.files import remove_tree, sync_tree, write_json
from harness.strict_json import StrictJsonError, parse

SEAL = "checkpoint.json"  # written last: names the training and every other file by its digest


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training in a folder of their own; `key` is a digest of all that it depends on."""

    folder: Path
    key: str

    def at(self, step: int) -> Path:
        """The checkpoint of a step, where transformers' Trainer puts it."""
        return self.folder / f"checkpoint-{step}"

    def seal(self, folder: Path) -> None:
        """Declare a checkpoint whole, and drop those before it."""
        sync_tree(folder)  # the Trainer does not; a seal must not outlive a power cut that its files do not
        write_json(folder / SEAL, {"key": self.key, "files": _digests(folder)})
        for other in self.folder.glob("checkpoint-*"):
            if other != folder:
                remove_tree(other)

    def newest(self) -> Path | None:
        """The last whole checkpoint of this training; None when there is none that is exactly as it was sealed."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
        return next((folder for folder in reversed(found) if self._is_whole(folder)), None)

    def _is_whole(self, folder: Path) -> bool:
        try:
            seal = parse((folder / SEAL).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, StrictJsonError):
            return False  # interrupted while it was written
        return bool(seal == {"key": self.key, "files": _digests(folder)})


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != SEAL
    }
