"""verdict.json is an in-toto Statement with a SLSA verification summary, in bytes that can be signed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from evidence_factory import SUITE, Fixture
from forging import NOW, SUITE_DIGEST, Shipped, encode, reseal, ship
from stored_verdict import OWN, own_part, statement_of

from harness.errors import BrokenRunError, EvidenceRefusedError
from harness.findings import CheckResult
from harness.gate.requirements import planned_checks
from harness.judge import build_record, judge_run
from harness.sealing import seal_run
from harness.store.runs import read_run
from harness.suite.load import parse_suite
from harness.trust.verdicts import SealedVerdict, parse_verdict, timestamp, verdict_bytes


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A run that shipped; nothing here changes it."""
    return ship(tmp_path_factory.mktemp("project"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_statement_has_the_fields_of_in_toto_and_slsa(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    predicate = statement["predicate"]
    assert predicate["verifier"]["id"] == "pkg:pypi/lora-harness"
    assert predicate["timeVerified"] == "2026-03-01T12:30:00Z"
    assert predicate["policy"]["digest"] == {"sha256": hashlib.sha256(SUITE.encode()).hexdigest()}
    assert (predicate["verificationResult"], predicate["slsaVersion"]) == ("PASSED", "1.0")
    assert not any(level.startswith("SLSA_") for level in predicate["verifiedLevels"])
    # A producer may add fields whose names are URIs, and its URIs are absolute.
    absolute = re.compile(r"[a-z]+:\S+")
    own = set(predicate) - {
        "verifier", "timeVerified", "resourceUri", "policy", "inputAttestations", "verificationResult",
        "verifiedLevels", "slsaVersion",
    }  # fmt: skip
    assert own == {OWN}
    assert all(absolute.fullmatch(uri) for uri in (OWN, predicate["resourceUri"], predicate["policy"]["uri"]))


def test_every_file_is_named_by_its_digest(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    subject = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
    assert subject == {path.name: sha256(path) for path in shipped.adapter.iterdir()}
    inputs = {item["uri"]: item["digest"]["sha256"] for item in statement["predicate"]["inputAttestations"]}
    assert {"manifest.json", "predictions.jsonl", "suite.yaml", "schema.json"} <= set(inputs)
    assert inputs == {name: sha256(shipped.folder / name) for name in inputs}
    manifest = json.loads((shipped.folder / "manifest.json").read_text())
    assert own_part(shipped.folder)["digests"] == manifest["digests"]


def test_what_was_planned_is_counted_beside_what_was_done(shipped: Shipped) -> None:
    own = own_part(shipped.folder)
    assert own["arms"] == {
        arm: {"planned": count, "answered": count, "errors": 0}
        for arm, count in (("candidate/test", 200), ("bare/test", 200), ("candidate/probe", 1000))
    }
    assert own["planned_checks"] == {
        "better_than": 1, "valid_output": 1, "benchmark_drop": 1, "healthy_training": 1, "adapter_is_live": 1,
    }  # fmt: skip
    assert (own["status"], own["sequence"], own["expires"]) == ("complete", 2, "2026-03-31T12:30:00Z")


def test_the_bytes_are_canonical_json(shipped: Shipped) -> None:
    content = shipped.verdict.read_bytes()
    assert content == encode(json.loads(content))
    assert verdict_bytes(parse_verdict(content, "it")) == content


def test_whole_numbers_in_fields_of_floats_are_read_back_as_they_were_written(shipped: Shipped) -> None:
    verdict = parse_verdict(shipped.verdict.read_bytes(), "it")
    whole = CheckResult(name="c", kind="k", status="pass", blocking=True, reason="é \u2028", observed=1, limit=0)
    content = verdict_bytes(replace(verdict, checks=(*verdict.checks, whole)))
    assert parse_verdict(content, "it").checks[-1] == whole


def test_a_held_run_has_failed(tmp_path: Path) -> None:
    run = Shipped(Fixture(candidate_right=lambda i: False).write(tmp_path / "run"), tmp_path / "baselines")
    run.judge()
    predicate = statement_of(run.folder)["predicate"]
    assert (predicate["verificationResult"], predicate["verifiedLevels"]) == ("FAILED", ["FAILED"])
    assert own_part(run.folder)["exit_code"] == 3


def test_the_verdict_of_another_version_is_refused(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    statement["predicate"][OWN]["format_version"] = 1
    with pytest.raises(EvidenceRefusedError, match="format '1', this version reads 2"):
        parse_verdict(encode(statement), "it")


def test_what_is_wrong_is_told_to_the_letter_when_it_is_no_verdict(shipped: Shipped) -> None:
    whole, statement = shipped.verdict.read_bytes(), statement_of(shipped.folder)
    earlier, changed = statement_of(shipped.folder), statement_of(shipped.folder)
    earlier["predicate"][OWN]["format_version"] = "v" * 30
    changed["predicate"][OWN]["sentence"] = "other words"
    statement["more"] = 1
    for content, why in (
        (b"\xff", "no verdict that can be read: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b"[", "no verdict that can be read: "),
        (b"[]", "not a verdict of this harness, or of an earlier form; run the suite again"),
        (b'{"predicate": {}}', "not a verdict of this harness, or of an earlier form; run the suite again"),
        (encode(earlier), f"format {'v' * 20!r}, this version reads 2"),
        (encode(changed), "changed since it was written (its own digest does not match)"),
        (reseal(statement), "not in the form that this version writes; changed since, or by another program"),
        (whole + b"\n", "not in the form that this version writes; changed since, or by another program"),
    ):
        with pytest.raises(EvidenceRefusedError) as caught:
            parse_verdict(content, "it")
        assert str(caught.value).startswith(f"it: {why}"), content[:40]


@pytest.mark.parametrize("what", ["a status", "a time", "a subject"])
def test_what_a_verdict_lacks_is_named_when_it_is_whole_otherwise(what: str, shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    if what == "a status":
        statement["predicate"][OWN]["checks"][0]["status"] = "perhaps"
        why = "checks.0.status: Input should be 'pass', 'fail'"
    elif what == "a time":
        del statement["predicate"]["timeVerified"]
        why = "KeyError('timeVerified')"
    else:
        statement["subject"] = ["adapter_model.safetensors"]
        why = "string indices must be integers"
    with pytest.raises(EvidenceRefusedError) as caught:
        parse_verdict(reseal(statement), "it")
    assert str(caught.value).startswith(f"it: incomplete: {why}")


SUITES = {
    "every baseline": (
        "  - {kind: better_than}",
        {"better_than": 2, "adapter_is_live": 1},
        {"better_than": 1, "adapter_is_live": 1},
    ),
    "any baseline": (
        "  - {kind: better_than, baselines: [bare]}\n  - {kind: better_than, require: any, name: any}",
        {"better_than": 4, "adapter_is_live": 1},
        {"better_than": 3, "adapter_is_live": 1},
    ),
    "one by name": (
        "  - {kind: better_than, baselines: [bare, previous]}\n  - {kind: healthy_training}",
        {"better_than": 2, "healthy_training": 1, "adapter_is_live": 1},
        {"better_than": 2, "healthy_training": 1, "adapter_is_live": 1},
    ),
    "one slice of two": (
        "  - {kind: better_than}\n  - {kind: better_than, tag: odd}",
        {"better_than": 4, "adapter_is_live": 1},
        {"better_than": 2, "adapter_is_live": 1},
    ),
}


@pytest.mark.parametrize("name", SUITES)
def test_the_checks_are_counted_from_the_suite(name: str, tmp_path: Path) -> None:
    checks, all_there, without_previous = SUITES[name]
    text = SUITE.split("checks:")[0].replace("benchmarks:", "  previous: {kind: adapter, from: promoted}\nbenchmarks:")
    suite = parse_suite(f"{text}checks:\n{checks}\n", tmp_path / "suite.yaml", {}, files=False).suite
    assert planned_checks(suite, {}) == all_there
    assert planned_checks(suite, {"previous"}) == without_previous


def test_a_check_that_was_never_made_breaks_the_judgement(tmp_path: Path) -> None:
    run = read_run(Fixture(n_probe=5, questions=8).write(tmp_path / "run"))
    loaded = parse_suite(run.suite_text, run.folder / "suite.yaml", {}, files=False)
    record = build_record(run, loaded, NOW)
    checks = tuple(check for check in record.verdict.checks if check.kind != "valid_output")
    short = replace(record, verdict=replace(record.verdict, checks=checks))
    with pytest.raises(BrokenRunError, match="0 checks of kind valid_output were made, and the suite asks for 1"):
        seal_run(run, loaded.suite, short, NOW, log=None, signer=None)
    assert not (run.folder / "verdict.json").exists()


def test_the_time_is_utc_wherever_the_clock_stands(tmp_path: Path) -> None:
    from datetime import timezone

    folder = Fixture(n_probe=5, questions=8).write(tmp_path / "run")
    judge_run(folder, lambda: NOW.astimezone(timezone(timedelta(hours=9))))
    verdict: SealedVerdict = parse_verdict((folder / "verdict.json").read_bytes(), "it")
    assert (verdict.judged, verdict.sequence, verdict.suite_digest) == ("2026-03-01T12:30:00Z", 0, SUITE_DIGEST)


def test_a_time_is_written_in_utc_when_the_machine_is_set_to_another_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert timestamp(NOW) == "2026-03-01T12:30:00Z"
    time.tzset()
