"""What counts as a mutant of words only, how one is known again, and how the argued ones are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from automatic_mutants import Mutant, read_argued, read_mutants


def mutated(folder: Path, before: str, after: str) -> Mutant:
    """The mutant of a function of one line, read from files as mutmut leaves them."""
    place = folder / "mutants" / "harness" / "trust" / "x.py"
    place.parent.mkdir(parents=True)
    place.write_text(f"def x_f__mutmut_orig(a):\n    {before}\ndef x_f__mutmut_1(a):\n    {after}\n")
    Path(f"{place}.meta").write_text(json.dumps({"exit_code_by_key": {"harness.trust.x.x_f__mutmut_1": 0}}))
    (mutant,) = read_mutants(folder)
    return mutant


WORDS = [
    ("raise ValueError('empty')", "raise ValueError('XXemptyXX')"),
    ("raise ValueError(f'{a}: empty')", "raise ValueError(f'{a}: EMPTY')"),
    ("yield f'{a}' 'is not so', a", "yield f'{a}' 'IS NOT SO', a"),
    ("why = 'has no rank' if a else ''", "why = 'XXhas no rankXX' if a else ''"),
]
MEANING = [
    ("return a['key']", "return a['XXkeyXX']"),
    ("return a == 'ship'", "return a == 'SHIP'"),
    ("return ', '.join(a)", "return 'XX, XX'.join(a)"),
    ("raise ValueError('empty')", "raise ValueError(None)"),
    ("raise ValueError(f'{a[:16]} empty')", "raise ValueError(f'{a[:17]} empty')"),
    ("return a < 1", "return a <= 1"),
]


@pytest.mark.parametrize(("before", "after"), [*WORDS, *MEANING])
def test_a_mutant_is_of_words_only_when_nothing_but_the_text_of_a_message_differs(
    before: str, after: str, tmp_path: Path
) -> None:
    assert mutated(tmp_path, before, after).is_wording == ((before, after) in WORDS)


def test_a_mutant_is_known_by_its_function_and_its_lines(tmp_path: Path) -> None:
    found = mutated(tmp_path, "return (a\n        < 1)", "return a <= 1")
    assert found.key == ("harness/trust/x.py f", "return a < 1", "return a <= 1")


def test_a_reason_is_read_for_each_pair_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "argued.txt"
    path.write_text("x.py f\n- a\n+ b\n- c\n+ d\n= the same\n\nx.py g\n- a\n+ b\n= another\n")
    assert read_argued(path) == {
        ("x.py f", "a", "b"): "the same",
        ("x.py f", "c", "d"): "the same",
        ("x.py g", "a", "b"): "another",
    }


@pytest.mark.parametrize("text", ["x.py f\n- a\n= no other line\n", "x.py f\n- a\n+ b\n"])
def test_a_block_is_refused_when_a_line_of_it_is_missing(text: str, tmp_path: Path) -> None:
    (tmp_path / "argued.txt").write_text(text)
    with pytest.raises(ValueError, match="not a function, pairs of lines and a reason"):
        read_argued(tmp_path / "argued.txt")
