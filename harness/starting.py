"""Write a first suite from the user's rows, or from sample rows: one that validates and runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from harness.data.answer_kinds import Answers, describe_answers
from harness.data.columns import Columns, rename_columns
from harness.data.formats import SHARED_KEYS, TEXT, describe, to_examples, to_pairs
from harness.data.guess_columns import guess_columns
from harness.data.holdout import Holdout, hold_out
from harness.data.reading import read_rows
from harness.data.sources import Row, Source
from harness.data.splits import MIN_TEST_ROWS
from harness.drafting import ENGINEERED, PLAIN, PREFERENCES, SCHEMA, TEST, TRAIN, Facts, draft_suite
from harness.errors import InvalidInputError
from harness.files import new_folder, write_json, write_json_lines, write_text
from harness.prepare import read_inputs
from harness.proposing import Proposal, propose
from harness.records import Example
from harness.report.formatting import clean, one_line
from harness.scoring.schema_rule import DIALECT
from harness.suite.load import SUITE_FILE, load_suite

TEST_SHARE = 0.3
ADVISED_TEST_ROWS = 100  # with fewer only large gains can be shown, so half of a small set goes to the test
MOST_TEST_ROWS = 500  # more cost more answers of every arm than they show
SHOWN_LABELS = 8
SEED = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSuite:
    """What was written, how the rows were split, and what they were taken for, in sentences."""

    files: tuple[str, ...]
    train_rows: int
    test_rows: int
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The rows as they came and as examples, and what `data.columns` must say for them to be read."""

    source: Source
    columns: Columns
    examples: tuple[Example, ...]
    are_preferences: bool

    @property
    def renamed(self) -> Source:
        """The rows under the keys of a format."""
        return replace(self.source, rows=rename_columns(self.source.rows, self.columns))


def write_suite(folder: Path, data: Path | None) -> NewSuite:
    """Write suite.yaml, train and test rows, prompts, and the schema of JSON answers into a new folder.

    The rows are split by seed; rows of which one gives another away stay together. Nothing is written that would not
    validate.

    Raises:
        InvalidInputError: the folder exists, the rows do not fit, or there are too few to test on.
    """
    if folder.exists():
        raise InvalidInputError(f"{folder} exists already; choose another folder")
    given = _read(data)
    examples, path = given.examples, given.source.path
    wanted = min(MOST_TEST_ROWS, max(TEST_SHARE * len(examples), min(ADVISED_TEST_ROWS, len(examples) / 2)))
    held = hold_out(examples, wanted=round(wanted), seed=SEED)
    if len(held.test) < MIN_TEST_ROWS:
        raise InvalidInputError(
            f"{path}: {len(examples)} rows leave {len(held.test)} to test on, fewer than {MIN_TEST_ROWS}; 100 to 500 "
            "test rows are advised, and rows of one prompt or group, or nearly the same, cannot be divided"
        )
    answers = describe_answers(examples)
    train, test = ([examples[place] for place in places] for places in (held.train, held.test))
    proposal = propose(answers, train, test)
    found = tuple(clean(one_line(line)) for line in _found(given, answers, held, proposal))
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in folder.resolve().name).strip("-_.")
    facts = Facts(
        name=name or "suite",
        seed=SEED,
        found=found,
        columns=given.columns,
        are_preferences=given.are_preferences,
        test_rows=len(test),
    )
    with new_folder(folder) as building:
        _write_rows(building, given, held)
        _write_proposal(building, proposal, facts)
        try:
            read_inputs(load_suite(building), registry=building / "baselines")
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: these rows make no suite that validates: {error}") from None
        files = sorted(file.relative_to(building).as_posix() for file in building.rglob("*") if file.is_file())
    return NewSuite(files=tuple(files), train_rows=len(train), test_rows=len(test), found=found)


def _read(data: Path | None) -> _Given:
    """The rows of a file in whatever format they are; InvalidInputError names those that do not fit."""
    if data is not None:
        source = read_rows(data)
    else:
        with resources.as_file(resources.files("harness").joinpath("samples/tickets.jsonl")) as path:
            source = read_rows(path)
    if not source.rows:
        raise InvalidInputError(f"{source.path}: there are no rows in it")
    if all("text" in row.value and row.value.keys() <= {*TEXT.keys, *SHARED_KEYS} for row in source.rows):
        raise InvalidInputError(
            f"{source.path}: this is raw text, which asks nothing that an answer could be tested on; start from "
            "questions with answers, and train on the text by `objective: continued_pretraining`"
        )
    columns = guess_columns(source.rows)
    group = str(columns.get("cluster", "cluster"))
    source = replace(source, rows=tuple(Row(row.where, _with_text(row.value, group)) for row in source.rows))
    renamed = replace(source, rows=rename_columns(source.rows, columns))
    are_preferences = any({"chosen", "rejected"} & row.value.keys() for row in renamed.rows)
    examples = to_pairs(renamed) if are_preferences else to_examples(renamed, labelled=True)
    return _Given(source=source, columns=columns, examples=examples, are_preferences=are_preferences)


def _with_text(value: dict[str, Any], group: str) -> dict[str, Any]:
    """A row whose group is a text, as a cluster must be, where it is a number."""
    is_number = isinstance(value.get(group), int) and not isinstance(value[group], bool)
    return value | {group: str(value[group])} if is_number else value


def _found(given: _Given, answers: Answers, held: Holdout, proposal: Proposal) -> list[str]:
    """What the rows were taken for, and how they were split."""
    found = [f"{given.source.path.name}: {describe(given.renamed)}"]
    named = {key: column for key, column in given.columns.items() if key != "meta"}
    if named:
        found.append(f"its columns: {', '.join(f'`{column}` is the {key}' for key, column in named.items())}")
    if aside := given.columns.get("meta"):
        found.append(f"set aside as remarks: {', '.join(f'`{column}`' for column in aside)}")
    found.append(f"{_in_words(answers)}; scored by {proposal.scorer}")
    if answers.odd:
        found.append(answers.odd)
    together = ["rows with the same prompt", f"near copies ({held.near:,} met)"]
    if any(row.cluster is not None for row in given.examples):
        clusters = len({row.cluster for row in given.examples})
        together.append(f"rows of one `{given.columns.get('cluster', 'cluster')}` ({clusters:,} in all)")
    found.append(f"never divided between training and test: {', '.join(together)}")
    if held.repeated:
        found.append(f"left out of the test: {len(held.repeated):,} rows that repeat another test row")
    return found


def _in_words(answers: Answers) -> str:
    match answers.kind:
        case "json":
            keys = list((answers.schema or {}).get("properties", ()))
            listed = (
                f" with {', '.join(keys[:SHOWN_LABELS])}{', …' if len(keys) > SHOWN_LABELS else ''}" if keys else ""
            )
            return f"answers: JSON{listed}"
        case "labels":
            shown = ", ".join(answers.labels[:SHOWN_LABELS]) + (", …" if len(answers.labels) > SHOWN_LABELS else "")
            return f"answers: {len(answers.labels)} labels ({shown})"
        case "numbers":
            return "answers: numbers"
        case "worked out":
            return "answers: texts that end with a number"
        case "short":
            return f"answers: short, {answers.words} words in the median"
        case "text":
            return f"answers: texts, {answers.words} words in the median"


def _write_rows(folder: Path, given: _Given, held: Holdout) -> None:
    """The rows as they were; of preferences also as labelled rows, which arms learn from and all are tested on."""
    rows = given.source.rows
    if not given.are_preferences:
        write_json_lines(folder / TRAIN, [_plain(rows[place].value) for place in held.train])
        write_json_lines(folder / TEST, [_plain(rows[place].value) for place in held.test])
        return
    write_json_lines(folder / PREFERENCES, [_plain(rows[place].value) for place in held.train])
    for file, places in ((TRAIN, held.train), (TEST, held.test)):
        write_json_lines(folder / file, [_as_labelled(given.examples[place]) for place in places])


def _as_labelled(pair: Example) -> dict[str, Any]:
    """A preference as a prompt with its chosen answer."""
    messages = [{"role": message.role, "content": message.content} for message in pair.messages]
    is_question = len(messages) == 1 and messages[0]["role"] == "user"
    row: dict[str, Any] = {"prompt": messages[0]["content"] if is_question else messages, "completion": pair.target}
    row |= {"tags": list(pair.tags)} if pair.tags else {}
    return row | ({"cluster": pair.cluster} if pair.cluster is not None else {})


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """A row that JSON can hold: what only Parquet knows, such as dates, becomes text."""
    return {key: item if _is_json(item) else str(item) for key, item in value.items()}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _write_proposal(folder: Path, proposal: Proposal, facts: Facts) -> None:
    for file, text in ((PLAIN, proposal.plain), (ENGINEERED, proposal.engineered)):
        if text is not None:
            write_text(folder / file, text + "\n")
    if proposal.schema is not None:
        write_json(folder / SCHEMA, {"$schema": DIALECT, **proposal.schema})
    write_text(folder / SUITE_FILE, draft_suite(proposal, facts))
