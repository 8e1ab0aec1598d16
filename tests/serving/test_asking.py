"""How a server is asked for the candidate: which prompts can be compared, and with what."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from faulty_server import FaultyServer, Request, answers, hangs, response

from harness.progress import SilentProgress
from harness.records import Message, Prediction
from harness.serving import ask_candidate, counted_prompts, served_candidate
from harness.suite.load import parse_suite
from harness.suite.systems import Connection
from harness.systems.server import Rendered

SUITE = Path(__file__).parents[2] / "suites" / "ticket-triage" / "suite.yaml"
PATIENT = 5.0  # seconds; none of them passes unless a test fails
ASKED = {key: (Message(role="user", content=f"question {key}"),) for key in "abc"}


class Said(SilentProgress):
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def showing(connection: socket.socket, request: Request, server: FaultyServer) -> None:
    """A server that shows the text of a prompt, as llama.cpp does."""
    if request.line.split(" ")[1] == "/apply-template":
        connection.sendall(response(json.dumps({"prompt": request.question})))
    else:
        answers(connection, request, server)


def render(conversations: Sequence[Sequence[Message]]) -> list[Rendered]:
    """Three tokens each."""
    return [Rendered(turns[-1].content, (1, 2, 3)) for turns in conversations]


def judged(key: str, **changes: object) -> Prediction:
    row = Prediction(
        example_id=key,
        system="candidate",
        dataset="test",
        text="x",
        stop="end",
        prompt_tokens=3,
        output_tokens=1,
        seconds=0.0,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def compared(predictions: list[Prediction]) -> tuple[list[bool | None], list[str]]:
    """Whether each prompt was found to be the judged one, and what was said."""
    suite, said = parse_suite(SUITE.read_text(encoding="utf-8"), SUITE, {}, files=False).suite, Said()
    with FaultyServer(showing) as server:
        found = ask_candidate(
            served_candidate("check", Connection(base_url=server.base_url, model="m"), suite, loads=None),
            ASKED,
            counted_prompts(predictions, "candidate"),
            render=render,
            loads=None,
            progress=said,
        )
    return [answer.prompt_as_judged for answer in found], said.lines


def test_prompts_are_compared_when_the_tokenizer_is_the_judged_one() -> None:
    assert compared([judged(key) for key in ASKED]) == ([True] * 3, [])


def test_prompts_are_compared_when_a_judged_answer_failed() -> None:
    """The rows of a shard that was given up count no tokens."""
    failed = judged("b", error="given up", prompt_tokens=0, stop="error")
    assert compared([judged("a"), failed, judged("c")]) == ([True] * 3, [])


def test_prompts_are_not_compared_when_the_tokenizer_is_another() -> None:
    shown, said = compared([judged("a"), judged("b", prompt_tokens=4), judged("c")])
    assert shown == [None] * 3 and "the tokenizer here is not the judged one" in said[0]


def test_waiting_for_a_rendering_ends_when_the_answers_are_no_longer_wanted() -> None:
    suite, shown = parse_suite(SUITE.read_text(encoding="utf-8"), SUITE, {}, files=False).suite, Event()

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        if request.line.split(" ")[1] == "/v1/chat/completions":
            answers(connection, request, server)
        else:
            shown.set()
            hangs(connection, request, server)

    with FaultyServer(behave) as server:
        slow = Connection(base_url=server.base_url, model="m", timeout_seconds=2 * PATIENT)
        candidate = served_candidate("check", slow, suite, loads=None)
        given_up = candidate.answer(ASKED, {"b": Rendered("question b", (1, 2, 3))})
        assert next(given_up).text == "answer to question a" and shown.wait(PATIENT)
        started = time.monotonic()
        given_up.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < PATIENT
