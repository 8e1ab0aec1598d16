"""What looks like personal data: addresses, numbers of telephones, accounts, cards. Never repeated in a finding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from harness.data.rules import Finding, finding
from harness.records import Example

# Names that are reserved for examples (RFC 2606), and numbers of the range reserved for films and manuals.
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?!(?:[\w-]+\.)*(?:example\.(?:com|org|net)|(?:example|test|invalid|localhost))\b)"
    r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b"
)
_PHONE = re.compile(
    r"(?<![\w+.-])(?:\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,12}|(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])(?!555[ .-]01)"
    r"[2-9]\d{2}[ .-]\d{4})(?![\w-])"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w-])")
_SOCIAL_SECURITY = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_DIGITS = re.compile(r"\d(?:\D{0,2}\d){6}")  # without as many, no number needs to be looked for


def personal_data(rows: Sequence[Example]) -> Iterator[Finding]:
    """For each row, the kinds of personal data that something in it looks like."""
    for row in rows:
        text = "\n".join([*(message.content for message in row.messages), row.target or "", row.rejected or ""])
        if kinds := kinds_of_personal_data(text):
            yield finding("personal-data", row.source, f"has what looks like {' and '.join(kinds)}")


def kinds_of_personal_data(text: str) -> tuple[str, ...]:
    """What a text seems to hold, such as "an e-mail address"; account and card numbers have their checksums right."""
    has_digits = _DIGITS.search(text) is not None
    return tuple(
        kind
        for kind, pattern, is_real in _PATTERNS
        if ("@" in text if pattern is _EMAIL else has_digits)
        and any(is_real(match[0]) for match in pattern.finditer(text))
    )


def _always(_found: str) -> bool:
    return True


def _has_iban_checksum(found: str) -> bool:
    """ISO 7064 MOD 97-10, letters as numbers from 10."""
    plain = found.replace(" ", "")
    return len(plain) >= 15 and int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _has_card_checksum(found: str) -> bool:
    """Luhn's, over 13 to 19 digits that are not all the same."""
    digits = [int(char) for char in found if char.isdigit()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


_PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("an e-mail address", _EMAIL, _always),
    ("a telephone number", _PHONE, _always),
    ("a bank account (IBAN)", _IBAN, _has_iban_checksum),
    ("a card number", _CARD, _has_card_checksum),
    ("a US social security number", _SOCIAL_SECURITY, _always),
)
