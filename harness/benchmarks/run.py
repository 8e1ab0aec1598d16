"""Run a benchmark on one system through lm-eval, and keep every question's outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from harness.benchmarks.lm import SessionLM
from harness.benchmarks.tasks import BenchmarkTasks
from harness.engine.loglikelihood import Scored
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError
from harness.records import BenchmarkResult, QuestionOutcome
from harness.stats.sequential import permutation


def run_benchmark(tasks: BenchmarkTasks, session: ModelSession, *, system: str, adapter: str | None) -> BenchmarkResult:
    """Every question answered by one system, scored by the log-probability of each choice, by subject and id.

    Questions that are another shard's are left out.

    Raises:
        BrokenRunError: lm-eval returned other questions than were asked.
    """
    model = SessionLM(session, adapter)
    result = _evaluate(tasks, model)
    outcomes: list[QuestionOutcome] = []
    for subject in tasks.subjects:
        samples = result["samples"][tasks.task_name(subject)]
        outcomes += [_outcome(sample, subject.name) for sample in samples]
    asked = [question.id for subject in tasks.subjects for question in subject.asked]
    if sorted(asked) != sorted(outcome.question_id for outcome in outcomes):
        raise BrokenRunError(f"lm-eval answered other questions of {tasks.name} than were asked")
    return BenchmarkResult(
        benchmark=tasks.name,
        system=system,
        task_digest=tasks.digest,
        chance=tasks.chance,
        outcomes=tuple(
            sorted(
                (outcome for outcome in outcomes if outcome.question_id not in model.left_out),
                key=lambda outcome: (outcome.subject, outcome.question_id),
            )
        ),
        weights=tasks.weights,
    )


def _evaluate(tasks: BenchmarkTasks, model: SessionLM) -> dict[str, Any]:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    result: dict[str, Any] | None = simple_evaluate(
        model=model,
        tasks=tasks.build(),
        task_manager=TaskManager(include_defaults=False),  # the default indexes 14,000 files
        bootstrap_iters=0,
        log_samples=True,
    )
    if result is None:
        raise BrokenRunError(f"lm-eval returned nothing for {tasks.name}")
    return result


def count_benchmark(tasks: BenchmarkTasks, session: ModelSession, *, adapter: str | None) -> tuple[int, int]:
    """What `run_benchmark` would do: tokens to forward, and requests whose scores are stored."""
    model = _Counting(session, adapter)
    _evaluate(tasks, model)
    return model.forwarded, model.stored


class _Counting(SessionLM):
    """Answers nothing, and counts what it would take."""

    forwarded = stored = 0

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        forwarded, stored = self._session.plan_scores(pairs, adapter=self._adapter)
        self.forwarded += forwarded
        self.stored += stored
        return [Scored(0.0, False)] * len(pairs)


def run_until_settled(
    tasks: BenchmarkTasks,
    session: ModelSession,
    arms: Mapping[str, str | None],
    *,
    seed: int,
    every: int,
    settled: Callable[[Sequence[BenchmarkResult]], bool],
) -> list[BenchmarkResult]:
    """Both systems on the whole benchmark in one uniform random order, until a look finds it settled.

    `arms` maps a system's name to its adapter. Questions are grouped by subject inside a block, so that prefixes
    are shared, and put back into the random order, which the bets need.
    """
    ids = [question.id for subject in tasks.subjects for question in subject.asked]
    order = [ids[index] for index in permutation(len(ids), seed)]
    outcomes: dict[str, list[QuestionOutcome]] = {system: [] for system in arms}
    results: list[BenchmarkResult] = []
    for first in range(0, len(order), every):
        block = order[first : first + every]
        for system, adapter in arms.items():
            part = run_benchmark(tasks.subset(block), session, system=system, adapter=adapter)
            found = {outcome.question_id: outcome for outcome in part.outcomes}
            outcomes[system] += [found[name] for name in block]
        results = [
            BenchmarkResult(
                benchmark=tasks.name,
                system=system,
                task_digest=tasks.digest,
                chance=tasks.chance,
                outcomes=tuple(outcomes[system]),
                weights=tasks.weights,
                pool=len(ids),
            )
            for system in arms
        ]
        if settled(results):
            break
    return results


def _outcome(sample: dict[str, Any], subject: str) -> QuestionOutcome:
    logprobs = tuple(float(response[0][0]) for response in sample["resps"])
    choice = max(range(len(logprobs)), key=lambda index: (logprobs[index], -index))
    target = int(sample["doc"]["answer"])
    return QuestionOutcome(
        question_id=sample["doc"]["question_id"],
        subject=subject,
        logprobs=logprobs,
        choice=choice,
        target=target,
        correct=choice == target,
    )
