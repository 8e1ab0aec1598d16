"""Whether an adapter may go out: a fresh, whole, matching ship verdict for exactly its files, and nothing newer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EvidenceRefusedError
from harness.gate.deciding import decide_from_checks
from harness.limits import TEXT_BYTES, read_within
from harness.trust import sign
from harness.trust.digests import digest_bytes, digest_files
from harness.trust.history import read_log, refuse_outlived
from harness.trust.verdicts import LIFETIME, SealedVerdict, parse_verdict, timestamp

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

CLOCK_SKEW = timedelta(minutes=5)
ENVELOPE_SUFFIX = ".dsse.json"
ALWAYS_ON = "adapter_is_live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A verdict that holds for an adapter. `signed_by` is the id of the key that was asked for; None: not asked."""

    verdict: SealedVerdict
    signed_by: str | None
    has_envelope: bool  # whether a signature lies beside the verdict, looked at or not
    history_checked: bool


def envelope_of(verdict: Path) -> Path:
    """Where the signature of a verdict file lies: verdict.dsse.json beside verdict.json."""
    return verdict.with_suffix(ENVELOPE_SUFFIX)


def verify_adapter(
    adapter: Path,
    verdict: Path,
    *,
    now: datetime,
    suite_digest: str,
    key: SSlibKey | None = None,
    history: Path | None = None,
) -> Verified:
    """Check that a whole, fresh verdict of the expected suite says ship for exactly the files in the folder `adapter`.

    `suite_digest` is that of the suite, or of its lock, which covers its data too. It, the key and the history are the
    caller's; of what lies beside the adapter only the verdict and its signature are read. Without a `key` it is not
    known who judged; without a `history` it is not known whether a newer verdict stands.

    Raises:
        EvidenceRefusedError: in every other case, with the reason.
    """
    content = _read(verdict, TEXT_BYTES)
    if key is not None:  # before a word of it is believed
        envelope = envelope_of(verdict)
        if not envelope.is_file():
            raise EvidenceRefusedError(f"{envelope}: missing, so the verdict is unsigned, and a signature is asked for")
        sign.refuse_wrong_signature(_read(envelope, 2 * TEXT_BYTES), content, key, str(envelope))
    found = parse_verdict(content, str(verdict))
    _refuse_other_suite(found, suite_digest, verdict)
    _refuse_blocked(found, verdict)
    _refuse_incomplete(found, verdict)
    _refuse_stale(found, now, verdict)
    _refuse_other_files(adapter, found.adapter_files)
    if history is not None:
        entries, digest = read_log(history), digest_bytes(content)
        pair = {"adapter": found.adapter_digest, "suite": found.suite_digest}
        refuse_outlived(entries, **pair, verdict=digest, where=str(history))
    return Verified(
        verdict=found,
        signed_by=key.keyid if key is not None else None,
        has_envelope=envelope_of(verdict).is_file(),
        history_checked=history is not None,
    )


def _refuse_other_suite(found: SealedVerdict, expected: str, where: Path) -> None:
    """The expected digest is the suite's, or that of the lock which the suite and its data were held to."""
    if expected not in {found.suite_digest, found.digests.get("lock")}:
        raise EvidenceRefusedError(
            f"{where}: given by another suite ({found.suite_digest[:16]!r}, expected {expected[:16]!r})"
        )
    if found.digests.get("suite") != found.suite_digest:
        raise EvidenceRefusedError(f"{where}: its evidence was made by another suite")


def _refuse_blocked(found: SealedVerdict, where: Path) -> None:
    if found.decision != "ship":
        raise EvidenceRefusedError(f"{where}: the decision is {found.decision}, not ship")
    if decide_from_checks(found.checks) != "ship":
        said = [f"{check.name!r} says {check.status}" for check in found.checks if check.blocking]
        raise EvidenceRefusedError(f"{where}: it says ship, but its checks do not: {', '.join(said) or 'none blocks'}")


def _refuse_incomplete(found: SealedVerdict, where: Path) -> None:
    """Everything that was planned must have been done, and counted."""
    made = Counter(check.kind for check in found.checks)
    for kind, planned in {ALWAYS_ON: 1, **found.planned_checks}.items():
        if made[kind] < max(planned, 1):
            raise EvidenceRefusedError(f"{where}: {made[kind]} checks of kind {kind!r}, and {planned} were planned")
    if not found.arms:
        raise EvidenceRefusedError(f"{where}: it counts no answers")
    for name, arm in found.arms.items():
        if arm.planned < 1 or min(arm.answered, arm.errors) < 0 or arm.answered + arm.errors != arm.planned:
            raise EvidenceRefusedError(
                f"{where}: {name!r} planned {arm.planned} answers and has {arm.answered} and {arm.errors} errors"
            )
    if not found.manifest_digest or not found.digests.get("base"):
        raise EvidenceRefusedError(f"{where}: it does not name its manifest and its base model")


def _refuse_stale(found: SealedVerdict, now: datetime, where: Path) -> None:
    judged, expires = _moment(found.judged, where), _moment(found.expires, where)
    if judged > now + CLOCK_SKEW:
        raise EvidenceRefusedError(f"{where}: given at {found.judged}, which is in the future")
    if expires <= now or expires - judged > LIFETIME:
        raise EvidenceRefusedError(f"{where}: expired at {found.expires}; run the suite again")


def _moment(text: str, where: Path) -> datetime:
    """A time in the one form in which it is written; any other is refused."""
    try:
        moment = datetime.fromisoformat(text)
        is_written_so = moment.tzinfo is not None and timestamp(moment) == text
    except (ValueError, OverflowError):
        is_written_so = False
    if not is_written_so:
        raise EvidenceRefusedError(f"{where}: incomplete: {text[:40]!r} is no time in UTC")
    return moment


def _refuse_other_files(adapter: Path, expected: Mapping[str, str]) -> None:
    if not adapter.is_dir():
        raise EvidenceRefusedError(f"{adapter}: no such adapter folder")
    if not expected:
        raise EvidenceRefusedError(f"{adapter}: the verdict names no files")
    try:
        found = digest_files(adapter)
        folders = {path.relative_to(adapter).as_posix() for path in adapter.rglob("*") if path.is_dir()}
    except OSError as error:
        raise EvidenceRefusedError(f"{adapter}: cannot be read: {error}") from None
    for name in sorted(set(found) | set(expected)):
        if name not in found:
            raise EvidenceRefusedError(f"{adapter / name}: missing, although the verdict speaks of it")
        if name not in expected:
            raise EvidenceRefusedError(f"{adapter / name}: the verdict does not speak of this file")
        if found[name] != expected[name]:
            raise EvidenceRefusedError(f"{adapter / name}: not the file that was judged")
    for name in sorted(folders):
        if not any(file.startswith(f"{name}/") for file in expected):
            raise EvidenceRefusedError(f"{adapter / name}: the verdict does not speak of this folder")


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_within(path, limit)
    except OSError as error:
        raise EvidenceRefusedError(f"{path}: no verdict that can be read: {error.strerror}") from None
