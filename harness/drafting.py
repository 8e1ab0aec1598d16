"""Write the text of a new suite, with the reason for each choice beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.columns import Columns
from harness.proposing import LONGEST_ROW, MOST_NEW_TOKENS, Proposal
from harness.stats.proportion import cases_needed
from harness.suite.schema import Statistics

TRAIN, TEST, PREFERENCES, SCHEMA = "train.jsonl", "test.jsonl", "preferences.jsonl", "answer.schema.json"
PLAIN, ENGINEERED = "prompts/plain.txt", "prompts/engineered.txt"
USUAL_BAR = 0.995
_PLAIN_SCALAR = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NO_TEXT = {"true", "false", "null", "yes", "no", "on", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a new suite is about: its name, what the rows were taken for, and how many there are to test on."""

    name: str
    seed: int
    found: tuple[str, ...]
    columns: Columns
    are_preferences: bool
    test_rows: int


def draft_suite(proposal: Proposal, facts: Facts) -> str:
    """The text of suite.yaml. A remark that is a line of the suite begins with "#" alone, one in words with "# "."""
    parts = ("\n".join(part(proposal, facts)) for part in (_head, _data, _training, _systems, _shown, _checks))
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(proposal: Proposal, facts: Facts) -> Iterator[str]:
    yield "# What is asked of the candidate before it may ship. `harness validate` checks this file, `harness plan`"
    yield "# says what so many test rows can show, `harness run` trains, compares and decides; each takes the folder of"
    yield "# this file."
    yield "# What the rows were taken for:"
    yield from (f"# - {line}" for line in facts.found)
    yield f"suite: {facts.name}"
    yield f"seed: {facts.seed}"
    yield "model: smollm2-135m-instruct   # or {hub: OWNER/NAME, revision: COMMIT}, or {path: FOLDER}"


def _data(proposal: Proposal, facts: Facts) -> Iterator[str]:
    yield "data:"
    what = "   # the prompts with the answers that were chosen, for the few-shot arm" if facts.are_preferences else ""
    yield f"  train: {TRAIN}{what}"
    yield "  validation: 10%    # of the training rows, to stop the training in time"
    yield f"  test: {TEST}   # decides; never trained on, and no near copy of it is"
    if proposal.schema is not None:
        yield f"  schema: {SCHEMA}   # inferred from your answers, all of which it accepts; correct what it cannot know"
    if facts.columns:
        yield f"  columns: {_flow(facts.columns)}   # what your file calls them; `meta` is set aside"
    if not facts.are_preferences:
        yield (
            "#  mix: {from: general.jsonl, share: 10%}   # general requests with answers, so that general ability is "
            "not unlearned"
        )


def _training(proposal: Proposal, facts: Facts) -> Iterator[str]:
    yield "train:"
    yield "  method: lora"
    if facts.are_preferences:
        yield "  objective: dpo   # your rows say which of two answers is better, and not that one is right"
        yield f"  rows: {PREFERENCES}"
    yield "  rank: 16"
    yield "  alpha: 32"
    yield f"  learning_rate: {'5e-5' if facts.are_preferences else '2e-4'}"
    yield "  epochs: 3"
    if proposal.max_length is not None:
        most = "the most that is proposed; longer rows are refused, and named by `harness lint`"
        fits = most if proposal.max_length == LONGEST_ROW else "your longest row fits"
        yield f"  max_length: {proposal.max_length}   # tokens; {fits}"
    yield "  early_stopping: {patience: 2, min_delta: 0.0}"
    yield ""
    most = "the most that is proposed; longer answers are cut off, and named by `harness lint`"
    room = most if proposal.max_new_tokens == MOST_NEW_TOKENS else "more than your longest answer is likely to need"
    yield f"decoding: {{max_new_tokens: {proposal.max_new_tokens}}}   # {room}"


def _systems(proposal: Proposal, facts: Facts) -> Iterator[str]:
    yield "# Who answers the test rows: the adapter that is trained, and what you could do instead."
    if proposal.plain is None:
        yield "# Your rows have system messages of their own, which a prompt file would replace; so no arm has one."
    plain = f", system: {PLAIN}" if proposal.plain is not None else ""
    yield "systems:"
    yield f"  candidate:   {{kind: adapter, role: candidate{plain}}}"
    yield f"  prompt-only: {{kind: prompt, role: baseline{plain}}}"
    over = "prompt-only"
    if proposal.engineered is not None:
        over = "engineered"
        yield f"  engineered:  {{kind: prompt, role: baseline, system: {ENGINEERED}}}   # make it your best prompt"
    yield "  # The examples most like the question are the strongest few-shot prompt; weak ones are easy to beat."
    yield "  few-shot:    {kind: few_shot, role: baseline, shots: 4, selection: nearest}"
    if proposal.constrained is not None:
        more = "".join(f", {key}: {_scalar(value)}" for key, value in proposal.constrained.items())
        yield "  # A grammar over the prompt makes every answer a valid one, without training."
        yield f"  constrained: {{kind: constrained, role: baseline, over: {over}{more}}}"
    promoted = "takes part once `harness promote RUN` put one there"
    yield f"  previous:    {{kind: adapter, role: baseline, from: promoted}}   # {promoted}"
    yield ""
    yield "# General ability, five-shot MMLU, 20 questions a subject: uncomment both parts. Without the hub, point"
    yield "# `mmlu_dir` at a folder with MMLU's original test/ and dev/ CSV files."
    yield "#benchmarks:"
    yield "#  mmlu: {task: mmlu}"


def _shown(proposal: Proposal, facts: Facts) -> Iterator[str]:
    if proposal.shown:
        yield "# Shown for every arm beside what decides."
        yield "scorers:"
        yield from (f"  - {scorer}   # {why}" for scorer, why in proposal.shown.items())


def _checks(proposal: Proposal, facts: Facts) -> Iterator[str]:
    if proposal.is_weak or facts.are_preferences:
        yield "# Words in common say little about a good answer; a judge model (`preferred`) or people (`harness"
        yield "# review`) say more, as the README explains."
    yield "# All must pass for the candidate to ship."
    yield "checks:"
    yield f"  - {{kind: better_than, scorer: {proposal.scorer}, baselines: all}}   # {proposal.reason}"
    if proposal.bar is not None:
        needed = cases_needed(USUAL_BAR, 1, Statistics().alpha)
        bar = f"{facts.test_rows} answers can show this bar though one is invalid; {USUAL_BAR:.1%} takes {needed}"
        yield f"  # What reads the answers must be able to. {bar}."
        yield f"  - {{kind: valid_output, on: test, bar: {100 * proposal.bar:g}%}}"
    yield "  - {kind: healthy_training}"
    yield "#  - {kind: benchmark_drop, benchmark: mmlu, margin: 5%, margin_type: relative}"


def _flow(value: Mapping[str, Any]) -> str:
    """A mapping of texts and lists of texts on one line of YAML."""
    items = (
        f"{key}: {_scalar(named) if isinstance(named, str) else '[' + ', '.join(map(_scalar, named)) + ']'}"
        for key, named in value.items()
    )
    return f"{{{', '.join(items)}}}"


def _scalar(text: str) -> str:
    """A text in YAML; JSON's quotes where it could be read as something else."""
    is_plain = _PLAIN_SCALAR.fullmatch(text) and text.casefold() not in _NO_TEXT
    return text if is_plain else json.dumps(text, ensure_ascii=False)
