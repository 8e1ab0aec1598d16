"""What is served must be what was judged: a server's answers and log-probabilities against those of the evidence."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from harness.errors import BrokenRunError
from harness.findings import CheckResult, Difference, Parity
from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.records import Example, Prediction, ServedAnswer
from harness.stats.sequential import permutation
from harness.suite.checks import ServedAsJudged

FEWEST_TELLING = 3  # compared answers that must tell the candidate from each thing that could be served instead
MOST_LEFT_OUT = 0.5  # of the answers, before too few are compared
# bfloat16 and 4-bit weights move a chosen token by hundredths to tenths of a nat; another adapter by more.
PRECISION_NATS = 0.5
# How servers write a token that ends an answer: as nothing, or by its name ("<|im_end|>", "</s>", "[EOS]").
_END = re.compile(r"(?:<[^<>\s]+>|\[[A-Z_]+\])?")
WHY_UNTOLD = "judged under another prompt, at a temperature or behind a server"
METHOD = "greedy answers, token counts of the prompts, and log-probabilities against those of the judged stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """One greedy answer of the judged stack; its log-probability is in nats, with that of its end."""

    text: str
    prompt_tokens: int
    near_tie: bool
    logprob: float | None  # of the whole answer
    length: int | None  # tokens that `logprob` is the sum over; None: not known
    logprobs: tuple[float, ...] | None = None  # token by token, where it was computed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """What could be served in the candidate's place, and what it answered when it was judged."""

    name: str
    is_base: bool
    answers: Mapping[str, JudgedAnswer]


def drawn_examples(test: Sequence[Example], *, count: int, seed: int) -> tuple[Example, ...]:
    """The test examples that a server is asked: `count` of them, or all, drawn by the seed."""
    return tuple(test[index] for index in permutation(len(test), seed)[:count])


def judged_answers(predictions: Iterable[Prediction], system: str, *, stops: bool) -> dict[str, JudgedAnswer]:
    """The test answers of one system by example id, without those that failed.

    Where the suite declares texts that `stops` an answer, it is not known of which tokens a stopped one was.
    """
    return {
        answer.example_id: JudgedAnswer(
            text=answer.text,
            prompt_tokens=answer.prompt_tokens,
            near_tie=answer.near_tie,
            logprob=answer.logprob,
            length=None if stops and answer.stop == "end" else answer.output_tokens + (answer.stop == "end"),
        )
        for answer in predictions
        if (answer.system, answer.dataset, answer.sample, answer.error) == (system, "test", 0, None)
    }


def index_served(
    served: Iterable[ServedAnswer], check: ServedAsJudged, test: Sequence[Example], *, seed: int
) -> tuple[ServedAnswer, ...]:
    """What one check's server answered, once it is found to be to exactly the questions that were drawn.

    Raises:
        BrokenRunError: it is not; rows are never left out.
    """
    name = check_name(check)
    rows = tuple(row for row in served if row.check == name)
    wanted = sorted(example.id for example in drawn_examples(test, count=check.examples, seed=seed))
    if sorted(row.example_id for row in rows) != wanted:
        raise BrokenRunError(
            f"{name}: the server's answers in the evidence are not to the {len(wanted)} drawn examples"
        )
    return rows


def served_as_judged(check: ServedAsJudged, evidence: Evidence) -> CheckResult:
    """What was found out about the server that the check declares."""
    name = check_name(check)
    found = evidence.served[name]
    return check_result(
        check,
        name,
        found.status,
        found.reason,
        observed=found.largest,
        limit=found.tolerance if found.largest is not None else None,
        direction="below",
        unit="nats",
        n=found.compared,
        method=METHOD,
        needs=found.needs,
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """One served answer and the judged one."""

    served: ServedAnswer
    judged: JudgedAnswer
    outcome: Literal["equal", "near tie", "other"]
    gaps: tuple[float, ...]  # of log-probability, nats per token; empty where they cannot be compared

    @property
    def other_prompt(self) -> bool:
        """Whether the server was not given the judged prompt."""
        counted = self.served.prompt_tokens
        return self.served.prompt_as_judged is False or (counted is not None and counted != self.judged.prompt_tokens)

    @property
    def knows_prompt(self) -> bool:
        """Whether the server said anything of the prompt."""
        return self.served.prompt_as_judged is not None or self.served.prompt_tokens is not None


def judge_parity(
    served: Sequence[ServedAnswer],
    judged: Mapping[str, JudgedAnswer],
    rivals: Collection[Rival],
    *,
    tolerance: float,
    untold: Sequence[str] = (),
) -> Parity:
    """Whether a server is shown to serve what was judged, and if not, what it seems to serve.

    `rivals` answered the candidate's own prompts greedily on its own stack; `untold` names the adapters that did not.
    Two stacks whose log-probabilities differ by at most `tolerance` (nats per token) choose another token only where
    the best two are within twice that: such an answer is a near tie, and left out. Every other difference counts.
    """
    pairs = [
        _pair(answer, judged[answer.example_id], tolerance)
        for answer in served
        if answer.error is None and answer.example_id in judged
    ]
    gaps = [gap for pair in pairs for gap in pair.gaps]
    difference = _difference(pairs, rivals, tolerance)
    errors = sum(answer.error is not None for answer in served)
    open_question, needs = "", ""
    if not difference:
        open_question, needs = next(_open_questions(served, pairs, rivals, tolerance), ("", ""))
    counts = _counts(pairs)
    shown = _shown(counts, gaps, tolerance, errors)
    counted = sum(pair.knows_prompt and pair.served.prompt_as_judged is None for pair in pairs)
    lengths = f"{counted} of {len(pairs)} prompts compared by their number of tokens only" if counted else ""
    blind = f"not told apart from {', '.join(untold)} ({WHY_UNTOLD})" if untold else ""
    return Parity(
        status="fail" if difference else "undecided" if open_question else "pass",
        reason="; ".join(
            filter(None, (_sentence(difference, rivals, pairs, tolerance), open_question, shown, lengths, blind))
        ),
        needs=needs,
        difference=difference,
        asked=len(served),
        errors=errors,
        equal=counts["equal"],
        near_ties=counts["near tie"],
        differing=counts["other"],
        other_prompts=sum(pair.other_prompt for pair in pairs),
        compared=sum(bool(pair.gaps) for pair in pairs),
        mean=fmean(gaps) if gaps else None,
        largest=max(gaps) if gaps else None,
        tolerance=tolerance,
        per_token=bool(gaps) and all(pair.judged.logprobs is not None for pair in pairs if pair.gaps),
    )


def _pair(served: ServedAnswer, judged: JudgedAnswer, tolerance: float) -> _Pair:
    if served.text == judged.text:
        return _Pair(served, judged, "equal", _gaps(served, judged))
    tied = judged.near_tie or _leaves_at_a_tie(served, judged.text, 2 * tolerance)
    return _Pair(served, judged, "near tie" if tied else "other", ())


def _gaps(served: ServedAnswer, judged: JudgedAnswer) -> tuple[float, ...]:
    """Differences of log-probability, token by token or one of the means over an answer; none without both sides."""
    if served.tokens is None:
        return ()
    told = [token.logprob for token in served.tokens]
    if judged.logprobs is not None:
        # Some servers leave the end out, or the text that stops an answer, but nothing of the answer itself.
        if len(told) > len(judged.logprobs) or (len(told) < len(judged.logprobs) and not _spelled(served)):
            return ()
        return tuple(abs(ours - theirs) for ours, theirs in zip(told, judged.logprobs, strict=False))
    if judged.logprob is None or judged.length != len(told):
        return ()
    return (abs(sum(told) - judged.logprob) / len(told),)


def _spelled(served: ServedAnswer) -> bool:
    """Whether the listed tokens are those of the whole answer."""
    listed = b"".join(bytes.fromhex(token.content) for token in served.tokens or ())
    return listed.decode("utf-8", "replace").startswith(served.text)


def _leaves_at_a_tie(served: ServedAnswer, judged: str, most: float) -> bool:
    """Whether the server's first token off the judged text is nearly as likely to it as one that stays on it."""
    # Byte by byte, since a token may be half a character; what is no character reads as tokenizers write it.
    read, text = codecs.getincrementaldecoder("utf-8")("replace"), ""
    for token in served.tokens or ():
        before = read.getstate()
        more = read.decode(bytes.fromhex(token.content))
        if token.content and judged.startswith(text + more):
            text += more
            continue
        close = [content for content, logprob in token.others if abs(token.logprob - logprob) <= most]
        if text == judged:
            return any(_END.fullmatch(bytes.fromhex(content).decode("utf-8", "replace")) for content in close)
        return any(content and judged.startswith(text + _read_from(before, content)) for content in close)
    return False


def _read_from(state: tuple[bytes, int], content: str) -> str:
    """The text of a token after what was read before it."""
    read = codecs.getincrementaldecoder("utf-8")("replace")
    read.setstate(state)
    return read.decode(bytes.fromhex(content))


def _counts(pairs: Sequence[_Pair]) -> dict[str, int]:
    return {name: sum(pair.outcome == name for pair in pairs) for name in ("equal", "near tie", "other")}


def _offending(pairs: Sequence[_Pair], tolerance: float) -> list[_Pair]:
    """The answers that are not the judged ones, and those that are by other log-probabilities."""
    return [pair for pair in pairs if pair.outcome == "other" or any(gap > tolerance for gap in pair.gaps)]


def _difference(pairs: Sequence[_Pair], rivals: Collection[Rival], tolerance: float) -> Difference:
    """What is served instead of what was judged; "" when no difference is shown."""
    if any(pair.other_prompt for pair in pairs):
        return "other prompt"
    if not (offending := _offending(pairs, tolerance)):
        return ""
    if (rival := _resembled(offending, rivals, tolerance)) is not None:
        return "base model" if rival.is_base else "other adapter"
    counts, gaps = _counts(pairs), [gap for pair in pairs for gap in pair.gaps]
    if counts["other"] <= counts["equal"] and (not gaps or fmean(gaps) <= PRECISION_NATS):
        return "other precision"
    return "other weights"


def _resembled(offending: Sequence[_Pair], rivals: Collection[Rival], tolerance: float) -> Rival | None:
    """The rival whose answers most of these are, if there is one."""
    alike = {rival.name: sum(_is_from(pair, rival, tolerance) for pair in offending) for rival in rivals}
    best = max(rivals, key=lambda rival: alike[rival.name], default=None)
    return best if best is not None and 2 * alike[best.name] > len(offending) else None


def _is_from(pair: _Pair, rival: Rival, tolerance: float) -> bool:
    """Whether a served answer is the rival's and not the candidate's, by its text or, if both say so, by its number."""
    theirs = rival.answers.get(pair.served.example_id)
    if theirs is None or theirs.text != pair.served.text:
        return False
    if theirs.text != pair.judged.text:
        return True
    gaps = _gaps(pair.served, theirs)
    return bool(gaps) and max(gaps) <= tolerance


def _open_questions(
    served: Sequence[ServedAnswer], pairs: Sequence[_Pair], rivals: Collection[Rival], tolerance: float
) -> Iterator[tuple[str, str]]:
    """Why it is not shown that what is served was judged, and what would show it; the weightiest first."""
    if errors := [answer.error for answer in served if answer.error is not None]:
        yield f"{len(errors)} of {len(served)} questions got no answer, the first: {errors[0]}", "a server that answers"
    compared = [pair for pair in pairs if pair.gaps]
    if pairs and all(pair.served.tokens is None for pair in pairs):
        yield "the server gives no log-probabilities", "a server that gives log-probabilities (vLLM and llama.cpp do)"
    if len(compared) < (1 - MOST_LEFT_OUT) * len(served) or not compared:
        yield (
            f"only {len(compared)} of {len(served)} answers could be compared with their log-probabilities",
            "more prompts, or `--recompute`, which knows each token of the judged stack",
        )
    if unknown := sum(not pair.knows_prompt for pair in compared):
        yield (
            f"the server does not count the tokens of {unknown} of {len(compared)} prompts",
            "a server that reports `usage`",
        )
    for rival in rivals:
        if (telling := sum(_tells(pair, rival, tolerance) for pair in compared)) < FEWEST_TELLING:
            yield (
                f"{telling} of the compared answers tell the candidate from {rival.name} at a tolerance of "
                f"{tolerance:g}, and {FEWEST_TELLING} are needed",
                "more prompts, or a smaller tolerance",
            )


def _tells(pair: _Pair, rival: Rival, tolerance: float) -> bool:
    """Whether the rival would have been noticed by this answer."""
    theirs = rival.answers.get(pair.served.example_id)
    if theirs is None:
        return False
    if theirs.text != pair.judged.text:
        return True
    ours = pair.judged
    if ours.logprob is None or theirs.logprob is None or not ours.length or ours.length != theirs.length:
        return False
    # Twice: the server may be off by the tolerance itself.
    return abs(ours.logprob - theirs.logprob) / ours.length > 2 * tolerance


def _sentence(difference: Difference, rivals: Collection[Rival], pairs: Sequence[_Pair], tolerance: float) -> str:
    """What seems to be served, in words."""
    if difference == "other prompt":
        return (
            f"other prompt: {sum(pair.other_prompt for pair in pairs)} of {len(pairs)} prompts reach the model "
            "otherwise than they were judged (another chat template, system message or tokenizer)"
        )
    if difference in {"base model", "other adapter"}:
        rival = _resembled(_offending(pairs, tolerance), rivals, tolerance)
        assert rival is not None  # what named the difference
        adapter = "the adapter is not applied" if rival.is_base else "another adapter is served"
        return f"{difference}: the answers are those of {rival.name}; {adapter}"
    if difference == "other precision":
        return "other precision: the answers are nearly the judged ones, as under bfloat16 or quantised weights"
    if difference == "other weights":
        return "other weights: neither the judged adapter nor an arm of this run answers so"
    return ""


def _shown(counts: Mapping[str, int], gaps: Sequence[float], tolerance: float, errors: int) -> str:
    """The numbers in words."""
    parts = [f"{counts['equal']} of {sum(counts.values())} answers are the judged ones"]
    if counts["near tie"]:
        parts.append(f"{counts['near tie']} left them at a near tie")
    if gaps:
        parts.append(
            f"log-probabilities differ by {fmean(gaps):.2g} nats per token on average and {max(gaps):.2g} at most, "
            f"where {tolerance:g} is allowed"
        )
    return ", ".join(parts) + (f"; {errors} errors" if errors else "")
