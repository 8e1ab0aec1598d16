"""Candidate against one baseline on the same examples, missing scores counted against the candidate."""

from __future__ import annotations

import numpy as np

from harness.gate.evidence import Evidence
from harness.records import Comparison, Score
from harness.scoring.apply import SCORERS
from harness.scoring.overlap import corpus_statistics
from harness.stats.paired import PairedResult, compare_corpus, compare_paired
from harness.suite.schema import Statistics

WORST, BEST = 0.0, 1.0  # of every scorer


def compare_systems(
    evidence: Evidence,
    *,
    scorer: str,
    baseline: str,
    statistics: Statistics,
    min_gain: float = 0.0,
    tag: str | None = None,
) -> Comparison:
    """Compare on the test set, or on its examples with `tag`, by the test that the scores call for.

    A missing score of the candidate counts as the worst, one of the baseline as the best; `imputed` counts the
    pairs in which that happened.
    """
    examples = [example for example in evidence.examples["test"] if tag is None or tag in example.tags]
    ours = evidence.scores[evidence.candidate, "test", scorer]
    theirs = evidence.scores[baseline, "test", scorer]
    candidate, reference, imputed = [], [], 0
    for example in examples:
        mine, other = ours[example.id], theirs[example.id]
        candidate.append(mine.value if isinstance(mine, Score) else WORST)
        reference.append(other.value if isinstance(other, Score) else BEST)
        imputed += not (isinstance(mine, Score) and isinstance(other, Score))
    if SCORERS[scorer].corpus:
        result = _compare_corpus(evidence, scorer, baseline, [example.id for example in examples], statistics)
    else:
        result = compare_paired(
            candidate,
            reference,
            alpha=statistics.alpha,
            min_gain=min_gain,
            seed=evidence.seed,
            clusters=[example.cluster for example in examples],
            resamples=statistics.resamples,
        )
    return Comparison(
        candidate=evidence.candidate,
        baseline=baseline,
        scorer=scorer,
        n=result.n,
        delta=result.delta,
        wins=result.wins,
        losses=result.losses,
        p_value=result.p_value,
        p_reverse=result.p_reverse,
        imputed=imputed,
        method=result.method,
        tag=tag,
    )


def _compare_corpus(
    evidence: Evidence, scorer: str, baseline: str, ids: list[str], statistics: Statistics
) -> PairedResult:
    targets = {example.id: example.target or "" for example in evidence.examples["test"]}
    ours, theirs = evidence.answers[evidence.candidate, "test"], evidence.answers[baseline, "test"]
    wanted = [targets[key] for key in ids]
    # A missing answer of the candidate is empty, one of the baseline is the reference itself.
    mine = ["" if ours[key].error is not None else ours[key].text for key in ids]
    other = [targets[key] if theirs[key].error is not None else theirs[key].text for key in ids]
    candidate, compute = corpus_statistics(scorer, mine, wanted)
    reference, _ = corpus_statistics(scorer, other, wanted)
    return compare_corpus(
        candidate,
        reference,
        lambda total: compute(total.astype(np.int64)),
        alpha=statistics.alpha,
        seed=evidence.seed,
        resamples=statistics.resamples,
    )
