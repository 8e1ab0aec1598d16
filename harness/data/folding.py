"""What is the same text to a reader: case, width, spacing, punctuation, invisible and look-alike letters aside."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Letters of other scripts that are drawn like Latin ones, in lower case. In no script do two of its letters become
# one, so that texts that are wholly in it stay as different as they are. (Unicode TS 39 lists many more, also within
# Latin: l and 1, rn and m. Folding those would make different texts one.)
_CYRILLIC = dict(zip("авеԍһіјкԛмнорсѕтухԁԝ", "abeghijkqmhopcstyxdw", strict=True))
_GREEK = dict(zip("αβεγηικνορτυωχζ", "abeyniknoptuwxz", strict=True))
_OTHER = {"ɑ": "a", "ɡ": "g", "ı": "i", "օ": "o", "ո": "n", "ս": "u", "հ": "h", "ց": "g"}
_LOOK_ALIKES = {ord(letter): latin for letter, latin in (_CYRILLIC | _GREEK | _OTHER).items()}

# Capital Greek letters that look like another Latin letter than in lower case; in a word with Latin ones, a disguise.
_CAPITALS = str.maketrans("ΗΜΝΥ", "HMNY")
_MIXED_WORD = re.compile(r"\w*[A-Za-z]\w*")

_SIGNS = re.compile(r"[+*^<>=/−-]{1,2}")
_ALSO_PUNCTUATION = {"-", "−", "/"}  # between words
_KEPT = {ord(sign): chr(0xE000 + place) for place, sign in enumerate("+*^<>=/-")} | {ord("−"): chr(0xE007)}
_KEPT_CODES = {ord(code) for code in _KEPT.values()}

# Scripts written without spaces: each character is a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# What is not seen beside Unicode's format characters: joiners, fillers and variation selectors.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}


class _Seen(dict[int, str]):
    """Code point -> the character, or nothing where none is seen; worked out when it is met first."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        is_unseen = unicodedata.category(char) == "Cf" or code in _UNSEEN or 0xE0100 <= code < 0xE01F0
        self[code] = "" if is_unseen else char
        return self[code]


class _Folds(dict[int, str]):
    """Code point -> the letter, mark, digit or operator, or a space; worked out when it is met first."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        is_kept = char.isalnum() or unicodedata.category(char)[0] == "M" or code in _KEPT_CODES
        self[code] = (f" {char} " if _UNSPACED.match(char) else char) if is_kept else " "
        return self[code]


_SEEN, _FOLDS = _Seen(), _Folds(_LOOK_ALIKES)


@lru_cache(maxsize=1 << 17)  # every rule about data asks for the same texts
def fold(text: str) -> str:
    """The words of a text in one spelling: equal results read the same.

    NFKC, case folding, without characters that are not seen, other scripts' letters that look Latin as Latin ones, and
    a single space for every run of space and punctuation. Operators between operands stay. A text of punctuation alone
    keeps it, or all of them would be the same.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_SEEN))
        if any(char in text for char in "ΗΜΝΥ"):
            text = _MIXED_WORD.sub(lambda word: word[0].translate(_CAPITALS), text)
    folded = " ".join(text.casefold().split())
    spelled = _SIGNS.sub(_keep_operator, folded).translate(_FOLDS)
    return " ".join(spelled.split()) or folded


def _keep_operator(match: re.Match[str]) -> str:
    """A sign between two operands, which is no punctuation: 5 - 3 is not 5 + 3, and a << b is not a >> b."""
    sign, text, first, last = match[0], match.string, match.start(), match.end()
    gap = int(text[first - 1 : first] == " " == text[last : last + 1])
    left = text[first - gap - 1 : first - gap] if first > gap else ""
    right = text[last + gap : last + gap + 1]
    if sign in _ALSO_PUNCTUATION:
        is_operator = (left.isdigit() or left == ")") and (right.isdigit() or right == "(")
        is_operator |= sign != "/" and not gap and not left.isalnum() and right.isdigit()  # minus five
    else:
        is_operator = (left.isalnum() or left == ")") and (right.isalnum() or right == "(")
    return f" {sign.translate(_KEPT)} " if is_operator else sign
