"""Shared prefixes and branches change what is computed, never what comes out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tiny_model import load_tiny

from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import MIN_SHARED_TOKENS, score_continuations
from harness.engine.meter import Meter

Requests = list[tuple[list[int], list[int]]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("model"))


def tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(2, 250) for _ in range(count)]


def one_by_one(model: LoadedModel, requests: Requests) -> list[tuple[float, bool]]:
    """One plain forward pass per request: what the engine must equal."""
    results = []
    with torch.inference_mode():
        for context, continuation in requests:
            logits = model.model(torch.tensor([context + continuation])).logits[0].float()
            logprobs = torch.log_softmax(logits, dim=-1)[len(context) - 1 : -1]
            total = sum(logprobs[i, token].item() for i, token in enumerate(continuation))
            results.append((total, logprobs.argmax(dim=-1).tolist() == continuation))
    return results


def few_shot_requests(rng: random.Random) -> Requests:
    """Two subjects with a long block each, questions of several lengths, choices of one to four tokens."""
    requests: Requests = []
    for _ in range(2):
        block = tokens(rng, MIN_SHARED_TOKENS + 20)
        for size in (3, 9, 30, 9):
            question = tokens(rng, size)
            requests += [(block + question, tokens(rng, length)) for length in (1, 1, 2, 4)]
    return requests


def zero_shot_requests(rng: random.Random) -> Requests:
    return [(tokens(rng, rng.randrange(1, 20)), tokens(rng, rng.randrange(1, 6))) for _ in range(30)]


@pytest.mark.parametrize("build", [few_shot_requests, zero_shot_requests])
def test_scores_equal_one_forward_pass_per_request(build: object, tiny: LoadedModel) -> None:
    requests = build(random.Random(4))  # type: ignore[operator]
    random.Random(5).shuffle(requests)
    found = score_continuations(tiny.model, requests, meter=Meter())
    for item, (logprob, greedy) in zip(found, one_by_one(tiny, requests), strict=True):
        assert item.logprob == pytest.approx(logprob, abs=1e-4)
        assert item.is_greedy == greedy


def test_a_continuation_that_greedy_decoding_writes_is_greedy(tiny: LoadedModel) -> None:
    context = tokens(random.Random(8), 12)
    written = tiny.model.generate(torch.tensor([context]), max_new_tokens=3, do_sample=False)[0, 12:].tolist()
    (found,) = score_continuations(tiny.model, [(context, written)], meter=Meter())
    assert found.is_greedy


def test_each_token_is_computed_once(tiny: LoadedModel) -> None:
    rng = random.Random(6)
    block = tokens(rng, 100)
    questions = [
        [value, *tokens(rng, 6)] for value in (20, 30, 40)
    ]  # they differ at once, so the block is all they share
    choices = [[7], [8], [9, 10], [11, 12, 13]]
    requests = [(block + question, choice) for question in questions for choice in choices]
    meter = Meter()
    score_continuations(tiny.model, requests, meter=meter)
    # The last token of a choice predicts nothing that is scored, so it is not fed.
    assert meter.forwarded_tokens == 100 + 3 * (7 + 0 + 0 + 1 + 2)


def test_blocks_that_share_a_beginning_are_still_computed_once_each(tiny: LoadedModel) -> None:
    rng = random.Random(6)
    header = tokens(rng, 70)
    blocks = [[first, *tokens(rng, 120)] for first in (20, 30)]
    requests: Requests = [
        (header + block + [40 + place, *tokens(rng, 5)], [7]) for block in blocks for place in range(6)
    ]
    meter = Meter()
    found = score_continuations(tiny.model, requests, meter=meter)
    # Reading the common header twice costs less than reading a block for each of its questions.
    assert meter.forwarded_tokens == 2 * (70 + 121 + 6 * 6)
    for item, (logprob, _) in zip(found, one_by_one(tiny, requests), strict=True):
        assert item.logprob == pytest.approx(logprob, abs=1e-4)


def test_equal_requests_are_computed_once_and_both_answered(tiny: LoadedModel) -> None:
    meter = Meter()
    first, second = score_continuations(tiny.model, [([5, 6, 7], [8]), ([5, 6, 7], [8])], meter=meter)
    assert first == second
    assert meter.forwarded_tokens == 3


def test_a_context_that_is_a_prefix_of_another_keeps_its_own_last_token(tiny: LoadedModel) -> None:
    block = tokens(random.Random(9), 90)
    requests: Requests = [(block, [5]), ([*block, 6, 7], [5, 9]), ([*block, 6], [8])]
    found = score_continuations(tiny.model, requests, meter=Meter())
    for item, (logprob, _) in zip(found, one_by_one(tiny, requests), strict=True):
        assert item.logprob == pytest.approx(logprob, abs=1e-4)


@pytest.mark.parametrize("request_", [([], [1]), ([1], [])])
def test_nothing_to_score_or_to_score_from_is_an_error(
    request_: tuple[list[int], list[int]], tiny: LoadedModel
) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        score_continuations(tiny.model, [request_], meter=Meter())


def test_the_head_sees_only_the_positions_that_are_read(tiny: LoadedModel, tmp_path: Path) -> None:
    rows: list[int] = []
    hook = tiny.model.lm_head.register_forward_hook(lambda _m, _i, out: rows.append(out.shape[:-1].numel()))
    score_continuations(tiny.model, [([4, 5, 6], [7]), ([4, 5, 6], [8, 9]), ([4, 5], [7])], meter=Meter())
    hook.remove()
    # The last context position serves both choices of the first question.
    assert sum(rows) == 1 + 1 + 1
