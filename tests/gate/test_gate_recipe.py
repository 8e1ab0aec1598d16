"""The recipe check: several training seeds, and what one lucky one of them is worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture

from harness.cli.main import main
from harness.errors import InvalidInputError
from harness.suite.load import parse_suite

RECIPE = SUITE.replace("{method: lora}", "{method: lora, seeds: 3}").replace(
    "  - {kind: healthy_training}", "  - {kind: healthy_training}\n  - {kind: recipe_better_than}"
)
clear, equal, worse = (lambda i: i % 10 != 0), (lambda i: i % 2 == 0), (lambda i: i % 10 == 0)


def gate(fixture: Fixture, folder: Path) -> Result:
    return CliRunner().invoke(main, ["gate", str(fixture.write(folder)), "--json"])


TABLE = [
    ("three good seeds ship", Fixture(suite_text=RECIPE, replicas_right=(clear, clear)), 0),
    ("one lucky seed of three leaves it open", Fixture(suite_text=RECIPE, replicas_right=(equal, equal)), 4),
    (
        "a recipe that is worse is held",
        Fixture(suite_text=RECIPE, candidate_right=worse, replicas_right=(worse, worse)),
        3,
    ),
    ("a replica that is missing breaks the run", Fixture(suite_text=RECIPE, replicas_right=(clear,)), 1),
]


@pytest.mark.parametrize(("fixture", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_recipe_is_judged_over_its_seeds(fixture: Fixture, code: int, tmp_path: Path) -> None:
    result = gate(fixture, tmp_path / "run")
    assert result.exit_code == code, result.output + str(result.exception)


def test_the_gain_of_every_seed_is_said(tmp_path: Path) -> None:
    result = gate(Fixture(suite_text=RECIPE, replicas_right=(clear, equal)), tmp_path / "run")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    found = checks["recipe_better_than/exact_match/bare"]
    assert "over 3 trainings (+40.0, +40.0, +0.0) and 200 examples" in found["reason"]
    assert found["status"] == "undecided" and checks["better_than/exact_match/bare"]["status"] == "pass"


REFUSED = [
    ("seeds: 3", "seeds: 2", "needs `train.seeds` of 3 or more"),
    ("- {kind: recipe_better_than}", "- {kind: recipe_better_than, baselines: [nobody]}", "'nobody' is not a baseline"),
    ("checks:", "statistics: {mode: anytime}\nchecks:", "`recipe_better_than` needs mode fixed"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_no_recipe_can_show_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_suite(RECIPE.replace(old, new), tmp_path / "suite.yaml", {}, files=False)
