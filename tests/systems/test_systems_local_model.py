"""An arm that runs here has an answer where the model can give one, and says why where it cannot."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import load_tiny

from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.engine.share import Share
from harness.engine.tuned import ClassHead
from harness.records import Example, Message
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
