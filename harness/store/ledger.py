"""The committed count of looks: each candidate that a test set has judged, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.files import append_line
from harness.store.facts import read_records, to_plain

LEDGER = "looks.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One candidate judged on one test set, by digest, the first time."""

    test_digest: str
    candidate_digest: str
    run_id: str
    judged: str  # ISO 8601, UTC
    decision: str


def read_looks(ledger: Path) -> tuple[Look, ...]:
    """Every look in the ledger, oldest first; none when there is no file."""
    return read_records(Look, ledger) if ledger.is_file() else ()


def look_number(looks: Sequence[Look], *, test_digest: str, candidate_digest: str) -> int:
    """The place of this candidate among those that the test set has judged, from 1; a repeat keeps its place."""
    seen = list(dict.fromkeys(look.candidate_digest for look in looks if look.test_digest == test_digest))
    return seen.index(candidate_digest) + 1 if candidate_digest in seen else len(seen) + 1


def record_look(ledger: Path, look: Look) -> None:
    """Append a look; one that is in the ledger already is free."""
    pair = (look.test_digest, look.candidate_digest)
    if pair not in {(earlier.test_digest, earlier.candidate_digest) for earlier in read_looks(ledger)}:
        append_line(ledger, json.dumps(to_plain(look)))
