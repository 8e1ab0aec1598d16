"""Write a first suite from the user's rows, or from sample rows: one that validates and runs."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness.data.formats import to_examples
from harness.data.sources import Row, Source, read_json_lines
from harness.data.splits import MIN_TEST_ROWS, prompt_key
from harness.errors import InvalidInputError
from harness.files import write_json_lines, write_text
from harness.records import Example
from harness.suite.load import SUITE_FILE

TEST_SHARE = 0.3
ADVISED_TEST_ROWS = 100  # with fewer only large gains can be shown, so half of a small set goes to the test
MAX_LISTED_ANSWERS = 20  # with more different answers than this, they are not labels
SEED = 17

SUITE = """\
# What is asked of the candidate before it may ship. `harness validate` checks this file, `harness plan` says what so
# many test rows can show, `harness run` trains, compares and decides; each takes the folder of this file.
suite: {name}
seed: {seed}
model: smollm2-135m-instruct   # or {{hub: OWNER/NAME, revision: COMMIT}}, or {{path: FOLDER}}

data:
  train: train.jsonl
  validation: 10%    # of the training rows, to stop the training in time
  test: test.jsonl   # decides; never trained on
#  mix: {{from: general.jsonl, share: 10%}}   # general requests with answers, so that general ability is not unlearned

train:
  method: lora
  rank: 16
  alpha: 32
  learning_rate: 2e-4
  epochs: 3
  early_stopping: {{patience: 2, min_delta: 0.0}}

decoding: {{max_new_tokens: 64}}

# Who answers the test rows: the adapter that is trained, and what you could do instead.
systems:
  candidate:   {{kind: adapter, role: candidate, system: prompts/plain.txt}}
  prompt-only: {{kind: prompt, role: baseline, system: prompts/plain.txt}}
  engineered:  {{kind: prompt, role: baseline, system: prompts/engineered.txt}}   # make it your best prompt
  few-shot:    {{kind: few_shot, role: baseline, shots: 4}}
  previous:    {{kind: adapter, role: baseline, from: promoted}}   # takes part once `harness promote RUN` put one there

# General ability, five-shot MMLU, 20 questions a subject: uncomment both parts. Without the hub, point
# `mmlu_dir` at a folder with MMLU's original test/ and dev/ CSV files.
#benchmarks:
#  mmlu: {{task: mmlu}}

# All must pass for the candidate to ship.
checks:
  - {{kind: better_than, scorer: exact_match, baselines: all}}   # an answer is right when it equals the row's own
  - {{kind: healthy_training}}
#  - {{kind: benchmark_drop, benchmark: mmlu, margin: 5%, margin_type: relative}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSuite:
    """What was written, and how the rows were split."""

    files: tuple[str, ...]
    train_rows: int
    test_rows: int


def write_suite(folder: Path, data: Path | None) -> NewSuite:
    """Write suite.yaml, train and test rows and two prompts into a new folder.

    The rows are split by seed, rows with the same prompt on one side.

    Raises:
        InvalidInputError: the folder exists, the rows do not fit, or there are too few to test on.
    """
    if folder.exists():
        raise InvalidInputError(f"{folder} exists already; choose another folder")
    source = read_json_lines(data) if data is not None else _sample()
    examples = to_examples(source, labelled=True)
    train, test = _split(source.rows, examples)
    if len(test) < MIN_TEST_ROWS:
        raise InvalidInputError(
            f"{source.path}: {len(source.rows)} rows leave {len(test)} to test on, fewer than {MIN_TEST_ROWS}; "
            "100 to 500 test rows are advised"
        )
    plain, engineered = _prompts(examples)
    write_json_lines(folder / "train.jsonl", [row.value for row in train])
    write_json_lines(folder / "test.jsonl", [row.value for row in test])
    write_text(folder / "prompts" / "plain.txt", plain + "\n")
    write_text(folder / "prompts" / "engineered.txt", engineered + "\n")
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in folder.resolve().name).strip("-_.")
    write_text(folder / SUITE_FILE, SUITE.format(name=name or "suite", seed=SEED))
    files = (SUITE_FILE, "train.jsonl", "test.jsonl", "prompts/plain.txt", "prompts/engineered.txt")
    return NewSuite(files=files, train_rows=len(train), test_rows=len(test))


def _sample() -> Source:
    with resources.as_file(resources.files("harness").joinpath("samples/tickets.jsonl")) as path:
        return read_json_lines(path)


def _split(rows: tuple[Row, ...], examples: tuple[Example, ...]) -> tuple[list[Row], list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row, example in zip(rows, examples, strict=True):
        groups[prompt_key(example)].append(row)
    keys = sorted(groups)
    random.Random(f"init {SEED}").shuffle(keys)
    train: list[Row] = []
    test: list[Row] = []
    wanted = max(TEST_SHARE * len(rows), min(ADVISED_TEST_ROWS, len(rows) / 2))
    for key in keys:
        (test if len(test) < wanted else train).extend(groups[key])
    return train, test


def _prompts(examples: tuple[Example, ...]) -> tuple[str, str]:
    answers = sorted({example.target or "" for example in examples})
    if len(answers) > MAX_LISTED_ANSWERS:
        return (
            "Answer the request.",
            "Answer the request in exactly the form that is asked for, and write nothing else.",
        )
    listed = ", ".join(answers)
    return (
        f"Answer with one of: {listed}.",
        f"Read the request carefully. Answer with exactly one of these, and nothing else: {listed}.",
    )
