"""Whether a suite has enough rows to train and to test on, and general ones beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.data.rules import Finding, finding
from harness.data.splits import MIN_TEST_ROWS, Datasets
from harness.records import Example
from harness.suite.load import LoadedSuite
from harness.suite.schema import Suite
from harness.suite.training import MIXED

FEWEST_ROWS = 100


def scarce(loaded: LoadedSuite, datasets: Datasets) -> Iterator[Finding]:
    """What there is too little of in a suite, as `harness lint` finds it too."""
    task = task_rows(loaded.suite, datasets) if loaded.suite.trainings else {}
    yield from too_few(task, datasets.test, places(loaded))
    yield from no_general_data(loaded)


def too_few(
    task: Mapping[str, Sequence[Example]], test: Sequence[Example], places: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether there are fewer than 100 rows to train on or to test on; of raw text one row may be a book."""
    for name, rows in task.items():
        if 0 < len(rows) < FEWEST_ROWS and rows[0].messages:
            yield finding("few-rows", places["train"], f"{len(rows)} rows to train on in {name}")
    if len(test) < FEWEST_ROWS:
        is_refused = len(test) < MIN_TEST_ROWS
        yield finding("few-rows", places["test"], f"{len(test)} test rows", severity="error" if is_refused else None)


def no_general_data(loaded: LoadedSuite) -> Iterator[Finding]:
    """Whether the candidate is trained on its task alone, where general rows could be mixed in."""
    train = loaded.suite.trainings.get(loaded.suite.candidate)
    if train is not None and train.objective in MIXED and loaded.suite.data.mix is None:
        where = f"{loaded.path.name}:{loaded.lines.get('data', 1)}"
        yield finding("no-general-data", where, "no general rows are mixed into the training")


def task_rows(suite: Suite, datasets: Datasets) -> dict[str, tuple[Example, ...]]:
    """Each file of training rows -> its rows in the order of the file, those drawn for validation among them."""
    drawn = datasets.validation if isinstance(suite.data.validation, float) else ()
    task = {"train": _in_file_order(datasets.train + drawn)}
    for name, train in suite.trainings.items():
        if not train.is_labelled:
            split = datasets.trainings[name]
            file = str(train.rows) if train.rows is not None else "train"
            task[file] = _in_file_order(split.train + split.validation)
    return task


def places(loaded: LoadedSuite) -> dict[str, str]:
    """Where the suite names its training and its test rows, as "suite.yaml:8"."""
    lines = loaded.lines
    return {name: f"{loaded.path.name}:{lines.get(f'data.{name}', lines.get('data', 1))}" for name in ("train", "test")}


def _in_file_order(rows: tuple[Example, ...]) -> tuple[Example, ...]:
    """The rows of one file, which came as two sets, by the line at which each stands."""
    return tuple(sorted(rows, key=lambda row: int(row.source.rpartition(":")[2])))
