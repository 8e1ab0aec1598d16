"""Seal a judged run: its line in the log of verdicts, the signature, and the verdict file itself."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import __version__
from harness.environment import source_digest
from harness.errors import BrokenRunError, EvidenceRefusedError
from harness.files import write_bytes
from harness.findings import RunRecord
from harness.gate.requirements import planned_checks
from harness.store.runs import ADAPTER, ENVELOPE, MANIFEST, VERDICT, StoredRun
from harness.suite.schema import Suite
from harness.trust import sign
from harness.trust.digests import digest_bytes, digest_file, digest_tree
from harness.trust.history import LogEntry, append_entry, next_sequence, note_start, read_log, refuse_overtaken_run
from harness.trust.verdicts import LIFETIME, ArmCount, SealedVerdict, expiry, timestamp, verdict_bytes

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


def finished(run: StoredRun) -> datetime:
    """When the evidence of a run was complete, which is what a verdict on it grows old from.

    Raises:
        EvidenceRefusedError: the manifest gives no time with its time zone.
    """
    text = run.manifest.finished
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise EvidenceRefusedError(
            f"{run.folder / MANIFEST}: finished: {text[:40]!r} is no time in UTC; run the suite again"
        )
    return moment


def refuse_expired(run: StoredRun, now: datetime) -> None:
    """Refuse evidence from which a verdict would be expired when it is given.

    Raises:
        EvidenceRefusedError: the answers are too old.
    """
    if finished(run) <= now - LIFETIME:
        raise EvidenceRefusedError(
            f"{run.folder}: its answers were made until {run.manifest.finished}, and evidence is judged for "
            f"{LIFETIME.days} days; `harness run --fresh` answers anew, `harness report {run.folder}` still shows the "
            "verdict that it had"
        )


def refuse_overtaken(run: StoredRun, log: Path) -> None:
    """Refuse evidence when newer evidence on the same adapter and suite did not end in ship.

    Raises:
        EvidenceRefusedError: there is such a run in the log, or the log is damaged.
    """
    refuse_overtaken_run(
        read_log(log),
        adapter=digest_tree(adapter_files(run)),
        suite=run.manifest.digests["suite"],
        run_id=run.manifest.run_id,
        where=str(log),
    )


def note_judging(run: StoredRun, log: Path, now: datetime) -> None:
    """Say in the log that the run's adapter is being judged.

    Raises:
        EvidenceRefusedError: the log is damaged.
    """
    note_start(
        log,
        adapter=digest_tree(adapter_files(run)),
        suite=run.manifest.digests["suite"],
        run_id=run.manifest.run_id,
        time=timestamp(now),
    )


def adapter_files(run: StoredRun) -> dict[str, str]:
    """Path inside the candidate's folder -> SHA-256, for every file that was judged."""
    prefix = f"{ADAPTER}/"
    return {name.removeprefix(prefix): sha for name, sha in run.manifest.evidence.items() if name.startswith(prefix)}


def signed_by(folder: Path) -> str:
    """The id of the key that a run's verdict says it is signed with; empty when it is unsigned.

    Raises:
        EvidenceRefusedError: the signature is not over this verdict.
    """
    if not (folder / ENVELOPE).is_file():
        return ""
    return sign.key_id_of((folder / ENVELOPE).read_bytes(), (folder / VERDICT).read_bytes(), str(folder / ENVELOPE))


def seal_run(
    run: StoredRun,
    suite: Suite,
    record: RunRecord,
    judged: datetime,
    *,
    log: Path | None,
    signer: CryptoSigner | None,
) -> None:
    """Write the verdict of a judged run: its line in the log first, its signature second, the verdict itself last.

    Raises:
        BrokenRunError: fewer checks were made than the suite asks for.
        EvidenceRefusedError: the log is damaged.
    """
    files, suite_digest = adapter_files(run), run.manifest.digests["suite"]
    adapter = digest_tree(files)
    numbered = contextlib.nullcontext(0) if log is None else next_sequence(log, adapter=adapter, suite=suite_digest)
    with numbered as sequence:
        verdict = SealedVerdict(
            run_id=run.manifest.run_id,
            suite=run.manifest.suite,
            suite_digest=suite_digest,
            decision=record.verdict.decision,
            sentence=record.verdict.sentence,
            judged=timestamp(judged),
            expires=expiry(min(finished(run), judged)),
            sequence=sequence,
            adapter_files=files,
            inputs=_inputs(run),
            digests=run.manifest.digests,
            arms=_arms(run),
            checks=record.verdict.checks,
            planned_checks=_planned(suite, run, record),
            notes=record.verdict.notes,
            tool_version=__version__,
            tool_digest=source_digest(),
        )
        content = verdict_bytes(verdict)
        if log is not None:
            # Before the verdict is out: a hold that was found can never be missing from the log.
            append_entry(log, _entry(verdict, digest_bytes(content)))
    if signer is not None:
        write_bytes(run.folder / ENVELOPE, sign.sign(content, signer))
    write_bytes(run.folder / VERDICT, content)


def _entry(verdict: SealedVerdict, digest: str) -> LogEntry:
    return LogEntry(
        adapter=verdict.adapter_digest,
        suite=verdict.suite_digest,
        sequence=verdict.sequence,
        event=verdict.decision,
        run_id=verdict.run_id,
        time=verdict.judged,
        verdict=digest,
    )


def _inputs(run: StoredRun) -> dict[str, str]:
    """What the verdict was reached from: the manifest, and all that it binds but the adapter, which is the subject."""
    evidence = {name: sha for name, sha in run.manifest.evidence.items() if not name.startswith(f"{ADAPTER}/")}
    return {MANIFEST: digest_file(run.folder / MANIFEST), **evidence}


def _arms(run: StoredRun) -> dict[str, ArmCount]:
    total = Counter(f"{answer.system}/{answer.dataset}" for answer in run.predictions)
    errors = Counter(f"{answer.system}/{answer.dataset}" for answer in run.predictions if answer.error is not None)
    return {
        name: ArmCount(planned=planned, answered=total[name] - errors[name], errors=errors[name])
        for name, planned in run.manifest.planned.items()
    }


def _planned(suite: Suite, run: StoredRun, record: RunRecord) -> dict[str, int]:
    planned = planned_checks(suite, run.manifest.absent_systems)
    made = Counter(check.kind for check in record.verdict.checks)
    for kind, count in planned.items():
        if made[kind] < count:
            raise BrokenRunError(f"{made[kind]} checks of kind {kind} were made, and the suite asks for {count}")
    return planned
