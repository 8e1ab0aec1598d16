"""Look for the test rows among what the candidate learns from, in the disguises that no split refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.data.leakage import find_leaks
from harness.data.splits import Split
from harness.prepare import Inputs
from harness.progress import Progress
from harness.records import Example, LeakedExample, LeakSearch


def search_leaks(inputs: Inputs, progress: Progress) -> LeakSearch:
    """Compare every test row with every row that the candidate learns from, and say so when some are alike."""
    test, learned = inputs.datasets.test, _learned(inputs)
    leaks = tuple(
        LeakedExample(
            example_id=leak.row.id,
            source=leak.row.source,
            twin=leak.twin.source,
            kind=leak.kind,
            similarity=leak.similarity,
            is_sure=leak.is_sure,
        )
        for leak in find_leaks(test, learned)
    )
    if leaks:
        first = leaks[0]
        progress.say(
            f"leakage: {len(leaks)} of {len(test)} test rows stand among the training rows (first: {first.example_id}, "
            f"{first.kind}, {first.twin}); harness lint tells each; a gain must be shown on the rest too"
        )
    return LeakSearch(compared=len(learned), leaks=leaks)


def among_answered(search: LeakSearch, answered: Sequence[Example]) -> LeakSearch:
    """The leaks of the test examples that were answered, which are fewer where a run stopped early."""
    ids = {example.id for example in answered}
    return replace(search, leaks=tuple(leak for leak in search.leaks if leak.example_id in ids))


def _learned(inputs: Inputs) -> tuple[Example, ...]:
    """What the candidate's training reads; where it has none here, the suite's own rows."""
    datasets = inputs.datasets
    split = datasets.trainings.get(inputs.loaded.suite.candidate, Split(datasets.train, datasets.validation))
    return split.train + inputs.mix + split.validation
