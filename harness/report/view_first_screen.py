"""The rest of the first screen: what changed most, how far the verdict can be trusted, and what was judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.findings import CheckResult, Comparison, LookCount, RunRecord
from harness.records import RunManifest
from harness.report.formatting import NOTHING, clean, count, duration, moment, plural, points
from harness.report.page import ChangeSet, ChangeSide, Fact, Highlights
from harness.report.view_checks import short_title
from harness.report.view_leakage import leakage_facts

SHOWN_EXAMPLES = 3
SHOWN_SLICES = 2
DETECTABLE = "The smallest true difference that as many examples show with 80 % power"
# What a suite may leave unasked although a candidate can lose it -> the kinds of check that ask for it.
ABILITIES = {
    "general ability": ("benchmark_drop", "logprob_drop", "kl_divergence"),
    "valid output": ("valid_output",),
}
SHORT_DIGEST = 10  # characters, as git shows its own


def highlights(record: RunRecord, rival: Comparison | None, changes: Sequence[ChangeSet]) -> Highlights | None:
    """Return what got worse and better against the closest baseline; None when nothing was compared."""
    change = next((item for item in changes if rival and item.baseline == clean(rival.baseline)), None)
    if rival is None or change is None:
        return None
    slices = [
        item
        for item in record.comparisons
        if item.tag is not None and (item.baseline, item.scorer) == (rival.baseline, rival.scorer)
    ]
    return Highlights(
        baseline=change.baseline,
        worse=ChangeSide(
            count=plural(rival.losses, "example"),
            slices=_slices(slices, lambda item: item.losses, lambda item: item.wins),
            worst=change.worse[:SHOWN_EXAMPLES],
        ),
        better=ChangeSide(
            count=plural(rival.wins, "example"),
            slices=_slices(slices, lambda item: item.wins, lambda item: item.losses),
            worst=change.better[:SHOWN_EXAMPLES],
        ),
    )


def _slices(
    slices: Sequence[Comparison], moved: Callable[[Comparison], int], back: Callable[[Comparison], int]
) -> tuple[str, ...]:
    """The tags on which most moved this way, less what moved the other way."""
    ordered = sorted(slices, key=lambda item: moved(item) - back(item), reverse=True)
    return tuple(
        f"{clean(item.tag or '')}: {count(moved(item))} of {count(item.n)}"
        for item in ordered[:SHOWN_SLICES]
        if moved(item) > 0
    )


def trust_facts(record: RunRecord) -> tuple[Fact, ...]:
    """Return how much the verdict rests on, what it could not have seen, and what went wrong on the way.

    Raises:
        ValueError: a number is not finite.
    """
    failed = sum(prediction.error is not None for prediction in record.predictions)
    answers = plural(len(record.predictions), "answer")
    history = record.training
    return (
        Fact(label="Examples", value=_sizes(record)),
        Fact(label="Detectable", value=", ".join(_effects(record)) or NOTHING, whole=DETECTABLE),
        *_not_checked(record.verdict.checks),
        *leakage_facts(record),
        Fact(label="Failed", value=f"{count(failed)} of {answers}"),
        Fact(label="Truncated", value="not trained here" if history is None else _cut(history.truncated_rows)),
        Fact(label="Looks", value=_looks(record.looks)),
        Fact(label="Seeds", value=_seeds(record)),
        _signature(clean(record.signed_by)),
    )


def _not_checked(checks: Sequence[CheckResult]) -> Iterator[Fact]:
    """What no blocking check asks for, and which kinds of check would; nothing where all is asked for."""
    asked = {check.kind for check in checks if check.blocking}
    missing = {name: kinds for name, kinds in ABILITIES.items() if asked.isdisjoint(kinds)}
    if missing:
        wanted = "; ".join(f"{name} ({' or '.join(kinds)})" for name, kinds in missing.items())
        yield Fact(label="Not checked", value=", ".join(missing), whole=f"No blocking check asks for: {wanted}")


def _signature(key: str) -> Fact:
    """Who vouches for the verdict: a key by its first digits, or nobody."""
    return Fact(label="Signature", value=f"by key {key[:SHORT_DIGEST]}" if key else "none, unsigned", whole=key)


def _cut(rows: int) -> str:
    return f"{plural(rows, 'training row')}, cut at the length limit" if rows else "0 training rows"


def _sizes(record: RunRecord) -> str:
    asked = {result.benchmark: len(result.outcomes) for result in record.benchmarks}
    sizes = {name: len(examples) for name, examples in record.examples.items()} | asked
    return ", ".join(f"{count(size)} {clean(name)}" for name, size in sizes.items())


def _effects(record: RunRecord) -> Iterator[str]:
    """For what each check measures, the smallest true difference it shows; one range for all baselines."""
    found: dict[str, list[float]] = {}
    for check in record.verdict.checks:
        if check.name in record.detectable:
            found.setdefault(short_title(check).rsplit("/", 1)[-1], []).append(record.detectable[check.name])
    for what, effects in found.items():
        least, most = (points(effect).removeprefix("+") for effect in (min(effects), max(effects)))
        yield f"{most if least == most else least.removesuffix(' points') + ' to ' + most} on {clean(what)}"


def _looks(looks: LookCount | None) -> str:
    if looks is None:
        return "not counted"
    told = f"{count(looks.number)} of {count(looks.budget)} allowed" if looks.budget else count(looks.number)
    return f"{told} at this test set" + ("" if looks.recorded else "; earlier ones were not counted")


def _seeds(record: RunRecord) -> str:
    more = sum(name.startswith(f"{record.candidate}@seed") for name in record.trainings)
    return f"{record.manifest.seed}" + (f" and {plural(more, 'further training')}" if more else "")


def essentials(record: RunRecord) -> tuple[Fact, ...]:
    """Return what was judged, by short digests, and what it took."""
    manifest, counters = record.manifest, record.manifest.counters
    commit = clean(manifest.git_commit or "")
    cost = (
        f"{count(counters.trained_tokens)} tokens trained, {count(counters.generated_tokens)} generated, "
        f"{count(counters.forwarded_tokens)} read"
    )
    return (
        *_digests(record.candidate, manifest),
        Fact(
            label="Commit",
            value=(commit[:SHORT_DIGEST] or "none") + (" with uncommitted changes" if manifest.git_dirty else ""),
            whole=commit,
        ),
        Fact(label="Cost", value=cost),
        Fact(label="Time", value=f"{duration(sum(manifest.seconds.values()))}, until {moment(manifest.finished)}"),
    )


def _digests(candidate: str, manifest: RunManifest) -> Iterator[Fact]:
    digests = manifest.digests
    named = {
        "Adapter": f"adapter:{candidate}",
        "Base": "base",
        "Suite": "suite",
        # Files are named by their path beside the suite; everything else that is bound has a word or a prefix.
        **{name.rsplit("/", 1)[-1]: name for name in digests if name.endswith(".jsonl")},
    }
    for label, name in named.items():
        if name in digests:
            digest = clean(digests[name])
            short = digest.removeprefix("sha256:")[:SHORT_DIGEST]
            yield Fact(label=clean(label), value=short, code=True, whole=digest)
