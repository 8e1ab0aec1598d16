"""What a server is found to serve: answers, log-probabilities and prompts against the judged ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from evidence_factory import SUITE, Fixture

from harness.assembly import assemble_evidence, rivals_of, untold_by
from harness.errors import BrokenRunError
from harness.findings import Parity
from harness.gate.served_as_judged import JudgedAnswer, Rival, drawn_examples, judge_parity, judged_answers
from harness.gate.verdict import decide
from harness.records import Prediction, ServedAnswer, ServedToken, SystemFact
from harness.store.facts import to_plain
from harness.store.runs import StoredRun, read_run
from harness.suite.checks import ServedAsJudged
from harness.suite.load import parse_suite

KEYS = tuple(f"row {i}" for i in range(10))
WORDS = ("yes", " it", " is")  # three tokens of every answer, and an end
CANDIDATE_LOGPROB, BASE_LOGPROB = -0.5, -0.75


def judged(text: str = "yes it is", logprob: float = CANDIDATE_LOGPROB, **changes: object) -> JudgedAnswer:
    answer = JudgedAnswer(text=text, prompt_tokens=12, near_tie=False, logprob=logprob, length=4)
    return replace(answer, **changes)  # type: ignore[arg-type]


def tokens(*words: str, total: float = CANDIDATE_LOGPROB, rival: tuple[str, float] = ("no", 5.0)) -> list[ServedToken]:
    """Tokens of equal log-probability, each with another that is less likely by `rival[1]` nats."""
    each = total / len(words)
    return [
        ServedToken(content=word.encode().hex(), logprob=each, others=((rival[0].encode().hex(), each - rival[1]),))
        for word in words
    ]


def served(key: str, found: list[ServedToken] | None, text: str = "yes it is", **changes: object) -> ServedAnswer:
    answer = ServedAnswer(
        check="served_as_judged",
        example_id=key,
        text=text,
        prompt_tokens=12,
        tokens=tuple(found) if found is not None else None,
        prompt_as_judged=None,
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def right(key: str) -> ServedAnswer:
    return served(key, tokens(*WORDS, "", total=CANDIDATE_LOGPROB + 2e-5))


# The base model says the same as the candidate, with another certainty, but for the last four rows.
BASE = Rival(
    name="bare",
    is_base=True,
    answers={
        key: judged("yes it is" if place < 6 else "no idea", logprob=BASE_LOGPROB) for place, key in enumerate(KEYS)
    },
)


def parity(
    answer: Callable[[str], ServedAnswer] = right,
    *,
    rivals: tuple[Rival, ...] = (BASE,),
    ours: Callable[[str], JudgedAnswer] = lambda _: judged(),
    tolerance: float = 1e-3,
) -> Parity:
    found = judge_parity([answer(key) for key in KEYS], {key: ours(key) for key in KEYS}, rivals, tolerance=tolerance)
    return found


def test_it_passes_when_answers_prompts_and_log_probabilities_are_the_judged_ones() -> None:
    found = parity()
    assert (found.status, found.difference, found.equal, found.compared) == ("pass", "", 10, 10)
    assert found.largest == pytest.approx(5e-6) and found.mean == pytest.approx(5e-6)
    assert not found.per_token


def test_differences_are_called_single_tokens_only_when_all_of_them_are() -> None:
    found = parity(ours=lambda key: judged(logprobs=(-0.125,) * 4) if key == KEYS[0] else judged())
    assert (found.status, found.compared, found.per_token) == ("pass", 10, False)
    none = parity(lambda key: served(key, None), ours=lambda _: judged(logprobs=(-0.125,) * 4))
    assert (none.compared, none.per_token) == (0, False)


def test_every_token_is_compared_when_the_judged_ones_are_known_one_by_one() -> None:
    """Two errors that cancel each other in the sum are seen."""
    off = [
        replace(token, logprob=token.logprob + shift)
        for token, shift in zip(tokens(*WORDS, ""), (0.05, -0.05, 0.0, 0.0), strict=True)
    ]
    summed = parity(lambda key: served(key, off))
    assert summed.status == "pass"
    each = parity(lambda key: served(key, off), ours=lambda _: judged(logprobs=(-0.125,) * 4))
    assert (each.status, each.difference, each.per_token) == ("fail", "other precision", True)
    assert each.largest == pytest.approx(0.05) and each.mean == pytest.approx(0.025)


def test_other_precision_is_named_when_answers_are_equal_and_log_probabilities_are_not() -> None:
    found = parity(lambda key: served(key, tokens(*WORDS, "", total=CANDIDATE_LOGPROB + 0.08)))
    assert (found.status, found.difference) == ("fail", "other precision")
    assert "other precision" in found.reason and "0.02" in found.reason


def test_a_quantised_server_passes_when_the_tolerance_is_stated_for_it() -> None:
    found = parity(lambda key: served(key, tokens(*WORDS, "", total=CANDIDATE_LOGPROB + 0.08)), tolerance=0.03)
    assert (found.status, found.difference) == ("pass", "")


def as_base(key: str) -> ServedAnswer:
    said = BASE.answers[key]
    words = WORDS if said.text == "yes it is" else ("no", " id", "ea")
    return served(key, tokens(*words, "", total=BASE_LOGPROB + 2e-5), text=said.text)


def test_the_base_model_is_named_when_the_adapter_is_not_applied() -> None:
    found = parity(as_base)
    assert (found.status, found.difference) == ("fail", "base model")
    assert "bare" in found.reason and "not applied" in found.reason


def test_the_base_model_is_named_by_its_numbers_when_all_answers_are_equal() -> None:
    """Where both say the same to everything, only the log-probabilities tell which of them spoke."""
    same = replace(BASE, answers={key: judged(logprob=BASE_LOGPROB) for key in KEYS})
    found = parity(lambda key: served(key, tokens(*WORDS, "", total=BASE_LOGPROB)), rivals=(same,))
    assert (found.status, found.difference, found.equal) == ("fail", "base model", 10)


def test_another_adapter_is_named_when_its_answers_are_served() -> None:
    previous = replace(BASE, name="previous", is_base=False)
    found = parity(as_base, rivals=(replace(BASE, answers={key: judged("nothing") for key in KEYS}), previous))
    assert (found.status, found.difference) == ("fail", "other adapter")
    assert "previous" in found.reason


def test_other_weights_are_named_when_nothing_known_answers_so() -> None:
    found = parity(lambda key: served(key, tokens("per", "haps", ""), text="perhaps"))
    assert (found.status, found.difference, found.differing) == ("fail", "other weights", 10)


@pytest.mark.parametrize("change", [{"prompt_tokens": 43}, {"prompt_as_judged": False}])
def test_another_prompt_is_named_when_the_server_counts_or_renders_otherwise(change: dict[str, object]) -> None:
    """Before all else: under another prompt the answers tell nothing of the weights."""
    found = parity(lambda key: replace(as_base(key), **change))  # type: ignore[arg-type]
    assert (found.status, found.difference, found.other_prompts) == ("fail", "other prompt", 10)


def test_one_other_answer_fails_when_it_is_not_at_a_tie() -> None:
    def one_off(key: str) -> ServedAnswer:
        return served(key, tokens("yes", " we", ""), text="yes we") if key == KEYS[0] else right(key)

    assert (parity(one_off).status, parity(one_off).differing) == ("fail", 1)


def at_a_tie(gap: float, other: str) -> Callable[[str], ServedAnswer]:
    """The first two rows leave the judged text after "yes", where `other` was less likely by `gap`."""

    def answer(key: str) -> ServedAnswer:
        left = tokens("yes", " we", "", rival=(other, gap))
        return served(key, left, text="yes we") if key in KEYS[:2] else right(key)

    return answer


def test_a_near_tie_is_left_out_when_the_server_had_the_judged_token_within_twice_the_tolerance() -> None:
    found = parity(at_a_tie(0.0019, " it"))
    assert (found.status, found.near_ties, found.compared) == ("pass", 2, 8)


@pytest.mark.parametrize(("gap", "other"), [(0.0021, " it"), (0.0019, " or"), (-5.0, " it")])
def test_an_answer_differs_when_the_judged_token_was_not_as_likely_or_another(gap: float, other: str) -> None:
    assert parity(at_a_tie(gap, other)).status == "fail"


def test_a_near_tie_is_found_when_tokens_are_halves_of_characters() -> None:
    """The judged answer goes on with the second half of é, the served one with that of è."""
    halves = [
        ServedToken(content="c3", logprob=-0.1),
        ServedToken(content="a8", logprob=-0.1, others=(("a9", -0.101), ("aa", -0.1005))),
        ServedToken(content="", logprob=-0.1),
    ]
    found = parity(
        lambda key: served(key, halves, text="è") if key in KEYS[:2] else right(key),
        ours=lambda key: judged("é" if key in KEYS[:2] else "yes it is"),
    )
    assert (found.status, found.near_ties) == ("pass", 2)


def ran_on(other: str) -> Parity:
    """Two answers that went on where the judged one ended, with `other` nearly as likely there."""
    longer = [
        ServedToken(content=b"yes".hex(), logprob=-0.1),
        ServedToken(content=b" we".hex(), logprob=-0.7, others=((other.encode().hex(), -0.701),)),
    ]
    return parity(
        lambda key: served(key, longer, text="yes we") if key in KEYS[:2] else right(key),
        ours=lambda key: judged("yes" if key in KEYS[:2] else "yes it is"),
    )


@pytest.mark.parametrize("end", ["", "<|im_end|>", "</s>", "[EOS]", "<｜end▁of▁sentence｜>"])
def test_a_near_tie_is_found_when_the_judged_answer_ended_there(end: str) -> None:
    assert (ran_on(end).status, ran_on(end).near_ties) == ("pass", 2)


@pytest.mark.parametrize("other", [" or", "<", "< b>", "[a]"])
def test_an_answer_that_ran_on_differs_when_the_other_token_was_no_end(other: str) -> None:
    assert (ran_on(other).status, ran_on(other).differing) == ("fail", 2)


def test_a_near_tie_is_left_out_when_the_evidence_flags_it() -> None:
    found = parity(
        lambda key: served(key, tokens("no", ""), text="no") if key in KEYS[:2] else right(key),
        ours=lambda key: judged(near_tie=key in KEYS[:2]),
    )
    assert (found.status, found.near_ties) == ("pass", 2)


def test_it_is_undecided_when_most_answers_are_near_ties() -> None:
    found = parity(
        lambda key: served(key, tokens("no", ""), text="no") if key in KEYS[:6] else right(key),
        ours=lambda key: judged(near_tie=True),
    )
    assert found.status == "undecided" and "only 4 of 10" in found.reason


def test_it_is_undecided_when_the_server_gives_no_log_probabilities() -> None:
    found = parity(lambda key: served(key, None))
    assert found.status == "undecided" and "no log-probabilities" in found.reason and "vLLM" in found.needs


def test_it_still_fails_when_the_server_gives_no_log_probabilities_and_other_answers() -> None:
    found = parity(lambda key: replace(as_base(key), tokens=None))
    assert (found.status, found.difference) == ("fail", "base model")


def test_it_is_undecided_when_the_server_counts_no_prompt_tokens() -> None:
    found = parity(lambda key: replace(right(key), prompt_tokens=None))
    assert found.status == "undecided" and "does not count" in found.reason


def test_it_is_undecided_when_one_compared_prompt_is_not_known() -> None:
    found = parity(lambda key: replace(right(key), prompt_tokens=None) if key == KEYS[0] else right(key))
    assert found.status == "undecided" and "does not count the tokens of 1 of 10 prompts" in found.reason


def test_it_passes_without_counted_prompts_when_they_were_compared_as_text() -> None:
    assert parity(lambda key: replace(right(key), prompt_tokens=None, prompt_as_judged=True)).status == "pass"


def test_it_is_undecided_when_an_answer_failed_and_nothing_differs() -> None:
    found = parity(lambda key: replace(right(key), error="HTTP 500") if key == KEYS[3] else right(key))
    assert (found.status, found.errors) == ("undecided", 1) and "HTTP 500" in found.reason


def test_it_is_undecided_when_the_base_model_would_pass_as_well() -> None:
    """A tolerance so wide that the base model's answers lie within it shows nothing."""
    same = replace(BASE, answers={key: judged(logprob=BASE_LOGPROB) for key in KEYS})
    found = parity(rivals=(same,), tolerance=0.05)
    assert found.status == "undecided" and "0 of the compared answers tell the candidate from bare" in found.reason
    assert parity(rivals=(same,), tolerance=0.01).status == "pass"


def test_a_rival_is_not_told_apart_by_another_prompt_alone() -> None:
    """Whatever weights the server has, it is given the candidate's prompt."""
    same = replace(BASE, answers={key: judged(prompt_tokens=40) for key in KEYS})
    found = parity(rivals=(same,))
    assert found.status == "undecided" and "0 of the compared answers tell the candidate from bare" in found.reason


def test_the_end_may_be_left_out_when_tokens_are_compared_one_by_one() -> None:
    ended = parity(lambda key: served(key, tokens(*WORDS, total=-0.375)), ours=lambda _: judged(logprobs=(-0.125,) * 4))
    assert ended.status == "pass"
    summed = parity(lambda key: served(key, tokens(*WORDS, total=-0.375)))
    assert summed.status == "undecided" and summed.compared == 0


def test_an_answer_is_not_compared_when_the_server_lists_only_some_of_its_tokens() -> None:
    found = parity(lambda key: served(key, tokens(*WORDS)[:1]), ours=lambda _: judged(logprobs=(-0.5 / 3,) * 4))
    assert (found.status, found.compared, found.per_token) == ("undecided", 0, False)


def test_it_is_told_of_how_many_prompts_only_the_number_of_tokens_was_compared() -> None:
    found = parity(lambda key: replace(right(key), prompt_as_judged=True) if key in KEYS[:4] else right(key))
    assert found.status == "pass" and "6 of 10 prompts compared by their number of tokens only" in found.reason
    assert "number of tokens only" not in parity(lambda key: replace(right(key), prompt_as_judged=True)).reason


def prediction(**changes: object) -> Prediction:
    answer = Prediction(
        example_id="a",
        system="candidate",
        dataset="test",
        text="x",
        stop="end",
        prompt_tokens=5,
        output_tokens=3,
        seconds=0.1,
        logprob=-1.0,
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "stops", "length"),
    [({}, False, 4), ({"stop": "length"}, False, 3), ({}, True, None), ({"stop": "length"}, True, 3)],
)
def test_the_tokens_of_an_answer_are_counted_with_its_end(
    changes: dict[str, object], stops: bool, length: int | None
) -> None:
    (answer,) = judged_answers([prediction(**changes)], "candidate", stops=stops).values()
    assert answer.length == length


def test_answers_that_failed_were_not_judged() -> None:
    rows = [prediction(error="no"), prediction(system="bare"), prediction(sample=1), prediction(dataset="probe")]
    assert judged_answers(rows, "candidate", stops=False) == {}


CHECKED = SUITE + (
    "  - kind: served_as_judged\n    examples: 20\n"
    "    endpoint: {base_url: 'http://127.0.0.1:9/v1', model: candidate}\n"
)


def run_with(folder, answers: Callable[[Prediction], ServedAnswer | None]) -> StoredRun:  # type: ignore[no-untyped-def]
    """A stored run whose server answered the drawn questions so; None: not at all."""

    def spoken(rows: list[Prediction]) -> list[Prediction]:
        return [replace(row, logprob=-0.7 if row.system == "candidate" else -2.8) for row in rows]

    fixture = Fixture(suite_text=CHECKED, edit_predictions=spoken)
    run = read_run(fixture.write(folder))
    drawn = {example.id for example in drawn_examples(run.examples["test"], count=20, seed=3)}
    asked = [row for row in run.predictions if (row.system, row.dataset) == ("candidate", "test")]
    found = [answer for row in asked if row.example_id in drawn and (answer := answers(row)) is not None]
    return replace(run, served=tuple(found))


def echoed(row: Prediction) -> ServedAnswer:
    pieces = [ServedToken(content=b"".hex(), logprob=-0.1) for _ in range(row.output_tokens + 1)]
    return served(row.example_id, pieces, text=row.text)


def test_the_verdict_counts_the_check_when_a_suite_declares_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = run_with(tmp_path / "run", echoed)
    suite = parse_suite(CHECKED, tmp_path / "suite.yaml", {}, files=False).suite
    _, evidence = assemble_evidence(run, suite)
    verdict = decide(suite, evidence)
    (check,) = [result for result in verdict.checks if result.kind == "served_as_judged"]
    assert (verdict.decision, check.status, check.n, check.unit) == ("ship", "pass", 20, "nats")
    assert "the server serves what was judged" in verdict.sentence

    wrong = replace(run, served=tuple(replace(row, prompt_tokens=99) for row in run.served))
    _, evidence = assemble_evidence(wrong, suite)
    verdict = decide(suite, evidence)
    assert verdict.decision == "hold" and verdict.sentence.startswith("Other prompt: 20 of 20")


ARMS = """\
  sibling: {kind: adapter, role: baseline, from: sibling, system: plain.txt}
  stranger: {kind: adapter, role: baseline, from: stranger, system: other.txt}
  hosted:
    kind: endpoint
    base_url: http://127.0.0.1:9/v1
    model: base
    system: plain.txt
    served_adapter: {name: mine, path: mine}
"""


def test_arms_of_another_prompt_or_behind_a_server_are_no_rivals_and_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = run_with(tmp_path / "run", echoed)
    text = CHECKED.replace("benchmarks:\n", f"{ARMS}benchmarks:\n").replace("{method: lora}", "{seeds: 2}")
    text = text.replace("role: candidate}", "role: candidate, system: plain.txt}")
    text = text.replace("{kind: prompt, role: baseline}", "{kind: prompt, role: baseline, system: plain.txt}")
    suite = parse_suite(text, tmp_path / "suite.yaml", {}, files=False).suite
    (replica,) = suite.replicas
    kinds = {replica: "adapter", "sibling": "adapter", "stranger": "adapter", "hosted": "endpoint"}
    more = [SystemFact(name=name, kind=kind, role="baseline", signature="") for name, kind in kinds.items()]
    prompts = {f"prompt:{name}": "p" * 64 for name in ("candidate", "bare", "sibling", "hosted")}
    manifest = replace(
        run.manifest,
        systems=(*run.manifest.systems, *more),
        digests={**run.manifest.digests, **prompts, "prompt:stranger": "q" * 64},
    )
    run = replace(run, manifest=manifest)
    rivals = rivals_of(run, suite)
    assert [(rival.name, rival.is_base) for rival in rivals] == [("bare", True), (replica, False), ("sibling", False)]
    untold = untold_by(rivals, run, suite)
    assert untold == ("stranger", "hosted")
    found = judge_parity([], {}, rivals, tolerance=1e-3, untold=untold)
    assert "not told apart from stranger, hosted (judged under another prompt" in found.reason


def test_the_evidence_is_refused_when_the_server_was_asked_other_rows(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = run_with(tmp_path / "run", echoed)
    suite = parse_suite(CHECKED, tmp_path / "suite.yaml", {}, files=False).suite
    for rows in (run.served[1:], (*run.served[1:], replace(run.served[0], example_id="other")), ()):
        with pytest.raises(BrokenRunError, match="not to the 20 drawn examples"):
            assemble_evidence(replace(run, served=rows), suite)


def test_rows_are_read_back_as_they_were_written() -> None:
    from harness.store.facts import from_plain

    assert from_plain(ServedAnswer, to_plain(right("a")), "here") == right("a")


def test_the_check_asks_for_32_rows_within_a_thousandth_of_a_nat_unless_told_otherwise() -> None:
    check = ServedAsJudged.model_validate(
        {"kind": "served_as_judged", "endpoint": {"base_url": "http://localhost:1/v1", "model": "m"}}
    )
    assert (check.examples, check.tolerance, check.served_adapter, check.blocking) == (32, 1e-3, None, True)
