"""What is stored is read back and not computed; anything that changes is computed anew; a sample is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_model import attach_as_it_is, make_tiny_adapter, make_tiny_model

from harness.clock import utc_now
from harness.engine.chat import encode_prompts
from harness.engine.generate import Generation, GenerationSettings, Sampling
from harness.engine.loading import load
from harness.engine.meter import Meter
from harness.engine.recall import Recall
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError
from harness.records import Message, StoredAnswer, StoredScore
from harness.store.answers import AnswerStore

SETTINGS = GenerationSettings(max_new_tokens=6, batch_size=2)
SAMPLED = replace(SETTINGS, sampling=Sampling(temperature=1.0))
CONTEXT = {"torch": "1", "dtype": "float32"}
WEIGHTS: dict[str | None, str] = {None: "base", "one": "adapted"}


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path / "answers.sqlite", clock=utc_now)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    make_tiny_adapter(folder, folder / "adapter", seed=0)
    return folder


def session_of(folder: Path, store: AnswerStore, **changes: str) -> ModelSession:
    session = ModelSession(load("tiny", folder), Meter())
    attach_as_it_is(session, "one", folder / "adapter")
    session.recall = Recall(store, {**CONTEXT, **changes}, WEIGHTS)
    return session


def prompts_of(session: ModelSession, count: int = 20) -> list[list[int]]:
    asked = [[Message(role="user", content=f"question {'long ' * (i % 5)}{i}")] for i in range(count)]
    return encode_prompts(session.tokenizer, asked)


def answer(session: ModelSession, prompts: Sequence[Sequence[int]], adapter: str | None = None) -> list[Generation]:
    found = sorted(session.generate(prompts, SETTINGS, adapter=adapter), key=lambda answer: answer.index)
    return [replace(generation, seconds=0.0) for generation in found]


def requests_of(session: ModelSession) -> list[tuple[list[int], list[int]]]:
    block = list(range(10, 110))
    return [(block + prompt, [65 + choice, 66]) for prompt in prompts_of(session, 8) for choice in range(4)]


def test_answers_and_scores_are_computed_once(folder: Path, store: AnswerStore) -> None:
    first = session_of(folder, store)
    prompts, requests = prompts_of(first), requests_of(first)
    before = [answer(first, prompts, name) for name in (None, "one")], first.score(requests, adapter="one")
    assert first.meter.stored_answers == first.meter.stored_scores == 0
    second = session_of(folder, store)
    after = [answer(second, prompts, name) for name in (None, "one")], second.score(requests, adapter="one")
    assert after == before and before[0][0] != before[0][1]
    assert second.meter.generated_tokens == second.meter.forwarded_tokens == second.meter.head_rows == 0
    assert second.meter.stored_answers == 40 and second.meter.stored_scores == len(requests)


def test_an_answer_that_is_read_back_ends_by_the_token_that_it_was_written_with(
    store: AnswerStore, tmp_path: Path
) -> None:
    ends = [1, *range(100, 130)]
    folder = make_tiny_model(tmp_path / "model", ends=ends)
    make_tiny_adapter(folder, folder / "adapter", seed=0)
    first, second = session_of(folder, store), session_of(folder, store)
    before, after = (answer(session, prompts_of(session)) for session in (first, second))
    assert after == before and second.meter.stored_answers == len(after)
    assert {found.end for found in after} & set(ends[1:]) and None in {found.end for found in after}
    assert second.recall is not None and second.recall.recheck(seed=0) >= 1


CHANGES: list[tuple[str, Callable[[ModelSession, list[list[int]]], list[Generation]]]] = [
    ("a token", lambda s, p: answer(s, [[*p[0][:-1], 5], *p[1:]])),
    ("the order within a wave", lambda s, p: answer(s, [p[5], *p[1:5], p[0], *p[6:]])),
    ("the adapter", lambda s, p: answer(s, p, "one")),
    ("the most tokens", lambda s, p: list(s.generate(p, replace(SETTINGS, max_new_tokens=5), adapter=None))),
    ("the batch size", lambda s, p: list(s.generate(p, replace(SETTINGS, batch_size=3), adapter=None))),
    ("a stop text", lambda s, p: list(s.generate(p, replace(SETTINGS, stop=("x",)), adapter=None))),
    ("the temperature", lambda s, p: list(s.generate(p, SAMPLED, adapter=None))),
    ("the draw", lambda s, p: list(s.generate(p, SETTINGS, adapter=None, draws=[1] * len(p)))),
]  # fmt: skip


@pytest.mark.parametrize("change", [row[1] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_whatever_shapes_an_answer_is_part_of_its_key(
    change: Callable[[ModelSession, list[list[int]]], list[Generation]], folder: Path, store: AnswerStore
) -> None:
    first = session_of(folder, store)
    prompts = prompts_of(first, 6)  # one wave
    answer(first, prompts)
    second = session_of(folder, store)
    change(second, prompts)
    assert second.meter.stored_answers == 0 and second.meter.generated_tokens > 0


@pytest.mark.parametrize("name", [*CONTEXT, "cpu"])
def test_another_machine_or_library_computes_anew(name: str, folder: Path, store: AnswerStore) -> None:
    first = session_of(folder, store)
    answer(first, prompts_of(first))
    second = session_of(folder, store, **{name: "other"})
    answer(second, prompts_of(second))
    assert second.meter.stored_answers == 0


def test_other_weights_compute_anew(folder: Path, store: AnswerStore) -> None:
    first = session_of(folder, store)
    answer(first, prompts_of(first))
    second = session_of(folder, store)
    assert second.recall is not None
    second.recall.weights = {None: "another base"}
    answer(second, prompts_of(second))
    assert second.meter.stored_answers == 0


@pytest.mark.parametrize(("adapter", "anew"), [(None, True), ("one", False)])
def test_what_another_engine_answered_is_not_read_back(
    adapter: str | None, anew: bool, folder: Path, store: AnswerStore
) -> None:
    first = session_of(folder, store)
    answer(first, prompts_of(first), adapter)
    second = session_of(folder, store)
    assert second.recall is not None
    second.recall.engines = {None: "other 1.0", "one": ""}
    answer(second, prompts_of(second), adapter)
    assert (second.meter.stored_answers == 0) == anew


def test_an_interrupted_run_goes_on_where_it_was(folder: Path, store: AnswerStore) -> None:
    alone = session_of(folder, store)
    alone.recall = None
    whole = answer(alone, prompts_of(alone))
    first = session_of(folder, store)
    prompts = prompts_of(first)
    interrupted = first.generate(prompts, SETTINGS, adapter=None)
    for _ in range(8):  # the first wave of 7 and the beginning of the second
        next(interrupted)
    interrupted.close()
    second = session_of(folder, store)
    assert answer(second, prompts) == whole
    assert 0 < second.meter.stored_answers < len(prompts)
    computed = sum(len(generation.tokens) + generation.ended for generation in whole)
    assert first.meter.generated_tokens + second.meter.generated_tokens == computed


def test_a_sample_is_computed_again(folder: Path, store: AnswerStore) -> None:
    first = session_of(folder, store)
    answer(first, prompts_of(first))
    first.score(requests_of(first), adapter="one")
    second = session_of(folder, store)
    answer(second, prompts_of(second))
    second.score(requests_of(second), adapter="one")
    assert second.recall is not None and second.meter.forwarded_tokens == 0
    assert second.recall.recheck(seed=3) >= 1
    assert 0 < second.meter.forwarded_tokens < first.meter.forwarded_tokens / 4


class LyingStore:
    """A store whose every row is a little wrong."""

    def __init__(self, store: AnswerStore) -> None:
        self._store, self.refused = store, ""

    def answers(self, key: str) -> tuple[StoredAnswer, ...] | None:
        rows = self._store.answers(key)
        return rows and tuple(replace(row, tokens=(*row.tokens, 9), near_tie=False) for row in rows)

    def scores(self, key: str) -> tuple[StoredScore, ...] | None:
        rows = self._store.scores(key)
        return rows and tuple(replace(row, logprob=row.logprob - 0.01) for row in rows)

    def put_answers(self, key: str, weights: str, rows: Sequence[StoredAnswer]) -> None:
        self._store.put_answers(key, weights, rows)

    def put_scores(self, key: str, weights: str, rows: Sequence[StoredScore]) -> None:
        self._store.put_scores(key, weights, rows)

    def refuse(self, weights: str, why: str) -> int:
        self.refused = weights
        return self._store.refuse(weights, why)


@pytest.mark.parametrize("kind", ["answers", "scores"])
def test_a_store_that_disagrees_is_refused_and_emptied(kind: str, folder: Path, store: AnswerStore) -> None:
    def work(session: ModelSession) -> None:
        if kind == "answers":
            answer(session, prompts_of(session), "one")
        else:
            session.score(requests_of(session), adapter="one")

    work(session_of(folder, store))
    second = session_of(folder, store)
    lying = LyingStore(store)
    second.recall = Recall(lying, CONTEXT, WEIGHTS)
    work(second)
    with pytest.raises(BrokenRunError, match="computed anew"):
        second.recall.recheck(seed=0)
    assert lying.refused == "adapted"
    third = session_of(folder, store)
    work(third)
    assert third.meter.stored_answers == third.meter.stored_scores == 0


def test_nothing_is_rechecked_when_nothing_was_read_back(folder: Path, store: AnswerStore) -> None:
    session = session_of(folder, store)
    answer(session, prompts_of(session))
    assert session.recall is not None and session.recall.recheck(seed=0) == 0
