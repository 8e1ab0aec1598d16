"""Lock a suite before anything is trained, and hold a run to the lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import __version__
from harness.clock import Clock
from harness.errors import EvidenceRefusedError
from harness.prepare import Inputs
from harness.suite.load import LoadedSuite
from harness.suite.rules import named_files, named_folders
from harness.suite.schema import Suite
from harness.suite.systems import AdapterSystem
from harness.trust.digests import digest_bytes, digest_file, digest_files, digest_tree
from harness.trust.locks import SUFFIX, SuiteLock, changes_since, read_lock, write_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The lock in its file: a `new` one, with what is not as in the one before, or the one that still holds."""

    path: Path
    lock: SuiteLock
    new: bool
    changes: tuple[str, ...] = ()  # nothing where there was no lock before


def lock_path(loaded: LoadedSuite) -> Path:
    """The file beside the suite that holds its lock: suite.lock for suite.yaml."""
    return loaded.path.with_suffix(SUFFIX)


def lock_suite(inputs: Inputs, clock: Clock) -> Locked:
    """Write down what the suite asks and by which bars; a lock that still holds is left as it is, with its time.

    Raises:
        EvidenceRefusedError: the lock that is there was changed since it was written.
    """
    path, files, bars = lock_path(inputs.loaded), _files(inputs), _bars(inputs.loaded.suite)
    changes: tuple[str, ...] = ()
    if path.exists():
        earlier = read_lock(path)
        changes = changes_since(earlier, files=files, bars=bars)
        if not changes:
            return Locked(path=path, lock=earlier, new=False)
    lock = SuiteLock(
        suite=inputs.loaded.suite.suite,
        tool_version=__version__,
        locked=clock().isoformat(),
        files=files,
        bars=bars,
    )
    return Locked(path=path, lock=write_lock(path, lock), new=True, changes=changes)


def hold_to_lock(inputs: Inputs, *, required: bool) -> Inputs:
    """The inputs with the lock that they agree with; or, where none is `required`, with a warning of what changed.

    Raises:
        EvidenceRefusedError: a lock is required, and there is none or something changed since; or the lock itself
            was changed.
    """
    path = lock_path(inputs.loaded)
    if not path.exists():
        if required:
            raise EvidenceRefusedError(f"{path}: the suite is not locked; `harness lock` locks it, before training")
        return inputs
    lock = read_lock(path)
    changes = [
        *(f"--set {key}={value}: given for this run" for key, value in inputs.loaded.overrides.items()),
        *changes_since(lock, files=_files(inputs), bars=_bars(inputs.loaded.suite)),
    ]
    if not changes:
        return replace(inputs, lock=lock)
    if required:
        raise EvidenceRefusedError(
            "\n".join([f"{path}: not what was locked at {lock.locked}; undo this, or lock the suite anew:", *changes])
        )
    warning = f"not what was locked in {path.name}, so this run is held to no lock: {'; '.join(changes)}"
    return replace(inputs, warnings=(*inputs.warnings, warning))


def _files(inputs: Inputs) -> dict[str, str]:
    """The suite's own bytes, with comments and training, and everything that it names but models and candidates.

    A candidate is what the lock is older than, the promoted adapter changes with each promotion, and every verdict
    binds the bytes of both, and of the model, itself.
    """
    loaded = inputs.loaded
    digests = {loaded.path.name: digest_bytes(loaded.text.encode("utf-8")), **inputs.datasets.digests}
    for _, name in named_files(loaded.suite):
        digests[name] = digests.get(name) or digest_file(loaded.resolve(name))
    adapters = [
        spec.source
        for spec in loaded.suite.systems.values()
        if isinstance(spec, AdapterSystem) and spec.role == "baseline" and spec.source not in {None, "promoted"}
    ]
    for name in (*(name for _, name in named_folders(loaded.suite)), *filter(None, adapters)):
        digests[name] = digests.get(name) or digest_tree(digest_files(loaded.resolve(name)))
    return dict(sorted(digests.items()))


def _bars(suite: Suite) -> dict[str, Any]:
    """What must be reached, with every default written out, for people who review a change of the lock."""
    return {
        "checks": [check.model_dump(mode="json", exclude_none=True) for check in suite.checks],
        "statistics": suite.statistics.model_dump(mode="json", exclude_none=True),
    }
