"""Where the files of a base model are when they are on this machine already."""

from __future__ import annotations

from pathlib import Path

from harness.suite.catalogue import CATALOGUE
from harness.suite.declaration import HubModel, ModelRef

CONVERSION = 1  # raise when the conversion changes, so that old caches are not used


def find_local(reference: ModelRef, *, suite_folder: Path, cache: Path) -> Path | None:
    """The folder of a declared model when it can be had without fetching or converting anything."""
    if isinstance(reference, str):
        folder = converted(reference, cache) if reference in CATALOGUE else None
        return folder if folder is not None and folder.is_dir() else None
    if isinstance(reference, HubModel):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(reference.hub, revision=reference.revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return None
    folder = (suite_folder / reference.path).resolve()
    return folder if (folder / "config.json").is_file() else None


def converted(name: str, cache: Path) -> Path:
    """The folder that a model of the catalogue is converted into."""
    return cache / "models" / f"{name}-{CATALOGUE[name].sha256[:12]}-{CONVERSION}"
