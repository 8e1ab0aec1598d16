"""Verdicts to attack: a shipped run, signed and logged, and what a forger can do to its files."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence_factory import SUITE, Fixture
from securesystemslib.signer import CryptoSigner, SSlibKey
from stored_verdict import OWN

from harness.judge import judge_run
from harness.store.runs import MANIFEST, evidence_digests
from harness.trust.verify import Verified, verify_adapter

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SUITE_DIGEST = hashlib.sha256(SUITE.encode()).hexdigest()
SIGNER = CryptoSigner.generate_ed25519()
OTHER_SIGNER = CryptoSigner.generate_ed25519()


@dataclass(frozen=True)
class Shipped:
    """A run that shipped: its folder and the registry that its judgement was noted in."""

    folder: Path
    registry: Path

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def verdict(self) -> Path:
        return self.folder / "verdict.json"

    @property
    def envelope(self) -> Path:
        return self.folder / "verdict.dsse.json"

    @property
    def log(self) -> Path:
        return self.registry / "fixture" / "verdicts.jsonl"

    def judge(self, now: datetime = NOW, **options: Any) -> None:
        """Judge the run, signed and noted."""
        judge_run(self.folder, lambda: now, registry=self.registry, **{"signer": SIGNER, **options})

    def verify(
        self,
        *,
        now: datetime = NOW,
        suite_digest: str = SUITE_DIGEST,
        key: SSlibKey | None = None,
        history: Path | None = None,
    ) -> Verified:
        """What `harness verify` does."""
        return verify_adapter(self.adapter, self.verdict, now=now, suite_digest=suite_digest, key=key, history=history)


def ship(project: Path, fixture: Fixture | None = None, *, weights: bytes = b"weights") -> Shipped:
    """A judged run in a project of its own; `weights` are the bytes of its adapter."""
    run = Shipped(project / "reports" / "fixture" / "run", project / "baselines")
    (fixture or Fixture()).write(run.folder)
    (run.adapter / "adapter_model.safetensors").write_bytes(weights)
    manifest = json.loads((run.folder / MANIFEST).read_text())
    manifest["evidence"] = evidence_digests(run.folder)
    (run.folder / MANIFEST).write_text(json.dumps(manifest))
    run.judge()
    return run


def encode(statement: dict[str, Any]) -> bytes:
    """A statement as the harness would write it, by another implementation."""
    return (json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def reseal(statement: dict[str, Any]) -> bytes:
    """A statement with its own digest made anew, as a forger would who knows the format."""
    changed = copy.deepcopy(statement)
    own = changed["predicate"][OWN]
    own.pop("digest", None)
    own["digest"] = hashlib.sha256(encode(changed)[:-1]).hexdigest()
    return encode(changed)


def edits(value: Any) -> Iterator[tuple[str, Any]]:
    """(What was done, the whole changed value): each leaf changed, each key or item removed, and one added."""
    yield from _edits(value, "")


def _edits(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield f"{where}: added", {**value, "unknown": 1}
        for key in value:
            yield f"{where}.{key}: removed", {name: item for name, item in value.items() if name != key}
            for done, changed in _edits(value[key], f"{where}.{key}"):
                yield done, {**value, key: changed}
    elif isinstance(value, list):
        yield f"{where}: an item added", [*value, value[-1] if value else "x"]
        for index, item in enumerate(value):
            yield f"{where}[{index}]: removed", value[:index] + value[index + 1 :]
            for done, changed in _edits(item, f"{where}[{index}]"):
                yield done, [*value[:index], changed, *value[index + 1 :]]
    else:
        yield f"{where}: changed", _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "" if value else "x"
