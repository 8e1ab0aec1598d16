"""How every check says what it found, and under which names."""

from __future__ import annotations

from collections.abc import Iterable

from harness.findings import CheckResult, Status
from harness.suite.checks import (
    BenchmarkDrop,
    BetterThan,
    CheckDeclaration,
    CheckSpec,
    KLDivergence,
    LogprobDrop,
    Preferred,
    RecipeBetterThan,
)


def check_name(check: CheckDeclaration) -> str:
    """The name in reports: the author's, else the kind."""
    kind: str = check.kind  # type: ignore[attr-defined]
    return check.name or kind


def gain_names(check: BetterThan | RecipeBetterThan | Preferred, present: Iterable[str]) -> dict[str, str]:
    """Baseline -> the name of the result against it, for those that the check names, or else those `present`."""
    judged_by = check.judge if isinstance(check, Preferred) else check.scorer
    where = _slice(check) if isinstance(check, BetterThan) else ""
    wanted = present if check.baselines == "all" else check.baselines
    return {baseline: f"{check_name(check)}/{judged_by}/{baseline}{where}" for baseline in wanted}


def any_name(check: BetterThan) -> str:
    """The name of the further result that decides where beating any of several baselines is enough."""
    return f"{check_name(check)}/{check.scorer}/any{_slice(check)}"


def _slice(check: BetterThan) -> str:
    return f"[{check.tag}]" if check.tag else ""


def drop_name(check: BenchmarkDrop | LogprobDrop | KLDivergence) -> str:
    """The name of the result of a check for forgetting, which says on what."""
    return f"{check_name(check)}/{check.prompts if isinstance(check, KLDivergence) else check.benchmark}"


def result_names(check: CheckSpec, present: Iterable[str]) -> tuple[str, ...]:
    """The name of every result that a check has, `present` being the baselines that take part."""
    if isinstance(check, BetterThan | RecipeBetterThan | Preferred):
        names = tuple(gain_names(check, present).values())
        return (*names, any_name(check)) if isinstance(check, BetterThan) and check.require == "any" else names
    return (drop_name(check) if isinstance(check, BenchmarkDrop | LogprobDrop | KLDivergence) else check_name(check),)


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
