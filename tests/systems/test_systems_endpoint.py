"""An arm behind a server: equal rules, bounded patience, and no fault that reads as an answer or leaks the key."""

from __future__ import annotations

import json
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faulty_server import (
    FAULTS,
    GOOD,
    Behaviour,
    FaultyServer,
    Request,
    answers,
    closes,
    completion,
    first,
    hangs,
    response,
    sends,
    sends_completion,
    sends_raw,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.chat import with_system
from harness.errors import InvalidInputError
from harness.limits import REPLY_BYTES
from harness.records import Example, Message, Prediction, Unscored
from harness.scoring.apply import score_answer
from harness.suite.load import parse_suite
from harness.suite.schema import Decoding
from harness.suite.systems import EndpointSystem
from harness.systems import http_chat
from harness.systems.endpoint import RemoteSystem, Retries, remote_system
from harness.systems.http_chat import POLL_SECONDS, ChatFault, ChatServer, read_key, read_reply
from harness.systems.requests import asked_seconds

KEY = "sk-test-0123456789abcdef"
PATIENT = 30.0  # seconds that no test comes near
NOW = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)


def examples(count: int) -> list[Example]:
    return [
        Example(id=f"row {n}", messages=(Message(role="user", content=f"question {n}"),), target="fine")
        for n in range(count)
    ]


def remote(
    base_url: str, *, decoding: Decoding | None = None, timeout: float = PATIENT, **changes: Any
) -> RemoteSystem:
    """A system with two quick repetitions, asked under the system message "Be brief."."""
    system = RemoteSystem(
        name="strong",
        role="baseline",
        model="some/model",
        server=ChatServer(base_url=base_url, timeout_seconds=timeout, key=KEY),
        decoding=decoding or Decoding(),
        build_prompt=lambda example: with_system(example.messages, "Be brief."),
        prompt_digest="0123456789abcdef",
        seed=7,
        concurrency=4,
        retries=Retries(times=2, first_seconds=0.001, most_seconds=0.01),
        clock=lambda: NOW,
    )
    return replace(system, **changes)


def answered_by(behave: Behaviour, count: int = 2, **changes: Any) -> tuple[list[Prediction], list[Request]]:
    """All answers of one system to the test examples, and the requests that they took."""
    with FaultyServer(behave) as server:
        found = list(remote(server.base_url, **changes).answer(examples(count), "test"))
    return found, server.requests


# --- a server without faults -----------------------------------------------------------------------------------------


def test_answers_come_with_their_tokens_and_seconds_when_the_server_is_well() -> None:
    found, _ = answered_by(answers, 5)
    assert [(row.example_id, row.text) for row in found] == [(f"row {n}", f"answer to question {n}") for n in range(5)]
    for row in found:
        assert (row.system, row.dataset, row.stop, row.error, row.sample) == ("strong", "test", "end", None, 0)
        assert (row.prompt_tokens, row.output_tokens) == (7, 3)
        assert 0 < row.seconds < PATIENT


def test_the_request_says_what_the_local_arms_are_told_when_greedy() -> None:
    _, requests = answered_by(answers, 1, decoding=Decoding(max_new_tokens=5, stop=["\n"]))
    assert requests[0].line == "POST /v1/chat/completions HTTP/1.1"
    assert requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert requests[0].headers["accept-encoding"] == "identity"
    assert requests[0].body == {
        "model": "some/model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "question 0"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "stop": ["\n"],
    }


def test_no_key_is_sent_when_none_is_declared() -> None:
    with FaultyServer(answers) as server:
        open_server = ChatServer(base_url=server.base_url, timeout_seconds=PATIENT)
        list(remote(server.base_url, server=open_server).answer(examples(1), "test"))
    assert "authorization" not in server.requests[0].headers


def test_each_draw_has_a_seed_of_its_own_when_answers_are_sampled() -> None:
    drawn = Decoding(temperature=0.7, samples=3)
    found, requests = answered_by(answers, 2, decoding=drawn)
    assert [(row.example_id, row.sample) for row in found] == [(f"row {n}", draw) for n in (0, 1) for draw in range(3)]
    asked = {(request.question, request.body["seed"], request.body["temperature"]) for request in requests}
    assert asked == {(f"question {n}", seed, 0.7) for n in (0, 1) for seed in (7, 8, 9)}


@pytest.mark.parametrize("seed", [-1, 2**31 - 1, 10**30])
def test_the_seed_fits_31_bits_when_the_suites_does_not(seed: int) -> None:
    system = remote("http://127.0.0.1:1/v1", decoding=Decoding(temperature=1.0), seed=seed)
    assert all(0 <= system.question(examples(1)[0], sample)["seed"] < 2**31 for sample in range(3))


def test_a_probe_is_answered_once_when_test_examples_are_sampled() -> None:
    with FaultyServer(answers) as server:
        system = remote(server.base_url, decoding=Decoding(temperature=0.7, samples=3))
        assert len(list(system.answer(examples(2), "probe"))) == 2
        assert system.plan(examples(2), "probe") == (0, 2, 0)
        assert system.plan(examples(2), "test") == (0, 6, 0)
    assert len(server.requests) == 2


def test_the_length_limit_is_told_from_the_end_when_the_server_says_so() -> None:
    for used in (5, 6, None):
        usage = {} if used is None else {"completion_tokens": used}
        cut = sends_completion("fi", finish_reason="length", usage=usage)
        found, _ = answered_by(cut, 1, decoding=Decoding(max_new_tokens=5))
        assert (found[0].text, found[0].stop, found[0].error) == ("fi", "length", None)


def test_an_answer_that_the_server_cut_before_the_limit_is_missing() -> None:
    (found,), _ = answered_by(sends_completion("fi", finish_reason="length"), 1, decoding=Decoding(max_new_tokens=4))
    assert (found.text, found.stop, found.output_tokens) == ("", "error", 0)
    assert found.error is not None and found.error.endswith(
        ": the server cut the answer at 3 of 4 tokens that were allowed; raise its limit, or lower "
        "decoding.max_new_tokens"
    )


def test_an_empty_answer_is_an_answer_when_the_server_gives_one() -> None:
    found, _ = answered_by(sends_completion(""), 1)
    assert (found[0].text, found[0].stop, found[0].error) == ("", "end", None)


def test_text_arrives_whole_when_it_is_not_ascii() -> None:
    text = "Größe\u2028\u0000 \U0001f600 </script>"
    found, _ = answered_by(sends_completion(text), 1)
    assert found[0].text == text


def test_a_chunked_response_is_read_when_the_server_streams_its_bytes() -> None:
    chunks = b"".join(f"{len(part):x}\r\n{part}\r\n".encode() for part in (GOOD[:9], GOOD[9:]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    found, _ = answered_by(sends_raw(head + chunks + b"0\r\n\r\n"), 1)
    assert (found[0].text, found[0].error) == ("fine", None)


def test_the_order_is_that_of_the_examples_when_the_first_answer_comes_last() -> None:
    others = threading.Barrier(4)

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        others.wait(PATIENT)
        if request.question == "question 0":
            time.sleep(0.05)
        answers(connection, request, server)

    found, _ = answered_by(behave, 4)
    assert [row.text for row in found] == [f"answer to question {n}" for n in range(4)]


def test_as_many_requests_are_under_way_as_declared_when_there_are_more_rows() -> None:
    three = threading.Barrier(3)

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        three.wait(PATIENT)  # breaks, and closes without an answer, unless three wait together
        answers(connection, request, server)

    with FaultyServer(behave) as server:
        found = list(remote(server.base_url, concurrency=3).answer(examples(12), "test"))
    assert server.most_at_once == 3
    assert all(row.error is None for row in found)


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_failed_row_and_repeated_only_if_it_may_pass_when_it_lasts(name: str) -> None:
    fault = FAULTS[name]
    found, requests = answered_by(fault.behave, timeout=0.3 if fault.slow else PATIENT)
    assert [row.example_id for row in found] == ["row 0", "row 1"]
    for row, example in zip(found, examples(2), strict=True):
        assert row.error is not None and row.error.isprintable()
        assert (row.text, row.stop, row.prompt_tokens, row.output_tokens) == ("", "error", 0, 0)
        assert isinstance(score_answer("exact_match", row, example, None), Unscored)
        assert row.error.endswith("; 3 requests") == fault.passing
        assert KEY not in repr(row)
    times = 3 if fault.passing else 1
    assert Counter(request.question for request in requests) == {"question 0": times, "question 1": times}


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.passing])
@pytest.mark.parametrize("times", [1, 2])
def test_the_answer_is_the_clean_one_when_a_fault_passes(name: str, times: int) -> None:
    fault = FAULTS[name]
    found, requests = answered_by(first(times, fault.behave), 1, timeout=0.5 if fault.slow else PATIENT)
    assert (found[0].text, found[0].stop, found[0].error) == ("answer to question 0", "end", None)
    assert len(requests) == times + 1


def test_nothing_is_repeated_when_no_retries_are_declared() -> None:
    found, requests = answered_by(closes, 1, retries=Retries(times=0))
    assert len(requests) == 1
    assert found[0].error is not None and "closed before a response" in found[0].error


@pytest.mark.parametrize("concurrency", [1, 4])
def test_answers_equal_a_clean_runs_when_only_every_third_call_works(concurrency: int) -> None:
    faults = [fault for fault in FAULTS.values() if fault.passing and not fault.slow]

    def flaky(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        chosen = faults[request.number % len(faults)].behave if request.nth % 3 else answers
        chosen(connection, request, server)

    clean, _ = answered_by(answers, 20)
    found, requests = answered_by(flaky, 20, concurrency=concurrency)
    assert [replace(row, seconds=0.0) for row in found] == [replace(row, seconds=0.0) for row in clean]
    assert len(requests) == 60


def test_other_rows_are_answered_when_one_fails() -> None:
    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        chosen = sends("", "400 Bad Request") if request.question == "question 1" else answers
        chosen(connection, request, server)

    found, _ = answered_by(behave, 3)
    assert [row.error is None for row in found] == [True, False, True]


def test_every_row_fails_when_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = list(remote(f"http://127.0.0.1:{port}/v1").answer(examples(2), "test"))
    assert all(
        row.error == f"http://127.0.0.1:{port}/v1/chat/completions: the connection failed "
        "(Connection refused); 3 requests"
        for row in found
    )


def test_little_more_than_the_limit_is_received_when_the_body_is_huge() -> None:
    with FaultyServer(FAULTS["huge body"].behave) as server:
        found = list(remote(server.base_url).answer(examples(1), "test"))
    assert found[0].error is not None and f"longer than {REPLY_BYTES:,} bytes" in found[0].error
    assert server.sent < 4 * REPLY_BYTES  # what both ends' buffers hold comes on top


def test_the_longest_response_is_read_when_it_is_just_within_the_limit() -> None:
    def whole(text: str) -> bytes:
        return response(json.dumps(completion(text)))

    text = "x" * (2 * REPLY_BYTES - len(whole("x" * REPLY_BYTES)))
    assert len(whole(text)) == REPLY_BYTES
    found, _ = answered_by(sends_raw(whole(text)), 1)
    assert found[0].text == text
    over, _ = answered_by(sends_raw(whole(text + "x")), 1)
    assert over[0].error is not None and "longer than" in over[0].error


def test_an_answer_is_taken_when_it_is_slow_but_in_time() -> None:
    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        time.sleep(2.5 * POLL_SECONDS)
        answers(connection, request, server)

    found, requests = answered_by(behave, 1)
    assert found[0].error is None and len(requests) == 1


def test_waiting_ends_when_the_answers_are_no_longer_wanted() -> None:
    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        (answers if request.question == "question 0" else hangs)(connection, request, server)

    with FaultyServer(behave) as server:
        given_up = remote(server.base_url, timeout=4 * PATIENT).answer(examples(6), "test")
        assert next(given_up).text == "answer to question 0"
        started = time.monotonic()
        given_up.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < PATIENT
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("endpoint")]
        assert server.left.wait(PATIENT)
    assert len(server.requests) <= 5  # the row that was queued last was never asked


def test_no_request_is_repeated_when_the_answers_are_no_longer_wanted() -> None:
    both = threading.Barrier(2)

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        if request.nth == 1:
            both.wait(PATIENT)  # so that the fault is there when the other row's answer is
        (answers if request.question == "question 0" else closes)(connection, request, server)

    with FaultyServer(behave) as server:
        patient = Retries(times=2, first_seconds=4 * PATIENT, most_seconds=4 * PATIENT)
        given_up = remote(server.base_url, retries=patient).answer(examples(2), "test")
        next(given_up)
        started = time.monotonic()
        given_up.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < PATIENT
    assert len(server.requests) == 2


def test_any_mutated_response_is_an_answer_or_a_failed_row_when_bytes_are_damaged() -> None:
    draw, good = random.Random(3), response(GOOD)

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        content = bytearray(good)
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(len(content))
            content[place : place + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        connection.sendall(content)

    found, _ = answered_by(behave, 300, retries=Retries(times=0))
    assert len(found) == 300
    assert any(row.error is None for row in found) and any(row.error for row in found)
    assert all((row.error is None) != (row.stop == "error") for row in found)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_refused_when_they_are_no_completion(body: bytes) -> None:
    with pytest.raises(ChatFault):
        read_reply(body)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "message", "content", "finish_reason", "role", "usage"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_refused_when_it_is_no_completion(value: Any) -> None:
    with pytest.raises(ChatFault):
        read_reply(json.dumps(value).encode("utf-8"))


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 01 Mar 2026 12:00:31 GMT", 30.1),
        ("Sunday, 01-Mar-26 12:00:31 GMT", 30.1),
        ("Sun Mar  1 12:00:31 2026", 30.1),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        (None, 0.0),
        ("", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("٣", 0.0),
        ("NaN", 0.0),
        ("Sun, 99 Mar 2026 12:00:31 GMT", 0.0),
        ("Sun, 01 Mar 99999999999999999999 12:00:31 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date_when_it_is_anything(header: str | None, seconds: float) -> None:
    assert asked_seconds(header, NOW) == pytest.approx(seconds, abs=1e-6)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_retry_after_asks_for_no_negative_wait_when_it_is_any_text(header: str) -> None:
    assert asked_seconds(header, NOW) >= 0


@settings(deadline=None)
@given(repeated=st.integers(0, 10), asked=st.floats(0, allow_nan=False), seed=st.integers())
def test_a_wait_stays_within_its_bounds_when_anything_is_asked(repeated: int, asked: float, seed: int) -> None:
    retries = Retries(times=10, first_seconds=0.5, most_seconds=60.0)
    seconds = retries.wait_seconds(repeated, asked, random.Random(seed))
    backoff = min(60.0, 0.5 * 2**repeated)
    assert max(min(asked, 60.0), backoff / 2) <= seconds <= max(min(asked, 60.0), backoff)


def test_waits_are_the_same_again_when_the_seed_is() -> None:
    retries = Retries(times=3)
    once, again, other = ([retries.wait_seconds(n, 0.0, draw) for n in range(3)] for draw in map(random.Random, "aab"))
    assert once == again != other


def test_the_next_request_comes_no_earlier_than_asked_when_a_date_is_given() -> None:
    date = (NOW + timedelta(seconds=0.1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    busy = sends("", "429 Too Many Requests", f"Retry-After: {date}")
    patient = Retries(times=1, first_seconds=0.001, most_seconds=60.0)
    found, requests = answered_by(first(1, busy), 1, retries=patient)
    assert found[0].error is None
    assert requests[1].second - requests[0].second >= 0.099


# --- the key and other hosts -----------------------------------------------------------------------------------------


def echoes(connection: socket.socket, request: Request, _server: FaultyServer) -> None:
    """Say the key wherever a server can say something; each example in another place."""
    said = request.headers["authorization"]
    twice = json.dumps({said: 1})[:-1] + f', "{said}": 2}}'
    bodies = {
        "question 0": response(json.dumps({"error": {"message": f"Incorrect API key: {said}"}}), f"401 {said}"),
        "question 1": response(twice),
        "question 2": response(f"not JSON but {said}"),
        "question 3": response(json.dumps(completion(f"You sent {said}"))),
        "question 4": response(json.dumps(completion("fine", finish_reason=said))),
        "question 5": response(GOOD, "302 Found", f"Location: http://127.0.0.1:1/{said}"),
        "question 6": f"{said}\r\n\r\n".encode(),
        "question 7": response(GOOD, kind=said),
        "question 8": response("", "429 Too Many Requests", f"Retry-After: {said}"),
        "question 9": response(json.dumps(completion("fine") | {"choices": {said: said}})),
    }
    connection.sendall(bodies[request.question])


def test_the_key_is_in_no_record_when_the_server_repeats_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0), FaultyServer(echoes) as server:
        system = remote(server.base_url)
        found = list(system.answer(examples(10), "test"))
    assert all(row.error for row in found)
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    for text in (repr(found), repr(system), system.signature(), system.note(), caplog.text):
        assert KEY not in text


def test_an_answer_may_hold_the_key_when_it_is_a_word_that_local_servers_take() -> None:
    with FaultyServer(sends_completion("EMPTY")) as server:
        local = ChatServer(base_url=server.base_url, timeout_seconds=PATIENT, key="EMPTY")
        found = list(remote(server.base_url, server=local).answer(examples(1), "test"))
    assert found[0].text == "EMPTY"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_other_host_is_asked_when_the_server_redirects(status: str) -> None:
    with FaultyServer(answers) as other:
        moved = sends(GOOD, status, f"Location: {other.base_url}/chat/completions")
        found, requests = answered_by(moved, 2)
    assert len(requests) == 2 and not other.requests
    assert all(row.error is not None and "redirects are not followed" in row.error for row in found)


def test_no_proxy_is_asked_when_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(answers) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        found, requests = answered_by(answers, 2)
    assert len(requests) == 2 and not proxy.requests
    assert all(row.error is None for row in found)


def test_the_key_is_not_sent_when_a_secure_address_answers_in_the_clear() -> None:
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def plain() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(response(GOOD))

        thread = threading.Thread(target=plain)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        found = list(remote(url, retries=Retries(times=0)).answer(examples(1), "test"))
        thread.join()
    assert found[0].error is not None and "connection failed" in found[0].error
    assert heard and b"Bearer" not in heard[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, in one file with its private key."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    made = subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"],
        capture_output=True,
        check=True,
    )
    file.write_bytes(made.stdout)
    return file


@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_is_believed_only_when_its_certificate_is_trusted(
    trusted: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http_chat._certificates.cache_clear()
    with FaultyServer(answers, tls) as server:
        found = list(remote(server.base_url).answer(examples(2), "test"))
    http_chat._certificates.cache_clear()
    if trusted:
        assert [row.text for row in found] == ["answer to question 0", "answer to question 1"]
    else:
        assert not server.requests
        assert all(row.error is not None and "certificate is not valid" in row.error for row in found)
        assert not any("requests" in str(row.error) for row in found)


# --- tokens, repetitions, identity -----------------------------------------------------------------------------------


USELESS = [
    None,
    [],
    "many",
    {},
    {"prompt_tokens": -7, "completion_tokens": -3},
    {"prompt_tokens": True, "completion_tokens": False},
    {"prompt_tokens": 7.0, "completion_tokens": 3.5},
    {"prompt_tokens": "7", "completion_tokens": "3"},
    {"prompt_tokens": 10**12, "completion_tokens": 10**300},
]


@pytest.mark.parametrize("usage", USELESS, ids=str)
def test_an_answer_has_no_tokens_when_the_usage_is_useless(usage: Any) -> None:
    with FaultyServer(sends_completion("fine", usage=usage)) as server:
        system = remote(server.base_url)
        found = list(system.answer(examples(2), "test"))
    assert [(row.text, row.error, row.prompt_tokens, row.output_tokens) for row in found] == [("fine", None, 0, 0)] * 2
    assert (system.note(), system.tally.answers, system.tally.uncounted) == ("", 2, 2)


@pytest.mark.parametrize("half", ["prompt_tokens", "completion_tokens"])
def test_the_usable_half_is_kept_when_the_usage_is_half_useless(half: str) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 5} | {half: -1}
    with FaultyServer(sends_completion("fine", usage=usage)) as server:
        system = remote(server.base_url)
        found = list(system.answer(examples(1), "test"))
    assert {found[0].prompt_tokens, found[0].output_tokens} == {0, 5}
    assert (system.note(), system.tally.answers, system.tally.uncounted) == ("", 1, 1)


def test_only_answers_are_counted_when_other_rows_failed() -> None:
    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        chosen = closes if request.question == "question 1" else sends_completion("fine", usage=None)
        chosen(connection, request, server)

    with FaultyServer(behave) as server:
        system = remote(server.base_url)
        list(system.answer(examples(3), "test"))
    assert (system.tally.answers, system.tally.uncounted) == (2, 2)
    assert system.note() == "requests repeated: 2"


def test_repetitions_are_noted_when_there_are_any() -> None:
    with FaultyServer(first(1, closes)) as server:
        system = remote(server.base_url)
        list(system.answer(examples(100), "test"))
    assert system.note() == "requests repeated: 100"


def test_there_is_nothing_to_note_when_all_is_well() -> None:
    with FaultyServer(answers) as server:
        system = remote(server.base_url)
        list(system.answer(examples(2), "test"))
    assert system.note() == ""


def test_the_signature_says_how_answers_come_about_when_asked() -> None:
    greedy = remote("https://api.example.com/v1/")
    drawn = Decoding(temperature=0.7, samples=3, stop=["\n"])
    assert greedy.signature() == (
        "endpoint:api.example.com/v1/chat/completions|model:some/model|prompt:0123456789ab|greedy|max_new_tokens:128"
    )
    assert (
        remote("https://api.example.com/v1", decoding=drawn)
        .signature()
        .startswith(
            "endpoint:api.example.com/v1/chat/completions|model:some/model|prompt:0123456789ab|"
            "temperature:0.7|samples:3|seed:7|stop:"
        )
    )


# --- what a suite declares -------------------------------------------------------------------------------------------


SPEC = EndpointSystem(
    kind="endpoint",
    base_url="https://api.example.com/v1",
    model="some/model",
    key_env="HARNESS_TEST_KEY",
    concurrency=3,
    timeout_seconds=9.0,
    retries=1,
)


def declared(spec: EndpointSystem) -> RemoteSystem:
    return remote_system(
        "strong", spec, decoding=Decoding(), build_prompt=lambda row: row.messages, prompt_digest="0" * 64, seed=7
    )


def test_a_declaration_becomes_a_system_when_its_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TEST_KEY", KEY)
    system = declared(SPEC)
    assert (system.name, system.kind, system.role, system.model) == ("strong", "endpoint", "baseline", "some/model")
    assert (system.concurrency, system.retries.times) == (3, 1)
    assert (system.server.key, system.server.timeout_seconds) == (KEY, 9.0)
    assert system.server.url == "https://api.example.com/v1/chat/completions"


def test_no_key_is_read_when_none_is_declared() -> None:
    assert declared(SPEC.model_copy(update={"key_env": None})).server.key is None


@pytest.mark.parametrize("held", [None, ""])
def test_a_missing_key_is_refused_when_the_system_is_built(held: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_TEST_KEY", raising=False)
    if held is not None:
        monkeypatch.setenv("HARNESS_TEST_KEY", held)
    with pytest.raises(InvalidInputError, match=r"systems\.strong\.key_env: .* HARNESS_TEST_KEY is not set"):
        declared(SPEC)


@pytest.mark.parametrize("held", [f"{KEY}\n", f"{KEY} ", f"{KEY}\r\nX: y", f"{KEY}é", "\x7f"])
def test_a_key_is_refused_without_being_shown_when_no_header_can_carry_it(
    held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TEST_KEY", held)
    with pytest.raises(InvalidInputError) as caught:
        read_key("strong", "HARNESS_TEST_KEY")
    assert KEY not in str(caught.value)


SUITE = """\
suite: small
seed: 1
model: smollm2-135m-instruct
data: {train: rows.jsonl, test: rows.jsonl}
train: {}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
  strong:
    kind: endpoint
    base_url: https://api.example.com/v1
    model: some/model
    key_env: STRONG_API_KEY
    system: prompts/strong.txt
    concurrency: 8
    timeout_seconds: 30
    retries: 5
    price_input: 0.15
    price_output: 0.6
checks:
  - {kind: better_than}
prices: {machine_hour: 2}
"""


def test_an_endpoint_may_be_declared_when_all_is_in_order() -> None:
    suite = parse_suite(SUITE, Path("suite.yaml"), {}, files=False).suite
    spec = suite.systems["strong"]
    assert isinstance(spec, EndpointSystem)
    assert (spec.timeout_seconds, spec.price_output, suite.baselines) == (30.0, 0.6, ("bare", "strong"))


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1:8000",
        "'http://[::1]:8000/v1/'",
        "https://host_name.internal:65535/a/b-c/v1beta/openai",
    ],
)
def test_an_address_is_taken_when_it_is_one(address: str) -> None:
    text = SUITE.replace("https://api.example.com/v1", address)
    assert parse_suite(text, Path("suite.yaml"), {}, files=False).suite.systems["strong"].kind == "endpoint"


def test_a_server_in_the_clear_is_taken_when_it_gets_no_key() -> None:
    text = SUITE.replace("https://api", "http://api").replace("    key_env: STRONG_API_KEY\n", "")
    assert parse_suite(text, Path("suite.yaml"), {}, files=False).suite.systems["strong"].kind == "endpoint"


BAD = [
    ("STRONG_API_KEY", KEY, "13:14 systems.strong.key_env: must be the name of an environment variable"),
    ("STRONG_API_KEY", "hf_abcdefGHIJKL", "13:14 systems.strong.key_env: must be the name"),
    ("https://api", "http://api", "11:15 systems.strong.base_url: must be https, since the key"),
    ("https://api", f"https://me:{KEY}@api", "11:15 systems.strong.base_url: must be an address"),
    (".com/v1", f".com/v1?key={KEY}", "11:15 systems.strong.base_url: must be an address"),
    (".com/v1", ".com/v1 /x", "11:15 systems.strong.base_url: must be an address"),
    (".com/v1", ".com:0/v1", "11:15 systems.strong.base_url: must be an address"),
    (".com/v1", ".com:65536/v1", "11:15 systems.strong.base_url: must be an address"),
    ("https://api.example", "https://api..example", "11:15 systems.strong.base_url: must be an address"),
    ("https://api", "ftp://api", "11:15 systems.strong.base_url: must be an address"),
    ("https://api.example.com/v1", "file:///etc/passwd", "11:15 systems.strong.base_url: must be an address"),
    ("    price_output: 0.6\n", "", "10:5 systems.strong: a cost needs both prices"),
    ("some/model", "'some|model'", "12:12 systems.strong.model: string should match pattern"),
    ("some/model", '"some\\nmodel"', "12:12 systems.strong.model: string should match pattern"),
    ("concurrency: 8", "concurrency: 0", "15:18 systems.strong.concurrency: must be greater than or equal to 1"),
    ("timeout_seconds: 30", "timeout_seconds: 0", "16:22 systems.strong.timeout_seconds: must be greater than 0"),
    ("retries: 5", "retries: 11", "17:14 systems.strong.retries: must be less than or equal to 10"),
    ("kind: endpoint", "kind: endpoint\n    role: candidate", "11:11 systems.strong.role: must be 'baseline'"),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD, ids=[row[1] or "one price" for row in BAD])
def test_a_declaration_is_refused_with_its_place_when_it_is_wrong(old: str, new: str, expected: str) -> None:
    assert old in SUITE
    with pytest.raises(InvalidInputError) as caught:
        parse_suite(SUITE.replace(old, new, 1), Path("suite.yaml"), {}, files=False)
    assert any(line.startswith(f"suite.yaml:{expected}") for line in str(caught.value).splitlines()), caught.value
    assert KEY not in str(caught.value)


def test_no_model_library_is_loaded_when_only_endpoints_answer() -> None:
    code = "import sys, harness.systems.endpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
