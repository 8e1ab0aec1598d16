"""How every check says what it found."""

from __future__ import annotations

from harness.findings import CheckResult, Status
from harness.suite.checks import CheckDeclaration


def check_name(check: CheckDeclaration) -> str:
    """The name in reports: the author's, else the kind."""
    kind: str = check.kind  # type: ignore[attr-defined]
    return check.name or kind


def check_result(
    check: CheckDeclaration,
    name: str,
    status: Status,
    reason: str,
    *,
    blocking: bool | None = None,
    **facts: object,
) -> CheckResult:
    """A result of a declared check; `facts` are further fields of `CheckResult`."""
    return CheckResult(
        name=name,
        kind=check.kind,  # type: ignore[attr-defined]
        status=status,
        blocking=check.blocking if blocking is None else blocking,
        reason=reason,
        declared_reason=check.reason or "",
        **facts,  # type: ignore[arg-type]
    )
