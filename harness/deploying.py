"""Place verified adapters, and nothing else, where a server takes its adapters from; and go back in one step.

The folder is what vLLM's filesystem resolver reads (`VLLM_LORA_RESOLVER_CACHE_DIR`): an adapter that is asked for by
name is loaded from FOLDER/NAME. Each name is a link to one version in FOLDER/.versions/NAME/NUMBER/adapter, beside its
verdict; the resolver follows links inside its folder, and takes one whole version whatever is placed meanwhile.
Renaming a link over another is atomic, so that a kill at any moment leaves the old version or the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.clock import Clock
from harness.engine.artefacts import ADAPTER_CONFIG
from harness.errors import BrokenRunError, EvidenceRefusedError, HarnessError, InvalidInputError
from harness.files import UNFINISHED, hold, make_folder, new_folder, point_link, write_bytes, write_json
from harness.limits import TEXT_BYTES, read_within
from harness.store.facts import read_record, to_plain
from harness.store.runs import ADAPTER, ENVELOPE, VERDICT
from harness.suite.declaration import NAME
from harness.trust.digests import digest_bytes, digest_files, digest_tree
from harness.trust.history import read_log, refuse_outlived
from harness.trust.servable import base_named_by, refuse_unservable
from harness.trust.verdicts import parse_verdict
from harness.trust.verify import Verified, envelope_of

VERSIONS = ".versions"
PLACED = "placed.json"
ENTRIES = {ADAPTER, PLACED, VERDICT, ENVELOPE}  # of a version; the envelope where the verdict is signed

Verify = Callable[[Path, Path], Verified]  # of an adapter's folder and its verdict; raises EvidenceRefusedError


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
) -> tuple[Placed, Verified, bool]:
    """Copy an adapter beside its verdict, verify the copy, and let the name mean it.

    What is verified is what is placed: nothing that happens to the given files afterwards matters. Returned with it is
    what `verify` found, which says what was not looked at, and whether it is new: where the name means exactly these
    files already, they stay, with the verdict that they came with, so that going back never leads to the same files.

    Raises:
        EvidenceRefusedError: the copy is not what a fresh ship verdict speaks of, or a folder of the guard is a link;
            nothing is placed.
        InvalidInputError: no folder, a name that cannot be one, something else under this name, or an adapter that a
            server could not serve as it was judged.
    """
    _require_name(name)
    _require_folder(folder)
    if not verdict.is_file():
        raise EvidenceRefusedError(f"{verdict}: no verdict, so nothing is placed")
    versions = folder / VERSIONS / name
    for kept in (versions.parent, versions):
        make_folder(kept)
        _inside(kept)  # before it is held, and swept: it may lead anywhere
    with hold(folder), hold(versions):  # of two that place at once, one waits
        replaced, there = _pointed(folder, name), folder / name
        if replaced is None and (there.exists() or there.is_symlink()):
            raise InvalidInputError(f"{there}: not placed by `harness deploy-guard`; take it away first")
        number = max((number for number, _ in _numbered(versions)), default=0) + 1
        present = _present(folder, name, replaced)
        with contextlib.suppress(_AlreadyPlaced), new_folder(_version(folder, name, number)) as building:
            _copy(adapter, building / ADAPTER)
            sealed = {building / VERDICT: verdict, building / ENVELOPE: envelope_of(verdict)}
            for copy, file in sealed.items():
                if file.is_file():
                    write_bytes(copy, file.read_bytes())
            with _naming_the_given({building / ADAPTER: adapter, **sealed}):
                verified = verify(building / ADAPTER, building / VERDICT)
                _refuse_for(server, building / ADAPTER)
            digest = digest_tree(digest_files(building / ADAPTER))
            if present is not None and present.digest == digest:
                raise _AlreadyPlaced  # which takes the copy away
            placed = Placed(
                name=name,
                number=number,
                digest=digest,
                base=base_named_by(building / ADAPTER),
                placed=clock().isoformat(timespec="seconds"),
                replaces=replaced,
            )
            write_json(building / PLACED, to_plain(placed))
        if present is not None and present.digest == digest:
            return present, verified, False
        _point(folder, name, number)
    return placed, verified, True


class _AlreadyPlaced(Exception):
    """A copy is not needed."""


def _present(folder: Path, name: str, number: int | None) -> Placed | None:
    """What a name means now; None where that is nothing, or not what was placed, so that it must be placed anew."""
    try:
        return _intact(folder, name, number) if number is not None else None
    except EvidenceRefusedError:
        return None


def roll_back(folder: Path, name: str, *, history: Path | None = None) -> Placed:
    """Let a name mean the version again that its present one took the place of.

    Its verdict may have expired meanwhile, and is not asked; its files must be those that were placed. With the
    `history`, a log of verdicts, no newer verdict may stand against it.

    Raises:
        InvalidInputError: nothing is placed under this name, or nothing was before.
        EvidenceRefusedError: the earlier version is not what was placed, or is outlived by the history.
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
        if history is not None:
            _refuse_outlived(_version(folder, name, earlier.number), history)
        _point(folder, name, earlier.number)
    return earlier


def examine_folder(folder: Path) -> tuple[Placed, ...]:
    """What is placed under each name; what a killed placement left unfinished is removed first.

    Raises:
        EvidenceRefusedError: something in the folder was not placed by the guard, or changed since.
    """
    _require_folder(folder)
    versions, found = folder / VERSIONS, []
    with hold(folder):
        for path in sorted(folder.iterdir()):
            if path == versions:
                for kept in _inside(versions):
                    _examine_versions(folder, kept)
            elif (number := _pointed(folder, path.name)) is None:
                raise _foreign(path)
            else:
                found.append(_intact(folder, path.name, number))
    return tuple(found)


def _examine_versions(folder: Path, kept: Path) -> None:
    """Every version of a name, since the resolver finds an old one by its whole path."""
    _inside(kept)  # before it is held, and swept: it may lead anywhere
    with hold(kept):
        for path in _inside(kept):
            if not path.name.isdecimal() or path != _version(folder, kept.name, int(path.name)):
                raise _foreign(path)
            _intact(folder, kept.name, int(path.name))


def _inside(folder: Path) -> list[Path]:
    """What is in a folder that the guard made, which is no link."""
    if folder.is_symlink() or not folder.is_dir():
        raise _foreign(folder)
    return sorted(folder.iterdir())


def _foreign(path: Path) -> EvidenceRefusedError:
    return EvidenceRefusedError(f"{path}: not placed by `harness deploy-guard`; nobody verified it")


@contextlib.contextmanager
def _naming_the_given(copies: Mapping[Path, Path]) -> Iterator[None]:
    """Let a refusal of a copy, which is gone then, name what it is a copy of."""
    try:
        yield
    except HarnessError as error:
        said = str(error)
        for copy, given in copies.items():
            said = said.replace(str(copy), str(given))
        error.args = (said,)
        raise


def _refuse_for(server: Server, adapter: Path) -> None:
    """An adapter that this server could not serve as it was judged, or would not find."""
    refuse_unservable(adapter, max_lora_rank=server.max_lora_rank)
    base = base_named_by(adapter)
    if not base:
        raise InvalidInputError(
            f"{adapter / ADAPTER_CONFIG}: names no base model, and the resolver takes only adapters that name the "
            "server's; write it there as `base_model_name_or_path`, and judge the adapter again"
        )
    if server.base_model is not None and server.base_model != base:
        raise InvalidInputError(
            f"the adapter names '{base:.200}' as its base model, and the resolver of a server of '{server.base_model}' "
            "takes only adapters that name this; start the server under that name"
        )


def _require_name(name: str) -> None:
    if not re.fullmatch(NAME, name) or name.endswith(UNFINISHED):
        raise InvalidInputError(
            f"--name {name!r:.80}: letters, digits, dots, dashes and underscores, without a dot first or "
            f"{UNFINISHED} at the end"
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
    target = Path(os.readlink(link)) if link.is_symlink() else Path()
    number = target.parent.name
    return int(number) if number.isdecimal() and target == _target(name, int(number)) else None


def _target(name: str, number: int) -> Path:
    """Where a name leads, from the folder that it is in."""
    return _version(Path(), name, number) / ADAPTER


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
    """A version, found to be as it was placed: an adapter that shipped, its verdict, and nothing else."""
    version = _version(folder, name, number)
    for above in (version.parent.parent, version.parent):
        _inside(above)
    for path in _inside(version):
        if path.name not in ENTRIES or path.is_symlink():
            raise _foreign(path)
    placed, found = _record(folder, name, number), digest_tree(digest_files(version / ADAPTER))
    if placed.digest != found:
        raise EvidenceRefusedError(
            f"{version / ADAPTER}: changed since it was placed; go back, or place a verified adapter"
        )
    verdict = parse_verdict(_verdict(version), str(version / VERDICT))
    if (verdict.decision, verdict.adapter_digest) != ("ship", found):
        raise EvidenceRefusedError(f"{version / VERDICT}: does not say ship for the adapter beside it")
    return placed


def _verdict(version: Path) -> bytes:
    try:
        return read_within(version / VERDICT, TEXT_BYTES)
    except OSError as error:
        raise EvidenceRefusedError(f"{version / VERDICT}: no verdict that can be read: {error.strerror}") from None


def _refuse_outlived(version: Path, history: Path) -> None:
    content = _verdict(version)
    verdict = parse_verdict(content, str(version / VERDICT))
    refuse_outlived(
        read_log(history),
        adapter=verdict.adapter_digest,
        suite=verdict.suite_digest,
        verdict=digest_bytes(content),
        where=str(history),
    )


def _point(folder: Path, name: str, number: int) -> None:
    point_link(folder / name, _target(name, number))


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
