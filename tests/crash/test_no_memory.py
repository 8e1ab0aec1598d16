"""Out of memory at any point of a judgement: no verdict that was not finished, one message, and never exit code 0."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import ACCEPT, make_project, run_of, state_of, verifies, while_judging

STATUS = Path("/proc/self/status")
POINTS = 12
# Everything that the command imports is there before the limit is set, so that it is met while the command works.
JUDGE = """
import re, resource, sys
import harness.judge, harness.report.html, harness.report.junit, harness.report.markdown
from harness.cli.main import main

def memory(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

room, now = int(sys.argv.pop(1)), memory("VmSize")
resource.setrlimit(resource.RLIMIT_AS, (now + room,) * 2)
try:
    main()
finally:
    print("took", memory("VmPeak") - now, file=sys.stderr)
"""

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="this system does not tell how much memory a process has")


def judge(project: Path, room: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(room), "gate", str(run_of(project)), "--json", *ACCEPT],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_judgement_without_memory_leaves_what_was_or_is_whole(tmp_path: Path) -> None:
    make_project(tmp_path / "whole")
    code, said = judge(tmp_path / "whole", 8 << 30)
    assert code == 0, said
    needed = int(re.findall(r"took (\d+)", said)[0])
    after = state_of(tmp_path / "whole")
    codes = []
    for point in range(POINTS):
        project = tmp_path / str(point)
        make_project(project)
        before = state_of(project)
        code, said = judge(project, needed * point // POINTS)
        codes.append(code)
        now = state_of(project)
        assert now in (before, after) or while_judging(now, before, after), (point, now)
        if code != 0:
            assert code == 1 and "error: " in said, (point, code, said)
            assert not verifies(run_of(project) / "adapter", run_of(project) / "verdict.json", None) or now == after
    assert codes.count(1) >= POINTS // 2, codes  # that met their limit
