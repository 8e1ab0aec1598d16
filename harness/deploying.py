"""Place verified adapters, and nothing else, where a server takes its adapters from; and go back in one step.

The folder is what vLLM's filesystem resolver reads (`VLLM_LORA_RESOLVER_CACHE_DIR`): an adapter that is asked for by
name is loaded from FOLDER/NAME. Each name is a link to one version in FOLDER/.versions/NAME/NUMBER/adapter, beside its
verdict; the resolver follows links inside its folder, and takes one whole version whatever is placed meanwhile.
Renaming a link over another is atomic, so that a kill at any moment leaves the old version or the new one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.files import UNFINISHED, hold, make_folder, new_folder, point_link, write_bytes, write_json
from harness.store.facts import read_record, to_plain
from harness.suite.declaration import NAME
from harness.trust.digests import digest_files, digest_tree
from harness.trust.servable import base_named_by, refuse_unservable

VERSIONS = ".versions"
ADAPTER = "adapter"
PLACED = "placed.json"

Verify = Callable[[Path, Path], Any]  # the folder of an adapter and its verdict file; raises EvidenceRefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How the server that reads the folder was started."""

    max_lora_rank: int
    base_model: str | None  # `vllm serve NAME`; None: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One version of a name: its number and digest, when it was placed, and which one it took the place of."""

    name: str
    number: int
    digest: str  # SHA-256 over the adapter's files
    base: str  # what vLLM must have been started with (`vllm serve BASE`), word for word, to take the adapter
    placed: str  # ISO 8601, UTC
    replaces: int | None


def place_adapter(
    adapter: Path, folder: Path, name: str, *, verdict: Path, verify: Verify, server: Server, clock: Clock
) -> Placed:
    """Copy an adapter beside its verdict, verify the copy, and let the name mean it.

    What is verified is what is placed: nothing that happens to the given files afterwards matters.

    Raises:
        EvidenceRefusedError: the copy is not what a fresh ship verdict speaks of; nothing is placed.
        InvalidInputError: no folder, a name that cannot be one, something else under this name, or an adapter that a
            server could not serve as it was judged.
    """
    _require_name(name)
    _require_folder(folder)
    if not verdict.is_file():
        raise EvidenceRefusedError(f"{verdict}: no verdict, so nothing is placed")
    versions = folder / VERSIONS / name
    make_folder(versions)
    with hold(folder), hold(versions):  # of two that place at once, one waits
        replaced, there = _pointed(folder, name), folder / name
        if replaced is None and (there.exists() or there.is_symlink()):
            raise InvalidInputError(f"{there}: not placed by `harness deploy-guard`; take it away first")
        number = max((number for number, _ in _numbered(versions)), default=0) + 1
        with new_folder(_version(folder, name, number)) as building:
            _copy(adapter, building / ADAPTER)
            for file in (verdict, verdict.with_suffix(".dsse.json")):
                if file.is_file():
                    write_bytes(building / file.name, file.read_bytes())
            verify(building / ADAPTER, building / verdict.name)
            _refuse_for(server, building / ADAPTER)
            placed = Placed(
                name=name,
                number=number,
                digest=digest_tree(digest_files(building / ADAPTER)),
                base=base_named_by(building / ADAPTER),
                placed=clock().isoformat(timespec="seconds"),
                replaces=replaced,
            )
            write_json(building / PLACED, to_plain(placed))
        _point(folder, name, number)
    return placed


def roll_back(folder: Path, name: str) -> Placed:
    """Let a name mean the version again that its present one took the place of.

    Its verdict may have expired meanwhile, and is not asked; its files must be those that were placed.

    Raises:
        InvalidInputError: nothing is placed under this name, or nothing was before.
        EvidenceRefusedError: the earlier version is not what was placed.
    """
    _require_name(name)
    _require_folder(folder)
    with hold(folder):
        if (number := _pointed(folder, name)) is None:
            raise InvalidInputError(f"{folder / name}: nothing is placed under this name")
        present = _record(folder, name, number)  # its files may be the very reason to go back
        if present.replaces is None:
            raise InvalidInputError(f"{folder / name}: version {number} took no other's place")
        earlier = _intact(folder, name, present.replaces)
        _point(folder, name, earlier.number)
    return earlier


def examine_folder(folder: Path) -> tuple[Placed, ...]:
    """What is placed under each name.

    Raises:
        EvidenceRefusedError: something in the folder was not placed by the guard, or changed since.
    """
    _require_folder(folder)
    versions = folder / VERSIONS
    # Every version, since the resolver finds an old one by its whole path.
    for kept in sorted(versions.iterdir()) if versions.is_dir() else []:
        for path in sorted(kept.iterdir()) if kept.is_dir() else [kept]:
            if not path.name.endswith(UNFINISHED):
                if not path.name.isdecimal():
                    raise EvidenceRefusedError(f"{path}: not placed by `harness deploy-guard`; nobody verified it")
                _intact(folder, kept.name, int(path.name))
    found = []
    for path in sorted(folder.iterdir()):
        if path != versions and not path.name.endswith(UNFINISHED):
            if (number := _pointed(folder, path.name)) is None:
                raise EvidenceRefusedError(f"{path}: not placed by `harness deploy-guard`; nobody verified it")
            found.append(_intact(folder, path.name, number))
    return tuple(found)


def _refuse_for(server: Server, adapter: Path) -> None:
    """An adapter that this server could not serve as it was judged, or would not find."""
    refuse_unservable(adapter, max_lora_rank=server.max_lora_rank)
    base = base_named_by(adapter)
    if server.base_model is not None and server.base_model != base:
        raise InvalidInputError(
            f"the adapter names '{base:.200}' as its base model, and the resolver of a server of '{server.base_model}' "
            "takes only adapters that name this; start the server under that name"
        )


def _require_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise InvalidInputError(
            f"--name {name!r:.80}: letters, digits, dots, dashes and underscores, without a dot first"
        )


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInputError(f"{folder}: no such folder; make it, and start the server with it")


def _version(folder: Path, name: str, number: int) -> Path:
    return folder / VERSIONS / name / f"{number:06d}"


def _numbered(versions: Path) -> list[tuple[int, Path]]:
    return [(int(path.name), path) for path in versions.iterdir() if path.name.isdecimal()]


def _pointed(folder: Path, name: str) -> int | None:
    """The version that a name means now; None when nothing is there, or nothing of the guard's."""
    link = folder / name
    parts = Path(os.readlink(link)).parts if link.is_symlink() else ()
    if len(parts) == 4 and (*parts[:2], parts[3]) == (VERSIONS, name, ADAPTER) and parts[2].isdecimal():
        return int(parts[2])
    return None


def _record(folder: Path, name: str, number: int) -> Placed:
    """What was noted of a version when it was placed."""
    version = _version(folder, name, number)
    try:
        placed = read_record(Placed, version / PLACED)
    except BrokenRunError as error:
        raise EvidenceRefusedError(f"{version}: not a version as it was placed: {error}") from None
    if (placed.name, placed.number) != (name, number):
        raise EvidenceRefusedError(f"{version / PLACED}: of another version")
    return placed


def _intact(folder: Path, name: str, number: int) -> Placed:
    """A version, found to be as it was placed."""
    placed, files = _record(folder, name, number), _version(folder, name, number) / ADAPTER
    if placed.digest != digest_tree(digest_files(files)):
        raise EvidenceRefusedError(f"{files}: changed since it was placed; go back, or place a verified adapter")
    return placed


def _point(folder: Path, name: str, number: int) -> None:
    point_link(folder / name, Path(VERSIONS) / name / f"{number:06d}" / ADAPTER)


def _copy(adapter: Path, target: Path) -> None:
    """Copy a folder's files; links and other things that verifying would not see as they are, are refused."""
    if not adapter.is_dir():
        raise EvidenceRefusedError(f"{adapter}: no such adapter folder")
    make_folder(target)
    for path in sorted(adapter.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise EvidenceRefusedError(f"{path}: neither a file nor a folder; links are not accepted")
        if path.is_dir():
            make_folder(target / path.relative_to(adapter))
        else:
            write_bytes(target / path.relative_to(adapter), path.read_bytes())
