"""Keys and signatures: made, used and never told."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from evidence_factory import Fixture
from forging import SUITE_DIGEST
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from harness.cli.main import main
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.strict_json import canonical
from harness.trust.sign import (
    PAYLOAD_TYPE,
    key_id_of,
    new_key_pair,
    read_public_key,
    read_signer,
    refuse_wrong_signature,
    sign,
)

DER_OF_PRIVATE = "MC4CAQAwBQYDK2VwBCIEI"  # how the base64 of every private Ed25519 key in PKCS #8 begins


def harness(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key pair as `harness keygen` makes it."""
    file = tmp_path_factory.mktemp("keys") / "signing.pem"
    assert harness("keygen", file).exit_code == 0
    return file


def test_a_key_pair_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "signing.pem"
    result = harness("keygen", file, "--json")
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("-----BEGIN PRIVATE KEY-----\n" + DER_OF_PRIVATE)
    public = tmp_path / "new" / "signing.pem.pub"
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert json.loads(result.stdout)["key_id"] == read_public_key(public).keyid
    assert DER_OF_PRIVATE not in result.output
    assert {path.name for path in file.parent.iterdir()} == {"signing.pem", "signing.pem.pub"}


@pytest.mark.parametrize("there", ["signing.pem", "signing.pem.pub"])
@pytest.mark.parametrize("link", [False, True])
def test_no_key_is_ever_replaced(there: str, link: bool, tmp_path: Path) -> None:
    if link:
        (tmp_path / there).symlink_to(tmp_path / "nothing")
    else:
        (tmp_path / there).write_text("precious")
    result = harness("keygen", tmp_path / "signing.pem")
    assert (result.exit_code, "no key is replaced" in result.output) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_key_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = harness("keygen", tmp_path / "file" / "signing.pem")
    assert result.exit_code == 1 and result.output.startswith(f"error: {tmp_path / 'file'}")


def gate(folder: Path, *options: object, **environment: str) -> Result:
    result = harness("gate", folder, *options, **environment)
    assert result.exit_code == 0, result.output
    return result


def verify(folder: Path, *options: object) -> int:
    return harness("verify", folder / "adapter", "--suite-digest", SUITE_DIGEST, *options).exit_code


def test_a_verdict_is_signed_by_the_file_the_variable_or_the_text_in_it(key: Path, tmp_path: Path) -> None:
    for number, (options, environment) in enumerate(
        (
            (("--key", key), {}),
            ((), {"HARNESS_SIGNING_KEY": str(key)}),
            ((), {"HARNESS_SIGNING_KEY": key.read_text()}),
        )
    ):
        folder = Fixture().write(tmp_path / str(number))
        told = gate(folder, *options, **environment)
        assert f"verdict: signed with key {read_public_key(Path(f'{key}.pub')).keyid}" in told.output
        assert verify(folder, "--key", f"{key}.pub") == 0
        envelope = json.loads((folder / "verdict.dsse.json").read_bytes())
        assert base64.b64decode(envelope["payload"]) == (folder / "verdict.json").read_bytes()
        everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert DER_OF_PRIVATE.encode() not in everything + told.output.encode()
        assert base64.b64decode(key.read_text().splitlines()[1])[-32:] not in everything


def test_a_warning_tells_when_a_signed_verdict_is_replaced_by_one_that_is_not(key: Path, tmp_path: Path) -> None:
    folder, key_id = Fixture().write(tmp_path / "run"), read_public_key(Path(f"{key}.pub")).keyid
    assert "warning:" not in gate(folder).output + gate(folder, "--key", key).output + gate(folder, "--key", key).output
    told = f"warning: the verdict before was signed by {key_id}; this one is not (--key FILE signs)"
    assert told in gate(folder).output.splitlines()
    assert "warning:" not in gate(folder).output, "there is none that was signed before"


def test_the_signature_holds_for_another_implementation(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    gate(folder, "--key", key)
    envelope = json.loads((folder / "verdict.dsse.json").read_bytes())
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    public = load_pem_public_key(Path(f"{key}.pub").read_bytes())
    assert isinstance(public, ed25519.Ed25519PublicKey)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    public.verify(signature, encoded)
    with pytest.raises(InvalidSignature):
        public.verify(signature, body)


def test_the_option_wins_over_the_variable(key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    assert harness("keygen", other).exit_code == 0
    folder = Fixture().write(tmp_path / "run")
    gate(folder, "--key", key, HARNESS_SIGNING_KEY=str(other))
    assert (verify(folder, "--key", f"{key}.pub"), verify(folder, "--key", f"{other}.pub")) == (0, 5)


def test_unsigned_is_said_everywhere_and_refused_where_a_signature_is_asked_for(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    assert "verdict: unsigned" in gate(folder).output
    for name in ("report.html", "summary.md"):
        assert "none, unsigned" in (folder / name).read_text()
    assert json.loads(gate(folder, "--json").stdout)["signed_by"] is None
    told = harness("verify", folder / "adapter", "--suite-digest", SUITE_DIGEST)
    assert told.exit_code == 0 and "unsigned: this proves that the files are those judged" in told.output
    assert verify(folder, "--key", f"{key}.pub") == 5
    gate(folder, "--key", key)
    told = harness("verify", folder / "adapter", "--suite-digest", SUITE_DIGEST)
    assert "the signature was not checked" in told.output
    assert f"by key {read_public_key(Path(f'{key}.pub')).keyid[:10]}" in (folder / "summary.md").read_text()


def test_a_report_that_is_written_again_keeps_the_signature(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    gate(folder, "--key", key)
    assert harness("report", folder).exit_code == 0
    assert f"by key {read_public_key(Path(f'{key}.pub')).keyid[:10]}" in (folder / "summary.md").read_text()
    assert verify(folder, "--key", f"{key}.pub") == 0
    (folder / "verdict.dsse.json").write_bytes(b"{}")
    assert harness("report", folder).exit_code == 5


def test_judging_again_without_the_key_leaves_no_signature_behind(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    gate(folder, "--key", key)
    gate(folder)
    assert not (folder / "verdict.dsse.json").exists()


def pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def locked() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


BAD_KEYS = {
    "empty": b"",
    "not text": b"\xff\x00",
    "a public key": new_key_pair()[1],
    "cut off": new_key_pair()[0][:60],
    "with a password": locked(),
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "an elliptic curve": pem(ec.generate_private_key(ec.SECP256R1())),
    "of the length of another curve": new_key_pair()[0].replace(b"K2Vw", b"K2Vv"),  # what Ed25519 has, called X448
    "large": b"x" * (2 << 20),
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_a_key_that_cannot_sign_is_refused_before_anything_is_judged_and_not_told(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.pem"
    file.write_bytes(BAD_KEYS[kind])
    folder = tmp_path / "there is no run"
    for result in (
        harness("gate", folder, "--key", file),
        harness("run", folder, HARNESS_SIGNING_KEY=str(file)),
    ):
        assert result.exit_code == 2, result.output
        assert result.output.startswith(("error: --key ", "error: HARNESS_SIGNING_KEY: "))
        assert "PRIVATE" not in result.output and "Traceback" not in result.output


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for given in (str(tmp_path / "none"), str(tmp_path), "/dev/null", "a\0b"):
        with pytest.raises(InvalidInputError):
            read_signer(given, "--key")


def test_a_key_in_the_command_line_is_refused_and_not_repeated(key: Path, tmp_path: Path) -> None:
    text = key.read_text()
    result = harness("gate", tmp_path, "--key", text)
    assert result.exit_code == 2
    assert text.splitlines()[1] not in result.output
    broken = harness("gate", tmp_path, HARNESS_SIGNING_KEY=text.replace("MC4", "MC5"))
    assert broken.exit_code == 2 and text.splitlines()[1][4:] not in broken.output


def test_only_a_public_ed25519_key_verifies(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    gate(folder, "--key", key)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pub").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for wrong in (key, tmp_path / "ec.pub", tmp_path / "none", tmp_path, folder / "verdict.json"):
        assert verify(folder, "--key", wrong) == 2


def test_promotion_copies_the_signature(key: Path, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "reports" / "fixture" / "run")
    registry = tmp_path / "baselines"
    registry.mkdir()
    gate(folder, "--key", key)
    assert harness("promote", folder, "--name", "first").exit_code == 0
    place = registry / "fixture" / "first"
    for name in ("verdict.json", "verdict.dsse.json"):
        assert (place / name).read_bytes() == (folder / name).read_bytes()
    log = registry / "fixture" / "verdicts.jsonl"
    assert verify(place, "--key", f"{key}.pub", "--history", log, "--require-history") == 0


def test_an_envelope_with_two_signatures_is_refused_for_that(key: Path) -> None:
    signer = read_signer(str(key), "--key")
    envelope = Envelope(b"{}", PAYLOAD_TYPE, {})
    envelope.sign(signer)
    envelope.sign(CryptoSigner(ed25519.Ed25519PrivateKey.generate()))
    content = (canonical(envelope.to_dict()) + "\n").encode()
    with pytest.raises(EvidenceRefusedError, match="2 signatures, not one"):
        refuse_wrong_signature(content, b"{}", signer.public_key, "it")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the key file cannot be read: No such file or directory"),
        (b"no PEM", "no public key in PEM; `harness keygen` writes it beside the private one"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not an Ed25519 key",
        ),
    ],
    ids=["missing", "no PEM", "an elliptic curve"],
)
def test_the_file_is_named_when_a_public_key_is_refused(content: bytes | None, why: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "it.pub").write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        read_public_key(tmp_path / "it.pub")
    assert str(caught.value) == f"{tmp_path / 'it.pub'}: {why}"


@pytest.mark.parametrize("edit", ["other key", "other bytes", "other payload", "spaces", "no JSON", "other type"])
def test_the_envelope_and_the_reason_are_told_when_a_signature_is_refused(edit: str) -> None:
    signer, other = (CryptoSigner(ed25519.Ed25519PrivateKey.generate()) for _ in range(2))
    mine, theirs = signer.public_key, other.public_key
    content, payload, key = sign(b"{}", signer), b"{}", mine
    assert key_id_of(content, payload, "it") == mine.keyid
    envelope = json.loads(content)
    if edit == "other key":
        key, why = theirs, f"signed by another key ({mine.keyid[:16]!r}, expected {theirs.keyid[:16]})"
    elif edit == "other bytes":
        envelope["signatures"][0]["sig"] = json.loads(sign(b"[]", signer))["signatures"][0]["sig"]
        content = (canonical(envelope) + "\n").encode()
        why = "the signature does not hold; changed, or not by this key"
    elif edit == "other payload":
        payload, why = b"[]", "the signature is over another verdict"
    elif edit == "spaces":
        content, why = content + b" ", "not in the form that this version writes"
    elif edit == "no JSON":
        content, why = b"{", "no envelope that can be read: StrictJsonError("
    else:
        content = canonical({**envelope, "payloadType": "x" * 100}).encode()
        why = f"a signature over something else: {'x' * 80!r}"
    with pytest.raises(EvidenceRefusedError) as caught:
        refuse_wrong_signature(content, payload, key, "it")
    told = str(caught.value)
    assert told.startswith(f"it: {why}") if edit == "no JSON" else told == f"it: {why}"
    if edit in {"other payload", "spaces"}:
        with pytest.raises(EvidenceRefusedError, match=f"it: {why}"):
            key_id_of(content, payload, "it")
