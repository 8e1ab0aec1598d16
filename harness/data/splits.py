"""The data sets of a suite, disjoint or refused."""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.data.formats import to_examples
from harness.data.sources import raise_problems, read_json_lines
from harness.errors import InvalidInputError
from harness.records import Example
from harness.suite.load import LoadedSuite

MIN_TEST_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """All examples of a suite; `digests` maps a file as the suite names it to the SHA-256 of its bytes."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    probe: tuple[Example, ...]
    mix: tuple[Example, ...]
    digests: dict[str, str]


def load_datasets(loaded: LoadedSuite) -> Datasets:
    """Read every data file of the suite and split off the validation rows.

    Raises:
        InvalidInputError: a row that does not fit, an empty or tiny test set, an id given twice, or a prompt that
            stands in two of train, validation and test, exactly or after normalisation; with both places.
    """
    data, digests = loaded.suite.data, dict[str, str]()

    def read(relative: str | None, *, labelled: bool) -> tuple[Example, ...]:
        if relative is None:
            return ()
        source = read_json_lines(loaded.resolve(relative))
        digests[relative] = source.digest
        return to_examples(source, labelled=labelled)

    train = read(data.train, labelled=True)
    test = read(data.test, labelled=True)
    probe = read(data.probe, labelled=False)
    mix = read(data.mix.source if data.mix else None, labelled=True)
    if isinstance(data.validation, str):
        validation = read(data.validation, labelled=True)
    else:
        train, validation = split_validation(train, data.validation, loaded.suite.seed)
    if len(test) < MIN_TEST_ROWS:
        raise InvalidInputError(f"{data.test}: {len(test)} test rows; at least {MIN_TEST_ROWS} are needed to compare")
    if loaded.suite.train is not None and (not train or not validation):
        raise InvalidInputError(f"{data.train}: {len(train)} training and {len(validation)} validation rows; add rows")
    for name, rows in (("test", test), ("probe", probe)):
        refuse_duplicate_ids(name, rows)
    refuse_overlap({"train": train, "validation": validation, "test": test, "mix": mix})
    return Datasets(train=train, validation=validation, test=test, probe=probe, mix=mix, digests=digests)


def split_validation(
    rows: tuple[Example, ...], share: float, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Draw `share` of the rows by the seed; rows with the same normalised prompt stay on one side."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        groups[prompt_key(row)].append(row)
    keys = sorted(groups)
    random.Random(f"validation {seed}").shuffle(keys)
    wanted = max(1, round(share * len(rows)))
    held: set[str] = set()
    count = 0
    for key in keys:
        if count >= wanted:
            break
        held.add(key)
        count += len(groups[key])
    kept = tuple(row for row in rows if prompt_key(row) not in held)
    return kept, tuple(row for row in rows if prompt_key(row) in held)


def prompt_key(example: Example) -> str:
    """The prompt without case, spacing, punctuation and compatibility forms: equal keys are the same question."""
    text = "\n".join(message.content for message in example.messages if message.role != "system")
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char if char.isalnum() else " " for char in folded if unicodedata.category(char) != "Cf")
    # A prompt of punctuation alone keeps itself, or all of them would be the same question.
    return " ".join(kept.split()) or folded


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
    """No prompt may stand in two splits; InvalidInputError names both places of each."""
    problems: list[str] = []
    seen: dict[str, tuple[str, Example]] = {}
    for name, rows in splits.items():
        for row in rows:
            key = prompt_key(row)
            if key in seen and seen[key][0] != name:
                split, other = seen[key]
                problems.append(
                    f"{row.source}: this {name} prompt also stands in {split} ({other.source}); "
                    "a model must not be tested on what it was trained on: remove one"
                )
            seen.setdefault(key, (name, row))
    raise_problems(problems)


def schema_path(loaded: LoadedSuite) -> Path | None:
    """The JSON Schema file of an answer, when the suite names one."""
    name = loaded.suite.data.schema_file
    return loaded.resolve(name) if name else None
