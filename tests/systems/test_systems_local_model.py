"""An arm that runs here has an answer where the model can give one, and says why where it cannot."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import attach_as_it_is, load_tiny, make_tiny_adapter

from harness.clock import utc_now
from harness.engine.meter import Meter
from harness.engine.recall import Recall
from harness.engine.session import ModelSession
from harness.engine.share import Share
from harness.engine.tuned import ClassHead
from harness.errors import BrokenRunError
from harness.records import NOT_FINITE, Example, Message
from harness.store.answers import AnswerStore
from harness.suite.schema import Decoding
from harness.systems.classifier import ClassifierSystem
from harness.systems.local_model import LocalSystem
from harness.systems.prompt_only import prompt_builder

MOST = 2048  # of the tiny model
BUDGET = 4
TURNS = len(".user\n.\n.assistant\n")  # tokens around a message: each mark is one, and so is each letter


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ModelSession:
    return ModelSession(load_tiny(tmp_path_factory.mktemp("model")), Meter())


def system_of(session: ModelSession, **decoding: object) -> LocalSystem:
    build, digest = prompt_builder(None)
    return LocalSystem(
        name="arm",
        kind="prompt",
        role="baseline",
        session=session,
        decoding=Decoding(**{"max_new_tokens": BUDGET, "batch_size": 1, **decoding}),
        build_prompt=build,
        prompt_digest=digest,
        base_digest="base",
        seed=1,
    )


def examples(*lengths: int) -> list[Example]:
    """Questions of so many tokens each."""
    return [Example(id=str(n), messages=(Message(role="user", content="x" * (n - TURNS)),)) for n in lengths]


def test_a_prompt_that_leaves_no_room_for_the_answer_has_none(session: ModelSession) -> None:
    asked = examples(40, MOST - BUDGET, MOST - BUDGET + 1, 3 * MOST)
    found = {answer.example_id: answer for answer in system_of(session).answer(asked, "test")}
    assert list(found) == [example.id for example in asked]
    first, last, *over = (found[example.id] for example in asked)
    assert (first.error, last.error, last.prompt_tokens) == (None, None, MOST - BUDGET)
    assert [(answer.text, answer.stop, answer.sample) for answer in over] == [("", "error", 0)] * 2
    assert over[0].error == (
        "the prompt has 2,045 tokens and the answer may have 4; the model takes 2,048: shorten the prompt or lower "
        "max_new_tokens"
    )


def test_every_draw_of_a_prompt_without_room_is_missing_and_none_is_planned(session: ModelSession) -> None:
    system, asked = system_of(session, temperature=0.7, samples=2), examples(40, MOST)
    found = Counter((answer.example_id, answer.sample, answer.error is None) for answer in system.answer(asked, "test"))
    assert found == Counter([("40", 0, True), ("40", 1, True), (str(MOST), 0, False), (str(MOST), 1, False)])
    assert system.plan(asked, "test") == system.plan(asked[:1], "test")


def test_what_stands_before_every_prompt_takes_room(session: ModelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [(torch.zeros(1, 2, 3, 8), torch.zeros(1, 2, 3, 8))]
    monkeypatch.setitem(session._tuned._virtual, "prefix", layers)
    prompts = [[5] * length for length in (MOST - 3, MOST - 2)]
    found = session.without_room(prompts, adapter="prefix", answer=0)
    assert list(found) == [1] and "2,046 tokens, 3 virtual ones stand before it; the model takes" in found[1]
    assert session.without_room(prompts, adapter=None, answer=0) == {}


def test_a_missing_answer_is_one_shards_only(tmp_path: Path) -> None:
    base, asked = load_tiny(tmp_path / "model"), examples(40, 41, MOST, 42, MOST + 1)
    parts = [system_of(ModelSession(base, Meter(), share=Share(index, 2))) for index in range(2)]
    whole = list(system_of(ModelSession(base, Meter())).answer(asked, "test"))
    found = [answer for part in parts for answer in part.answer(asked, "test")]
    assert sum(answer.error is not None for answer in whole) == 2
    assert sorted((replace(answer, seconds=0.0) for answer in found), key=lambda answer: answer.example_id) == sorted(
        (replace(answer, seconds=0.0) for answer in whole), key=lambda answer: answer.example_id
    )


def broken_at(session: ModelSession, letter: str) -> None:
    """Make the numbers after a letter none."""
    (token,) = session.tokenizer(letter, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        session.base.model.get_input_embeddings().weight[token] = torch.inf


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_an_answer_of_numbers_that_are_none_is_missing_and_not_stored(temperature: float, tmp_path: Path) -> None:
    session = ModelSession(load_tiny(tmp_path / "model"), Meter())
    broken = Example(id="broken", messages=(Message(role="user", content=f"item z{'x' * 30}"),))
    asked = [*examples(40, 41, 60), broken, *examples(61, 62)]
    system = system_of(session, temperature=temperature)
    before = {answer.example_id: answer.text for answer in system.answer(asked, "probe")}
    broken_at(session, "z")
    with AnswerStore(tmp_path / "answers.sqlite", clock=utc_now) as store:
        session.recall = Recall(store, {}, {None: "base"})
        for _ in range(2):
            found = {answer.example_id: answer for answer in system.answer(asked, "probe")}
            assert found.keys() == before.keys()
            assert (found["broken"].error, found["broken"].text) == (NOT_FINITE, "")
            assert {name: answer.text for name, answer in found.items() if answer.error is None} == {
                name: text for name, text in before.items() if name != "broken"
            }
        assert [(row.batches, row.answers) for row in store.summary()] == [(1, 3)], "not the wave with the broken one"


def test_scores_and_divergences_that_are_not_finite_end_the_run_in_words(tmp_path: Path) -> None:
    session = ModelSession(load_tiny(tmp_path / "model"), Meter())
    prompt, broken = (session.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("item", "item z"))
    broken_at(session, "z")
    assert session.score([(prompt, [5])], adapter=None)
    with pytest.raises(
        BrokenRunError, match="the base model: the model's log-probabilities are not finite, so that it"
    ):
        session.score([(prompt, [5]), (broken, [5])], adapter=None)
    make_tiny_adapter(tmp_path / "model", tmp_path / "adapter")
    attach_as_it_is(session, "tuned", tmp_path / "adapter")
    assert session.divergence(prompt, [5], adapter="tuned") > 0
    with pytest.raises(BrokenRunError, match="tuned: the model's log-probabilities are not finite, so that its"):
        session.divergence(broken, [5], adapter="tuned")


def test_a_class_of_numbers_that_are_none_is_missing(session: ModelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    system = classifier_of(session, monkeypatch, torch.full((2, 32), torch.inf))
    found = list(system.answer(examples(40), "test"))
    assert [(answer.text, answer.error, answer.sample) for answer in found] == [("", NOT_FINITE, n) for n in range(2)]


def classifier_of(session: ModelSession, monkeypatch: pytest.MonkeyPatch, weight: torch.Tensor) -> ClassifierSystem:
    """A head over the base model as it is."""
    monkeypatch.setitem(session._tuned.heads, "arm", ClassHead(("red", "blue"), weight))
    monkeypatch.setitem(session._tuned._weights, "arm", {})
    build, digest = prompt_builder(None)
    return ClassifierSystem(
        name="arm",
        kind="adapter",
        role="candidate",
        session=session,
        samples=2,
        build_prompt=build,
        prompt_digest=digest,
        base_digest="base",
        adapter_digest="arm",
    )


def test_a_prompt_that_a_classifier_has_no_room_for_has_no_class(
    session: ModelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = classifier_of(session, monkeypatch, torch.ones(2, 32))
    found = list(system.answer(examples(MOST + 1, 40, MOST), "test"))
    assert [(answer.example_id, answer.sample, answer.text) for answer in found] == [
        *(("40", sample, "red") for sample in range(2)),
        *((str(MOST), sample, "red") for sample in range(2)),
        *((str(MOST + 1), sample, "") for sample in range(2)),
    ]
    assert found[-1].error == "the prompt has 2,049 tokens; the model takes 2,048: shorten the prompt"
    assert system.plan(examples(MOST + 1, 40), "test") == (40, 0, 0)
