"""The committed count of looks: each candidate that a suite has judged on a test set, once."""

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
    """One candidate judged by one suite on one test set, by digest, the first time."""

    test_digest: str
    candidate_digest: str
    suite_digest: str
    run_id: str
    judged: str  # ISO 8601, UTC
    decision: str


def read_looks(ledger: Path) -> tuple[Look, ...]:
    """Every look in the ledger, oldest first; none when there is no file."""
    return read_records(Look, ledger) if ledger.is_file() else ()


def look_number(looks: Sequence[Look], *, test_digest: str, candidate_digest: str, suite_digest: str) -> int:
    """The place of this candidate and suite among the looks at the test set, from 1; a repeat keeps its place.

    Another suite is another look: of several scorers, seeds or bars on one candidate, one passes by luck as of several
    candidates.
    """
    found = [(look.candidate_digest, look.suite_digest) for look in looks if look.test_digest == test_digest]
    seen, own = list(dict.fromkeys(found)), (candidate_digest, suite_digest)
    return seen.index(own) + 1 if own in seen else len(seen) + 1


def record_look(ledger: Path, look: Look) -> None:
    """Append a look; one that is in the ledger already is free."""
    if _key(look) not in {_key(earlier) for earlier in read_looks(ledger)}:
        append_line(ledger, json.dumps(to_plain(look)))


def _key(look: Look) -> tuple[str, str, str]:
    return look.test_digest, look.candidate_digest, look.suite_digest
