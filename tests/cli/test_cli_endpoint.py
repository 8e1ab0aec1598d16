"""A suite with an arm behind a server, from the suite file to the verdict."""

from __future__ import annotations

import base64
import json
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_model import write_tiny_suite

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from faulty_server import FaultyServer, Request, completion, first, response, sends_completion

from harness.cli.main import main

SYSTEMS = (
    "systems:\n"
    "  candidate: {{kind: adapter, role: candidate, system: plain.txt}}\n"
    "  bare: {{kind: prompt, role: baseline, system: plain.txt}}\n"
    "  hosted: {{kind: endpoint, base_url: {url}, model: big/model, retries: 0{more}}}"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def run(folder: Path, url: str, *, more: str = "") -> Result:
    suite = write_tiny_suite(folder / "suites" / "tiny", systems=SYSTEMS.format(url=url, more=more))
    return CliRunner().invoke(main, ["run", str(suite), "--json"])


def answers_of(result: Result, system: str) -> list[dict[str, object]]:
    folder = Path(json.loads(result.stdout.splitlines()[-1])["run"])
    rows = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
    return [row for row in rows if row["system"] == system]


def test_an_arm_behind_a_server_is_compared_like_any_other(tmp_path: Path) -> None:
    with FaultyServer(sends_completion("red")) as server:
        result = run(tmp_path, server.base_url)
        assert result.exit_code == 3, result.output + str(result.exception)
        # Half of the labels are red, which no untrained model says.
        checks = {c["name"]: c for c in json.loads(result.stdout.splitlines()[-1])["checks"]}
        assert "-50.0 points" in checks["better_than/exact_match/hosted"]["reason"]
        assert [row["text"] for row in answers_of(result, "hosted")] == ["red"] * 12
        asked = [request.body["messages"] for request in server.requests]
        assert {len(messages) for messages in asked} == {2} and asked[0][0]["content"] == "Which colour?"


def test_answers_that_a_server_did_not_give_never_help_the_candidate(tmp_path: Path) -> None:
    with FaultyServer(first(10**6, lambda connection, *_: connection.close())) as server:
        result = run(tmp_path, server.base_url)
    assert result.exit_code in {3, 4}, result.output
    checks = {c["name"]: c for c in json.loads(result.stdout.splitlines()[-1])["checks"]}
    assert checks["better_than/exact_match/hosted"]["status"] == "undecided"
    assert all(row["error"] and not row["text"] for row in answers_of(result, "hosted"))


def test_a_missing_key_is_said_before_anything_is_spent(tmp_path: Path) -> None:
    result = run(tmp_path, "https://127.0.0.1:9/v1", more=", key_env: NO_SUCH_KEY")
    assert result.exit_code == 2 and "NO_SUCH_KEY" in result.output
    assert not (tmp_path / "reports").exists()


def test_an_arm_behind_a_server_is_asked_anew_when_nothing_changed(tmp_path: Path) -> None:
    with FaultyServer(sends_completion("red")) as server:
        first_run = run(tmp_path, server.base_url)
        before = len(server.requests)
        suite = tmp_path / "suites" / "tiny"
        again = CliRunner().invoke(main, ["run", str(suite), "--json"])
        assert len(server.requests) == 2 * before
    folders = {json.loads(result.stdout.splitlines()[-1])["run"] for result in (first_run, again)}
    assert len(folders) == 2


CANARY = "sk-canary-1b9f0c7de5a24c38"


def says_the_key(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    """Repeat the key in whatever a server can say: its status, a header, an error, an answer."""
    said = request.headers["authorization"]
    responses = [
        response(json.dumps({"error": {"message": f"wrong key {said}"}}), f"401 {said}"),
        response(json.dumps(completion(f"You sent {said}"))),
        response(json.dumps(completion("red")), "302 Found", f"Location: http://127.0.0.1:1/{said}"),
        response(f"not JSON but {said}", kind=said),
        response(json.dumps(completion("red", finish_reason=said))),
        response(json.dumps(completion("red"))),
    ]
    connection.sendall(responses[request.number % len(responses)])


def test_the_key_is_in_no_file_and_in_nothing_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", CANARY)
    with FaultyServer(says_the_key) as server:
        result = run(tmp_path, server.base_url, more=", key_env: CANARY_KEY")
        assert result.exit_code in {3, 4}, result.output + str(result.exception)
        assert server.requests and all(CANARY in request.headers["authorization"] for request in server.requests)
    answered = [row["text"] for row in answers_of(result, "hosted") if row["error"] is None]
    assert set(answered) == {"red"}
    folder = Path(json.loads(result.stdout.splitlines()[-1])["run"])
    printed = [result.output]
    for command in (["gate", str(folder)], ["report", str(folder)], ["show", str(folder), "--json", "all"]):
        printed.append(CliRunner().invoke(main, command).output)
    forms = (CANARY, CANARY[3:], base64.b64encode(CANARY.encode()).decode()[:20], CANARY.encode().hex())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"answers.sqlite", "report.html", "manifest.json", "predictions.jsonl"} <= {path.name for path in files}
    for form in forms:
        assert [path.name for path in files if form.encode() in path.read_bytes()] == []
        assert not [text for text in printed if form in text]
