"""SHA-256 of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.strict_json import canonical


def digest_bytes(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(folder: Path) -> dict[str, str]:
    """Path inside the folder (with "/") -> SHA-256, for every file in it.

    Raises:
        EvidenceRefusedError: a link, whose target could change after it was read, or a pipe or device.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise EvidenceRefusedError(f"{path}: links are not accepted; put the file itself there")
        if path.is_file():
            digests[path.relative_to(folder).as_posix()] = digest_file(path)
        elif not path.is_dir():
            raise EvidenceRefusedError(f"{path}: neither a file nor a folder")
    return digests


def digest_model_files(folder: Path) -> dict[str, str]:
    """Path inside a model folder (with "/") -> SHA-256, links to files followed (the hub's cache is made of them).

    What is hidden at its top, as `.git` and `.cache` are, no model is read from.

    Raises:
        InvalidInputError: a link to a folder.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0].startswith("."):
            continue
        if path.is_file():
            digests[inside.as_posix()] = digest_file(path)
        elif path.is_symlink() and path.is_dir():
            raise InvalidInputError(f"{path}: a model holds no links to folders; put the folder itself there")
    return digests


def digest_model_folder(folder: Path) -> str:
    """One SHA-256 over a model folder."""
    return digest_tree(digest_model_files(folder))


def digest_tree(files: Mapping[str, str]) -> str:
    """One SHA-256 over names and digests of files."""
    return digest_json(dict(files))


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form."""
    return digest_bytes(canonical(value).encode("utf-8"))


def seal(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the digest of its canonical form as its last key."""
    return {**body, "digest": digest_json(dict(body))}


def weights_digest(base: str, adapter: str | None) -> str:
    """One SHA-256 for the base model with an adapter, or alone."""
    return digest_tree({"base": base} if adapter is None else {"base": base, "adapter": adapter})
