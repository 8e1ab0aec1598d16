"""Answers of the decoding loop: equal to transformers' own, whatever shares a wave, and sampled row by row."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import load_tiny, make_tiny_model

from harness.engine.attention import plain_with_lse, refuse_other_attention
from harness.engine.chat import encode_prompts, stop_ids
from harness.engine.generate import (
    Generation,
    GenerationSettings,
    Sampling,
    answer_text,
    generate_wave,
    plan_waves,
)
from harness.engine.grammar import compile_grammar, forbidden, regex_grammar
from harness.engine.loading import LoadedModel, load
from harness.engine.meter import Meter
from harness.errors import InvalidInputError
from harness.records import Message

GREEDY = GenerationSettings(max_new_tokens=12, batch_size=5)
TEXTS = [
    "a",
    "a longer question",
    "the longest question of them all, by far",
    "b",
    "mid size",
    *(f"q{i}" for i in range(20)),
]
SYSTEM = "Answer as well as you can, in one word, and say nothing else at all."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    model = load_tiny(tmp_path_factory.mktemp("model"))
    with torch.no_grad():
        model.model.lm_head.weight *= 8  # so that near ties are rare
        model.model.lm_head.weight[1] *= 4  # and some answers end by themselves
    return model


def asked(model: LoadedModel, *, system: str | None = None, texts: list[str] = TEXTS) -> list[list[int]]:
    head = [] if system is None else [Message(role="system", content=system)]
    return encode_prompts(model.tokenizer, [[*head, Message(role="user", content=text)] for text in texts])


def answers(
    model: LoadedModel,
    prompts: list[list[int]],
    settings: GenerationSettings = GREEDY,
    *,
    meter: Meter | None = None,
    draws: list[int] | None = None,
) -> list[Generation]:
    numbers = draws or [0] * len(prompts)
    return generate_wave(model.model, model.tokenizer, prompts, settings, draws=numbers, meter=meter or Meter())


def reference(model: LoadedModel, prompt: list[int], tokens: int) -> tuple[list[int], bool]:
    """The greedy answer of transformers, alone and without padding."""
    output = model.model.generate(
        torch.tensor([prompt]), max_new_tokens=tokens, do_sample=False, eos_token_id=1, pad_token_id=1
    )[0, len(prompt) :].tolist()
    return (output[: output.index(1)], True) if 1 in output else (output, False)


@pytest.mark.parametrize("system", [None, SYSTEM], ids=["own beginnings", "shared beginning"])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 40])
def test_answers_equal_those_of_transformers(batch_size: int, system: str | None, tiny: LoadedModel) -> None:
    prompts = asked(tiny, system=system)
    found = answers(tiny, prompts, replace(GREEDY, batch_size=batch_size))
    assert any(answer.ended for answer in found) and not all(answer.ended for answer in found)
    for prompt, answer in zip(prompts, found, strict=True):
        if not answer.near_tie:
            assert (list(answer.tokens), answer.ended) == reference(tiny, prompt, 12)
    assert sum(answer.near_tie for answer in found) <= 2


@pytest.fixture
def many_ends(tmp_path: Path) -> LoadedModel:
    """A model whose generation_config.json names more ends than its tokenizer does."""
    model = load("tiny", make_tiny_model(tmp_path / "model", ends=[1, *range(100, 130), 5000]))
    with torch.no_grad():
        model.model.lm_head.weight *= 8  # so that near ties are rare
    return model


def test_an_answer_ends_by_every_end_token_that_the_base_model_names(many_ends: LoadedModel) -> None:
    prompts = asked(many_ends)
    found = answers(many_ends, prompts)
    for prompt, answer in zip(prompts, found, strict=True):
        written = many_ends.model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, pad_token_id=1)
        if not answer.near_tie:
            assert list(answer.written) == written[0, len(prompt) :].tolist()
        assert (answer.end in stop_ids(many_ends.tokenizer), answer.end not in (1, None)) == (answer.ended,) * 2
    assert 10 < sum(answer.ended for answer in found) < len(found)
    assert sum(answer.near_tie for answer in found) <= 2


def test_a_grammar_lets_an_answer_end_by_every_end_token_and_no_sooner(many_ends: LoadedModel) -> None:
    state = compile_grammar(many_ends.tokenizer, regex_grammar("a+")).begin()
    (letter,) = many_ends.tokenizer("a", add_special_tokens=False)["input_ids"]
    allowed = [(forbidden([state], 258)[0] == 0).nonzero()[0].tolist()]
    state.accept(letter)
    allowed.append((forbidden([state], 258)[0] == 0).nonzero()[0].tolist())
    assert allowed == [[letter], [1, letter, *range(100, 130)]]
    state.accept(110)


def test_one_token_answers_need_no_decoding(tiny: LoadedModel) -> None:
    meter, prompts = Meter(), asked(tiny)
    found = answers(tiny, prompts, replace(GREEDY, max_new_tokens=1), meter=meter)
    assert [list(answer.tokens) for answer in found] == [reference(tiny, prompt, 1)[0] for prompt in prompts]
    assert meter.decoded_rows == 0 and meter.head_rows == len(prompts)


def test_every_row_is_computed_as_often_as_it_needs(tiny: LoadedModel) -> None:
    meter, prompts = Meter(), asked(tiny)
    found = answers(tiny, prompts, meter=meter)
    written = sum(len(answer.tokens) + answer.ended for answer in found)
    # The first token of each answer comes from its prompt's pass; no finished row is decoded further.
    assert meter.generated_tokens == written == meter.head_rows
    assert meter.decoded_rows == written - len(prompts)


def test_what_all_prompts_share_is_computed_once(tiny: LoadedModel) -> None:
    meter, prompts = Meter(), asked(tiny, system=SYSTEM)
    answers(tiny, prompts, meter=meter)
    shared = next(i for i in range(500) if len({prompt[i] for prompt in prompts}) > 1)
    assert shared > len(SYSTEM)
    assert meter.forwarded_tokens == shared + sum(len(prompt) - shared for prompt in prompts)


def test_an_answer_ends_before_the_first_stop_string(tiny: LoadedModel) -> None:
    prompts = asked(tiny)
    free = answers(tiny, prompts)
    letter = Counter(c for answer in free for c in answer.text if c.isascii() and c.isalnum()).most_common(1)[0][0]
    stop = (letter, "never written")
    meter = Meter()
    cut = answers(tiny, prompts, replace(GREEDY, stop=stop), meter=meter)
    assert any(letter in answer.text for answer in free)
    for before, after in zip(free, cut, strict=True):
        assert after.text == before.text.split(letter)[0]
        assert after.ended == (before.ended or letter in before.text)
        assert len(after.tokens) <= len(before.tokens)
        assert after.text == answer_text(tiny.tokenizer, after.tokens, stop)
    assert meter.generated_tokens < sum(len(answer.tokens) + answer.ended for answer in free)


def test_a_wave_depends_on_lengths_and_batch_size_only() -> None:
    prompts = [[0] * length for length in (5, 3, 9, 1, 7, 3, 2, 8, 6)]
    waves = plan_waves(prompts, 1)
    assert sorted(index for wave in waves for index in wave) == list(range(9))
    assert [len(wave) for wave in waves] == [3, 3, 3]
    lengths = [len(prompts[index]) for wave in waves for index in wave]
    assert lengths == sorted(lengths)
    assert plan_waves([], 4) == []
    assert len(plan_waves(prompts, 3)) == 1


SAMPLED = replace(GREEDY, sampling=Sampling(temperature=1.0, seed=7))


def test_a_sampled_answer_does_not_depend_on_its_neighbours(tiny: LoadedModel) -> None:
    prompts = asked(tiny)
    together = answers(tiny, prompts, SAMPLED)
    alone = [answers(tiny, [prompt], SAMPLED)[0] for prompt in prompts[:6]]
    assert [answer.tokens for answer in together[:6]] == [answer.tokens for answer in alone]
    assert [answer.tokens for answer in together] != [answer.tokens for answer in answers(tiny, prompts)]


def test_draws_differ_by_number_and_seed_and_repeat_by_both(tiny: LoadedModel) -> None:
    prompts = asked(tiny, texts=["hello"]) * 3
    first, second, again = answers(tiny, prompts, SAMPLED, draws=[0, 1, 0])
    assert first.tokens == again.tokens != second.tokens
    other = answers(tiny, prompts[:1], replace(SAMPLED, sampling=Sampling(temperature=1.0, seed=8)))[0]
    assert other.tokens != first.tokens


def test_tokens_are_drawn_as_often_as_the_model_says(tiny: LoadedModel) -> None:
    prompt = asked(tiny, texts=["hello"])[0]
    settings = GenerationSettings(max_new_tokens=1, batch_size=500, sampling=Sampling(temperature=20.0))
    draws = 2000
    found = answers(tiny, [prompt] * draws, settings, draws=list(range(draws)))
    counts = Counter(answer.tokens[0] if answer.tokens else 1 for answer in found)
    with torch.inference_mode():
        chances = torch.softmax(tiny.model(torch.tensor([prompt])).logits[0, -1].double() / 20.0, dim=-1)
    # Chi-square over the likely tokens and all others together, six standard deviations of its mean.
    likely = [token for token in range(len(chances)) if chances[token] * draws >= 10]
    cells = [(counts[token], float(chances[token]) * draws) for token in likely]
    rest = draws - sum(seen for seen, _ in cells), draws - sum(expected for _, expected in cells)
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in [*cells, rest])
    assert len(cells) >= 5
    assert statistic < len(cells) + 6 * (2 * len(cells)) ** 0.5


def test_a_row_whose_numbers_become_none_ends_and_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    model = load_tiny(tmp_path / "model")
    prompts, embedding = asked(model, texts=[f"{'q' * (i // 2)}{i}" for i in range(24)]), model.model.model.embed_tokens
    before = answers(model, prompts)
    counts = Counter(token for answer in before for token in {*answer.tokens[:-1], *prompts[answer.index]})
    broken = [(answer, token) for answer in before for token in answer.tokens[3:-1] if counts[token] == 1]
    assert len(broken) > 10
    for answer, token in broken[:20]:
        kept = embedding.weight[token].clone()
        with torch.no_grad():
            embedding.weight[token] = torch.inf
        found = answers(model, prompts)
        with torch.no_grad():
            embedding.weight[token] = kept
        assert [one.index for one in found if not math.isfinite(one.logprob)] == [answer.index]
        others = [(one, other) for one, other in zip(found, before, strict=True) if one.index != answer.index]
        assert all(one.tokens == other.tokens or one.near_tie for one, other in others)


def test_an_empty_prompt_is_an_error(tiny: LoadedModel) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        answers(tiny, [[5, 6], []])


@pytest.mark.parametrize("tokens", [1, 7])
def test_attention_by_definition_equals_the_kernel(tokens: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, tokens, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    mask = torch.zeros(2, 1, tokens, 9).masked_fill_(torch.rand(2, 1, tokens, 9) < 0.3, -torch.inf)
    mask[..., 0] = 0
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    expected, expected_lse = kernel(query, key, value, 0.0, False, attn_mask=mask, scale=0.3)
    found, lse = plain_with_lse(query, key, value, mask=mask, causal=False, scale=0.3)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(lse, expected_lse)
    square = (query, key[:, :, :tokens], value[:, :, :tokens])
    torch.testing.assert_close(
        plain_with_lse(*square, mask=None, causal=True, scale=None)[0], kernel(*square, 0.0, True)[0]
    )


def test_a_model_with_other_attention_is_refused(tiny: LoadedModel) -> None:
    refuse_other_attention(tiny.model, "tiny")
    config = tiny.model.config
    config.sliding_window = 128
    try:
        with pytest.raises(InvalidInputError, match="sliding_attention"):
            refuse_other_attention(tiny.model, "tiny")
    finally:
        config.sliding_window = None
