"""What the model libraries write: told as an error that names the folder when a disk is full or broken.

They write by themselves, into folders that count for nothing until a digest over all of them is written: the seal of a
checkpoint or of a kept training, or the manifest of a run; `harness.files` makes them durable before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from harness.errors import BrokenRunError


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[None]:
    """A block in which libraries save into a folder.

    Raises:
        BrokenRunError: they could not; safetensors and torch (RuntimeError) have no error of their own for it.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise BrokenRunError(f"{folder}: cannot be written: {error}; is the disk full?") from error
