"""The verdict file: an in-toto Statement with a SLSA verification summary, in canonical JSON so that it can be signed.

The one place where a verdict becomes bytes and bytes become a verdict. What is read must be, byte for byte, what
would be written: no field more or less, no other spacing, no other order.

Sources: in-toto Statement v1 (in-toto/attestation, spec/v1/statement.md); SLSA Verification Summary Attestation v1
(slsa.dev/verification_summary/v1), which lets a producer add fields whose names are URIs; canonical JSON in the
manner of RFC 8785.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from harness.errors import EvidenceRefusedError
from harness.findings import CheckResult, Decision
from harness.gate.deciding import EXIT_CODES
from harness.strict_json import StrictJsonError, canonical, parse
from harness.trust.digests import digest_json, digest_tree

VERDICT_VERSION = 2
LIFETIME = timedelta(days=30)  # of a verdict, from when its evidence was finished

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
VERIFIER = "pkg:pypi/lora-harness"
OWN_FIELD = f"{VERIFIER}#verdict"  # what SLSA has no field for
SLSA_VERSION = "1.0"
SHIPPED_LEVEL = "LORA_HARNESS_SHIP"  # custom levels may not begin with SLSA_
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCount:
    """How many answers of one system to one data set were planned, and what became of them."""

    planned: int
    answered: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedVerdict:
    """What verdict.json says. Every digest is a SHA-256 in hexadecimal; times are RFC 3339 in UTC, ending in Z."""

    run_id: str
    suite: str
    suite_digest: str
    decision: Decision
    sentence: str
    judged: str
    expires: str
    sequence: int  # its number among the judgements of this adapter by this suite; 0 where no log was kept
    adapter_files: Mapping[str, str]  # path inside the adapter folder -> digest
    inputs: Mapping[str, str]  # the manifest and every evidence file but the adapter's -> digest
    digests: Mapping[str, str]  # all that the manifest binds: base, suite, each data file, prompts, ...
    arms: Mapping[str, ArmCount]  # "system/dataset"
    checks: tuple[CheckResult, ...]
    planned_checks: Mapping[str, int]  # kind -> how many results the suite asks for
    notes: tuple[str, ...]
    tool_version: str
    tool_digest: str  # of the code that judged
    status: Literal["complete"] = "complete"

    @property
    def adapter_digest(self) -> str:
        """One digest over names and digests of the adapter's files."""
        return digest_tree(self.adapter_files)

    @property
    def manifest_digest(self) -> str:
        """The digest of the manifest that binds the evidence; empty when it is not named."""
        return self.inputs.get(MANIFEST, "")

    @property
    def accepted(self) -> dict[str, str]:
        """Undecided check -> why a person let it pass."""
        return {check.name: check.accepted for check in self.checks if check.accepted}


def timestamp(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def expiry(finished: datetime) -> str:
    """When a verdict on evidence that was `finished` then ends, RFC 3339; judging it again makes it no younger."""
    return timestamp(finished + LIFETIME)


def verdict_bytes(verdict: SealedVerdict) -> bytes:
    """The bytes of verdict.json, which are also what is signed.

    Raises:
        ValueError: a number that is not finite.
    """
    plain = _adapter().dump_python(verdict)
    # Once through the reader's own types, so that a whole number in a field of floats is written as it is read.
    return _encode(_adapter().validate_python(plain))


def parse_verdict(content: bytes, where: str) -> SealedVerdict:
    """The verdict in the bytes of a verdict file; `where` names the file in messages.

    Raises:
        EvidenceRefusedError: they are not exactly the bytes of a verdict of this version.
    """
    try:
        statement = parse(content.decode("utf-8"))
    except (UnicodeDecodeError, StrictJsonError) as error:
        raise EvidenceRefusedError(f"{where}: no verdict that can be read: {error}") from None
    try:
        own = statement["predicate"][OWN_FIELD]
        version = own["format_version"]
    except (KeyError, TypeError):
        raise EvidenceRefusedError(
            f"{where}: not a verdict of this harness, or of an earlier form; run the suite again"
        ) from None
    if version != VERDICT_VERSION:
        raise EvidenceRefusedError(f"{where}: format {str(version)[:20]!r}, this version reads {VERDICT_VERSION}")
    sealed = own.pop("digest", None)
    if sealed != digest_json(statement):
        raise EvidenceRefusedError(f"{where}: changed since it was written (its own digest does not match)")
    try:
        verdict = _adapter().validate_python(_fields(statement, own))
        whole = _encode(verdict)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"{where}: incomplete: {_reason(error)}") from None
    if whole != content:
        raise EvidenceRefusedError(
            f"{where}: not in the form that this version writes; changed since, or by another program"
        )
    return verdict


@cache
def _adapter() -> TypeAdapter[SealedVerdict]:
    return TypeAdapter(SealedVerdict)


def _encode(verdict: SealedVerdict) -> bytes:
    own = _own(verdict)
    statement = _statement(verdict, own)
    own["digest"] = digest_json(statement)  # without a signature, it is what shows damage
    return (canonical(statement) + "\n").encode("utf-8")


def _statement(verdict: SealedVerdict, own: dict[str, Any]) -> dict[str, Any]:
    shipped = verdict.decision == "ship"
    return {
        "_type": STATEMENT_TYPE,
        "subject": _descriptors("name", verdict.adapter_files),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER, "version": {"lora-harness": verdict.tool_version}},
            "timeVerified": verdict.judged,
            "resourceUri": f"pkg:generic/{quote(verdict.suite)}/adapter@sha256:{verdict.adapter_digest}",
            "policy": {
                "uri": f"pkg:generic/{quote(verdict.suite)}/suite@sha256:{verdict.suite_digest}",
                "digest": {"sha256": verdict.suite_digest},
            },
            "inputAttestations": _descriptors("uri", verdict.inputs),
            "verificationResult": "PASSED" if shipped else "FAILED",
            "verifiedLevels": [SHIPPED_LEVEL if shipped else "FAILED"],
            "slsaVersion": SLSA_VERSION,
            OWN_FIELD: own,
        },
    }


def _own(verdict: SealedVerdict) -> dict[str, Any]:
    plain = _adapter().dump_python(verdict, mode="json")
    named = ("run_id", "suite", "decision", "sentence", "expires", "sequence", "digests", "arms", "checks")
    more = ("planned_checks", "notes", "tool_digest", "status")
    body = {name: plain[name] for name in (*named, *more)}
    return {
        **body,
        "format_version": VERDICT_VERSION,
        "adapter_digest": verdict.adapter_digest,
        "exit_code": int(EXIT_CODES[verdict.decision]),
        "accepted": verdict.accepted,
    }


def _fields(statement: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `SealedVerdict`, from where the statement has them; what else it has is compared as bytes."""
    predicate = statement["predicate"]
    return {
        **own,
        "judged": predicate["timeVerified"],
        "suite_digest": predicate["policy"]["digest"]["sha256"],
        "adapter_files": {item["name"]: item["digest"]["sha256"] for item in statement["subject"]},
        "inputs": {item["uri"]: item["digest"]["sha256"] for item in predicate["inputAttestations"]},
        "tool_version": predicate["verifier"]["version"]["lora-harness"],
    }


def _descriptors(key: str, files: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{key: name, "digest": {"sha256": files[name]}} for name in sorted(files)]


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return repr(error) if isinstance(error, KeyError) else str(error)
