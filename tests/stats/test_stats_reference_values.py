"""Values from R and statsmodels' own tests; skipped where the shared data is absent."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.stats.mean_tests import paired_t
from harness.stats.paired_proportions import mcnemar_exact
from harness.stats.proportion import clopper_pearson


@pytest.fixture(scope="module")
def reference():
    folder = os.environ.get("HARNESS_TEST_DATA")
    if not folder:
        pytest.skip("HARNESS_TEST_DATA is not set")
    return json.loads((Path(folder) / "metric_reference_values.json").read_text(encoding="utf-8"))


def test_mcnemar_matches_the_reference_when_doubled(reference):
    for case in reference["mcnemar"]:
        (_, wins), (losses, _) = case["table"]
        two_sided = 2 * min(mcnemar_exact(wins, losses), mcnemar_exact(losses, wins))
        assert two_sided == pytest.approx(case["p_exact"], abs=1e-9)


def test_clopper_pearson_matches_the_reference_when_exact(reference):
    for counts, case in reference["binom_ci95"].items():
        successes, n = map(int, counts.split("/"))
        expected = case["ci_low"]["exact"], case["ci_upp"]["exact"]
        assert clopper_pearson(successes, n, 0.95) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("name", "column"), [("tost_clinic_paired", 3), ("tost_clinic_paired_1", 2)])
def test_paired_t_matches_the_reference_when_run_in_both_directions(reference, name, column):
    scores = np.array(reference["tost"]["clinic(id,group,var1..var5)"])[:, column]
    case, d = reference["tost"]["cases"][name], scores[:15] - scores[15:30]
    above = paired_t(d, bar=-case["epsilon"], alpha=0.05)
    below = paired_t(d, bar=case["epsilon"], alpha=0.05)
    assert max(above.p_value, below.p_reverse) == pytest.approx(case["p_value"], abs=1e-9)
    assert (above.low, above.high) == pytest.approx(case["ci_diff"], abs=1e-9)
