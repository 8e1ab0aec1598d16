"""What cannot be said, or belongs to somebody else: never exit 0, never a traceback, never a lost file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ACCEPT, SUITE_DIGEST, harness, make_project, run_of

COMMAND = [sys.executable, "-c", "from harness.cli.main import main; main(prog_name='harness')"]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("shipped") / "project")
    assert harness("gate", run_of(project), *ACCEPT)[0] == 0
    return project


def commands(project: Path) -> dict[str, list[str]]:
    run = str(run_of(project))
    return {
        "gate": ["gate", run, *ACCEPT],
        "gate --json": ["gate", run, "--json", *ACCEPT],
        "verify": ["verify", f"{run}/adapter", "--suite-digest", SUITE_DIGEST],
        "promote": ["promote", run],
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", ["gate", "gate --json", "verify", "promote"])
def test_a_command_does_not_succeed_when_nobody_can_be_told(name: str, shipped: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shipped, tmp_path / "project")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *commands(project)[name]], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode != 0
    said = done.stderr.decode()
    assert "error: " in said and "No space left on device" in said and "Traceback" not in said


def test_nothing_is_removed_when_what_should_be_judged_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("somebody's")
    (tmp_path / "metrics.json").write_text("{}")
    code, said = harness("gate", tmp_path)
    assert (code, said) == (2, f"error: {tmp_path}: not a run folder (manifest.json is missing)\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "metrics.json"]


def test_a_promotion_is_told_that_its_name_is_none(shipped: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shipped, tmp_path / "project")
    for name in ("../elsewhere", "a/b", ".hidden", ".."):
        code, said = harness("promote", run_of(project), "--name", name)
        assert code == 2 and said.startswith(f"error: --name {name}: must be one that a folder can have")
    assert not list((project / "baselines" / "fixture").glob("*/record.json"))


def test_an_adapter_that_changed_since_its_verdict_is_not_promoted(shipped: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shipped, tmp_path / "project")
    (run_of(project) / "adapter" / "adapter_model.safetensors").write_bytes(b"others")
    code, said = harness("promote", run_of(project))
    assert code == 5 and "changed since the run" in said


def test_a_file_that_may_not_be_written_is_named_without_a_traceback(shipped: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shipped, tmp_path / "project")
    (run_of(project) / "report.html").unlink()
    (run_of(project) / "report.html").mkdir()
    code, said = harness("report", run_of(project))
    assert code == 1 and said.startswith(f"error: {run_of(project) / 'report.html'}: Is a directory")
