"""The parsers of what the harness wrote itself, and somebody may have changed since: runs, verdicts, registries."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from evidence_factory import Fixture, outcomes_of
from forging import NOW, SIGNER, SUITE_DIGEST, Shipped, reseal, ship
from fuzzed_inputs import Entry, Parser, dumped, replaced, words
from mutation import Format

from harness.deploying import PLACED, VERSIONS, Placed, examine_folder
from harness.errors import BrokenRunError, EvidenceRefusedError
from harness.gate.evidence import index_answers, index_benchmarks, index_drift, index_preferences, index_scores
from harness.judge import judge_run
from harness.judged import SCORES, find_run, read_scores, suite_of
from harness.records import DriftRow, Prediction, Preference, Score, ScoredAnswer, ServedAnswer, ServedToken, Unscored
from harness.review import draw_review, import_review
from harness.store.baselines import (
    RECORD_VERSION,
    BaselineRecord,
    find_promoted,
    list_baselines,
    write_baseline,
)
from harness.store.facts import from_plain, to_plain
from harness.store.ledger import Look, look_number, read_looks, record_look
from harness.store.runs import MANIFEST, evidence_digests, read_run
from harness.strict_json import StrictJsonError, parse
from harness.trust.digests import digest_files, digest_tree
from harness.trust.history import read_log
from harness.trust.locks import SuiteLock, changes_since, read_lock, write_lock
from harness.trust.sign import new_key_pair, read_public_key, read_signer
from harness.trust.verdicts import parse_verdict, verdict_bytes

# --- verdicts, signatures, logs and locks ----------------------------------------------------------------------------

VERDICT_WORDS = words(
    '"_type" "predicate" "subject" "digest" "sha256" "decision" "ship" "hold" "undecided" "checks" '
    '"planned_checks" "arms" '
    '"planned" "answered" "errors" "expires" "timeVerified" "2030-01-01T00:00:00Z" "status" "complete" "pass" '
    '"fail" "sequence" '
    '"payload" "payloadType" "signatures" "keyid" "sig" "event" "started" "adapter" "suite" "run_id" "time" '
    '"verdict" "locked" "bars"'
)


def trust_entries(folder: Path) -> dict[str, Entry]:
    shipped = ship(folder / "project")
    given = partial(Format, tokens=VERDICT_WORDS)
    verdict, envelope, log = (path.read_bytes() for path in (shipped.verdict, shipped.envelope, shipped.log))
    locked = folder / "suite.lock"
    lock = SuiteLock(
        suite="s",
        tool_version="1",
        locked="2026-01-01T00:00:00+00:00",
        files={"a": "b" * 64},
        bars={"x": [{"kind": "k"}]},
    )
    written = write_lock(locked, lock)
    weights = shipped.adapter / "adapter_model.safetensors"
    private, public, _ = new_key_pair()
    pem = words("-----BEGIN -----END PRIVATE PUBLIC KEY----- ENCRYPTED EC RSA = ==")
    return {
        "verdict.json": Entry(partial(feed_verdict, shipped), given((verdict,), tree=True)),
        "verdict.json, sealed anew": Entry(partial(feed_forged, shipped), given((verdict,), tree=True)),
        "verdict.dsse.json": Entry(partial(feed_envelope, shipped), given((envelope,), tree=True)),
        "verdicts.jsonl": Entry(partial(feed_log, shipped), given((log,), lines=True)),
        "an adapter's file": Entry(partial(feed_weights, shipped), Format((weights.read_bytes(),))),
        "suite.lock": Entry(partial(feed_lock, locked, written), given((locked.read_bytes(),), tree=True)),
        "a private key": Entry(
            lambda content: bool(read_signer("-----BEGIN" + content.decode("latin-1"), "--key")),
            Format((private.removeprefix(b"-----BEGIN"),), pem),
        ),
        "a public key": Entry(partial(feed_public, folder / "key.pem"), Format((public,), pem)),
    }


def feed_verdict(shipped: Shipped, content: bytes) -> bool:
    """Read a verdict; one that is not the very bytes that were written never holds, with or without its signature."""
    whole = shipped.verdict.read_bytes()
    with replaced(shipped.verdict, content):
        for key in (SIGNER.public_key, None):
            try:
                shipped.verify(key=key, history=shipped.log if key else None)
            except EvidenceRefusedError:
                if content == whole:
                    raise
            else:
                assert content == whole, "a changed verdict was taken"
        parse_verdict(content, "it")
    return True


def feed_forged(shipped: Shipped, content: bytes) -> bool:
    """The same for one whose own digest was made anew, as a forger would, who lacks the key."""
    whole = shipped.verdict.read_bytes()
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):  # the forger's own
        content = reseal(json.loads(content))
    with replaced(shipped.verdict, content):
        try:
            shipped.verify(key=SIGNER.public_key)
        except EvidenceRefusedError:
            assert content != whole
        else:
            assert content == whole, "a forged verdict was taken"
        with contextlib.suppress(EvidenceRefusedError):  # unsigned, it may be taken, and is then what it says
            assert verdict_bytes(shipped.verify().verdict) == content
    return verdict_bytes(parse_verdict(content, "it")) == content


def feed_envelope(shipped: Shipped, content: bytes) -> bool:
    whole = shipped.envelope.read_bytes()
    with replaced(shipped.envelope, content):
        shipped.verify(key=SIGNER.public_key)
    assert content == whole, "a changed signature was taken"
    return True


def feed_log(shipped: Shipped, content: bytes) -> bool:
    """Read a log; each line that is taken is one that was written."""
    whole = read_log(shipped.log)
    with replaced(shipped.log, content):
        entries = read_log(shipped.log)
        assert set(entries) <= set(whole)
        with contextlib.suppress(EvidenceRefusedError):
            shipped.verify(history=shipped.log)
    return bool(entries)


def feed_weights(shipped: Shipped, content: bytes) -> bool:
    path = shipped.adapter / "adapter_model.safetensors"
    whole = path.read_bytes()
    with replaced(path, content):
        shipped.verify(key=SIGNER.public_key, history=shipped.log)
    assert content == whole, "a changed adapter was taken"
    return True


def feed_lock(path: Path, written: SuiteLock, content: bytes) -> bool:
    """Read a lock; sealed anew, it need not be the same, and is still compared."""
    with replaced(path, content):
        try:
            assert read_lock(path) == written
        except EvidenceRefusedError:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                body = (
                    {key: item for key, item in parse(content.decode("utf-8")).items() if key != "digest"}
                    if content[:1] == b"{"
                    else None
                )
                if body is not None:
                    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                    body["digest"] = hashlib.sha256(text.encode()).hexdigest()
                    path.write_text(json.dumps(body))
            found = read_lock(path)
            list(changes_since(found, files=written.files, bars=written.bars))
    return True


def feed_public(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    return bool(read_public_key(path))


# --- stored runs -----------------------------------------------------------------------------------------------------

RUN_WORDS = words(
    '"candidate" "bare" "test" "probe" "base model" "general" "system" "dataset" "example_id" "text" "stop" '
    '"end" "error" "sample" '
    '"logprob" "outcomes" "question_id" "logprobs" "weights" "planned" "candidate/test" "test/" "evidence" '
    '"digests" "suite" '
    '"format_version" "systems" "overrides" "train.epochs" "pool" "seconds" "points" "leaks" "result" "value" '
    '"reason" "kl" NaN 1e999'
)


def write_small_run(folder: Path) -> Path:
    """A run of a few answers with every kind of evidence, judged."""
    fixture = Fixture(n_test=8, n_probe=3, questions=6, drift=(0.1, 0.02))
    fixture.edit_benchmarks = lambda _: [
        outcomes_of(name, 6, lambda i: i % 2 == 0) for name in ("base model", "candidate")
    ]
    fixture.write(folder)
    judge_run(folder, lambda: NOW, registry=folder.parent / "judged")
    preferences = [
        Preference(judge="fair", baseline="bare", example_id=f"test-{i}", shown_first=1, shown_second=0)
        for i in range(8)
    ]
    (folder / "preferences.jsonl").write_text("".join(json.dumps(to_plain(row)) + "\n" for row in preferences))
    served = ServedAnswer(
        check="c",
        example_id="test-1",
        text="a",
        prompt_tokens=3,
        tokens=(ServedToken(content="61", logprob=-0.5, others=(("62", -1.5),)),),
        prompt_as_judged=True,
    )
    (folder / "served.jsonl").write_text(json.dumps(to_plain(served)) + "\n")
    bind(folder)
    scores = [Score(0.5), Unscored("no target")]
    rows = [
        ScoredAnswer(example_id="test-1", system="bare", dataset="test", scorer="s", result=found) for found in scores
    ]
    (folder / SCORES).write_text("".join(json.dumps(to_plain(row)) + "\n" for row in rows))
    return folder


def bind(folder: Path) -> None:
    """Let the manifest name the files as they are now."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["evidence"] = evidence_digests(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@contextlib.contextmanager
def bound(folder: Path, name: str, content: bytes) -> Iterator[None]:
    """An evidence file changed, and the manifest with it, so that no seal is in the way."""
    with replaced(folder / name, content), replaced(folder / MANIFEST, (folder / MANIFEST).read_bytes()):
        if name not in {MANIFEST, SCORES}:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            manifest["evidence"][name] = hashlib.sha256(content).hexdigest()
            (folder / MANIFEST).write_text(json.dumps(manifest))
        yield


def run_entries(folder: Path) -> dict[str, Entry]:
    run = write_small_run(folder / "run")
    sealed = Entry(
        partial(feed_sealed, run), Format(((run / "predictions.jsonl").read_bytes(),), RUN_WORDS, lines=True)
    )
    entries = {"evidence that is not bound": sealed}
    for path in sorted([*run.glob("*.json"), *run.glob("*.jsonl"), run / "suite.yaml"]):
        if path.name not in {"status.json", "verdict.json", "metrics.json", "schema.json"}:
            given = Format((path.read_bytes(),), RUN_WORDS, tree=path.suffix == ".json", lines=path.suffix == ".jsonl")
            entries[path.name] = Entry(partial(feed_run, run, path.name), given)
    entries["a record"] = Entry(
        feed_record, Format(dumped(*(to_plain(row) for row in read_run(run).predictions[:3])), RUN_WORDS, tree=True)
    )
    return entries


def feed_sealed(run: Path, content: bytes) -> bool:
    whole = (run / "predictions.jsonl").read_bytes()
    with replaced(run / "predictions.jsonl", content):
        read_run(run)
    assert content == whole, "changed evidence was taken"
    return True


def feed_run(run: Path, name: str, content: bytes) -> bool:
    """All that is read of a run before it is judged or shown."""
    with bound(run, name, content):
        found = find_run(run)
        suite = suite_of(found)
        index_answers(found.predictions, found.examples, found.manifest.planned)
        index_scores(read_scores(run))
        read_scores(run, "bare", "test-1")
        index_benchmarks(found.benchmarks, suite.benchmarks, suite.candidate)
        index_drift(found.drift, ["general.jsonl"])
        index_preferences(found.preferences, [("fair", "bare")], found.examples["test"])
    return bool(suite)


def feed_record(content: bytes) -> bool:
    try:
        value = parse(content.decode("utf-8", "surrogateescape"))
    except StrictJsonError:
        return False
    for kind in (DriftRow, Preference, ScoredAnswer, ServedAnswer):
        with contextlib.suppress(BrokenRunError):
            from_plain(kind, value, "it")
    return bool(from_plain(Prediction, value, "it"))


# --- ratings and registries ------------------------------------------------------------------------------------------


def registry_entries(folder: Path) -> dict[str, Entry]:
    run = write_small_run(folder / "run")
    stored = read_run(run)
    review = draw_review(stored, suite_of(stored), "bare", examples=None, seed=0)
    ratings: dict[str, Any] = {
        "ratings_version": 1,
        "export": review.id,
        "seed": 0,
        "examples": review.examples,
        "rater": "Ann",
        "ratings": {item.id: "a" for item in review.items},
    }
    registry = folder / "baselines"
    promoted(run, registry)
    suite = registry / "fixture"
    look = Look(
        test_digest="t", candidate_digest="c", suite_digest="s", run_id="r", judged="2026-01-01", decision="ship"
    )
    record_look(suite / "looks.jsonl", look)
    server = folder / "served"
    placed = place(server, ship(folder / "project"))
    whole = (suite / "one" / "record.json").read_bytes()
    names = words(
        '"name" "one" "../run" "format_version" "adapter_location" "/" "." "digests" "promoted" "replaces" '
        '"number" "rater" "a" "tie"'
    )
    return {
        "ratings": Entry(
            partial(feed_ratings, run, folder / "ratings.json"), Format(dumped(ratings), names, tree=True)
        ),
        "record.json": Entry(
            partial(feed_record_file, registry, "one/record.json"), Format((whole,), names, tree=True)
        ),
        "promoted.json": Entry(
            partial(feed_record_file, registry, "promoted.json"),
            Format(((suite / "promoted.json").read_bytes(),), names, tree=True),
        ),
        "looks.jsonl": Entry(
            partial(feed_looks, suite / "looks.jsonl"),
            Format(((suite / "looks.jsonl").read_bytes() * 2,), names, lines=True),
        ),
        "placed.json": Entry(partial(feed_placed, server, placed), Format((placed.read_bytes(),), names, tree=True)),
    }


def promoted(run: Path, registry: Path) -> None:
    record = BaselineRecord(
        format_version=RECORD_VERSION,
        suite="fixture",
        name="one",
        run_id="run",
        promoted="2026-01-01T00:00:00+00:00",
        decision="ship",
        sentence="It ships.",
        system=None,
        digests={"suite": SUITE_DIGEST},
        adapter_files=digest_files(run / "adapter"),
        adapter_location=None,
    )
    write_baseline(registry, record, [], run)


def place(server: Path, shipped: Shipped) -> Path:
    """A folder of placed adapters; returns what is noted of the one version in it."""
    version = server / VERSIONS / "one" / "000001"
    (version / "adapter").mkdir(parents=True)
    (version / shipped.verdict.name).write_bytes(shipped.verdict.read_bytes())
    for path in shipped.adapter.iterdir():
        (version / "adapter" / path.name).write_bytes(path.read_bytes())
    noted = Placed(
        name="one",
        number=1,
        digest=digest_tree(digest_files(version / "adapter")),
        base="",
        placed=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        replaces=None,
    )
    (version / PLACED).write_text(json.dumps(to_plain(noted)))
    (server / "one").symlink_to(Path(VERSIONS) / "one" / "000001" / "adapter")
    return version / PLACED


def feed_ratings(run: Path, path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    return bool(import_review(run, [path]))


def feed_record_file(registry: Path, name: str, content: bytes) -> bool:
    with replaced(registry / "fixture" / name, content):
        list_baselines(registry)
        return find_promoted(registry, "fixture") is not None


def feed_looks(path: Path, content: bytes) -> bool:
    with replaced(path, content):
        looks = read_looks(path)
    return look_number(looks, test_digest="t", candidate_digest="c", suite_digest="s") >= 1


def feed_placed(server: Path, path: Path, content: bytes) -> bool:
    with replaced(path, content):
        return bool(examine_folder(server))


EVIDENCE: dict[str, Parser] = {
    "trust": Parser(trust_entries),
    "run": Parser(run_entries),
    "registry": Parser(registry_entries),
}
