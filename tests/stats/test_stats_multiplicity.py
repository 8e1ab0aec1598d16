import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.stats.multiplicity import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 20])
def test_holm_agrees_with_statsmodels_when_p_values_tie(n):
    p_values = np.random.default_rng(n).random(n).round(1)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-9)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_moves_with_its_p_value_when_the_order_changes(p_values, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    adjusted = holm(p_values)
    assert holm([p_values[i] for i in order]) == tuple(adjusted[i] for i in order)


def test_holm_steps_down_when_worked_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1, None])
def test_holm_refuses_when_a_p_value_is_no_probability(bad):
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, bad])
