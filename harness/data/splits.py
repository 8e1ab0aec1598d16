"""The data sets of a suite, disjoint or refused."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from harness.data.columns import columns_taken, original_columns
from harness.data.folding import fold
from harness.data.formats import describe, to_examples, to_pairs, to_texts
from harness.data.reading import read_declared
from harness.data.sources import Source, raise_problems
from harness.errors import InvalidInputError, did_you_mean
from harness.records import Example
from harness.suite.declaration import RowsRef
from harness.suite.load import LoadedSuite
from harness.suite.schema import Suite
from harness.suite.training import LABELLED, Train

MIN_TEST_ROWS = 10
HELD_OUT = {"test", "probe"}  # nothing is learned from either, so they may have prompts in common
DEFAULT_SHARE = 0.1  # of rows for validation, where the suite names a file for the labelled ones


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of one training: what is learned from, and what decides when it stops."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """All examples of a suite; by file as it names them, `digests` has the SHA-256 and `formats` what it holds.

    `train` and `validation` are the labelled rows, which shots and passages are drawn from too; `trainings` has the
    rows of each system that is trained here.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    trainings: Mapping[str, Split]
    test: tuple[Example, ...]
    probe: tuple[Example, ...]
    mix: tuple[Example, ...]
    digests: dict[str, str]
    formats: dict[str, str]


def load_datasets(loaded: LoadedSuite) -> Datasets:
    """Read every data file of the suite and split off the validation rows.

    Raises:
        InvalidInputError: a row that does not fit, an empty or tiny test set, an id given twice, or a prompt that
            stands in two of train, validation and test, or in train or validation and the probe, exactly or after
            normalisation; with both places.
    """
    datasets = read_datasets(loaded)
    if len(datasets.test) < MIN_TEST_ROWS:
        raise InvalidInputError(
            f"{loaded.suite.data.test}: {len(datasets.test)} test rows; at least {MIN_TEST_ROWS} are needed to compare"
        )
    for name, split in datasets.trainings.items():
        if not split.train or not split.validation:
            file = loaded.suite.trainings[name].rows or loaded.suite.data.train
            raise InvalidInputError(
                f"{file}: {len(split.train)} training and {len(split.validation)} validation rows; add rows"
            )
    for name, rows in (("test", datasets.test), ("probe", datasets.probe)):
        refuse_duplicate_ids(name, rows)
    own = [split for name, split in datasets.trainings.items() if not loaded.suite.trainings[name].is_labelled]
    for split in (Split(datasets.train, datasets.validation), *own):
        learned = {"train": split.train, "validation": split.validation}
        refuse_overlap(learned | {"test": datasets.test, "mix": datasets.mix, "probe": datasets.probe})
    return datasets


def read_datasets(loaded: LoadedSuite) -> Datasets:
    """Read every data file of the suite and split off the validation rows; whether they are disjoint is not asked.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit.
    """
    data, sources = loaded.suite.data, _read_sources(loaded)
    _refuse_unused_columns(loaded, sources.values())
    _refuse_unclustered(loaded, sources)

    def read(declared: RowsRef | None, *, labelled: bool) -> tuple[Example, ...]:
        return () if declared is None else to_examples(sources[str(declared)], labelled=labelled)

    train = read(data.train if _is_labelled(loaded.suite) else None, labelled=True)
    test = cluster_repeats(read(data.test, labelled=True))
    probe = cluster_repeats(read(data.probe, labelled=False))
    mix = read(data.mix.source if data.mix else None, labelled=True)
    if isinstance(data.validation, float):
        train, validation = split_validation(train, data.validation, loaded.suite.seed)
    else:
        validation = read(data.validation, labelled=True)
    labelled = Split(train, validation)
    trainings = {
        name: labelled if declared.is_labelled else _own_rows(loaded, declared, sources)
        for name, declared in loaded.suite.trainings.items()
    }
    return Datasets(
        train=train,
        validation=validation,
        trainings=trainings,
        test=test,
        probe=probe,
        mix=mix,
        digests={name: source.digest for name, source in sources.items()},
        formats={name: describe(source) for name, source in sources.items()},
    )


def _read_sources(loaded: LoadedSuite) -> dict[str, Source]:
    """The rows of every data file as they came, by the name that the suite has for it."""
    suite, data = loaded.suite, loaded.suite.data
    declared = [
        data.train if _is_labelled(suite) else None,
        data.test,
        data.probe,
        data.mix.source if data.mix else None,
        None if isinstance(data.validation, float) else data.validation,
        *(train.rows or data.train for train in suite.trainings.values() if not train.is_labelled),
    ]
    named = {str(rows): rows for rows in declared if rows is not None}
    return {name: read_declared(loaded, rows) for name, rows in named.items()}


def _is_labelled(suite: Suite) -> bool:
    """Whether `data.train` holds labelled rows, which it does unless a training takes it for something else."""
    return all(train.form == LABELLED for train in suite.trainings.values() if train.rows is None)


def _own_rows(loaded: LoadedSuite, train: Train, sources: dict[str, Source]) -> Split:
    """The rows of a training that has its own, with a share of them for validation."""
    declared = train.rows or loaded.suite.data.train
    assert declared is not None  # the suite was found to be complete
    rows = training_rows(sources[str(declared)], train)
    share = loaded.suite.data.validation
    return Split(*split_validation(rows, share if isinstance(share, float) else DEFAULT_SHARE, loaded.suite.seed))


def training_rows(source: Source, train: Train) -> tuple[Example, ...]:
    """The rows of a file in the form that a training learns from.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit.
    """
    if train.objective == "dpo":
        return to_pairs(source)
    return to_texts(source) if train.objective == "continued_pretraining" else to_examples(source, labelled=True)


def _refuse_unused_columns(loaded: LoadedSuite, sources: Collection[Source]) -> None:
    """Before any row is read as an example, since each would be refused for a typo in `data.columns`."""
    columns = loaded.suite.data.columns.named
    found = frozenset[str]().union(*(source.renamed for source in sources))
    if unused := sorted(columns_taken(columns) - found):
        had = (original_columns(source.rows, columns, source.renamed) for source in sources)
        known = list(dict.fromkeys(chain.from_iterable(had)))
        where = f"{loaded.path.name}:{loaded.lines.get('data.columns', 1)} data.columns"
        what = f"no file has a column {', '.join(map(repr, unused))}; their columns are {', '.join(known)}"
        raise InvalidInputError(f"{where}: {what}{did_you_mean(unused[0], known)}")


def _refuse_unclustered(loaded: LoadedSuite, sources: Mapping[str, Source]) -> None:
    """What is judged has the clusters that the suite declares: a file without them would count as independent rows."""
    data = loaded.suite.data
    if data.columns.cluster is None:
        return
    for name in (str(rows) for rows in (data.test, data.probe) if rows is not None):
        if not any("cluster" in row.value for row in sources[name].rows):
            raise InvalidInputError(
                f"{loaded.path.name}:{loaded.lines.get('data.columns', 1)} data.columns.cluster: {name} has no column "
                f"{data.columns.cluster!r}, so its rows would count as independent; add the column, or take `cluster` "
                "out of `data.columns`"
            )


def split_validation(
    rows: tuple[Example, ...], share: float, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Draw `share` of the rows by the seed; rows with the same normalised prompt stay on one side."""
    row_keys = [prompt_key(row) for row in rows]
    counts = Counter(row_keys)
    keys = sorted(counts)
    random.Random(f"validation {seed}").shuffle(keys)
    wanted = max(1, round(share * len(rows)))
    held: set[str] = set()
    count = 0
    for key in keys:
        if count >= wanted:
            break
        held.add(key)
        count += counts[key]
    kept = tuple(row for row, key in zip(rows, row_keys, strict=True) if key not in held)
    return kept, tuple(row for row, key in zip(rows, row_keys, strict=True) if key in held)


def prompt_key(example: Example) -> str:
    """The prompt without what a reader does not see (`fold`): equal keys are the same question."""
    text = "\n".join(message.content for message in example.messages if message.role != "system")
    return fold(text or example.target or "")  # the target of a row of raw text, which asks nothing


def cluster_repeats(rows: tuple[Example, ...]) -> tuple[Example, ...]:
    """Put rows with the same normalised prompt, where they name no cluster, into one: what is asked again tells less.

    It is the first cluster that such a row names, else the id of the first.
    """
    groups: dict[str, list[Example]] = {}
    for row in rows:
        groups.setdefault(prompt_key(row), []).append(row)
    shared = {
        row.id: next((other.cluster for other in group if other.cluster), group[0].id)
        for group in groups.values()
        if len(group) > 1
        for row in group
    }
    return tuple(replace(row, cluster=row.cluster or shared.get(row.id)) for row in rows)


def refuse_duplicate_ids(name: str, rows: Iterable[Example]) -> None:
    """Two rows with one id cannot be paired; InvalidInputError names both."""
    first: dict[str, Example] = {}
    problems = []
    for row in rows:
        if row.id in first:
            problems.append(f"{row.source}: id {row.id!r} in {name} is also that of {first[row.id].source}")
        first.setdefault(row.id, row)
    raise_problems(problems)


def refuse_overlap(splits: dict[str, tuple[Example, ...]]) -> None:
    """No prompt may stand in two splits but test and probe; InvalidInputError names both places of each."""
    raise_problems(
        [
            f"{row.source}: this {name} prompt also stands in {split} ({other.source}); "
            "a model must not be tested on what it was trained on: remove one"
            for (name, row), (split, other) in overlaps(splits)
        ]
    )


def overlaps(
    splits: Mapping[str, Iterable[Example]],
) -> Iterator[tuple[tuple[str, Example], tuple[str, Example]]]:
    """Each row whose prompt, after normalisation, stands in an earlier split too, and the first such row there.

    Test and probe may have prompts in common.
    """
    seen: dict[str, tuple[str, Example]] = {}
    for name, rows in splits.items():
        for row in rows:
            first = seen.setdefault(prompt_key(row), (name, row))
            if first[0] != name and not {first[0], name} <= HELD_OUT:
                yield (name, row), first


def schema_path(loaded: LoadedSuite) -> Path | None:
    """The JSON Schema file of an answer, when the suite names one."""
    name = loaded.suite.data.schema_file
    return loaded.resolve(name) if name else None
