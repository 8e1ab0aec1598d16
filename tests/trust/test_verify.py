"""`harness verify` says yes only to a fresh ship verdict for exactly these files, and says what it did not look at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from forging import NOW, OTHER_SIGNER, SIGNER, SUITE_DIGEST, Shipped, encode, reseal
from stored_verdict import OWN, own_part, statement_of

from harness.cli.main import main
from harness.errors import EvidenceRefusedError
from harness.judge import judge_run
from harness.limits import TEXT_BYTES
from harness.records import Prediction
from harness.store.baselines import find_promoted
from harness.store.runs import evidence_digests
from harness.trust.digests import digest_bytes, digest_files, digest_tree
from harness.trust.sign import sign
from harness.trust.verdicts import ArmCount, SealedVerdict, parse_verdict, verdict_bytes
from harness.trust.verify import CLOCK_SKEW, verify_adapter

ROOT = Path(__file__).parents[2]

CHECK = "better_than/exact_match/bare"
UNDECIDED = Fixture(candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100)


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def changed(run: Shipped, **own: object) -> Shipped:
    """The run with other values in its verdict, whose digest is made anew, as a forger would."""
    statement = statement_of(run.folder)
    statement["predicate"][OWN] |= own
    run.verdict.write_bytes(reseal(statement))
    return run


def refusal(run: Shipped, *, now: datetime = NOW, suite_digest: str = SUITE_DIGEST) -> str:
    with pytest.raises(EvidenceRefusedError) as caught:
        run.verify(now=now, suite_digest=suite_digest)
    return str(caught.value)


def test_a_shipped_adapter_is_verified(shipped: Shipped) -> None:
    found = shipped.verify(now=NOW + timedelta(days=29))
    assert (found.verdict.run_id, found.verdict.suite, found.signed_by) == ("run", "fixture", None)


def test_the_demos_promoted_adapter_shipped_by_the_suite_as_it_is() -> None:
    registry, suite = ROOT / "baselines", ROOT / "suites" / "ticket-triage" / "suite.yaml"
    promoted = find_promoted(registry, "ticket-triage")
    assert promoted is not None
    found = verify_adapter(
        promoted.adapter,
        promoted.adapter.with_name("verdict.json"),
        now=datetime.fromisoformat(promoted.record.promoted),
        suite_digest=digest_bytes(suite.read_bytes()),
        history=registry / "ticket-triage" / "verdicts.jsonl",
    )
    assert found.verdict.run_id == promoted.record.run_id


@pytest.mark.parametrize("decision", ["hold", "undecided"])
def test_any_other_decision_is_refused(decision: str, shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    level = {"verificationResult": "FAILED", "verifiedLevels": ["FAILED"]}
    statement["predicate"] |= level
    statement["predicate"][OWN] |= {"decision": decision, "exit_code": {"hold": 3, "undecided": 4}[decision]}
    shipped.verdict.write_bytes(reseal(statement))
    assert f"the decision is {decision}, not ship" in refusal(shipped)


def test_a_held_run_is_refused(tmp_path: Path) -> None:
    run = Shipped(Fixture(candidate_right=lambda i: False).write(tmp_path / "run"), tmp_path / "baselines")
    run.judge()
    assert "the decision is hold" in refusal(run)


def test_time_is_checked_on_both_sides(shipped: Shipped) -> None:
    assert "expired" in refusal(shipped, now=NOW + timedelta(days=30))
    assert "future" in refusal(shipped, now=NOW - timedelta(minutes=6))
    assert "expired" in refusal(changed(shipped, expires="2027-03-01T12:30:00Z"))


def test_another_suite_is_refused(shipped: Shipped) -> None:
    assert "another suite" in refusal(shipped, suite_digest="0" * 64)


def test_the_lock_of_the_suite_stands_for_it_and_for_its_data(shipped: Shipped) -> None:
    lock = "c" * 64
    assert "another suite" in refusal(shipped, suite_digest=lock)
    locked = changed(shipped, digests={**own_part(shipped.folder)["digests"], "lock": lock})
    assert locked.verify(suite_digest=lock) and locked.verify()
    assert "another suite" in refusal(locked, suite_digest="d" * 64)


def test_evidence_that_another_suite_made_is_refused(shipped: Shipped) -> None:
    digests = own_part(shipped.folder)["digests"]
    assert "made by another suite" in refusal(changed(shipped, digests={**digests, "suite": "0" * 64}))


def test_what_was_planned_must_have_been_done(shipped: Shipped) -> None:
    own = own_part(shipped.folder)
    kept = shipped.verdict.read_bytes()
    fewer = changed(shipped, checks=[check for check in own["checks"] if check["kind"] != "valid_output"])
    assert "0 checks of kind 'valid_output', and 1 were planned" in refusal(fewer)
    shipped.verdict.write_bytes(kept)
    short = changed(shipped, arms={**own["arms"], "bare/test": {"planned": 200, "answered": 199, "errors": 0}})
    assert "'bare/test' planned 200 answers and has 199 and 0 errors" in refusal(short)


def test_a_check_that_does_not_pass_is_refused_whatever_the_decision_says(shipped: Shipped) -> None:
    checks = own_part(shipped.folder)["checks"]
    for status in ("fail", "undecided"):
        failing = [{**check, "status": status if check["name"] == CHECK else check["status"]} for check in checks]
        assert f"'{CHECK}' says {status}" in refusal(changed(shipped, checks=failing))


def test_a_check_that_does_not_block_may_fail(tmp_path: Path) -> None:
    text = SUITE.replace("bar: 99.5%", "bar: 99.5%, blocking: false")
    run = Shipped(Fixture(suite_text=text, invalid_probes=500).write(tmp_path / "run"), tmp_path / "baselines")
    run.judge()
    digest = own_part(run.folder)["digests"]["suite"]
    assert run.verify(suite_digest=digest)


def test_any_change_of_the_adapter_is_refused(shipped: Shipped) -> None:
    weights = shipped.adapter / "adapter_model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original + b"x")
    assert "not the file that was judged" in refusal(shipped)
    weights.unlink()
    assert "missing" in refusal(shipped)
    weights.write_bytes(original)
    (shipped.adapter / "extra.json").write_text("{}")
    assert "does not speak of this file" in refusal(shipped)
    (shipped.adapter / "extra.json").unlink()
    (shipped.adapter / "link.json").symlink_to(weights)
    assert "links are not accepted" in refusal(shipped)


def test_no_edited_field_passes_without_a_new_digest(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    own = statement["predicate"][OWN]
    for key in own:
        edited = {**statement, "predicate": {**statement["predicate"], OWN: {**own, key: "edited"}}}
        shipped.verdict.write_bytes(encode(edited))
        assert "format" in refusal(shipped) if key == "format_version" else "own digest" in refusal(shipped)


# What is said, to the letter


def altered(run: Shipped, alter: Callable[[SealedVerdict], dict[str, Any]]) -> Shipped:
    """The run with a verdict that is whole in itself and says something else."""
    verdict = parse_verdict(run.verdict.read_bytes(), "it")
    run.verdict.write_bytes(verdict_bytes(replace(verdict, **alter(verdict))))
    return run


def checks_that(**values: Any) -> Callable[[SealedVerdict], dict[str, Any]]:
    return lambda verdict: {"checks": tuple(replace(check, **values) for check in verdict.checks)}


def arm(planned: int, answered: int, errors: int) -> Callable[[SealedVerdict], dict[str, Any]]:
    return lambda verdict: {"arms": {"a/b": ArmCount(planned=planned, answered=answered, errors=errors)}}


def without(field: str, name: str) -> Callable[[SealedVerdict], dict[str, Any]]:
    return lambda verdict: {field: {key: item for key, item in getattr(verdict, field).items() if key != name}}


REFUSED: dict[str, tuple[Callable[[SealedVerdict], dict[str, Any]], str]] = {
    "another suite": (
        lambda verdict: {"suite_digest": "1" * 64},
        f"given by another suite ({'1' * 16!r}, expected {SUITE_DIGEST[:16]!r})",
    ),
    "evidence of no suite": (without("digests", "suite"), "its evidence was made by another suite"),
    "undecided": (lambda verdict: {"decision": "undecided"}, "the decision is undecided, not ship"),
    "no check blocks": (checks_that(blocking=False), "it says ship, but its checks do not: none blocks"),
    "no answers": (lambda verdict: {"arms": {}}, "it counts no answers"),
    "nothing planned": (arm(0, 0, 0), "'a/b' planned 0 answers and has 0 and 0 errors"),
    "fewer than no answers": (arm(1, -1, 2), "'a/b' planned 1 answers and has -1 and 2 errors"),
    "fewer than no errors": (arm(1, 2, -1), "'a/b' planned 1 answers and has 2 and -1 errors"),
    "more than planned": (arm(1, 1, 1), "'a/b' planned 1 answers and has 1 and 1 errors"),
    "no manifest": (without("inputs", "manifest.json"), "it does not name its manifest and its base model"),
    "no base": (without("digests", "base"), "it does not name its manifest and its base model"),
    "a kind that was never made": (
        lambda verdict: {"planned_checks": {"forgetting": 0}},
        "0 checks of kind 'forgetting', and 0 were planned",
    ),
    "no sign of life": (
        lambda verdict: {"checks": tuple(c for c in verdict.checks if c.kind != "adapter_is_live")},
        "0 checks of kind 'adapter_is_live', and 1 were planned",
    ),
    "no time of judgement": (
        lambda verdict: {"judged": "t" * 41},
        f"incomplete: {'t' * 40!r} is no time in UTC",
    ),
    "no end": (
        lambda verdict: {"expires": "2026-03-31T12:30:00"},
        "incomplete: '2026-03-31T12:30:00' is no time in UTC",
    ),
    "an end in another form": (
        lambda verdict: {"expires": "2026-03-31T12:30:00+00:00"},
        "incomplete: '2026-03-31T12:30:00+00:00' is no time in UTC",
    ),
    "the end of time": (
        lambda verdict: {"expires": "9999-12-31T23:59:59-23:59"},
        "incomplete: '9999-12-31T23:59:59-23:59' is no time in UTC",
    ),
    "a second too long": (
        lambda verdict: {"expires": "2026-03-31T12:30:01Z"},
        "expired at 2026-03-31T12:30:01Z; run the suite again",
    ),
    "the future": (
        lambda verdict: {"judged": "2026-03-01T12:35:01Z"},
        "given at 2026-03-01T12:35:01Z, which is in the future",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_verdict_and_the_reason_are_told_when_it_is_whole_and_not_enough(name: str, shipped: Shipped) -> None:
    alter, why = REFUSED[name]
    assert refusal(altered(shipped, alter)) == f"{shipped.verdict}: {why}"


def test_the_checks_that_block_are_told_when_they_do_not_pass(shipped: Shipped) -> None:
    told = refusal(altered(shipped, checks_that(status="fail")))
    assert told.startswith(f"{shipped.verdict}: it says ship, but its checks do not: '{CHECK}' says fail, '")


@pytest.mark.parametrize(("planned", "answered", "errors"), [(1, 1, 0), (1, 0, 1)])
def test_a_verdict_over_a_single_answer_holds(planned: int, answered: int, errors: int, shipped: Shipped) -> None:
    assert altered(shipped, arm(planned, answered, errors)).verify().verdict.arms["a/b"].planned == 1


def test_a_clock_may_be_behind_by_the_skew_and_no_more(shipped: Shipped) -> None:
    assert shipped.verify(now=NOW - CLOCK_SKEW).verdict.judged == "2026-03-01T12:30:00Z"
    late = refusal(shipped, now=NOW - CLOCK_SKEW - timedelta(microseconds=1))
    assert late == f"{shipped.verdict}: given at 2026-03-01T12:30:00Z, which is in the future"


def test_the_envelope_is_named_when_a_signature_is_asked_for(shipped: Shipped) -> None:
    shipped.envelope.write_bytes(sign(shipped.verdict.read_bytes(), OTHER_SIGNER))
    with pytest.raises(EvidenceRefusedError, match=f"^{shipped.envelope}: signed by another key"):
        shipped.verify(key=SIGNER.public_key)
    shipped.envelope.unlink()
    why = "missing, so the verdict is unsigned, and a signature is asked for"
    with pytest.raises(EvidenceRefusedError, match=f"^{shipped.envelope}: {why}$"):
        shipped.verify(key=SIGNER.public_key)


def test_the_log_is_named_when_it_does_not_know_the_verdict(shipped: Shipped, tmp_path: Path) -> None:
    with pytest.raises(EvidenceRefusedError, match=f"^{tmp_path / 'none'}: does not know this verdict"):
        shipped.verify(history=tmp_path / "none")


def test_the_place_is_named_when_the_adapter_is_not_what_the_verdict_speaks_of(shipped: Shipped) -> None:
    place = shipped.adapter / "more"
    place.mkdir()
    assert refusal(shipped) == f"{place}: the verdict does not speak of this folder"
    place.rmdir()
    os.mkfifo(place)
    assert refusal(shipped) == f"{place}: neither a file nor a folder"
    place.unlink()
    place.symlink_to(shipped.verdict)
    assert refusal(shipped) == f"{place}: links are not accepted; put the file itself there"
    place.unlink()
    shipped.adapter.rename(shipped.folder / "elsewhere")
    assert refusal(shipped) == f"{shipped.adapter}: no such adapter folder"


def test_a_verdict_that_names_no_files_or_is_not_there_is_refused(shipped: Shipped) -> None:
    altered(shipped, lambda verdict: {"adapter_files": {}})
    assert refusal(shipped) == f"{shipped.adapter}: the verdict names no files"
    shipped.verdict.write_bytes(b"{}")
    assert refusal(shipped).startswith(f"{shipped.verdict}: not a verdict of this harness")
    shipped.verdict.unlink()
    assert refusal(shipped) == f"{shipped.verdict}: no verdict that can be read: No such file or directory"


@pytest.mark.parametrize(("more", "why"), [(0, "no envelope that can be read"), (1, "over 2,097,152 bytes")])
def test_an_envelope_is_read_up_to_twice_the_size_of_a_verdict(more: int, why: str, shipped: Shipped) -> None:
    shipped.envelope.write_bytes(b" " * (2 * TEXT_BYTES + more))
    with pytest.raises(EvidenceRefusedError, match=f"^{shipped.envelope}: .*{why}"):
        shipped.verify(key=SIGNER.public_key)


# The command


def test_the_command_exits_5_and_0_and_says_what_it_did_not_look_at(tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    folder = Fixture().write(tmp_path / "reports" / "fixture" / "run")
    options = ("--suite-digest", SUITE_DIGEST)
    assert harness("verify", folder / "adapter", *options).exit_code == 5
    assert harness("gate", folder).exit_code == 0
    result = harness("verify", folder / "adapter", *options)
    assert result.exit_code == 0
    for told in ("shipped exactly these 2 files", "unsigned", "newer verdicts were not checked", "valid until"):
        assert told in result.stdout
    assert (
        f"set -o pipefail; harness verify {folder / 'adapter'} --suite-digest {SUITE_DIGEST} && deploy" in result.stdout
    )
    log = tmp_path / "baselines" / "fixture" / "verdicts.jsonl"
    result = harness("verify", folder / "adapter", *options, "--history", log, "--require-history", "--json")
    told = json.loads(result.stdout)
    assert (told["verified"], told["history_checked"], told["signed_by"]) == (True, True, None)
    assert told["deploy_step"].endswith(f"--history {log} --require-history && deploy")


def test_a_history_can_be_required(shipped: Shipped) -> None:
    result = harness("verify", shipped.adapter, "--suite-digest", SUITE_DIGEST, "--require-history")
    assert (result.exit_code, "newer verdicts cannot be checked" in result.output) == (5, True)


@pytest.mark.parametrize(
    "digest", [None, "", "x", SUITE_DIGEST.upper(), f"{SUITE_DIGEST}  -", f"sha256:{SUITE_DIGEST}"]
)
def test_the_expected_suite_must_be_given(digest: str | None, shipped: Shipped) -> None:
    options = () if digest is None else ("--suite-digest", digest)
    assert harness("verify", shipped.adapter, *options).exit_code == 2


def test_an_acceptance_is_told_to_whoever_deploys(tmp_path: Path) -> None:
    folder = UNDECIDED.write(tmp_path / "run")
    assert harness("gate", folder, "--accept-undecided", CHECK, "--reason", "a \x1b[2Jpilot").exit_code == 0
    result = harness("verify", folder / "adapter", "--suite-digest", SUITE_DIGEST)
    assert f"undecided, and accepted by a person: {CHECK}: a ␛[2Jpilot" in result.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_adapter_that_cannot_be_read_is_refused(shipped: Shipped) -> None:
    (shipped.adapter / "adapter_model.safetensors").chmod(0)
    assert "cannot be read" in refusal(shipped)


def test_a_history_that_is_no_file_is_refused(shipped: Shipped) -> None:
    with pytest.raises(EvidenceRefusedError, match="cannot be read"):
        shipped.verify(history=shipped.registry)


def test_names_and_texts_of_a_forger_do_not_reach_the_terminal(shipped: Shipped) -> None:
    shipped.judge(datetime.now(UTC))
    (shipped.adapter / "\x1b]8;;x:y\x07.json").write_text("{}")
    result = harness("verify", shipped.adapter, "--suite-digest", SUITE_DIGEST)
    assert result.exit_code == 5 and "does not speak of this file" in result.output
    assert "\x1b" not in result.output


# What `report` and `promote` do with a verdict


def test_a_report_is_written_again_under_the_verdict_that_stands(tmp_path: Path) -> None:
    folder = UNDECIDED.write(tmp_path / "run")
    assert harness("gate", folder, "--accept-undecided", CHECK, "--reason", "a pilot").exit_code == 0
    kept = (folder / "verdict.json").read_bytes()
    page = (folder / "summary.md").read_text()
    (folder / "report.html").unlink()
    (folder / "summary.md").write_text("damaged")
    result = harness("report", folder, "--json")
    assert (result.exit_code, json.loads(result.stdout)["decision"]) == (0, "ship")
    assert (folder / "verdict.json").read_bytes() == kept
    assert (folder / "summary.md").read_text() == page.replace("test set; earlier ones were not counted", "test set")
    assert "a pilot" in (folder / "report.html").read_text()
    assert harness("verify", folder / "adapter", "--suite-digest", SUITE_DIGEST).exit_code == 0


def test_no_report_is_written_without_a_verdict_that_holds(tmp_path: Path) -> None:
    folder = Fixture(n_probe=5, questions=8).write(tmp_path / "run")
    unjudged = harness("report", folder)
    assert (unjudged.exit_code, "not judged yet" in unjudged.output) == (2, True)
    harness("gate", folder)
    (folder / "verdict.json").write_text((folder / "verdict.json").read_text().replace('"pass"', '"fail"', 1))
    damaged = harness("report", folder)
    assert (damaged.exit_code, "changed since it was written" in damaged.output) == (5, True)


def test_promotion_needs_a_ship_verdict_and_fills_the_registry(tmp_path: Path) -> None:
    registry = tmp_path / "baselines"
    registry.mkdir()  # so that the project is this folder, whatever lies above it
    held = Fixture(candidate_right=lambda i: False).write(tmp_path / "held")
    (held / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    assert harness("gate", held).exit_code == 3
    refused = harness("promote", held, "--baselines", registry)
    assert refused.exit_code == 2 and "only what ships" in refused.output
    folder = Fixture().write(tmp_path / "run")
    unjudged = harness("promote", folder, "--baselines", registry)
    assert unjudged.exit_code == 2 and "not judged yet" in unjudged.output
    assert harness("gate", folder).exit_code == 0
    done = harness("promote", folder, "--name", "first", "--baselines", registry)
    assert done.exit_code == 0, done.output
    place = registry / "fixture" / "first"
    assert (place / "adapter" / "adapter_model.safetensors").read_bytes() == b"weights"
    assert not (place / "verdict.dsse.json").exists()
    outcomes = [json.loads(line) for line in (place / "outcomes.jsonl").read_text().splitlines()]
    assert sum(row["kind"] == "question" for row in outcomes) == 1000
    assert {row["dataset"] for row in outcomes if row["kind"] == "score"} == {"test", "probe"}
    again = harness("promote", folder, "--name", "first", "--baselines", registry)
    assert again.exit_code == 2 and "exists already" in again.output
    listed = harness("baselines", registry, "--json")
    promoted = json.loads((place / "record.json").read_text())["promoted"]
    assert json.loads(listed.output)["baselines"] == [
        {"suite": "fixture", "name": "first", "promoted": promoted, "in_force": True}
    ]


COMPARED = SUITE.replace("benchmarks:", "  previous: {kind: adapter, role: baseline, from: promoted}\nbenchmarks:")


def compared(project: Path, name: str, previous: Path | None, *, suite: str = COMPARED) -> Path:
    """A run on an adapter of its own, made when the adapter of another run was in force, or none; it ships."""

    def answers(rows: list[Prediction]) -> list[Prediction]:
        bare = [row for row in rows if row.system == "bare"]
        return [*rows, *(replace(row, system="previous") for row in bare if previous is not None)]

    folder = Fixture(suite_text=suite, edit_predictions=answers).write(project / "reports" / "fixture" / name)
    (folder / "adapter" / "adapter_model.safetensors").write_text(name)
    manifest = json.loads((folder / "manifest.json").read_text())
    if suite == COMPARED and previous is None:
        manifest["absent_systems"] = {"previous": "nothing was promoted yet"}
    elif previous is not None:
        manifest["planned"]["previous/test"] = manifest["planned"]["bare/test"]
        manifest["systems"].append({**manifest["systems"][1], "name": "previous", "kind": "adapter"})
        manifest["digests"]["adapter:previous"] = digest_tree(digest_files(previous / "adapter"))
    manifest["evidence"] = evidence_digests(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    judged = harness("gate", folder)
    assert judged.exit_code == 0, judged.output
    return folder


def test_an_adapter_that_was_not_compared_with_the_one_in_force_is_not_promoted(tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    weak, strong = compared(tmp_path, "weak", None), compared(tmp_path, "strong", None)
    assert harness("promote", strong).exit_code == 0
    refused = harness("promote", weak)
    assert refused.exit_code == 5
    assert "strong is in force, and this run was made when another or none was (previous)" in refused.output
    late = compared(tmp_path, "late", weak)
    assert harness("promote", late).exit_code == 5, "compared with what never was in force"
    better = compared(tmp_path, "better", strong)
    assert harness("promote", strong, "--name", "again").exit_code == 0, "it is the one in force"
    assert harness("promote", better).exit_code == 0
    (tmp_path / "baselines" / "fixture" / "promoted.json").unlink()
    gone = harness("promote", compared(tmp_path, "next", better))
    assert (gone.exit_code, "none is in force, and this run was made when another" in gone.output) == (5, True)


def test_any_adapter_that_shipped_is_promoted_when_the_suite_does_not_compare_with_the_one_in_force(
    tmp_path: Path,
) -> None:
    (tmp_path / "baselines").mkdir()
    for name in ("first", "second"):
        assert harness("promote", compared(tmp_path, name, None, suite=SUITE)).exit_code == 0
    promoted = find_promoted(tmp_path / "baselines", "fixture")
    assert promoted is not None and promoted.record.name == "second"


def test_what_was_held_since_is_not_promoted(shipped: Shipped, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    shipped.judge(now)
    held = Fixture(candidate_right=lambda i: False).write(tmp_path / "held")
    judge_run(held, lambda: now, registry=shipped.registry)
    result = harness("promote", shipped.folder, "--baselines", shipped.registry)
    assert (result.exit_code, "a newer verdict on this adapter is hold" in result.output) == (5, True)
