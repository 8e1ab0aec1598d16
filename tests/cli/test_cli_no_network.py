"""No command of the light half asks for an address: sockets are forbidden to it, and to every process it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from evidence_factory import Fixture
from planted_suite import SUITE, write_planted

# Runs in every Python process that has its folder on PYTHONPATH, before anything else.
FORBID = """
import sys

def refuse(event, arguments):
    asks = event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
                     "socket.sendto", "socket.sendmsg", "socket.bind", "urllib.Request", "http.client.connect")
    if asks:
        with open(PLACE, "a") as stream:
            stream.write(f"{event} {arguments[1:]!r}\\n")
        raise OSError("the network is forbidden here")

sys.addaudithook(refuse)
"""
RUN = """
import json, sys
from harness.cli.main import main
codes = []
for arguments in json.loads(sys.argv[1]):
    try:
        codes.append(main(arguments, standalone_mode=False) or 0)
    except SystemExit as done:
        codes.append(done.code)
    except Exception as error:
        codes.append(repr(error))
print("\\n" + json.dumps(codes), file=sys.__stdout__)
"""


def python(arguments: list[str], folder: Path) -> tuple[str, str]:
    """What Python prints, and what it or a process that it started asked the network for."""
    asked = folder / "asked"
    (folder / "forbid").mkdir(exist_ok=True)
    (folder / "forbid" / "sitecustomize.py").write_text(FORBID.replace("PLACE", repr(str(asked))))
    own = {"PYTHONPATH": str(folder / "forbid"), "HARNESS_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, asked.read_text() if asked.exists() else ""


def codes(commands: list[list[str]], folder: Path) -> tuple[list[object], str]:
    """What each command returns, and what any of them asked the network for."""
    printed, asked = python(["-c", RUN, json.dumps(commands)], folder)
    return json.loads(printed.splitlines()[-1]), asked


def test_the_prohibition_is_noticed_in_a_process_and_in_those_it_starts(tmp_path: Path) -> None:
    script = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError as e: print(e)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-P', '-c', {script!r}])"
    for place, code in (("own", script), ("child", child)):
        (tmp_path / place).mkdir()
        done, asked = python(["-c", code], tmp_path / place)
        assert done == "the network is forbidden here\n"
        assert asked.splitlines()[0].startswith("socket.getaddrinfo ")


def test_no_command_on_a_suite_or_a_run_asks_for_an_address(tmp_path: Path) -> None:
    suite = str(write_planted(tmp_path / "project" / "suites" / "planted", model=True))
    (tmp_path / "project" / "baselines").mkdir()
    run = str(Fixture(n_test=60, n_probe=40, questions=40).write(tmp_path / "project" / "reports" / "fixture" / "one"))
    out = str(tmp_path / "out")
    found, asked = codes(
        [
            ["validate", suite],
            ["lint", suite],
            ["plan", suite],
            ["advise", suite],
            ["lock", suite],
            ["show-data", suite],
            ["history", suite],
            ["baselines"],
            ["cache"],
            ["init", str(tmp_path / "mine")],
            ["gate", run],
            ["report", run],
            ["show", run, "test-0"],
            ["explain", run, "better_than/exact_match/bare"],
            ["export", run, "--output", f"{out}.csv"],
            ["compare", run, run, "--scorer", "exact_match"],
            ["review", "export", run, "--output", f"{out}.html"],
            ["card", run, "--output", f"{out}.md"],
            ["selftest", run, "--replicates", "100"],
            ["verify", f"{run}/adapter", "--suite-digest", "0" * 64],
        ],
        tmp_path,
    )
    assert asked == ""
    assert [code for code in found if code not in (0, 2, 3, 4, 5)] == []
    assert found[:3] == [0, 0, 0] and found[10] in (3, 4) and found[11] == 0


REFERENCES = {
    "an address": '{"$ref": "http://127.0.0.1:9/schema.json"}',
    "a file": '{"$ref": "file:///etc/hostname"}',
    "an address inside": '{"type": "object", "properties": {"a": {"$ref": "https://example.com/s"}}}',
    "a dynamic address": '{"$dynamicRef": "https://example.com/s"}',
    "the meta-schema": '{"$ref": "https://json-schema.org/draft/2020-12/schema"}',
    "an address by its identifier": '{"$id": "http://127.0.0.1:9/", "$ref": "other.json"}',
}
VALID = "  - {kind: valid_output, on: test, bar: 90%}\n"


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_schema_that_refers_elsewhere_is_refused_and_fetches_nothing(kind: str, tmp_path: Path) -> None:
    text = SUITE.replace("test: test.jsonl", "test: test.jsonl, schema: schema.json") + VALID
    folder = write_planted(tmp_path / "suites" / "planted", suite=text)
    (folder / "schema.json").write_text(REFERENCES[kind])
    found, asked = codes([["validate", str(folder)], ["plan", str(folder)], ["lint", str(folder)]], tmp_path)
    assert (found, asked) == ([2, 2, 2], "")
