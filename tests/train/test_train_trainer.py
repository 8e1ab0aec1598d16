"""What the trainer is fed: batches of like length, and a loss on exactly the trained tokens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tiny_model import load_tiny

from harness.train.rows import IGNORED
from harness.train.trainer import LengthGroupedBatches, collate

CHANCE = random.Random(4)
LENGTHS = [CHANCE.randint(5, 200) for _ in range(70)]


def batches_of(order: list[int], size: int) -> list[list[int]]:
    return [order[first : first + size] for first in range(0, len(order), size)]


def padded(order: list[int], size: int) -> int:
    return sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches_of(order, size))


@pytest.mark.parametrize("size", [1, 8, 16, 70, 100])
def test_every_row_comes_once_an_epoch_in_another_order_each_time(size: int) -> None:
    sampler = LengthGroupedBatches(LENGTHS, size, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(70)) and len(sampler) == 70
    assert first != second or size >= 70
    sampler.set_epoch(0)
    assert list(sampler) == list(LengthGroupedBatches(LENGTHS, size, seed=1)) == first
    assert list(LengthGroupedBatches(LENGTHS, size, seed=2)) != first or size >= 70


def test_batches_hold_rows_of_like_length_in_no_order_of_length() -> None:
    order = list(LengthGroupedBatches(LENGTHS, 8, seed=1))
    shuffled = random.Random(1).sample(range(70), 70)
    assert padded(order, 8) < 1.15 * sum(LENGTHS)
    assert padded(shuffled, 8) > 1.4 * sum(LENGTHS)
    widths = [max(LENGTHS[row] for row in batch) for batch in batches_of(order, 8)]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_the_loss_is_the_mean_over_the_trained_tokens_and_no_others(tmp_path: Path) -> None:
    model = load_tiny(tmp_path / "model").model
    chance = random.Random(2)
    rows = []
    for length, answer in ((9, 3), (14, 5), (6, 1)):
        ids = [chance.randrange(2, 250) for _ in range(length)]
        rows.append({"input_ids": ids, "labels": [IGNORED] * (length - answer) + ids[-answer:]})
    batch = collate(rows)
    assert int(batch.pop("tokens")) == 9 + 14 + 6
    assert batch["shift_labels"].tolist() == [token for row in rows for token in row["labels"] if token != IGNORED]
    losses = []
    with torch.inference_mode():
        loss = model(**batch).loss
        for row in rows:
            logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
            losses.append(
                torch.nn.functional.cross_entropy(
                    logits, torch.tensor(row["labels"][1:]), ignore_index=IGNORED, reduction="sum"
                )
            )
    assert float(loss) == pytest.approx(float(sum(losses)) / (3 + 5 + 1), abs=1e-5)


def test_only_positions_before_trained_tokens_go_through_the_head(tmp_path: Path) -> None:
    model = load_tiny(tmp_path / "model").model
    seen: list[int] = []
    hook = model.lm_head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[:-1].numel()))
    batch = collate(
        [{"input_ids": [5, 6, 7, 8], "labels": [IGNORED, IGNORED, 7, 8]}, {"input_ids": [5, 6], "labels": [IGNORED, 6]}]
    )
    batch.pop("tokens")
    model(**batch)
    hook.remove()
    assert seen == [3]
