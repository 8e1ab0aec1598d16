"""An arm behind a server that is none of ours: llama.cpp with the demo model, asked rows of the demo's test set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from real_server import needs_real_server, real_server

from harness.data.formats import to_examples
from harness.data.sources import read_json_lines
from harness.gate.comparing import compare_scores
from harness.records import Example, Prediction, Score, Unscored
from harness.scoring.apply import score_answer
from harness.suite.schema import Decoding, Statistics
from harness.suite.systems import EndpointSystem
from harness.systems.endpoint import RemoteSystem, remote_system
from harness.systems.few_shot import few_shot_builder

pytestmark = needs_real_server
DEMO = Path(__file__).parents[2] / "suites" / "ticket-triage"
BUDGET = 24  # tokens, as in the demo
ROWS = 6
PATIENT = 60.0  # seconds that no answer comes near


def examples(count: int) -> tuple[Example, ...]:
    return to_examples(read_json_lines(DEMO / "test.jsonl"), labelled=True)[:count]


def remote(base_url: str, *, budget: int = BUDGET, concurrency: int = 4) -> RemoteSystem:
    """A system as a suite declares it, asked after one solved example, without which this model never ends itself."""
    train = to_examples(read_json_lines(DEMO / "train.jsonl"), labelled=True)
    build, digest = few_shot_builder((DEMO / "prompts" / "plain.txt").read_text("utf-8"), train, shots=1, seed=17)
    spec = EndpointSystem(
        kind="endpoint", base_url=base_url, model="smollm2", concurrency=concurrency, retries=0, timeout_seconds=PATIENT
    )
    decoding = Decoding(max_new_tokens=budget)
    return remote_system("hosted", spec, decoding=decoding, build_prompt=build, prompt_digest=digest, seed=17)


def pairs(rows: Sequence[Prediction]) -> list[tuple[Prediction, Example]]:
    return list(zip(rows, examples(len(rows)), strict=True))


def untimed(rows: Iterable[Prediction]) -> list[Prediction]:
    return [replace(row, seconds=0.0) for row in rows]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with real_server() as url:
        yield url


@pytest.fixture(scope="module")
def one_by_one(base_url: str) -> list[Prediction]:
    return list(remote(base_url, concurrency=1).answer(examples(ROWS), "test"))


def test_every_row_is_answered_in_order_when_the_server_is_well(one_by_one: list[Prediction]) -> None:
    assert [row.example_id for row in one_by_one] == [example.id for example in examples(ROWS)]
    for row in one_by_one:
        assert (row.error, row.system, row.dataset, row.sample) == (None, "hosted", "test", 0)
        assert row.text and 0 < row.seconds < PATIENT
    assert any(score_answer("json_valid", row, example, None) == Score(1.0) for row, example in pairs(one_by_one))


def test_the_tokens_are_those_of_prompt_and_answer_when_the_server_counts_them(
    base_url: str, one_by_one: list[Prediction]
) -> None:
    build = remote(base_url).build_prompt
    for row, example in pairs(one_by_one):
        turns = build(example)
        # Three to six characters of English a token; the template adds a few for each turn, and a JSON answer has
        # shorter ones.
        written = sum(len(turn.content) for turn in turns)
        assert written / 6 < row.prompt_tokens < written / 3 + 8 * len(turns)
        assert len(row.text) / 8 < row.output_tokens <= min(BUDGET, len(row.text) + 1)
    by_length = [(len(example.messages[-1].content), row.prompt_tokens) for row, example in pairs(one_by_one)]
    assert min(by_length)[1] < max(by_length)[1]


def test_the_end_is_told_from_the_budget_when_the_model_ends_itself(
    base_url: str, one_by_one: list[Prediction]
) -> None:
    ended = [row for row in one_by_one if row.stop == "end"]
    assert ended, "the solved example shows where an answer ends"
    assert all(row.output_tokens < BUDGET for row in ended)
    assert all(row.output_tokens == BUDGET for row in one_by_one if row not in ended)
    asked = next(example for example in examples(ROWS) if example.id == ended[0].example_id)
    (cut,) = remote(base_url, budget=3).answer([asked], "test")
    assert (cut.stop, cut.output_tokens, cut.error) == ("length", 3, None)
    assert cut.text and ended[0].text.startswith(cut.text) and cut.text != ended[0].text
    assert cut.prompt_tokens == ended[0].prompt_tokens


def test_the_answers_are_the_same_when_asked_again(base_url: str, one_by_one: list[Prediction]) -> None:
    again = remote(base_url, concurrency=1).answer(examples(ROWS), "test")
    assert untimed(again) == untimed(one_by_one)


def test_the_answers_are_the_same_when_four_are_asked_at_once(base_url: str, one_by_one: list[Prediction]) -> None:
    system = remote(base_url, concurrency=4)
    assert untimed(system.answer(examples(ROWS), "test")) == untimed(one_by_one)
    assert system.tally.answers == ROWS and system.tally.uncounted == 0
    assert system.tally.output_tokens == sum(row.output_tokens for row in one_by_one)


# A wrong model name is not among these: llama.cpp answers under any name with the one model that it runs.
@pytest.mark.parametrize("path", ["/v2", "/v1/chat"])
def test_every_row_is_an_error_when_the_path_is_wrong(path: str, base_url: str) -> None:
    wrong = base_url.removesuffix("/v1") + path
    found = list(remote(wrong).answer(examples(ROWS), "test"))
    assert [row.example_id for row in found] == [example.id for example in examples(ROWS)]
    for row in found:
        assert row.error == f"{wrong}/chat/completions: HTTP 404 (Not Found)"
        assert (row.text, row.stop, row.prompt_tokens, row.output_tokens) == ("", "error", 0, 0)


def test_the_rest_are_errors_that_count_when_the_server_is_killed() -> None:
    asked = examples(3 * ROWS)
    with real_server() as base_url:
        answers = remote(base_url).answer(asked, "test")
        found = [next(answers), next(answers)]
    found += answers
    assert [row.example_id for row in found] == [example.id for example in asked]
    failed = [row for row in found if row.error is not None]
    assert found[0] not in failed and found[1] not in failed and found[-1] in failed
    assert all((row.text, row.stop, row.output_tokens) == ("", "error", 0) for row in failed)
    scores = {row.example_id: score_answer("exact_match", row, example, None) for row, example in pairs(found)}
    assert [key for key, score in scores.items() if isinstance(score, Unscored)] == [row.example_id for row in failed]
    always_right = dict.fromkeys(scores, Score(1.0))
    comparison = compare_scores(always_right, scores, statistics=Statistics(), seed=17)
    assert (comparison.n, comparison.imputed) == (len(asked), len(failed))
    assert comparison.wins == sum(score == Score(0.0) for score in scores.values())
