"""What the registry says when its pointer was lost, or a promotion was interrupted and others came after it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from project import NOW, harness, make_shipped, run_of

from harness.errors import BrokenRunError, InvalidInputError
from harness.store.baselines import find_promoted, list_baselines


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs that ship."""
    return make_shipped(tmp_path_factory.mktemp("registry") / "project")


@pytest.fixture
def project(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the first run was promoted and the pointer to it was never written."""
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW)
    project = shutil.copytree(shipped, tmp_path / "project")
    assert harness("promote", run_of(project), "--name", "first")[0] == 0
    (project / "baselines" / "fixture" / "promoted.json").unlink()
    return project


def test_a_lost_pointer_is_not_taken_for_a_suite_without_a_promoted_adapter(project: Path) -> None:
    with pytest.raises(BrokenRunError, match=r"promoted\.json: missing, although adapters are kept beside it"):
        find_promoted(project / "baselines", "fixture")


@pytest.mark.parametrize("name", ["gone", "../fixture/first", "x" * 300, ".", 5, None])
def test_a_pointer_to_nothing_in_the_registry_is_told(name: object, project: Path) -> None:
    (project / "baselines" / "fixture" / "promoted.json").write_text(json.dumps({"name": name}))
    with pytest.raises(BrokenRunError, match=r"promoted\.json: names .*, which is not in"):
        find_promoted(project / "baselines", "fixture")


@pytest.mark.parametrize("place", ["gone", "x" * 300, "a\0b"])
def test_an_adapter_that_is_kept_nowhere_is_told(place: str, project: Path) -> None:
    suite = project / "baselines" / "fixture"
    record = json.loads((suite / "first" / "record.json").read_text())
    (suite / "first" / "record.json").write_text(json.dumps({**record, "adapter_location": place}))
    (suite / "promoted.json").write_text('{"name": "first"}')
    with pytest.raises(InvalidInputError, match="which is not there"):
        find_promoted(project / "baselines", "fixture")


def test_a_promotion_is_finished_when_it_was_interrupted(project: Path) -> None:
    assert harness("promote", run_of(project), "--name", "first")[0] == 0
    found = find_promoted(project / "baselines", "fixture")
    assert found is not None and found.record.name == "first"


def test_a_promotion_is_not_taken_up_again_when_another_came_after_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW.replace(hour=13))
    assert harness("promote", run_of(project).with_name("other"), "--name", "second")[0] == 0
    code, said = harness("promote", run_of(project), "--name", "first")
    assert (code, "was promoted already, and second is in force" in said) == (2, True), said
    assert [(record.name, held) for record, held in list_baselines(project / "baselines")] == [
        ("first", False),
        ("second", True),
    ]
