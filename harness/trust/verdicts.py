"""The verdict file: what was decided, bound by digest to the bytes it speaks of, and whether it may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.errors import EvidenceRefusedError
from harness.records import FORMAT_VERSION
from harness.strict_json import StrictJsonError, canonical, parse
from harness.trust.digests import digest_bytes, digest_files, digest_tree

LIFETIME = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict that holds for an adapter."""

    run_id: str
    suite: str
    judged: str
    expires: str
    adapter_digest: str
    suite_digest: str


def seal(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the digest of its canonical form as its last key."""
    return {**body, "digest": _digest(body)}


def expiry(judged: datetime) -> str:
    """When a verdict given at `judged` ends, ISO 8601."""
    return (judged + LIFETIME).isoformat()


def verify_adapter(adapter: Path, verdict: Path, *, now: datetime, suite_digest: str | None = None) -> Verified:
    """Check that a whole, fresh verdict says ship for exactly the files in the folder `adapter`.

    Raises:
        EvidenceRefusedError: in every other case, with the reason.
    """
    value = _read(verdict)
    body = {key: item for key, item in value.items() if key != "digest"}
    if value.get("digest") != _digest(body):
        raise EvidenceRefusedError(f"{verdict}: changed since it was written (its own digest does not match)")
    if value.get("format_version") != FORMAT_VERSION:
        raise EvidenceRefusedError(
            f"{verdict}: format {value.get('format_version')}, this version reads {FORMAT_VERSION}"
        )
    try:
        decision, judged = str(value["decision"]), datetime.fromisoformat(value["judged"])
        expires, expected = datetime.fromisoformat(value["expires"]), dict(value["adapter_files"])
        verified = Verified(
            run_id=str(value["run_id"]),
            suite=str(value["suite"]),
            judged=str(value["judged"]),
            expires=str(value["expires"]),
            adapter_digest=digest_tree(expected),
            suite_digest=str(value["suite_digest"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"{verdict}: incomplete: {error}") from None
    if decision != "ship":
        raise EvidenceRefusedError(f"{verdict}: the decision is {decision}, not ship")
    if judged > now + CLOCK_SKEW:
        raise EvidenceRefusedError(f"{verdict}: given at {value['judged']}, which is in the future")
    if expires <= now or expires - judged > LIFETIME:
        raise EvidenceRefusedError(f"{verdict}: expired at {value['expires']}; run the suite again")
    if suite_digest is not None and suite_digest != verified.suite_digest:
        raise EvidenceRefusedError(f"{verdict}: given by another suite ({verified.suite_digest[:16]})")
    _refuse_other_files(adapter, expected)
    return verified


def _refuse_other_files(adapter: Path, expected: Mapping[str, str]) -> None:
    if not adapter.is_dir():
        raise EvidenceRefusedError(f"{adapter}: no such adapter folder")
    found = digest_files(adapter)
    for name in sorted(set(found) | set(expected)):
        if name not in found:
            raise EvidenceRefusedError(f"{adapter / name}: missing, although the verdict speaks of it")
        if name not in expected:
            raise EvidenceRefusedError(f"{adapter / name}: the verdict does not speak of this file")
        if found[name] != expected[name]:
            raise EvidenceRefusedError(f"{adapter / name}: not the file that was judged")
    if not expected:
        raise EvidenceRefusedError(f"{adapter}: the verdict names no files")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StrictJsonError) as error:
        raise EvidenceRefusedError(f"{path}: no verdict that can be read: {error}") from None
    if not isinstance(value, dict):
        raise EvidenceRefusedError(f"{path}: not a verdict")
    return value


def _digest(body: Mapping[str, Any]) -> str:
    return digest_bytes(canonical(dict(body)).encode("utf-8"))
