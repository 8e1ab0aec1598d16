"""Every kind of finding, to the word and the number, as it stands; whoever changes it reads the difference.

`PYTHONPATH=tests python tests/gate/test_gate_exact_verdicts.py` writes `exact_verdicts.json` anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from evidence_factory import history_of
from evidence_in_memory import DROP, GAIN, LIVE, PREFERRED, VALID, evidence_of, judged, suite_of

from harness.errors import BrokenRunError, InvalidInputError
from harness.findings import CheckResult, LookCount, Verdict
from harness.gate.benchmark_drop import _more_questions
from harness.gate.comparing import compare_scores, compare_systems, judge_comparison
from harness.gate.evidence import Evidence
from harness.gate.verdict import decide, not_needed
from harness.records import BASE_MODEL, DriftRow, LeakedExample, Prediction, Score
from harness.stats.drift import mean_against
from harness.stats.proportion import lower_bound, proportion_estimate
from harness.stats.seeds import compare_over_seeds

STORED = Path(__file__).with_name("exact_verdicts.json")
EXPECTED = json.loads(STORED.read_text(encoding="utf-8"))
RIGHT, WRONG, HALF = [1.0] * 40, [0.0] * 40, [1.0, 0.0] * 20
RELATIVE = {**DROP, "margin_type": "relative", "margin": 0.1}
RECIPE: dict[str, Any] = {"kind": "recipe_better_than"}
LOGPROB: dict[str, Any] = {"kind": "logprob_drop", "benchmark": "general"}
KL: dict[str, Any] = {"kind": "kl_divergence", "prompts": "general.jsonl"}
HEALTHY: dict[str, Any] = {"kind": "healthy_training"}
ANY: dict[str, Any] = {**GAIN, "require": "any"}
NAMED: dict[str, Any] = {"name": "mine", "reason": "as agreed"}
Arm = Sequence[float | None]


def gained(wins: int, losses: int, n: int, *, silent: Sequence[int] = (), **facts: Any) -> Evidence:
    """Of n examples losses, then wins, then what both got right or wrong in turn; `silent`: the candidate's gaps."""
    same = [float(i % 2) for i in range(n - wins - losses)]
    ours: Arm = [None if i in silent else v for i, v in enumerate([0.0] * losses + [1.0] * wins + same)]
    return evidence_of(ours, [1.0] * losses + [0.0] * wins + same, **facts)


def tagged(evidence: Evidence, *tags: tuple[str, ...]) -> Evidence:
    """The test examples with these tags in turn."""
    rows = tuple(replace(row, tags=tags[i % len(tags)]) for i, row in enumerate(evidence.examples["test"]))
    return replace(evidence, examples={**evidence.examples, "test": rows})


def pooled(evidence: Evidence, pool: int) -> Evidence:
    return replace(evidence, pool={**evidence.pool, "test": pool})


def probed(invalid: int, unanswered: int, n: int) -> Evidence:
    rest = n - invalid - unanswered
    return evidence_of(RIGHT, WRONG, probe=[0] * invalid + [None] * unanswered + [1] * rest)


def valid_too(evidence: Evidence) -> Evidence:
    """The candidate's right answers to the test examples are valid as well."""
    right = evidence.scores["candidate", "test", "exact_match"]
    return replace(evidence, scores={**evidence.scores, ("candidate", "test", "schema_valid"): right})


def asked(before: int, after: int, n: int, pool: int | None = None) -> Evidence:
    """A benchmark of n questions, of which the base model and the candidate answer the first few."""
    sides = [[1] * right + [0] * (n - right) for right in (before, after)]
    return evidence_of(RIGHT, WRONG, answered=(sides[0], sides[1]), pool=pool)


def spread() -> Evidence:
    """A benchmark of which the base model answers all, and the candidate all but every twentieth question."""
    return evidence_of(RIGHT, WRONG, answered=([1] * 400, ([1] * 19 + [0]) * 20), pool=1000)


def moved(evidence: Evidence, *changes: float) -> Evidence:
    """The candidate's log-probabilities of the right choices, changed by these in turn."""
    tuned = evidence.benchmarks["general", "candidate"]
    outcomes = tuple(
        replace(outcome, logprobs=(outcome.logprobs[0] + changes[i % len(changes)], *outcome.logprobs[1:]))
        for i, outcome in enumerate(tuned.outcomes)
    )
    return replace(
        evidence, benchmarks={**evidence.benchmarks, ("general", "candidate"): replace(tuned, outcomes=outcomes)}
    )


def drifted(*values: float) -> Evidence:
    rows = tuple(DriftRow(prompts="general.jsonl", example_id=f"g{i}", kl=kl, tokens=5) for i, kl in enumerate(values))
    return replace(evidence_of(RIGHT, WRONG), drift={"general.jsonl": rows})


def trained_again(evidence: Evidence, *arms: Arm) -> Evidence:
    """Replicas with these scores."""
    ids = [row.id for row in evidence.examples["test"]]
    more = {(f"seed{i}", "test", "exact_match"): scored(ids, values) for i, values in enumerate(arms)}
    replicas = tuple(name for name, _, _ in more)
    return replace(evidence, replicas=replicas, scores={**evidence.scores, **more})


def scored(ids: Sequence[str], values: Arm) -> Mapping[str, Any]:
    unscored = evidence_of([None]).scores["candidate", "test", "exact_match"]["test-0"]
    return {key: unscored if value is None else Score(value) for key, value in zip(ids, values, strict=True)}


def labelled(
    ours: str, theirs: str, *, targets: Sequence[str] = "aabbab", scorer: str = "macro_f1", **facts: Any
) -> Evidence:
    """Labels as answers, one letter each ("-": none, "_": an empty one), to the targets in turn."""
    found = evidence_of(*([None if c == "-" else 1.0 for c in text] for text in (ours, theirs)), scorer=scorer, **facts)
    rows = tuple(replace(row, target=targets[i % 6]) for i, row in enumerate(found.examples["test"]))
    answers = {
        (arm, "test"): {row.id: labelled_answer(arm, row.id, c) for row, c in zip(rows, text, strict=True)}
        for arm, text in (("candidate", ours), ("bare", theirs))
    }
    return replace(found, examples={**found.examples, "test": rows}, answers=answers)


def labelled_answer(system: str, key: str, label: str) -> Prediction:
    missing = label == "-"
    return Prediction(
        example_id=key,
        system=system,
        dataset="test",
        text="" if missing or label == "_" else label,
        stop="error" if missing else "end",
        prompt_tokens=1,
        output_tokens=1,
        seconds=0.0,
        error="gone" if missing else None,
    )


def leaked(evidence: Evidence, *places: int) -> Evidence:
    """Leaks at these places, the first of them for sure."""
    rows = evidence.examples["test"]
    facts: dict[str, Any] = {"source": "test.jsonl:1", "twin": "train.jsonl:1", "kind": "near copy", "similarity": 0.9}
    leaks = tuple(LeakedExample(example_id=rows[p].id, is_sure=p == places[0], **facts) for p in places)
    return replace(evidence, leaks=leaks)


def live(**changes: Any) -> Evidence:
    return replace(evidence_of(RIGHT, WRONG), liveness=replace(LIVE, **changes))


def trained(*losses: float, best: int = 1, **changes: Any) -> Evidence:
    return replace(evidence_of(RIGHT, WRONG), training=history_of(losses, best=best, **changes))


def absent(evidence: Evidence, name: str) -> Evidence:
    return replace(evidence, absent={name: "no adapter was promoted yet"})


def case(
    evidence: Evidence,
    *checks: dict[str, Any],
    looks: LookCount | None = None,
    accepted: Mapping[str, str] | None = None,
    **given: Any,
) -> partial[Verdict]:
    """What is decided, and not yet: what a test tries must happen in that test."""
    return partial(decide, suite_of(*checks, **given), evidence, looks=looks, accepted=accepted)


def gained_two(first: int, second: int) -> Evidence:
    """Wins over each of two baselines, of 40 examples."""
    return evidence_of(
        HALF, *([1.0 - v if i % 2 == 0 and i < 2 * k else v for i, v in enumerate(HALF)] for k in (first, second))
    )


def number(evidence: Evidence, system: str, value: float) -> Evidence:
    """One log-probability of a system's first question is `value`."""
    found = evidence.benchmarks["general", system]
    first = replace(found.outcomes[0], logprobs=(value, *found.outcomes[0].logprobs[1:]))
    changed = replace(found, outcomes=(first, *found.outcomes[1:]))
    return replace(evidence, benchmarks={**evidence.benchmarks, ("general", system): changed})


ANYTIME, HYBRID = ({"mode": mode, "look_every": 10} for mode in ("anytime", "hybrid"))
SHIPS = evidence_of(RIGHT, WRONG)
CASES: dict[str, partial[Verdict]] = {
    "gain passes": case(gained(8, 1, 40), {**GAIN, **NAMED}),
    "gain of little effect": case(gained(8, 0, 400), GAIN, min_effect=0.05, alpha=0.04),
    "gain with a missing score": case(gained(8, 0, 40, silent=(30,)), GAIN, max_unscored=0.1),
    "gain with too many missing scores": case(gained(8, 0, 40, silent=(30, 31)), GAIN, max_unscored=0.04),
    "gain with just not too many missing scores": case(gained(8, 0, 40, silent=(30, 32)), GAIN, max_unscored=0.05),
    "gain fails": case(gained(1, 12, 40), GAIN),
    "gain fails with a missing score": case(gained(1, 12, 40, silent=(0,)), GAIN, max_unscored=0.1),
    "gain fails by tags": case(tagged(gained(1, 12, 40), ("even", "all"), ("odd", "all")), GAIN),
    "gain is open": case(gained(3, 0, 40), GAIN, min_effect=0.05),
    "gain is open by tags": case(tagged(gained(1, 4, 40), ("a",), ("b",), ("c", "d"), ()), GAIN),
    "gain is open and a tag lost none": case(tagged(gained(3, 0, 40), ("a",)), GAIN),
    "gain passes though a tag lost": case(tagged(gained(12, 1, 40), ("a",), *[("b",)] * 39), GAIN),
    "gain is open and a tag is even": case(tagged(gained(2, 2, 40), ("a",)), GAIN),
    "gain is open by tags with a missing score": case(
        tagged(gained(3, 0, 40, silent=(30,)), ("a",)), GAIN, max_unscored=0.1
    ),
    "gain is open with a missing score": case(gained(3, 0, 40, silent=(30,)), GAIN, max_unscored=0.1),
    "gain is open in a set of just enough": case(gained(3, 0, 12), GAIN),
    "gain is open in a large set": case(gained(3, 2, 100), GAIN, min_effect=0.2),
    "gain of a size passes": case(gained(30, 0, 40), {**GAIN, "min_gain": 0.2}),
    "gain of a size fails": case(gained(4, 0, 100), {**GAIN, "min_gain": 0.2}),
    "gain of a size fails at none": case(gained(0, 0, 100), {**GAIN, "min_gain": 0.2}),
    "gain of a point is open": case(gained(3, 0, 40), {**GAIN, "min_gain": 0.01}),
    "gain of a size is open": case(gained(12, 1, 40), {**GAIN, "min_gain": 0.2}, min_effect=0.3),
    "gain by mid-p on a tag": case(
        tagged(gained(4, 0, 40), ("a",)), {**GAIN, "mid_p": True, "tag": "a", **NAMED}, baselines=1
    ),
    "gain on one tag of two": case(tagged(gained(1, 12, 40), ("a",), ("b",)), {**GAIN, "tag": "b"}),
    "gain in clusters": case(gained(12, 0, 40, clusters=[f"c{i // 2}" for i in range(40)]), GAIN),
    "graded gain": case(evidence_of([0.5, 0.75, 1.0, 0.25] * 10, [0.5, 0.25, 0.75, 0.5] * 10), GAIN),
    "graded gain, with more resamples": case(
        evidence_of([0.5, 0.75, 1.0, 0.25] * 4, [0.5, 0.25, 0.75, 0.5] * 4, clusters=[f"c{i // 2}" for i in range(16)]),
        GAIN,
        resamples=12345,
    ),
    "graded gain without clusters, with more resamples": case(
        evidence_of([0.5, 0.75, 1.0, 0.25] * 4, [0.5, 0.25, 0.75, 0.5] * 4), GAIN, resamples=12345
    ),
    "gain over two": case(evidence_of(RIGHT, WRONG, HALF), GAIN, baselines=2),
    "gain over three": case(evidence_of(RIGHT, WRONG, HALF, [1.0] * 10 + [0.0] * 30), GAIN, baselines=3),
    "gain against an absent one": case(
        absent(evidence_of(RIGHT, WRONG), "second"),
        GAIN,
        {**GAIN, "baselines": ["second"], "tag": "x", **NAMED},
        baselines=2,
    ),
    "nothing took part": case(absent(evidence_of(RIGHT), "bare"), GAIN),
    "nothing that blocks": case(SHIPS, {**GAIN, "blocking": False}),
    "any of two": case(evidence_of(RIGHT, WRONG, RIGHT), {**ANY, **NAMED}, baselines=2),
    "any of two, asked twice": case(evidence_of(RIGHT, WRONG, RIGHT), {**ANY, **NAMED}, ANY, baselines=2),
    "any of two, the second": case(gained_two(3, 8), ANY, baselines=2),
    "any of two, none": case(gained_two(3, 4), ANY, baselines=2),
    "any of two, both better": case(evidence_of(WRONG, RIGHT, HALF), ANY, baselines=2),
    "any of two, one better": case(evidence_of(HALF, HALF, RIGHT), ANY, baselines=2),
    "any of two, one absent": case(absent(evidence_of(RIGHT, WRONG), "second"), ANY, baselines=2),
    "any of one, absent": case(absent(evidence_of(RIGHT), "bare"), ANY),
    "any, not blocking": case(evidence_of(RIGHT, WRONG, WRONG), {**ANY, "blocking": False}, baselines=2),
    "any, just not too many missing": case(gained(8, 0, 40, silent=(30, 32)), ANY, max_unscored=0.05),
    "any, at alpha": case(gained(5, 0, 40), ANY, alpha=1 / 32),
    "any, worse at alpha": case(gained(0, 5, 40), ANY, alpha=1 / 32),
    "bets pass": case(pooled(gained(12, 0, 40), 90), GAIN, **ANYTIME),
    "bets fail": case(pooled(gained(0, 12, 40), 90), GAIN, **ANYTIME),
    "bets are open": case(pooled(gained(3, 0, 40), 90), {**GAIN, "min_gain": 0.05}, **ANYTIME),
    "bets with missing scores": case(pooled(gained(8, 0, 40, silent=(30, 31)), 90), GAIN, **ANYTIME),
    "bets with a missing score": case(pooled(gained(12, 0, 40, silent=(9,)), 90), GAIN, max_unscored=0.025, **ANYTIME),
    "bets with a missing score of the baseline": case(
        pooled(evidence_of(RIGHT, [*WRONG[:3], None, *WRONG[4:]]), 90), GAIN, max_unscored=0.025, **ANYTIME
    ),
    "bets in clusters": case(gained(12, 0, 40, clusters=["c"] * 40), GAIN, **ANYTIME),
    "hybrid passes early": case(pooled(gained(20, 0, 40), 90), GAIN, **HYBRID),
    "hybrid passes at the end": case(gained(7, 1, 40), GAIN, **HYBRID),
    "hybrid fails at the end": case(gained(1, 7, 40), GAIN, **HYBRID),
    "hybrid passes at its share": case(gained(5, 0, 40), GAIN, **HYBRID, alpha=5 / 128),
    "hybrid is open at the end": case(gained(3, 0, 40), GAIN, **HYBRID),
    "hybrid is open before the end": case(pooled(gained(7, 1, 40), 90), GAIN, **HYBRID),
    "valid": case(probed(1, 0, 1000), GAIN, {**VALID, **NAMED}),
    "invalid": case(probed(20, 0, 1000), GAIN, VALID),
    "valid is open": case(probed(3, 1, 1000), GAIN, VALID),
    "valid by the share": case(probed(5, 0, 1000), GAIN, {**VALID, "rule": "point"}),
    "invalid by the share": case(probed(5, 1, 1000), GAIN, {**VALID, "rule": "point"}),
    "valid with too many missing": case(probed(0, 11, 1000), GAIN, VALID),
    "valid with many missing": case(probed(0, 10, 1000), GAIN, {**VALID, "bar": 0.9}),
    "drop is small": case(asked(300, 301, 400), GAIN, {**DROP, **NAMED}),
    "drop is a loss": case(asked(300, 240, 400), GAIN, DROP),
    "drop is open": case(asked(300, 285, 400), GAIN, DROP),
    "drop reaches the margin": case(asked(300, 279, 400), GAIN, DROP),
    "relative drop is small": case(asked(300, 299, 400), GAIN, RELATIVE),
    "relative drop is a loss": case(asked(300, 230, 400), GAIN, RELATIVE),
    "relative drop is open": case(asked(300, 275, 400), GAIN, RELATIVE),
    "no headroom": case(asked(100, 100, 400), GAIN, DROP),
    "drop is the margin": case(asked(300, 275, 400), GAIN, {**DROP, "margin": 0.0625}),
    "drop lacks one question": case(asked(300, 285, 400), GAIN, {**DROP, "margin": 0.05648}),
    "drop of a drawn part without bets": case(asked(300, 285, 400, 1000), GAIN, DROP),
    "bets on a drop are open": case(spread(), GAIN, DROP, **ANYTIME),
    "bets on a relative drop are open": case(spread(), GAIN, {**RELATIVE, "margin": 0.05}, **HYBRID),
    "drop by bets passes": case(asked(300, 300, 400, 1000), GAIN, {**DROP, "margin": 0.2}, **ANYTIME),
    "drop by bets fails": case(asked(300, 100, 400, 1000), GAIN, DROP, **ANYTIME),
    "drop by bets passes late": case(asked(300, 280, 400, 1000), GAIN, DROP, **ANYTIME),
    "relative drop by bets passes": case(asked(300, 300, 400, 1000), GAIN, {**RELATIVE, "margin": 0.3}, **ANYTIME),
    "relative drop by bets passes late": case(asked(300, 275, 400, 1000), GAIN, RELATIVE, **HYBRID),
    "drop without bets": case(asked(300, 290, 400), GAIN, RELATIVE, **ANYTIME),
    "base is not finite": case(number(asked(300, 300, 400), BASE_MODEL, nan), GAIN, DROP, LOGPROB),
    "candidate is not finite": case(number(asked(300, 300, 400), "candidate", -inf), GAIN, DROP, LOGPROB),
    "right choices stay": case(moved(asked(300, 300, 400), 0.15, -0.1), GAIN, {**LOGPROB, **NAMED}),
    "right choices fall": case(moved(asked(300, 300, 400), -0.3, -0.1, -0.2), GAIN, LOGPROB),
    "right choices at the margin": case(moved(asked(300, 300, 401), -0.5, 0.3), GAIN, LOGPROB),
    "near the base model": case(drifted(*[0.01, 0.02, 0.03] * 10), GAIN, {**KL, **NAMED}),
    "far from the base model": case(drifted(*[0.2, 0.3] * 10), GAIN, KL),
    "at the limit": case(drifted(*[0.05, 0.15] * 10), GAIN, KL),
    "divergence is not finite": case(drifted(0.1, inf, 0.1), GAIN, KL),
    "recipe passes": case(trained_again(evidence_of(RIGHT, HALF), RIGHT, [*RIGHT[1:], 0.0]), {**RECIPE, **NAMED}),
    "recipe fails": case(trained_again(evidence_of(WRONG, HALF), WRONG, WRONG), RECIPE),
    "recipe is open": case(trained_again(evidence_of(RIGHT, HALF), HALF, RIGHT[:4] + WRONG[4:]), RECIPE),
    "recipe, with more resamples": case(
        trained_again(evidence_of(RIGHT, HALF), RIGHT, RIGHT), {**RECIPE, "min_gain": 0.2}, resamples=12345
    ),
    "recipe of a size": case(trained_again(evidence_of(RIGHT, HALF), RIGHT, RIGHT), {**RECIPE, "min_gain": 0.2}),
    "recipe with missing scores": case(trained_again(SHIPS, RIGHT, [None] * 3 + [1.0] * 37), RECIPE),
    "recipe with few missing scores": case(
        trained_again(evidence_of([None, *RIGHT[1:]], WRONG), RIGHT, [None, *RIGHT[1:]]), RECIPE, max_unscored=2 / 120
    ),
    "recipe and a missing baseline's score": case(
        trained_again(evidence_of(RIGHT, [None, *WRONG[1:]]), RIGHT, RIGHT), RECIPE, max_unscored=0.1
    ),
    "recipe against one of two": case(
        absent(trained_again(evidence_of(RIGHT, WRONG), RIGHT, RIGHT), "second"),
        {**RECIPE, "baselines": ["second", "bare"]},
        baselines=2,
    ),
    "preferred": case(judged([(1, 1)] * 18 + [(0, 0), (1, -1)]), GAIN, {**PREFERRED, **NAMED}),
    "not preferred": case(judged([(-1, -1)] * 8 + [(0, 0), (1, 1)], equal=(8,)), PREFERRED),
    "preference is open": case(judged([(1, 1), (-1, -1), (1, 0), None]), PREFERRED, max_unscored=0.5),
    "preference against an absent one": case(absent(judged([(1, 1)] * 8), "bare"), GAIN, PREFERRED),
    "preferences all equal": case(judged([(0, 0)] * 4, equal=range(4)), {**PREFERRED, "min_gain": 0.1}),
    "preferences in clusters": case(judged([(1, 1)] * 12, clusters=[*"aabbccddeeff"]), PREFERRED),
    "labels are better": case(labelled("aabbab" * 10, "ababab" * 10), {**GAIN, "scorer": "macro_f1"}),
    "labels are missing": case(
        labelled("a-bbab" * 10, "aab-bb" * 10), {**GAIN, "scorer": "macro_f1"}, max_unscored=0.5
    ),
    "labels and an empty one": case(
        labelled("aabba_" * 10, "aabbaa" * 10, targets=("a", "a", "b", "b", "a", "")), {**GAIN, "scorer": "macro_f1"}
    ),
    "labels, with more resamples": case(
        labelled("aabbab" * 4, "ababab" * 4), {**GAIN, "scorer": "macro_f1"}, resamples=12345
    ),
    "letters are missing": case(
        labelled("a-bbab" * 10, "aab-bb" * 10, scorer="chrf"), {**GAIN, "scorer": "chrf"}, max_unscored=0.5
    ),
    "labels in clusters": case(
        labelled("aabbab" * 10, "ababab" * 10, clusters=[*"abcdef"] * 10), {**GAIN, "scorer": "macro_f1"}, alpha=0.1
    ),
    "leaks take a gain": case(leaked(gained(8, 0, 40), 0, 1, 2, 3), GAIN),
    "leaks leave too few": case(leaked(gained(8, 0, 8), *range(7)), GAIN),
    "leaks leave two": case(leaked(gained(8, 0, 8), *range(6)), GAIN),
    "leaks of another tag": case(
        leaked(tagged(gained(12, 0, 40), ("a",), ("b",)), 0, 2, 3), {**GAIN, "tag": "a", **NAMED}
    ),
    "not live: compared with nothing": case(replace(SHIPS, liveness=None), GAIN),
    "not live: logits": case(live(logits_finite=False), GAIN),
    "not live: difference": case(live(max_logit_difference=inf), GAIN),
    "not live: no effect": case(live(max_logit_difference=1e-5, differing_answers=0), GAIN),
    "live by an answer": case(live(max_logit_difference=0.0, differing_answers=1), GAIN),
    "live by its logits": case(live(max_logit_difference=1.1e-5, differing_answers=0), GAIN),
    "trained elsewhere": case(SHIPS, GAIN, {**HEALTHY, **NAMED}),
    "trained well": case(trained(2.0, 1.0, 1.5), GAIN, {**HEALTHY, **NAMED}),
    "training diverged": case(trained(2.0, 1.0, diverged=True), GAIN, HEALTHY),
    "training gained nothing": case(trained(2.0, 2.5, best=0), GAIN, HEALTHY),
    "training was no better": case(trained(2.0, 2.0, best=1), GAIN, HEALTHY),
    "first loss of zero": case(trained(0.0, 1.0, best=1), GAIN, HEALTHY),
    "accepted": case(gained(3, 0, 40), GAIN, accepted={"better_than/exact_match/bare": "seen"}),
    "accepted what passes": case(SHIPS, GAIN, accepted={"better_than/exact_match/bare": "seen"}),
    "spent": case(SHIPS, GAIN, looks=LookCount(number=3, budget=2, recorded=True), holdout_budget=2),
    "spent, a gain that fails": case(
        evidence_of(WRONG, RIGHT), GAIN, looks=LookCount(number=3, budget=2, recorded=True), holdout_budget=2
    ),
    "the last look": case(SHIPS, GAIN, looks=LookCount(number=2, budget=2, recorded=True), holdout_budget=2),
    "within the budget": case(
        gained(5, 0, 40), GAIN, looks=LookCount(number=2, budget=2, recorded=False), holdout_budget=2
    ),
    "a second look": case(SHIPS, GAIN, looks=LookCount(number=2, budget=None, recorded=True)),
    "a third look at another alpha": case(
        SHIPS, GAIN, looks=LookCount(number=3, budget=None, recorded=True), alpha=0.1
    ),
    "a first look": case(SHIPS, GAIN, looks=LookCount(number=1, budget=None, recorded=True)),
    "two that fail": case(replace(asked(300, 240, 400), liveness=replace(LIVE, logits_finite=False)), GAIN, DROP),
    "locked before": case(
        replace(trained(2.0, 1.0, begun="2026-01-02T03:04:05.678+00:00"), locked="2026-01-01T00:00:00.5+00:00"), GAIN
    ),
    "locked at that time": case(
        replace(trained(2.0, 1.0, begun="2026-01-02T00:00:00+00:00"), locked="2026-01-02T00:00:00+00:00"), GAIN
    ),
    "locked and trained elsewhere": case(replace(SHIPS, locked="2026-01-02T00:00:00+00:00"), GAIN),
}


def told(verdict: Verdict) -> dict[str, Any]:
    """What a verdict says, without the check of liveness where it says what it mostly says."""
    checks = [_without_defaults(check) for check in verdict.checks]
    kept = [check for check in checks if check != ALIVE]
    return {"decision": verdict.decision, "sentence": verdict.sentence, "notes": [*verdict.notes], "checks": kept}


def _without_defaults(check: CheckResult) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(CheckResult)}
    said = {name: value for name, value in asdict(check).items() if value != defaults[name]}
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in said.items()}


ALIVE = {
    "name": "adapter_is_live",
    "kind": "adapter_is_live",
    "status": "pass",
    "blocking": True,
    "reason": "the adapter changes 40 of 50 answers; its logits differ by up to 2.00",
    "observed": 2.0,
    "limit": 1e-5,
    "unit": "",
    "n": 50,
    "method": "largest difference of next-token logits, and equality of answers",
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_says_exactly_this_when(name: str) -> None:
    assert told(CASES[name]()) == EXPECTED[name]


def test_every_expected_verdict_is_tried() -> None:
    assert list(EXPECTED) == list(CASES)


def test_valid_answers_pass_when_their_lower_bound_is_the_bar_and_fail_below_it_only() -> None:
    bounds = proportion_estimate(980, 1000, 0.05)
    for bar, status in ((bounds.low, "pass"), (bounds.high, "undecided")):
        verdict = case(probed(20, 0, 1000), GAIN, {**VALID, "bar": bar})()
        assert [check.status for check in verdict.checks if check.kind == "valid_output"] == [status]


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_drop_is_undecided_when_an_end_of_its_interval_is_the_margin(end: str) -> None:
    first = case(asked(300, 285, 400), GAIN, DROP)().checks[1]
    again = case(asked(300, 285, 400), GAIN, {**DROP, "margin": -getattr(first, end)})().checks[1]
    assert getattr(again, end) == again.limit
    assert again.status == "undecided"


def test_a_prompt_is_not_said_to_be_enough_when_the_gain_may_be_the_smallest_worth_having() -> None:
    suite = suite_of(GAIN, min_effect=0.25)
    (gain, _) = case(gained(3, 0, 40), GAIN)().checks
    assert not_needed(suite, replace(gain, high=0.25)) == ""
    assert not_needed(suite, replace(gain, high=0.2)) == (
        "You did not need to fine-tune: bare is within 25.0 points of the candidate "
        "(which is better by 20.0 points at most)"
    )
    assert not_needed(suite, replace(gain, high=0.0)).endswith("(which is better by 0.0 points at most)")
    for other in ({"kind": "recipe_better_than"}, {"baseline": None}, {"baseline": "candidate"}, {"high": None}):
        assert not_needed(suite, replace(gain, **{"high": 0.2, **other})) == ""


def test_valid_answers_are_not_shown_by_a_test_set_that_is_spent_and_are_by_other_prompts() -> None:
    checks = {**VALID, "bar": 0.9}, {**VALID, "bar": 0.9, "on": "test", "name": "mine"}
    found = case(valid_too(probed(1, 0, 1000)), *checks, looks=LookCount(number=3, budget=2, recorded=True))()
    assert [(check.name, check.status) for check in found.checks[:2]] == [
        ("valid_output", "pass"),
        ("mine", "undecided"),
    ]


def test_the_result_of_any_baseline_on_a_slice_has_its_own_name() -> None:
    found = case(tagged(gained_two(8, 8), ("a",), ("b",)), *({**ANY, "tag": tag} for tag in "ab"), baselines=2)()
    names = [check.name for check in found.checks if "/any" in check.name]
    assert names == ["better_than/exact_match/any[a]", "better_than/exact_match/any[b]"]


def test_forgetting_is_resampled_as_often_as_the_suite_says() -> None:
    for evidence, check in (
        (moved(asked(300, 300, 400), 0.15, -0.1), LOGPROB),
        (drifted(*[0.01, 0.02, 0.03] * 10), KL),
    ):
        found = case(evidence, GAIN, check, resamples=12_345)().checks[1]
        assert found.method.endswith("studentised bootstrap (12345 resamples, seed 3)")


def test_more_questions_are_asked_for_than_there_were() -> None:
    assert _more_questions(100, 0.1, 0.0) == "if the drop is what it seems, about 101 fresh questions would show it"


def test_clusters_of_answers_are_counted_once_and_valid_when_all_of_them_are() -> None:
    evidence = probed(3, 0, 1000)
    rows = tuple(
        replace(row, cluster=f"c{i // 4}" if i < 800 else None) for i, row in enumerate(evidence.examples["probe"])
    )
    clustered = replace(evidence, examples={**evidence.examples, "probe": rows})
    checks = case(clustered, GAIN, VALID)().checks
    found = next(check for check in checks if check.kind == "valid_output")
    assert (found.n, found.observed, found.low) == (400, 399 / 400, lower_bound(399, 400, 0.05))
    assert found.reason.startswith(
        "the bar lies inside the interval: 399 of 400 clusters (1,000 answers) are wholly valid (99.75%, lower bound "
    )


def test_missing_answers_are_a_share_of_all_answers_where_there_are_clusters() -> None:
    evidence = probed(0, 10, 1000)
    rows = tuple(replace(row, cluster=f"c{i // 10}") for i, row in enumerate(evidence.examples["probe"]))
    clustered = replace(evidence, examples={**evidence.examples, "probe": rows})
    found = next(c for c in case(clustered, GAIN, {**VALID, "bar": 0.9})().checks if c.kind == "valid_output")
    assert (found.status, found.n, found.observed) == ("pass", 100, 0.99)


def test_only_a_check_that_there_is_can_be_accepted() -> None:
    with pytest.raises(InvalidInputError) as refused:
        case(SHIPS, GAIN, accepted={"nothing": "why", "else": "why"})()
    assert str(refused.value) == (
        "--accept-undecided else: there is no such check; known: better_than/exact_match/bare, adapter_is_live"
    )


def test_the_exact_test_of_any_gain_is_made_unless_told_otherwise() -> None:
    evidence, statistics = gained(5, 0, 40), suite_of(GAIN).statistics
    found = compare_systems(evidence, scorer="exact_match", baseline="bare", statistics=statistics)
    sides = [evidence.scores[arm, "test", "exact_match"] for arm in ("candidate", "bare")]
    unnamed = compare_scores(sides[0], sides[1], statistics=statistics, seed=3)
    assert (found.p_value, found.p_reverse, found.imputed) == (1 / 32, 1.0, 0)
    assert (found.candidate, found.baseline, found.scorer, found.tag) == ("candidate", "bare", "exact_match", None)
    names = {"candidate": "candidate", "baseline": "the baseline", "scorer": "score"}
    assert unnamed == replace(found, **names)  # type: ignore[arg-type]


def test_a_comparison_is_named_after_its_candidate_and_its_tag() -> None:
    evidence = tagged(gained(5, 0, 40), ("a",), ("b",))
    scores = {("ours" if arm == "candidate" else arm, *rest): found for (arm, *rest), found in evidence.scores.items()}
    renamed = replace(evidence, candidate="ours", scores=scores)
    statistics = suite_of(GAIN).statistics
    found = compare_systems(renamed, scorer="exact_match", baseline="bare", statistics=statistics, tag="b")
    assert (found.candidate, found.tag, found.n, found.wins) == ("ours", "b", 20, 2)


@pytest.mark.parametrize(
    ("min_gain", "needs"),
    [
        (-0.1, "of a candidate that is as good takes about 66 examples (80 % power): 26 more, as a fresh set"),
        (-0.5, "about 12 examples (80 % power), which this set has: the candidate is likely somewhat worse"),
        (0.6, "about 40 examples (80 % power), which this set has: the gain is likely smaller than that"),
        (0.99, "of 100.0 points takes about 62,067 examples (80 % power): 62,027 more, as a fresh set"),
    ],
)
def test_the_examples_that_would_settle_it_are_counted_when_a_gain_is_open(min_gain: float, needs: str) -> None:
    statistics = suite_of(GAIN).statistics
    found = compare_systems(gained(2, 2, 40), scorer="exact_match", baseline="bare", statistics=statistics)
    is_open = replace(found, p_value=0.5, p_reverse=0.5)
    assert judge_comparison(is_open, statistics, min_gain=min_gain)[2].endswith(needs)


def test_scores_of_one_side_only_are_counted_and_the_first_is_named() -> None:
    sides = [{"b": Score(1.0), "a": Score(1.0), "c": Score(1.0)}, {"b": Score(1.0)}]
    for ours, theirs in (sides, sides[::-1]):
        with pytest.raises(BrokenRunError) as refused:
            compare_scores(ours, theirs, statistics=suite_of(GAIN).statistics, seed=3)
        assert str(refused.value) == "2 examples were scored on one side only, the first is 'a'"


@pytest.mark.parametrize(("values", "status"), [((0.08, 0.09, 0.1, 0.11), "pass"), ((0.1, 0.11, 0.12, 0.09), "fail")])
def test_a_divergence_is_decided_when_its_p_value_is_exactly_alpha(values: tuple[float, ...], status: str) -> None:
    _, test = mean_against(values * 5, bar=0.1, alpha=0.05, seed=3)
    alpha = test.p_reverse if status == "pass" else test.p_value
    found = case(drifted(*values * 5), GAIN, KL, alpha=alpha)()
    assert [check.status for check in found.checks if check.kind == "kl_divergence"] == [status]


@pytest.mark.parametrize(("ours", "status"), [(RIGHT, "pass"), (WRONG, "fail")])
def test_a_recipe_is_decided_when_its_p_value_is_exactly_alpha(ours: list[float], status: str) -> None:
    gains = [mine - other for mine, other in zip(ours, HALF, strict=True)]
    found = compare_over_seeds([gains] * 3, alpha=0.05, min_gain=0.0, seed=3, resamples=9999)
    alpha = found.p_value if status == "pass" else found.p_reverse
    checks = case(trained_again(evidence_of(ours, HALF), ours, ours), RECIPE, alpha=alpha)().checks
    assert checks[0].status == status


if __name__ == "__main__":
    found = {name: told(CASES[name]()) for name in CASES}
    STORED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
