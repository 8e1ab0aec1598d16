"""Multiple-choice questions from a folder in MMLU's original CSV layout, and the seeded sample of a run."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InvalidInputError
from harness.limits import FILE_BYTES, read_within

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its choices; `answer` is the index of the right one."""

    id: str  # "subject/row", the row counted from 0 in the file
    question: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The questions of one subject: those asked, those shown as solved, and how many there are in all."""

    name: str
    asked: tuple[Question, ...]
    dev: tuple[Question, ...]
    available: int


def read_subjects(folder: Path) -> dict[str, tuple[tuple[Question, ...], tuple[Question, ...]]]:
    """Subject -> (test questions, dev questions), from `test/NAME_test.csv` and `dev/NAME_dev.csv`.

    Raises:
        InvalidInputError: no test files, or a row that is not question, four choices, letter; with file and line.
    """
    files = sorted((folder / "test").glob("*_test.csv"))
    if not files:
        raise InvalidInputError(f"{folder}: no test/*_test.csv; MMLU's CSV layout has test/ and dev/ folders")
    subjects = {}
    for file in files:
        name = file.name.removesuffix("_test.csv")
        dev = folder / "dev" / f"{name}_dev.csv"
        subjects[name] = (_read(file, name), _read(dev, f"{name}/dev") if dev.is_file() else ())
    return subjects


def sample_subjects(
    subjects: Mapping[str, tuple[Sequence[Question], Sequence[Question]]],
    *,
    per_subject: int | None,
    seed: int,
) -> tuple[Subject, ...]:
    """A seeded random sample without replacement of each subject's test questions (None: all), in file order."""
    sampled = []
    for name in sorted(subjects):
        test, dev = subjects[name]
        wanted = len(test) if per_subject is None else min(per_subject, len(test))
        rows = sorted(random.Random(f"benchmark {seed} {name}").sample(range(len(test)), wanted))
        asked = tuple(test[row] for row in rows)
        sampled.append(Subject(name=name, asked=asked, dev=tuple(dev), available=len(test)))
    return tuple(sampled)


def _read(file: Path, prefix: str) -> tuple[Question, ...]:
    try:
        text = read_within(file, FILE_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file}: cannot be read: {error}") from None
    questions = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for index, row in enumerate(reader):
            if len(row) != 6 or row[5] not in LETTERS or not row[5]:
                raise InvalidInputError(
                    f"{file}:{reader.line_num}: needs question, four choices and a letter A-D; found {len(row)} fields"
                )
            questions.append(
                Question(
                    id=f"{prefix}/{index}",
                    question=row[0],
                    choices=tuple(row[1:5]),
                    answer=LETTERS.index(row[5]),
                )
            )
    except csv.Error as error:
        raise InvalidInputError(f"{file}:{reader.line_num}: not valid CSV: {error}") from None
    return tuple(questions)
