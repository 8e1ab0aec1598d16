"""Early stopping decides from the list of validation losses alone."""

from __future__ import annotations

import math

import pytest

from harness.records import Example, Message
from harness.train.stopping import decide_stop

NAN = float("nan")

TABLE = [
    ("goes on while it improves", (3.0, 2.0, 1.0), 2, 0.0, False, 2),
    ("one bad measurement is within patience 2", (3.0, 1.0, 1.5), 2, 0.0, False, 1),
    ("two bad measurements end it", (3.0, 1.0, 1.5, 1.2), 2, 0.0, True, 1),
    ("equal is not better", (3.0, 1.0, 1.0, 1.0), 2, 0.0, True, 1),
    ("less than min_delta is not better", (3.0, 1.0, 0.95, 0.92), 2, 0.1, True, 1),
    ("more than min_delta is better", (3.0, 1.0, 0.95, 0.85), 2, 0.1, False, 3),
    ("never better than untrained", (1.0, 1.1, 1.2), 2, 0.0, True, 0),
    ("patience counts anew after a gain", (3.0, 2.0, 2.5, 1.0, 1.5), 2, 0.0, False, 3),
    ("NaN ends it at once and is never best", (3.0, 2.0, NAN), 5, 0.0, True, 1),
    ("infinity ends it at once", (3.0, math.inf), 5, 0.0, True, 0),
]


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "stop", "best"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_stopping_follows_the_losses(
    losses: tuple[float, ...], patience: int, min_delta: float, stop: bool, best: int
) -> None:
    decision = decide_stop(losses, patience=patience, min_delta=min_delta)
    assert (decision.stop, decision.best) == (stop, best)
    assert bool(decision.reason) == stop


@pytest.mark.parametrize("losses", [(), (NAN,), (math.inf, 1.0)])
def test_an_unmeasured_beginning_is_an_error(losses: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="first validation loss"):
        decide_stop(losses, patience=2, min_delta=0.0)


def test_the_mix_is_the_declared_share_without_repeats() -> None:
    from harness.data.mixing import draw_mix

    general = [Example(id=str(i), messages=(Message(role="user", content=str(i)),), target="x") for i in range(50)]
    drawn = draw_mix(90, general, share=0.10, seed=1)
    assert len(drawn) == 10
    assert len({example.id for example in drawn}) == 10
    assert drawn == draw_mix(90, general, share=0.10, seed=1)
    assert drawn != draw_mix(90, general, share=0.10, seed=2)
    assert len(draw_mix(900, general, share=0.5, seed=1)) == 50
