"""Ask the judges of a suite which answers they prefer, where a check wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.gate.requirements import preferences_wanted
from harness.progress import Progress
from harness.records import Example, Prediction, Preference
from harness.suite.load import LoadedSuite
from harness.suite.schema import Suite
from harness.systems.judge_model import JudgeModel, declared_judge, pair_answers


def declared_judges(loaded: LoadedSuite) -> dict[str, JudgeModel]:
    """The judges of the suite, whose keys and rubrics must be there before anything is spent.

    Raises:
        InvalidInputError: a key that is not in the environment, or a rubric that cannot be read.
    """
    return {
        name: declared_judge(name, spec, rubric=loaded.resolve(spec.rubric), seed=loaded.suite.seed)
        for name, spec in loaded.suite.judges.items()
    }


def ask_judges(
    suite: Suite,
    judges: Mapping[str, JudgeModel],
    test: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    absent: Mapping[str, str],
    progress: Progress,
) -> list[Preference]:
    """What each judge prefers of the candidate's and a baseline's answers, where a check asks for it."""
    found = []
    for name, baseline in preferences_wanted(suite, absent):
        pairs = pair_answers(test, predictions, candidate=suite.candidate, baseline=baseline)
        progress.start(f"judge {name} on {baseline}", len(pairs))
        for preference in judges[name].prefer(pairs):
            found.append(preference)
            progress.advance()
    for name, judge in judges.items():
        if note := judge.note():
            progress.say(f"judge {name}: {note}")
    return found
