"""No forged or damaged verdict is believed: at least 500 of them, and none is accepted; controls are.

A verdict without a signature proves only what the files of the moment say: whoever can write the file and knows the
format can write another one that is whole in itself. What such a forger can gain is tried under "made anew"; what a
signature adds is tried by the same edits, all of which it refuses.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from evidence_factory import Fixture
from forging import NOW, OTHER_SIGNER, SIGNER, SUITE_DIGEST, Shipped, edits, encode, reseal, ship
from securesystemslib.dsse import Envelope
from stored_verdict import OWN, statement_of

from harness.errors import BrokenRunError, EvidenceRefusedError
from harness.store.runs import evidence_digests, read_run
from harness.trust.sign import PAYLOAD_TYPE, sign

KEY = SIGNER.public_key
DRAWS = random.Random(20260301)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """Another adapter that shipped by the same suite."""
    return ship(tmp_path_factory.mktemp("other"), weights=b"other weights")


def refused(run: Shipped, what: str, **options: Any) -> int:
    """1, once the run is found to be refused; nothing but a refusal may come out."""
    try:
        run.verify(**options)
    except EvidenceRefusedError:
        return 1
    raise AssertionError(f"accepted: {what}")


def all_refused(run: Shipped, verdicts: Iterator[tuple[str, bytes]], **options: Any) -> int:
    """How many contents of verdict.json were tried and refused."""
    tried = 0
    whole = run.verdict.read_bytes()
    for what, content in verdicts:
        assert content != whole, what
        run.verdict.write_bytes(content)
        tried += refused(run, what, **options)
    run.verdict.write_bytes(whole)
    run.verify(**options)  # it was the edit that was refused
    return tried


# Controls


def test_the_true_verdict_is_accepted(shipped: Shipped, tmp_path: Path) -> None:
    found = shipped.verify(key=KEY, history=shipped.log)
    assert (found.signed_by, found.history_checked) == (KEY.keyid, True)
    assert shipped.verify().signed_by is None
    assert shipped.verify(now=NOW + timedelta(days=30) - timedelta(seconds=1), key=KEY)
    assert shipped.verify(now=NOW - timedelta(minutes=4))
    shipped.envelope.unlink()
    assert not shipped.verify().has_envelope
    shutil.copytree(shipped.adapter, tmp_path / "elsewhere" / "adapter")
    shutil.copyfile(shipped.verdict, tmp_path / "elsewhere" / "verdict.json")
    assert Shipped(tmp_path / "elsewhere", shipped.registry).verify(history=shipped.log)


def test_a_verdict_with_a_check_that_a_person_accepted_is_accepted(tmp_path: Path) -> None:
    fixture = Fixture(candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100)
    run = Shipped(fixture.write(tmp_path / "run"), tmp_path / "baselines")
    run.judge(accepted={"better_than/exact_match/bare": "a pilot"})
    assert run.verify(key=KEY).verdict.accepted == {"better_than/exact_match/bare": "a pilot"}


def test_odd_adapters_are_accepted(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    for name in ("nested/deep/a.json", ".hidden", "ünïcode \u202e.json", "[brackets]*?.json", "spaces and\ttabs"):
        path = folder / "adapter" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (folder / "adapter" / "empty.bin").write_bytes(b"")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["evidence"] = evidence_digests(folder)
    # The evidence of a run leaves hidden files out, and so does its verdict: the closed world refuses them.
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = Shipped(folder, tmp_path / "baselines")
    run.judge()
    refused(run, "a hidden file that the manifest does not bind")
    (folder / "adapter" / ".hidden").unlink()
    assert len(run.verify(key=KEY).verdict.adapter_files) == 7


def test_a_bound_suite_that_is_no_text_is_told(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    (folder / "suite.yaml").write_bytes(b"suite: \xff\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "evidence": evidence_digests(folder)}))
    with pytest.raises(BrokenRunError, match=r"suite\.yaml: cannot be read"):
        read_run(folder)


# The file itself


def test_no_part_of_a_verdict_is_one(shipped: Shipped) -> None:
    whole = shipped.verdict.read_bytes()
    lengths = {*range(0, len(whole), 16), *range(len(whole) - 40, len(whole))}
    prefixes = ((f"the first {n} bytes", whole[:n]) for n in sorted(lengths))
    assert all_refused(shipped, prefixes) > 390
    for more in (b"\n", b" ", b"\x00", b"{}", whole):
        shipped.verdict.write_bytes(whole + more)
        refused(shipped, f"{more[:4]!r} after the end")
        shipped.verdict.write_bytes(more + whole)
        refused(shipped, f"{more[:4]!r} before the beginning")


def test_no_flipped_bit_passes(shipped: Shipped) -> None:
    whole = bytearray(shipped.verdict.read_bytes())

    def flipped() -> Iterator[tuple[str, bytes]]:
        for place in DRAWS.sample(range(len(whole)), 400):
            changed = bytearray(whole)
            changed[place] ^= 1 << DRAWS.randrange(8)
            yield f"a bit of byte {place}", bytes(changed)

    assert all_refused(shipped, flipped()) == 400


def test_no_edit_passes(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    assert all_refused(shipped, ((what, encode(value)) for what, value in edits(statement))) > 390


def test_no_other_form_of_the_same_verdict_passes(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    forms = {
        "indented": json.dumps(statement, indent=2, sort_keys=True).encode(),
        "in another order": (json.dumps(statement, separators=(",", ":")) + "\n").encode().replace(b"{", b"{ ", 1),
        "without its last line end": encode(statement)[:-1],
        "with a byte order mark": b"\xef\xbb\xbf" + encode(statement),
        "in another encoding": encode(statement).decode().encode("utf-16"),
        "with line ends of Windows": encode(statement)[:-1] + b"\r\n",
        "a key twice": encode(statement).replace(b'{"_type":', b'{"_type":"x","_type":', 1),
        "with an escape": encode(statement).replace(b"in-toto", b"in\\u002dtoto", 1),
        "nothing": b"",
        "null": b"null\n",
        "a list": b"[]\n",
        "too deep": b'{"a":' * 2000,
        "not a number": encode(statement).replace(b'"sequence":2', b'"sequence":NaN'),
        "a number too long": encode(statement).replace(b'"sequence":2', b'"sequence":' + b"9" * 5000),
        "YAML": b"decision: ship\n",
        "larger than any": b" " * (1 << 20) + encode(statement),
    }
    assert all_refused(shipped, iter(forms.items())) == len(forms)


# A forger who knows the format, but has no key


def own_changed(statement: dict[str, Any], **changes: Any) -> dict[str, Any]:
    predicate = statement["predicate"]
    return {**statement, "predicate": {**predicate, OWN: {**predicate[OWN], **changes}}}


def with_check(statement: dict[str, Any], kind: str, **changes: Any) -> dict[str, Any]:
    checks = statement["predicate"][OWN]["checks"]
    return own_changed(statement, checks=[{**c, **changes} if c["kind"] == kind else c for c in checks])


def with_time(statement: dict[str, Any], judged: str, expires: str) -> dict[str, Any]:
    changed = own_changed(statement, expires=expires)
    return {**changed, "predicate": {**changed["predicate"], "timeVerified": judged}}


def with_files(statement: dict[str, Any], files: list[dict[str, Any]]) -> dict[str, Any]:
    """Other files, and the digests that are made of them."""
    named = {item["name"]: item["digest"]["sha256"] for item in files}
    digest = hashlib.sha256(encode(named)[:-1]).hexdigest()
    changed = own_changed(statement, adapter_digest=digest)
    predicate = {**changed["predicate"], "resourceUri": f"pkg:generic/fixture/adapter@sha256:{digest}"}
    return {**changed, "subject": files, "predicate": predicate}


MADE_ANEW: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "hold": lambda s: own_changed(s, decision="hold"),
    "hold, with its exit code": lambda s: own_changed(s, decision="hold", exit_code=3),
    "undecided": lambda s: own_changed(s, decision="undecided"),
    "SHIP": lambda s: own_changed(s, decision="SHIP"),
    "no decision": lambda s: own_changed(s, decision=""),
    "FAILED": lambda s: {**s, "predicate": {**s["predicate"], "verificationResult": "FAILED"}},
    "another verifier": lambda s: {**s, "predicate": {**s["predicate"], "verifier": {"id": "https://example.com"}}},
    "another type": lambda s: {**s, "_type": "https://in-toto.io/Statement/v0.1"},
    "another predicate": lambda s: {**s, "predicateType": "https://slsa.dev/provenance/v1"},
    "status started": lambda s: own_changed(s, status="started"),
    "a failed check": lambda s: with_check(s, "better_than", status="fail"),
    "an undecided check": lambda s: with_check(s, "valid_output", status="undecided"),
    "a failed check that was accepted": lambda s: with_check(s, "better_than", status="fail", accepted="why not"),
    "an unknown status": lambda s: with_check(s, "better_than", status="great"),
    "no check that blocks": lambda s: own_changed(
        s, checks=[{**c, "blocking": c["kind"] == "adapter_is_live"} for c in s["predicate"][OWN]["checks"]]
    ),
    "no checks": lambda s: own_changed(s, checks=[]),
    "no checks, and none planned": lambda s: own_changed(s, checks=[], planned_checks={}),
    "a check left out": lambda s: own_changed(s, checks=s["predicate"][OWN]["checks"][1:]),
    "liveness left out, and not planned": lambda s: own_changed(
        s,
        checks=[c for c in s["predicate"][OWN]["checks"] if c["kind"] != "adapter_is_live"],
        planned_checks={k: n for k, n in s["predicate"][OWN]["planned_checks"].items() if k != "adapter_is_live"},
    ),
    "more checks planned": lambda s: own_changed(
        s, planned_checks={**s["predicate"][OWN]["planned_checks"], "better_than": 2}
    ),
    "no arms": lambda s: own_changed(s, arms={}),
    "an answer missing": lambda s: own_changed(s, arms={"candidate/test": {"planned": 2, "answered": 1, "errors": 0}}),
    "an answer too many": lambda s: own_changed(s, arms={"candidate/test": {"planned": 1, "answered": 1, "errors": 1}}),
    "negative errors": lambda s: own_changed(s, arms={"candidate/test": {"planned": 1, "answered": 2, "errors": -1}}),
    "nothing planned": lambda s: own_changed(s, arms={"candidate/test": {"planned": 0, "answered": 0, "errors": 0}}),
    "no base model": lambda s: own_changed(s, digests={"suite": SUITE_DIGEST}),
    "evidence of another suite": lambda s: own_changed(
        s, digests={**s["predicate"][OWN]["digests"], "suite": "0" * 64}
    ),
    "no manifest": lambda s: {**s, "predicate": {**s["predicate"], "inputAttestations": []}},
    "no files": lambda s: with_files(s, []),
    "a file that is not there": lambda s: with_files(s, [*s["subject"], {"name": "x", "digest": {"sha256": "0" * 64}}]),
    "a file outside of the folder": lambda s: with_files(
        s, [{"name": "../verdict.json", "digest": {"sha256": "0" * 64}}, *s["subject"]]
    ),
    "one file only": lambda s: with_files(s, s["subject"][:1]),
    "another digest of a file": lambda s: with_files(
        s, [{**s["subject"][0], "digest": {"sha256": "0" * 64}}, *s["subject"][1:]]
    ),
    "a file twice": lambda s: with_files(s, [*s["subject"], s["subject"][0]]),
    "files in another order": lambda s: with_files(s, s["subject"][::-1]),
    "files whose digest of all is another's": lambda s: {**s, "subject": s["subject"][:1]},
    "an algorithm of the forger's": lambda s: {**s, "subject": [{**f, "digest": {"md5": "0"}} for f in s["subject"]]},
    "expired": lambda s: with_time(s, "2025-01-01T00:00:00Z", "2025-01-31T00:00:00Z"),
    "from the future": lambda s: with_time(s, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
    "a longer life": lambda s: with_time(s, "2026-03-01T12:30:00Z", "2027-03-01T12:30:00Z"),
    "no life at all": lambda s: with_time(s, "2026-03-01T12:30:00Z", "2026-03-01T12:30:00Z"),
    "an end before its beginning": lambda s: with_time(s, "2026-03-01T12:30:00Z", "2026-01-01T00:00:00Z"),
    "no time zone": lambda s: with_time(s, "2026-03-01T12:30:00", "2026-03-31T12:30:00"),
    "another time zone": lambda s: with_time(s, "2026-03-01T12:30:00+00:00", "2026-03-31T12:30:00+00:00"),
    "no time": lambda s: with_time(s, "now", "never"),
    "the end of all time": lambda s: with_time(s, "2026-03-01T12:30:00Z", "9999-12-31T23:59:59Z"),
    "an unknown field": lambda s: own_changed(s, trust="me"),
    "an unknown field of the predicate": lambda s: {**s, "predicate": {**s["predicate"], "dependencyLevels": {}}},
    "an unknown field of a check": lambda s: with_check(s, "better_than", trust="me"),
    "no format": lambda s: own_changed(s, format_version=None),
    "the next format": lambda s: own_changed(s, format_version=3),
    "a format in words": lambda s: own_changed(s, format_version="2"),
    "an acceptance that no check has": lambda s: own_changed(s, accepted={"x": "y"}),
    "another exit code": lambda s: own_changed(s, exit_code=3),
    "another adapter digest": lambda s: own_changed(s, adapter_digest="0" * 64),
    "a sequence in words": lambda s: own_changed(s, sequence="2"),
}  # fmt: skip


def test_nothing_that_is_made_anew_passes_when_it_is_not_a_fresh_whole_ship(shipped: Shipped) -> None:
    statement = statement_of(shipped.folder)
    made = {what: reseal(change(statement)) for what, change in MADE_ANEW.items()}
    assert all_refused(shipped, iter(made.items())) == len(MADE_ANEW)
    assert reseal(with_files(statement, statement["subject"])) == shipped.verdict.read_bytes(), (
        "it is no worse than ours"
    )


def test_no_edit_passes_under_a_signature_even_made_anew(shipped: Shipped) -> None:
    statement, envelope = statement_of(shipped.folder), json.loads(shipped.envelope.read_bytes())
    true = shipped.verdict.read_bytes()
    edited = {what: reseal(value) for what, value in edits(statement) if OWN in (value.get("predicate") or ())}
    edited = {what: content for what, content in edited.items() if content != true}
    assert all_refused(shipped, iter(edited.items()), key=KEY) > 390
    # Nor when the envelope is told of it, which only the key could sign.
    whole, tried = shipped.envelope.read_bytes(), 0
    for what, content in edited.items():
        shipped.envelope.write_bytes(encode({**envelope, "payload": base64.b64encode(content).decode()}))
        shipped.verdict.write_bytes(content)
        tried += refused(shipped, what, key=KEY)
    assert tried > 390
    shipped.verdict.write_bytes(true)
    shipped.envelope.write_bytes(whole)
    shipped.verify(key=KEY)


# Envelopes


def signed_twice(payload: bytes) -> bytes:
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(SIGNER)
    envelope.sign(OTHER_SIGNER)
    return encode(envelope.to_dict())


def signed_as(payload: bytes, payload_type: str) -> bytes:
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(SIGNER)
    return encode(envelope.to_dict())


def test_no_forged_envelope_passes(shipped: Shipped, other: Shipped) -> None:
    payload, whole = shipped.verdict.read_bytes(), shipped.envelope.read_bytes()
    value = json.loads(whole)
    (signature,) = value["signatures"]
    raw = bytearray(base64.b64decode(signature["sig"]))

    def with_signature(**changes: Any) -> bytes:
        return encode({**value, "signatures": [{**signature, **changes}]})

    forged = {
        "another key": sign(payload, OTHER_SIGNER),
        "another key under this one's name": encode(
            {**value, "signatures": [{**json.loads(sign(payload, OTHER_SIGNER))["signatures"][0], "keyid": KEY.keyid}]}
        ),
        "another payload": sign(other.verdict.read_bytes(), SIGNER),
        "another adapter's envelope": other.envelope.read_bytes(),
        "another type": signed_as(payload, "application/json"),
        "a type in other letters": signed_as(payload, PAYLOAD_TYPE.upper()),
        "another type beside the true signature": encode({**value, "payloadType": "text/plain"}),
        "two signatures": signed_twice(payload),
        "one signature twice": encode({**value, "signatures": [signature, signature]}),
        "no signature": encode({**value, "signatures": []}),
        "signatures that are none": encode({**value, "signatures": "none"}),
        "a signature of nothing": with_signature(sig=""),
        "a short one": with_signature(sig=base64.b64encode(raw[:-1]).decode()),
        "a long one": with_signature(sig=base64.b64encode(bytes(raw) + b"\0").decode()),
        "zeros": with_signature(sig=base64.b64encode(bytes(64)).decode()),
        "the alphabet of URLs": with_signature(sig=base64.urlsafe_b64encode(raw).decode()),
        "a number": with_signature(sig=1),
        "no key id": with_signature(keyid=""),
        "a key id that is a number": with_signature(keyid=1),
        "a key id that is a list": with_signature(keyid=[]),
        "an unknown field": encode({**value, "more": 1}),
        "an unknown field of the signature": with_signature(cert="x"),
        "no payload": encode({name: item for name, item in value.items() if name != "payload"}),
        "a payload that is null": encode({**value, "payload": None}),
        "a payload in lines": encode({**value, "payload": base64.encodebytes(payload).decode()}),
        "indented": json.dumps(value, indent=1, sort_keys=True).encode(),
        "without a line end": whole[:-1],
        "a key twice": whole.replace(b'{"payload":', b'{"payload":"","payload":', 1),
        "empty": b"",
        "a list": b"[]\n",
        "too deep": b"[" * 3000,
        "not text": b"\xff\xfe",
        "the verdict itself": payload,
    }
    for what, content in forged.items():
        if content != whole:  # a signature without + and / is the same in the alphabet of URLs
            shipped.envelope.write_bytes(content)
            refused(shipped, what, key=KEY)
    for bit in range(0, 8 * len(raw), 5):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        shipped.envelope.write_bytes(with_signature(sig=base64.b64encode(flipped).decode()))
        refused(shipped, f"bit {bit} of the signature", key=KEY)
    for place in range(0, len(whole), 40):
        shipped.envelope.write_bytes(whole[:place])
        refused(shipped, f"the first {place} bytes of the envelope", key=KEY)
    shipped.envelope.unlink()
    refused(shipped, "no envelope", key=KEY)
    shipped.envelope.mkdir()
    refused(shipped, "a folder for an envelope", key=KEY)
    shipped.envelope.rmdir()
    shipped.envelope.write_bytes(whole)
    assert shipped.verify(key=KEY)
    refused(shipped, "a key that did not sign", key=OTHER_SIGNER.public_key)


# The adapter, and what else is beside the verdict


def remove(path: Path) -> None:
    path.unlink()


def flip_last(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


SWAPS: Mapping[str, Callable[[Path], object]] = {
    "a file added": lambda a: (a / "chat_template.jinja").write_text("{{ messages }}"),
    "an empty file added": lambda a: (a / "empty").touch(),
    "a hidden file added": lambda a: (a / ".hidden").write_text("x"),
    "a pickle added": lambda a: (a / "adapter_model.bin").write_bytes(b"\x80\x04"),
    "a folder added": lambda a: (a / "more").mkdir(),
    "a folder with a file added": lambda a: ((a / "more").mkdir(), (a / "more" / "x").touch()),
    "weights removed": lambda a: remove(a / "adapter_model.safetensors"),
    "the configuration removed": lambda a: remove(a / "adapter_config.json"),
    "everything removed": lambda a: [remove(path) for path in a.iterdir()],
    "a bit of the weights": lambda a: flip_last(a / "adapter_model.safetensors"),
    "a bit of the configuration": lambda a: flip_last(a / "adapter_config.json"),
    "a byte after the weights": lambda a: (a / "adapter_model.safetensors").write_bytes(b"weights\0"),
    "weights cut off": lambda a: (a / "adapter_model.safetensors").write_bytes(b"weight"),
    "weights emptied": lambda a: (a / "adapter_model.safetensors").write_bytes(b""),
    "weights under another name": lambda a: (a / "adapter_model.safetensors").rename(a / "weights.safetensors"),
    "weights in other letters": lambda a: (a / "adapter_model.safetensors").rename(a / "ADAPTER_MODEL.safetensors"),
    "weights in a folder": lambda a: (
        (a / "adapter_model.safetensors").rename(a / "w"),
        (a / "adapter_model.safetensors").mkdir(),
        (a / "w").rename(a / "adapter_model.safetensors" / "w"),
    ),
    "weights as a link to the same bytes": lambda a: (
        (a / "adapter_model.safetensors").rename(a.parent / "w"),
        (a / "adapter_model.safetensors").symlink_to(a.parent / "w"),
    ),
    "a link added": lambda a: (a / "link").symlink_to(a / "adapter_config.json"),
    "a link to nothing added": lambda a: (a / "link").symlink_to(a / "nothing"),
    "a link to a folder added": lambda a: (a / "link").symlink_to(a.parent),
    "a pipe added": lambda a: os.mkfifo(a / "pipe"),
    "a pipe for the weights": lambda a: (
        remove(a / "adapter_model.safetensors"),
        os.mkfifo(a / "adapter_model.safetensors"),
    ),
    "the two files exchanged": lambda a: (
        (a / "adapter_config.json").rename(a / "x"),
        (a / "adapter_model.safetensors").rename(a / "adapter_config.json"),
        (a / "x").rename(a / "adapter_model.safetensors"),
    ),
    "no folder": lambda a: shutil.rmtree(a),
    "a file for a folder": lambda a: (shutil.rmtree(a), a.write_text("x")),
}  # fmt: skip


@pytest.mark.parametrize("what", SWAPS)
def test_no_other_adapter_passes(what: str, shipped: Shipped) -> None:
    SWAPS[what](shipped.adapter)
    refused(shipped, what)
    refused(shipped, what, key=KEY, history=shipped.log)


def test_no_swap_with_another_adapters_files_passes(shipped: Shipped, other: Shipped) -> None:
    refused(Shipped(shipped.folder, other.registry), "another project's log", history=other.log)
    for name in ("verdict.json", "verdict.dsse.json"):
        kept = (shipped.folder / name).read_bytes()
        shutil.copyfile(other.folder / name, shipped.folder / name)
        refused(shipped, f"the other's {name}", key=KEY)
        (shipped.folder / name).write_bytes(kept)
    for name in ("verdict.json", "verdict.dsse.json"):
        shutil.copyfile(other.folder / name, shipped.folder / name)
    refused(shipped, "the other's verdict and envelope", key=KEY)
    refused(shipped, "the other's verdict and envelope, and nothing asked for")


def test_no_other_suite_time_or_place_passes(shipped: Shipped) -> None:
    for digest in ("0" * 64, SUITE_DIGEST.upper(), SUITE_DIGEST[:-1], "", f"sha256:{SUITE_DIGEST}"):
        refused(shipped, f"suite {digest}", suite_digest=digest)
    for days in (30, 31, 400, 100_000):
        refused(shipped, f"after {days} days", now=NOW + timedelta(days=days))
    for minutes in (6, 60, 60 * 24 * 400):
        refused(shipped, f"{minutes} minutes before it was given", now=NOW - timedelta(minutes=minutes))
    shipped.verdict.rename(shipped.folder / "kept.json")
    refused(shipped, "no verdict")
    shipped.verdict.mkdir()
    refused(shipped, "a folder for a verdict")
    shipped.verdict.rmdir()
    os.mkfifo(shipped.verdict)
    refused(shipped, "a pipe for a verdict")
