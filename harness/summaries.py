"""What every system scored and the candidate gained: over all rows, by tag, and on the rows that no training row is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.findings import CleanSubset, Comparison, ScorerSummary
from harness.gate.comparing import compare_systems
from harness.gate.evidence import Evidence, without_leaks
from harness.records import Example, Score
from harness.scoring.apply import corpus_of
from harness.stats.summary import corpus_estimate, mean_estimate
from harness.suite.checks import BetterThan
from harness.suite.schema import Statistics, Suite

ScoredSet = tuple[str, str, str]  # system, data set, scorer


def summarise_scores(evidence: Evidence, statistics: Statistics) -> Iterator[ScorerSummary]:
    """Each system on each data set by each scorer, over all rows and over those of each tag."""
    for scored in evidence.scores:
        examples = evidence.examples[scored[1]]
        for tag in (None, *sorted({tag for example in examples for tag in example.tags})):
            rows = [example for example in examples if tag is None or tag in example.tags]
            yield from _summary(evidence, scored, rows, statistics, tag=tag)


def _summary(
    evidence: Evidence, scored: ScoredSet, rows: Sequence[Example], statistics: Statistics, *, tag: str | None = None
) -> Iterator[ScorerSummary]:
    """The one summary of these rows; none where nothing was scored: the report says so by the missing number."""
    system, dataset, scorer = scored
    results = evidence.scores[scored]
    values = {row.id: result.value for row in rows if isinstance(result := results[row.id], Score)}
    if not values:
        return
    if (corpus := corpus_of(scorer)) is not None:
        answers = evidence.answers[system, dataset]
        targets = [row.target or "" for row in rows if row.id in values]
        parts, compute = corpus([answers[key].text for key in values], targets)
        estimate = corpus_estimate(parts, compute, alpha=statistics.alpha, seed=evidence.seed)
    else:
        estimate = mean_estimate(list(values.values()), statistics.alpha)
    yield ScorerSummary(
        system=system,
        dataset=dataset,
        scorer=scorer,
        estimate=estimate,
        unscored=len(rows) - len(values),
        tag=tag,
    )


def compare_baselines(suite: Suite, evidence: Evidence) -> Iterator[Comparison]:
    """The candidate against each baseline by each scorer that a gain is asked on, over all rows and by tag."""
    tags = sorted({tag for example in evidence.examples["test"] for tag in example.tags})
    for scorer in _gains(suite):
        for baseline in evidence.baselines:
            for tag in (None, *tags):
                yield _compare(suite, evidence, scorer, baseline, tag=tag)


def _gains(suite: Suite) -> dict[str, float]:
    """Scorer -> the gain that is asked on it."""
    return {check.scorer: check.min_gain for check in suite.checks if isinstance(check, BetterThan)}


def _compare(suite: Suite, evidence: Evidence, scorer: str, baseline: str, *, tag: str | None = None) -> Comparison:
    return compare_systems(
        evidence,
        scorer=scorer,
        baseline=baseline,
        statistics=suite.statistics,
        min_gain=_gains(suite)[scorer],
        tag=tag,
    )


def clean_subset(suite: Suite, evidence: Evidence) -> CleanSubset | None:
    """The headline scorer without the test examples that stand among the training rows; None where none does."""
    if not evidence.leaks:
        return None
    clean, gains = without_leaks(evidence), _gains(suite)
    rows = clean.examples["test"]
    headline = next(iter(gains), None) or next(scorer for _, dataset, scorer in clean.scores if dataset == "test")
    scored = [key for key in clean.scores if key[1:] == ("test", headline)]
    compared = clean.baselines if headline in gains and rows else ()
    return CleanSubset(
        n=len(rows),
        scorer=headline,
        summaries=tuple(item for key in scored for item in _summary(clean, key, rows, suite.statistics)),
        comparisons=tuple(_compare(suite, clean, headline, baseline) for baseline in compared),
    )
