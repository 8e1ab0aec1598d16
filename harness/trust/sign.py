"""Signatures: Ed25519 keys, and DSSE envelopes around the bytes of a verdict.

Sources: DSSE (secure-systems-lab/dsse, protocol.md and envelope.md) and its payload type for in-toto Statements;
securesystemslib does the cryptography. Narrower than DSSE on purpose: one signature, one kind of key, and an envelope
that is, byte for byte, the one that would be written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.limits import TEXT_BYTES, read_within
from harness.strict_json import canonical, parse

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PRIVATE_MARK = "-----BEGIN"


def new_key_pair() -> tuple[bytes, bytes, str]:
    """A new Ed25519 key: the private part (PEM, PKCS #8, not encrypted), the public part (PEM) and its id."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import CryptoSigner

    private = Ed25519PrivateKey.generate()
    signer = CryptoSigner(private)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signer.private_bytes, public, signer.public_key.keyid


def read_signer(given: str, where: str) -> CryptoSigner:
    """The signer of a private key, which is `given` as PEM text or as the path of a PEM file.

    `where` says where it was given. No message repeats what was given, since it may be the key itself.

    Raises:
        InvalidInputError: no private Ed25519 key in PEM without a password.
    """
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    content = given.encode("utf-8") if PRIVATE_MARK in given else _read_key(Path(given), where)
    try:
        key = load_pem_private_key(content, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm, InternalError):
        raise InvalidInputError(
            f"{where}: no private key in PEM without a password; `harness keygen` makes one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInputError(f"{where}: not an Ed25519 key; `harness keygen` makes one")
    return CryptoSigner(key)


def read_public_key(path: Path) -> SSlibKey:
    """The public key in a PEM file.

    Raises:
        InvalidInputError: no public Ed25519 key in PEM.
    """
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        key = load_pem_public_key(_read_key(path, str(path)))
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise InvalidInputError(
            f"{path}: no public key in PEM; `harness keygen` writes it beside the private one"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInputError(f"{path}: not an Ed25519 key")
    return SSlibKey.from_crypto(key)


def _read_key(path: Path, where: str) -> bytes:
    try:
        return read_within(path, TEXT_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidInputError(f"{where}: the key file cannot be read: {reason}") from None


def sign(payload: bytes, signer: CryptoSigner) -> bytes:
    """A DSSE envelope with one signature over a verdict's bytes."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return _encode(envelope)


def key_id_of(content: bytes, payload: bytes, where: str) -> str:
    """The id of the key that an envelope says it is signed by; whether that is true is not looked at.

    Raises:
        EvidenceRefusedError: not an envelope with one signature around exactly this payload.
    """
    return next(iter(_read_envelope(content, payload, where).signatures))


def refuse_wrong_signature(content: bytes, payload: bytes, key: SSlibKey, where: str) -> None:
    """Accept only an envelope around exactly this payload that this key, and no other, signed.

    Raises:
        EvidenceRefusedError: in every other case, with the reason.
    """
    from securesystemslib.exceptions import VerificationError

    envelope = _read_envelope(content, payload, where)
    (signed_by,) = envelope.signatures
    if signed_by != key.keyid:
        raise EvidenceRefusedError(f"{where}: signed by another key ({signed_by[:16]!r}, expected {key.keyid[:16]})")
    try:
        envelope.verify([key], threshold=1)
    except VerificationError:
        raise EvidenceRefusedError(f"{where}: the signature does not hold; changed, or not by this key") from None


def _read_envelope(content: bytes, payload: bytes, where: str) -> Envelope:
    from securesystemslib.dsse import Envelope

    try:
        value: Any = parse(content.decode("utf-8"))
        if value["payloadType"] != PAYLOAD_TYPE:
            raise EvidenceRefusedError(f"{where}: a signature over something else: {str(value['payloadType'])[:80]!r}")
        if len(value["signatures"]) != 1:
            raise EvidenceRefusedError(f"{where}: {len(value['signatures'])} signatures, not one")
        envelope = Envelope.from_dict(value)
        ((signed_by, signature),) = envelope.signatures.items()
        whole = _encode(envelope)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"{where}: no envelope that can be read: {error!r}") from None
    if whole != content or not isinstance(signed_by, str) or signature.unrecognized_fields:
        raise EvidenceRefusedError(f"{where}: not in the form that this version writes")
    if envelope.payload != payload:
        raise EvidenceRefusedError(f"{where}: the signature is over another verdict")
    return envelope


def _encode(envelope: Envelope) -> bytes:
    return (canonical(envelope.to_dict()) + "\n").encode("utf-8")
