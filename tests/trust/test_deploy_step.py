"""The README's deploy script, run by bash as it is printed: it deploys what may go out, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_factory import SUITE, Fixture
from forging import Shipped
from securesystemslib.signer import CryptoSigner

from harness.records import RunManifest
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run
from harness.trust.locks import SuiteLock, write_lock
from harness.trust.sign import new_key_pair, read_signer

README = Path(__file__).parents[2] / "README.md"
HELD = Fixture(candidate_right=lambda i: False)
UNDECIDED = Fixture(candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100)


@dataclass(frozen=True)
class Project:
    """A checkout as the script expects it, with a `deploy` that writes down what it was given."""

    root: Path
    signer: CryptoSigner

    def judge(
        self, name: str, fixture: Fixture, *, now: datetime | None = None, signed: bool = True, lock: str = ""
    ) -> Shipped:
        """A judged run of the project, held to the lock of this digest."""
        run = Shipped(self.root / "reports" / "fixture" / name, self.root / "baselines")
        fixture.write(run.folder)
        if lock:
            manifest = read_record(RunManifest, run.folder / MANIFEST)
            finish_run(run.folder, replace(manifest, digests={**manifest.digests, "lock": lock}))
        run.judge(now or datetime.now(UTC), signer=self.signer if signed else None)
        return run

    def deploy(self, adapter: Path) -> tuple[int, list[str]]:
        """The exit code of the script, and what was deployed by it."""
        deployed = self.root / "deployed"
        deployed.unlink(missing_ok=True)
        path = f"{self.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "deploy-adapter.sh", "fixture", str(adapter.relative_to(self.root))],
            cwd=self.root,
            env={"PATH": path, "HOME": str(self.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode, deployed.read_text().splitlines() if deployed.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the script, the suite and a key, and nothing judged."""
    (script,) = re.findall(r"```bash\n(#!/usr/bin/env bash\n# deploy-adapter.sh.+?)```", README.read_text(), re.DOTALL)
    (tmp_path / "deploy-adapter.sh").write_text(script)
    (tmp_path / "suites" / "fixture").mkdir(parents=True)
    (tmp_path / "suites" / "fixture" / "suite.yaml").write_text(SUITE)
    private, public, _ = new_key_pair()
    (tmp_path / "harness-signing.pem.pub").write_bytes(public)
    deploy = tmp_path / "bin" / "deploy"
    deploy.parent.mkdir()
    deploy.write_text('#!/bin/sh\necho "$1" >> deployed\n')
    deploy.chmod(0o755)
    return Project(tmp_path, read_signer(private.decode(), "the test's key"))


def test_an_adapter_that_shipped_is_deployed(project: Project) -> None:
    run = project.judge("run", Fixture())
    assert project.deploy(run.adapter) == (0, ["reports/fixture/run/adapter"])


def test_no_verdict_is_not_deployed(project: Project) -> None:
    run = project.judge("run", Fixture())
    run.verdict.unlink()
    assert project.deploy(run.adapter) == (5, [])
    assert project.deploy(project.root / "reports" / "nothing" / "adapter") == (5, [])


@pytest.mark.parametrize("fixture", [HELD, UNDECIDED], ids=["hold", "undecided"])
def test_what_did_not_ship_is_not_deployed(fixture: Fixture, project: Project) -> None:
    assert project.deploy(project.judge("run", fixture).adapter) == (5, [])


def test_what_was_held_since_is_not_deployed(project: Project) -> None:
    run = project.judge("run", Fixture())
    project.judge("again", HELD)
    assert project.deploy(run.adapter) == (5, [])


def test_an_expired_verdict_is_not_deployed(project: Project) -> None:
    run = project.judge("run", Fixture(), now=datetime.now(UTC) - timedelta(days=30, minutes=1))
    assert project.deploy(run.adapter) == (5, [])


def test_an_edited_adapter_is_not_deployed(project: Project) -> None:
    run = project.judge("run", Fixture())
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weightz")
    assert project.deploy(run.adapter) == (5, [])


def test_another_suites_verdict_is_not_deployed(project: Project) -> None:
    run = project.judge("run", Fixture(suite_text=SUITE.replace("bar: 99.5%", "bar: 50%")))
    assert project.deploy(run.adapter) == (5, [])


def test_only_what_was_held_to_the_lock_is_deployed_where_there_is_one(project: Project) -> None:
    path = project.root / "suites" / "fixture" / "suite.lock"
    time, files = "2026-01-01T00:00:00+00:00", {"digest": "d" * 64, "test.jsonl": "t" * 64}
    lock = write_lock(path, SuiteLock(suite="fixture", tool_version="0", locked=time, files=files, bars={}))
    assert project.deploy(project.judge("unlocked", Fixture()).adapter) == (5, [])
    assert project.deploy(project.judge("other", Fixture(), lock="d" * 64).adapter) == (5, [])
    run = project.judge("run", Fixture(), lock=lock.digest)
    assert project.deploy(run.adapter) == (0, ["reports/fixture/run/adapter"])
    for damaged in ("", "{}", '{"digest": 1}'):
        path.write_text(damaged)
        code, deployed = project.deploy(run.adapter)
        assert code != 0 and deployed == []


def test_nothing_is_deployed_without_a_suite_a_signature_or_a_history(project: Project) -> None:
    unsigned = project.judge("unsigned", Fixture(), signed=False)
    assert project.deploy(unsigned.adapter) == (5, [])
    stranger = CryptoSigner(Ed25519PrivateKey.generate())
    unsigned.judge(datetime.now(UTC), signer=stranger)
    assert project.deploy(unsigned.adapter) == (5, [])
    run = project.judge("run", Fixture())
    log = run.log.read_bytes()
    run.log.unlink()
    assert project.deploy(run.adapter) == (5, [])
    run.log.write_bytes(log)
    shutil.move(project.root / "suites", project.root / "moved")
    assert project.deploy(run.adapter)[1] == []
    shutil.move(project.root / "moved", project.root / "suites")
    assert project.deploy(run.adapter) == (0, ["reports/fixture/run/adapter"])
