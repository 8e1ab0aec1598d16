"""What a server is found to serve, to the word and the number, as it stands; whoever changes it reads the difference.

`PYTHONPATH=tests python tests/gate/test_gate_exact_parity.py` writes `exact_parities.json` anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from evidence_in_memory import GAIN, evidence_of, suite_of
from test_gate_served_as_judged import (
    BASE,
    BASE_LOGPROB,
    CANDIDATE_LOGPROB,
    KEYS,
    WORDS,
    as_base,
    at_a_tie,
    judged,
    prediction,
    ran_on,
    right,
    served,
    tokens,
)

from harness.errors import BrokenRunError
from harness.findings import Parity
from harness.gate.served_as_judged import (
    JudgedAnswer,
    Rival,
    drawn_examples,
    index_served,
    judge_parity,
    judged_answers,
    served_as_judged,
)
from harness.gate.verdict import decide
from harness.records import Example, ServedAnswer, ServedToken
from harness.suite.checks import ServedAsJudged

STORED = Path(__file__).with_name("exact_parities.json")
EXPECTED = json.loads(STORED.read_text(encoding="utf-8"))
Answers = Callable[[str], ServedAnswer]


def case(
    answer: Answers = right,
    *,
    rivals: tuple[Rival, ...] = (BASE,),
    ours: Callable[[str], JudgedAnswer] = lambda _: judged(),
    known: int = 10,
    **facts: Any,
) -> partial[Parity]:
    """What is judged of ten answers, of which the first so many are known, and not yet."""
    given = [answer(key) for key in KEYS]
    theirs = {key: ours(key) for key in KEYS[:known]}
    return partial(judge_parity, given, theirs, rivals, **{"tolerance": 1e-3, **facts})


def first(count: int, answer: Answers, rest: Answers = right) -> Answers:
    """The first few rows answered so."""
    return lambda key: answer(key) if key in KEYS[:count] else rest(key)


def off(by: float) -> Answers:
    """The judged words, with another log-probability by so many nats in all."""
    return lambda key: served(key, tokens(*WORDS, "", total=CANDIDATE_LOGPROB + by))


def other(key: str) -> ServedAnswer:
    return served(key, tokens("per", "haps", ""), text="perhaps")


def listing(*found: tuple[str, float], text: str = "yes it is") -> Answers:
    """An answer of tokens with these bytes, in hexadecimal, and log-probabilities."""
    return lambda key: served(key, [ServedToken(content=content, logprob=value) for content, value in found], text=text)


def leaving(content: str, *others: tuple[str, float], before: tuple[str, ...] = ("c3",), text: str = "?") -> Answers:
    """An answer whose last token left the judged text, where these others were likely so."""
    kept = [ServedToken(content=item, logprob=-0.1) for item in before]
    last = ServedToken(content=content, logprob=-0.1, others=others)
    return lambda key: served(key, [*kept, last], text=text)


def says(count: int, text: str, **changes: object) -> Callable[[str], JudgedAnswer]:
    """What was judged: the first few rows said this."""
    return lambda key: judged(text, **changes) if key in KEYS[:count] else judged()


SAME = replace(BASE, answers={key: judged(logprob=BASE_LOGPROB) for key in KEYS})
FEW = {key: judged("no idea") for key in KEYS[:3]}
EACH = {"logprobs": (-0.125,) * 4}
CASES: dict[str, partial[Parity]] = {
    "all is as judged": case(),
    "no rivals": case(rivals=()),
    "some adapters are untold": case(untold=("older", "newer")),
    "nothing was asked": partial(judge_parity, [], {}, (), tolerance=1e-3),
    "some were not judged": case(known=6, rivals=()),
    "exactly half are known": case(known=5, rivals=()),
    "fewer than half are known": case(known=4, rivals=()),
    "within the tolerance": case(off(0.00388), rivals=()),
    "other precision": case(off(0.08), rivals=()),
    "other precision at most": case(off(-2.0), rivals=()),
    "other weights by their numbers": case(off(-2.1), rivals=()),
    "one other answer": case(first(1, other), rivals=()),
    "half are other answers": case(first(5, other), rivals=()),
    "more than half are other answers": case(first(6, other), rivals=()),
    "other answers without numbers": case(first(1, lambda key: replace(other(key), tokens=None)), rivals=()),
    "the base model": case(as_base),
    "the base model by its numbers": case(
        lambda key: served(key, tokens(*WORDS, "", total=BASE_LOGPROB)), rivals=(SAME,)
    ),
    "another adapter of two": case(
        as_base, rivals=(replace(BASE, name="a", is_base=False, answers=FEW), replace(BASE, name="b", is_base=False))
    ),
    "half are the base model's": case(
        first(2, other, first(4, lambda key: served(key, tokens("no", " id", "ea", ""), text="no idea"))),
        rivals=(replace(BASE, answers={key: judged("no idea") for key in KEYS}),),
    ),
    "most are the base model's": case(
        first(1, other, first(3, lambda key: served(key, tokens("no", " id", "ea", ""), text="no idea"))),
        rivals=(replace(BASE, answers={key: judged("no idea") for key in KEYS}),),
    ),
    "a rival's numbers just within": case(
        lambda key: served(key, tokens(*WORDS, "", total=BASE_LOGPROB + 0.0039)), rivals=(SAME,)
    ),
    "a rival's numbers just not": case(
        lambda key: served(key, tokens(*WORDS, "", total=BASE_LOGPROB + 0.0041)), rivals=(SAME,)
    ),
    "another prompt by its length": case(first(3, lambda key: replace(right(key), prompt_tokens=43))),
    "another prompt by its text": case(first(3, lambda key: replace(right(key), prompt_as_judged=False))),
    "prompts as text": case(first(4, lambda key: replace(right(key), prompt_as_judged=True))),
    "all prompts as text": case(lambda key: replace(right(key), prompt_as_judged=True, prompt_tokens=None)),
    "prompts are not counted": case(first(2, lambda key: replace(right(key), prompt_tokens=None))),
    "answers failed": case(first(2, lambda key: replace(right(key), error=f"gone {key}"))),
    "half of the answers failed": case(first(5, lambda key: replace(right(key), error="gone")), rivals=()),
    "answers failed and others differ": case(first(2, lambda key: replace(right(key), error="gone"), other), rivals=()),
    "no numbers": case(lambda key: served(key, None)),
    "few numbers": case(first(6, lambda key: served(key, None)), rivals=()),
    "half of the numbers": case(first(5, lambda key: served(key, None)), rivals=()),
    "three tell": case(rivals=(replace(BASE, answers=FEW),)),
    "two tell": case(rivals=(replace(BASE, name="x", answers=dict(list(FEW.items())[:2])),)),
    "numbers tell": case(
        rivals=(replace(BASE, answers={key: judged(logprob=CANDIDATE_LOGPROB - 0.0081) for key in KEYS}),)
    ),
    "numbers do not tell": case(
        rivals=(replace(BASE, answers={key: judged(logprob=CANDIDATE_LOGPROB - 0.0079) for key in KEYS}),)
    ),
    "numbers of other lengths do not tell": case(
        rivals=(replace(BASE, answers={key: judged(logprob=-2.0, length=5) for key in KEYS}),)
    ),
    "rivals without numbers do not tell": case(
        rivals=(replace(BASE, answers={key: judged(logprob=None) for key in KEYS}),)
    ),  # type: ignore[arg-type]
    "judged without numbers": case(ours=lambda _: judged(logprob=None), rivals=(SAME,)),  # type: ignore[arg-type]
    "judged without lengths": case(ours=lambda _: judged(length=None), rivals=(SAME,)),
    "some judged without numbers": case(
        ours=lambda key: judged(logprob=None if key in KEYS[:5] else -0.5),
        rivals=(
            replace(SAME, answers={key: judged(logprob=None if key in KEYS[:5] else BASE_LOGPROB) for key in KEYS}),
        ),
    ),  # type: ignore[arg-type]
    "token by token": case(
        listing(
            *[
                (w.encode().hex(), -0.125 - shift)
                for w, shift in zip((*WORDS, ""), (5e-4, -5e-4, 0.0, 1.2e-4), strict=True)
            ]
        ),
        ours=lambda _: judged(**EACH),
        rivals=(),
    ),
    "token by token, one is off": case(
        first(
            1,
            listing(
                *[
                    (w.encode().hex(), -0.125 - shift)
                    for w, shift in zip((*WORDS, ""), (0.05, -0.05, 0.0, 0.0), strict=True)
                ]
            ),
        ),
        ours=lambda _: judged(**EACH),
        rivals=(),
    ),
    "token by token, the end left out": case(
        lambda key: served(key, tokens(*WORDS, total=-0.375)), ours=lambda _: judged(**EACH), rivals=()
    ),
    "token by token, some": case(ours=lambda key: judged(**(EACH if key in KEYS[:9] else {})), rivals=()),
    "token by token, too few": case(
        lambda key: served(key, tokens(*WORDS[:2], total=-0.25)), ours=lambda _: judged(**EACH), rivals=()
    ),
    "token by token, too many": case(
        lambda key: served(key, tokens(*WORDS, "", "", total=-0.625)), ours=lambda _: judged(**EACH), rivals=()
    ),
    "token by token, of hidden bytes": case(listing(*[("", -0.125)] * 4), ours=lambda _: judged(**EACH), rivals=()),
    "token by token, judged without a sum": case(
        ours=lambda _: judged(logprob=None, **EACH),  # type: ignore[arg-type]
        rivals=(SAME,),
    ),
    "token by token, judged without lengths": case(
        ours=lambda _: judged(length=None, **EACH),
        rivals=(replace(SAME, answers={key: judged(logprob=-2.0, length=None) for key in KEYS}),),
    ),
    "numbers at the tolerance": case(off(-0.25), rivals=(), tolerance=0.0625),
    "a rival's numbers at the tolerance": case(off(-0.5), rivals=(SAME,), tolerance=0.0625),
    "numbers at twice the tolerance tell nothing": case(rivals=(SAME,), tolerance=0.03125),
    "a near tie at twice the tolerance": case(
        first(2, leaving("61", ("63", -1.1), before=("62",)), off(0.0)),
        ours=says(2, "bc"),
        rivals=(),
        tolerance=0.5,
    ),
    "tokens of half characters": case(
        listing(("ff", -0.25), text="�"), ours=lambda _: judged("�", logprobs=(-0.25, -0.25)), rivals=()
    ),
    "a near tie": case(at_a_tie(0.0019, " it"), rivals=()),
    "no near tie": case(at_a_tie(0.0021, " it"), rivals=()),
    "a near tie by flag": case(
        first(2, lambda key: served(key, tokens("no", ""), text="no")),
        ours=lambda key: judged(near_tie=key in KEYS[:2]),
        rivals=(),
    ),
    "a near tie of halves": case(
        first(2, leaving("a8", ("aa", -0.1005), ("a9", -0.101))), ours=says(2, "é"), rivals=()
    ),
    "halves that are no tie": case(
        first(2, leaving("a8", ("aa", -0.1005), ("a9", -0.2))), ours=says(2, "é"), rivals=()
    ),
    "a near tie of bytes that are none": case(
        first(2, leaving("61", ("ff", -0.1005), before=("62",))), ours=says(2, "b�"), rivals=()
    ),
    "bytes that are none before a tie": case(
        first(2, leaving("61", ("63", -0.1005), before=("ff", "62"))), ours=says(2, "�bc"), rivals=()
    ),
    "an empty other is no tie": case(
        first(2, leaving("61", ("", -0.1005), before=("62",))), ours=says(2, "bc"), rivals=()
    ),
    "an end where it goes on": case(
        first(2, leaving("", ("63", -0.1005), before=("62",), text="b")), ours=says(2, "bc"), rivals=()
    ),
    "no tokens beside another answer": case(
        first(2, lambda key: served(key, [], text="b")), ours=says(2, "bc"), rivals=()
    ),
    "an end of bytes that are none": case(
        first(2, leaving("61", ("ff", -0.1005), before=("62",))), ours=says(2, "b"), rivals=()
    ),
    "an end in brackets": case(
        first(2, leaving("61", (b"[EOS]".hex(), -0.1005), before=("62",))), ours=says(2, "b"), rivals=()
    ),
    "all tokens on the judged text": case(
        first(2, leaving("63", before=("62",), text="bc.")), ours=says(2, "bcd"), rivals=()
    ),
}


def told(parity: Parity) -> dict[str, Any]:
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in asdict(parity).items()}


@pytest.mark.parametrize("name", CASES)
def test_a_server_is_found_to_serve_exactly_this_when(name: str) -> None:
    assert told(CASES[name]()) == EXPECTED[name]


def test_every_expected_parity_is_tried() -> None:
    assert list(EXPECTED) == list(CASES)


# --- from what was stored --------------------------------------------------------------------------------------------


TEST = tuple(Example(id=f"e{i}", messages=()) for i in range(6))
CHECK = ServedAsJudged.model_validate(
    {
        "kind": "served_as_judged",
        "name": "mine",
        "examples": 3,
        "endpoint": {"base_url": "http://localhost:1/v1", "model": "m"},
    }
)


def test_examples_are_drawn_by_the_seed() -> None:
    drawn = [[row.id for row in drawn_examples(TEST, count=3, seed=seed)] for seed in (1, 2)]
    assert drawn == [["e4", "e0", "e2"], ["e3", "e5", "e2"]]
    assert sorted(row.id for row in drawn_examples(TEST, count=9, seed=1)) == [row.id for row in TEST]


def test_judged_answers_are_what_the_candidate_said() -> None:
    rows = [prediction(near_tie=True), prediction(example_id="b", stop="length"), prediction(system="bare")]
    assert judged_answers(rows, "candidate", stops=True) == {
        "a": JudgedAnswer(text="x", prompt_tokens=5, near_tie=True, logprob=-1.0, length=None),
        "b": JudgedAnswer(text="x", prompt_tokens=5, near_tie=False, logprob=-1.0, length=3),
    }


def test_served_answers_must_be_to_the_drawn_examples() -> None:
    rows = [replace(right(key), check="mine") for key in ("e0", "e4", "e2")]
    extra = replace(right("e0"), check="another")
    assert index_served([extra, *rows], CHECK, TEST, seed=1) == tuple(rows)
    for wrong, seed in ((rows[1:], 1), (rows, 2), ([*rows, rows[0]], 1), ([extra, *rows[1:]], 1)):
        with pytest.raises(BrokenRunError) as refused:
            index_served(wrong, CHECK, TEST, seed=seed)
        assert str(refused.value) == "mine: the server's answers in the evidence are not to the 3 drawn examples"


def test_the_check_says_what_was_found() -> None:
    found = CASES["all is as judged"]()
    evidence = replace(evidence_of([1.0], [0.0]), served={"mine": found})
    result = served_as_judged(CHECK, evidence)
    assert (result.name, result.kind, result.status, result.blocking) == ("mine", "served_as_judged", "pass", True)
    assert (result.reason, result.needs) == (found.reason, "")
    assert (result.observed, result.limit, result.n) == (found.largest, 1e-3, 10)
    assert (result.direction, result.unit) == ("below", "nats")
    assert result.method == (
        "greedy answers, token counts of the prompts, and log-probabilities against those of the judged stack"
    )
    silent = CASES["no numbers"]()
    result = served_as_judged(CHECK, replace(evidence, served={"mine": silent}))
    assert (result.status, result.observed, result.limit, result.needs) == ("undecided", None, None, silent.needs)


def test_a_verdict_says_that_the_server_serves_what_was_judged() -> None:
    declared = suite_of(GAIN).model_dump(by_alias=True, exclude_unset=True)
    declared["checks"].append(CHECK.model_dump(by_alias=True, exclude_unset=True))
    evidence = replace(evidence_of([1.0] * 40, [0.0] * 40), served={"mine": CASES["all is as judged"]()})
    verdict = decide(type(suite_of(GAIN)).model_validate(declared), evidence)
    assert verdict.sentence.endswith("+100.0 points); the server serves what was judged.")


def test_an_answer_that_ran_on_is_a_near_tie_only_where_it_could_have_ended() -> None:
    assert [ran_on(end).near_ties for end in ("", "<|im_end|>", "<", "[a]")] == [2, 2, 0, 0]


if __name__ == "__main__":
    found = {name: told(CASES[name]()) for name in CASES}
    STORED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
