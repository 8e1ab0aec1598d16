"""Ask people which of two answers is better: a blinded page out, their ratings back, and the paired result.

All that a page hides follows from one secret, the digest of the run's evidence: nobody can know it who has only the
page, and who has the run folder can read the answers by name anyway. Hashed with an example's id it gives the item's
opaque id, whose order shuffles the items and draws the sample, and from its other half the side of the candidate. So
nothing is kept beside the run: an import draws the same review again and knows it by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.sources import raise_problems, read_limited
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.files import write_text
from harness.findings import Comparison, Status
from harness.gate.comparing import compare_scores, judge_comparison
from harness.gate.evidence import index_answers
from harness.judged import suite_of
from harness.limits import ROW_BYTES
from harness.records import Example, Prediction, Score, ScoreResult, Unscored
from harness.report.formatting import clean, one_line
from harness.report.review import ReviewItem, render_review
from harness.stats.agreement import Agreement, ordinal_agreement
from harness.store.runs import StoredRun, read_run
from harness.strict_json import StrictJsonError, canonical, parse
from harness.suite.schema import Statistics, Suite
from harness.trust.digests import digest_bytes, digest_tree

Choice = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Two unlike answers to one example, and what a page must not tell: on which side the candidate's stands."""

    id: str
    example: Example
    candidate: str
    baseline: str
    candidate_is_a: bool

    def preference(self, choice: Choice) -> int:
        """1 when the candidate's answer was chosen, -1 for the baseline's, 0 for a tie."""
        if choice == "tie":
            return 0
        return 1 if (choice == "a") == self.candidate_is_a else -1

    @property
    def shown(self) -> ReviewItem:
        """What a rater sees of it."""
        a, b = (self.candidate, self.baseline) if self.candidate_is_a else (self.baseline, self.candidate)
        return ReviewItem(id=self.id, messages=self.example.messages, reference=self.example.target, a=a, b=b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What raters are asked: the examples drawn, as items or as what needs no asking."""

    id: str  # SHA-256 over run, evidence, baseline, seed and items
    baseline: str
    seed: int
    items: tuple[Item, ...]  # in the order of the page
    identical: tuple[Example, ...]  # both systems gave the same answer: a tie
    missing: tuple[Example, ...]  # at least one system gave no answer

    @property
    def examples(self) -> int:
        """How many examples were drawn."""
        return len(self.items) + len(self.identical) + len(self.missing)


class Ratings(BaseModel):
    """One rater's file, as the page exports it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ratings_version: Literal[1]
    export: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # the id of the review
    seed: Annotated[int, Field(ge=0)]
    examples: Annotated[int, Field(ge=1)]
    rater: Annotated[str, Field(pattern=r"\S", max_length=80)]
    ratings: Annotated[dict[str, Choice], Field(min_length=1)]  # item id -> choice


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingsFile:
    """The ratings of one file, and its text, in which a problem has a line."""

    path: Path
    text: str
    ratings: Ratings

    @property
    def rater(self) -> str:
        """The rater's name in one harmless line."""
        return one_line(clean(self.ratings.rater))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewResult:
    """What the raters preferred. The examples are the units; of other raters it says nothing."""

    review: Review
    files: tuple[RatingsFile, ...]
    statistics: Statistics
    resampling_seed: int
    min_gain: float
    comparison: Comparison  # its delta is the mean preference, from -1 to 1
    status: Status
    reason: str
    needs: str
    agreement: Agreement | None  # on the items that two raters or more rated; None where there are none
    unrated: int  # items that nobody rated
    partly: int  # items that some raters rated and others did not


def export_review(
    folder: Path, *, baseline: str | None, examples: int | None, seed: int, output: Path | None
) -> tuple[Review, Path]:
    """Write the page for raters, by default review-ID.html in the current folder; returns what it asks, and its path.

    `examples` says how many of the test set to draw; None takes all.

    Raises:
        InvalidInputError: the baseline is none of this run's or has to be chosen, no two answers differ, or `output`
            is in the run folder, whose files are evidence.
        BrokenRunError, EvidenceRefusedError: as `read_run`.
    """
    run = read_run(folder)
    suite = suite_of(run)
    review = draw_review(run, suite, _choose_baseline(run, suite, baseline), examples=examples, seed=seed)
    if not review.items:
        raise InvalidInputError(
            f"{folder}: there is nothing to rate against {review.baseline}: of {review.examples:,} examples "
            f"{len(review.identical):,} have identical answers and {len(review.missing):,} lack one"
        )
    path = output or Path(f"review-{review.id[:12]}.html")
    if path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError(f"{path}: the files of a run folder are evidence; write the page somewhere else")
    page = render_review(review.id, [item.shown for item in review.items], seed=seed, examples=review.examples)
    write_text(path, page)
    return review, path


def draw_review(run: StoredRun, suite: Suite, baseline: str, *, examples: int | None, seed: int) -> Review:
    """Return what raters are asked about the candidate and one baseline: always the same for the same arguments.

    Where the decoding draws several answers to an example, the first is shown.

    Raises:
        BrokenRunError: an answer is missing from the evidence.
    """
    answers = index_answers(run.predictions, run.examples, run.manifest.planned, samples=suite.decoding.samples)
    ours, theirs = (
        {key: given[0] for key, given in answers[name, "test"].items()} for name in (suite.candidate, baseline)
    )
    evidence = digest_tree(run.manifest.evidence)
    secret = _digest([evidence, baseline, seed])
    drawn = _shuffled(run.examples["test"], secret)[:examples]
    items = draw_items(drawn, ours, theirs, secret)
    asked = {item.example.id for item in items}
    lacking = {e.id for e in drawn if ours[e.id].error is not None or theirs[e.id].error is not None}
    return Review(
        id=_digest([run.manifest.run_id, evidence, baseline, seed, [item.id for item in items]]),
        baseline=baseline,
        seed=seed,
        items=items,
        identical=tuple(example for example in drawn if example.id not in asked | lacking),
        missing=tuple(example for example in drawn if example.id in lacking),
    )


def draw_items(
    examples: Iterable[Example],
    candidate: Mapping[str, Prediction],
    baseline: Mapping[str, Prediction],
    secret: str,
) -> tuple[Item, ...]:
    """Return the examples that both systems answered, and unlike; the sides follow from secret and id alone."""
    pairs = ((example, candidate[example.id], baseline[example.id]) for example in examples)
    return tuple(
        Item(
            id=_token(secret, example)[:32],
            example=example,
            candidate=mine.text,
            baseline=other.text,
            candidate_is_a=int(_token(secret, example)[32:], 16) % 2 == 0,
        )
        for example, mine, other in pairs
        if mine.error is None and other.error is None and mine.text != other.text
    )


def import_review(folder: Path, paths: Sequence[Path], *, min_gain: float = 0.0) -> ReviewResult:
    """Un-blind the ratings and decide whether the candidate's answers are preferred by more than `min_gain`.

    A system's score on an example is the share of its raters who preferred that system's answer, so that the
    difference is the mean preference; it is tested as every difference is, at the suite's error rate. An item that
    nobody rated is a missing score, which counts against the candidate.

    Raises:
        InvalidInputError: a file that is not what the page exports, two files of one rater, or an unknown item.
        BrokenRunError: as `read_run`.
        EvidenceRefusedError: ratings of another run or another page, or as `read_run`.
    """
    files = tuple(_read_ratings(path) for path in paths)
    _refuse_same_rater(files)
    run = read_run(folder)
    suite = suite_of(run)
    review = _find_review(run, suite, files)
    _refuse_unknown_items(files, review)
    preferences = {item.example.id: _preferences(item, files) for item in review.items}
    comparison = _compare(run, suite, review, preferences, min_gain)
    status, reason, needs = judge_comparison(comparison, suite.statistics, min_gain=min_gain)
    counts = [len(found) for found in preferences.values()]
    if status == "undecided" and 0 in counts:
        needs = f"rate the {counts.count(0):,} of {len(counts):,} items that nobody has rated"
    return ReviewResult(
        review=review,
        files=files,
        statistics=suite.statistics,
        resampling_seed=run.manifest.seed,
        min_gain=min_gain,
        comparison=comparison,
        status=status,
        reason=reason,
        needs=needs,
        agreement=ordinal_agreement(list(preferences.values())) if max(counts) > 1 else None,
        unrated=counts.count(0),
        partly=sum(0 < count < len(files) for count in counts),
    )


def _baselines(run: StoredRun, suite: Suite) -> list[str]:
    return [name for name in suite.baselines if name not in run.manifest.absent_systems]


def _choose_baseline(run: StoredRun, suite: Suite, wanted: str | None) -> str:
    there = _baselines(run, suite)
    if wanted in there:
        return wanted
    if wanted is None and len(there) == 1:
        return there[0]
    listed = ", ".join(there) or "none took part"
    problem = "name one with --baseline" if wanted is None else f"{wanted!r} is no baseline of this run"
    raise InvalidInputError(f"{run.folder}: {problem}; there are: {listed}")


def _digest(value: Any) -> str:
    return digest_bytes(canonical(value).encode("utf-8"))


def _token(secret: str, example: Example) -> str:
    return _digest([secret, example.id])


def _shuffled(examples: Iterable[Example], secret: str) -> list[Example]:
    return sorted(examples, key=lambda example: _token(secret, example))


def _read_ratings(path: Path) -> RatingsFile:
    try:
        text = read_limited(path, ROW_BYTES).decode("utf-8")
        return RatingsFile(path=path, text=text, ratings=Ratings.model_validate(parse(text)))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not UTF-8 at byte {error.start + 1}") from None
    except StrictJsonError as error:
        raise InvalidInputError(f"{path}:{error.line}:{error.column}: not valid JSON: {error.problem}") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise_problems([f"{_place(path, text, found['loc'])}: {found['msg']}" for found in problems])
        raise AssertionError("unreachable: what is invalid has a problem") from None


def _place(path: Path, text: str, keys: Sequence[int | str]) -> str:
    """Where a problem is: the file, the line of the last key, and the keys that lead there."""
    if not keys:
        return f"{path}:1"
    return f"{path}:{_line(text, str(keys[-1]))}: {one_line(clean('.'.join(map(str, keys))))}"


def _line(text: str, key: str) -> int:
    return text.count("\n", 0, max(0, text.find(canonical(key)))) + 1


def _refuse_same_rater(files: Sequence[RatingsFile]) -> None:
    first: dict[str, Path] = {}
    for file in files:
        name = file.rater.casefold()
        if name in first:
            raise InvalidInputError(
                f"{file.path}:{_line(file.text, 'rater')}: {file.rater!r} has rated in {first[name]} already; give one "
                "file of each rater"
            )
        first[name] = file.path


def _find_review(run: StoredRun, suite: Suite, files: Sequence[RatingsFile]) -> Review:
    """The review that all files rate: that of the baseline with which it has their id when it is drawn again."""
    first = files[0].ratings
    for name in _baselines(run, suite):
        review = draw_review(run, suite, name, examples=first.examples, seed=first.seed)
        if review.id == first.export:
            break
    else:
        raise EvidenceRefusedError(
            f"{files[0].path}:{_line(files[0].text, 'export')}: these ratings are of no page that run "
            f"{run.manifest.run_id} exports; they belong to another run, or were changed"
        )
    for file in files[1:]:
        if (file.ratings.export, file.ratings.seed, file.ratings.examples) != (
            first.export,
            first.seed,
            first.examples,
        ):
            raise EvidenceRefusedError(
                f"{file.path}:{_line(file.text, 'export')}: these ratings are of another page than those of "
                f"{files[0].path}; import the ratings of one page at a time"
            )
    return review


def _refuse_unknown_items(files: Sequence[RatingsFile], review: Review) -> None:
    known = {item.id for item in review.items}
    raise_problems(
        [
            f"{_place(file.path, file.text, ('ratings', key))}: there is no such item on the page"
            for file in files
            for key in file.ratings.ratings
            if key not in known
        ]
    )


def _preferences(item: Item, files: Sequence[RatingsFile]) -> list[int]:
    given = (file.ratings.ratings.get(item.id) for file in files)
    return [item.preference(choice) for choice in given if choice is not None]


def _compare(
    run: StoredRun, suite: Suite, review: Review, preferences: Mapping[str, Sequence[int]], min_gain: float
) -> Comparison:
    examples = [*(item.example for item in review.items), *review.identical, *review.missing]
    found = {**preferences, **{example.id: [0] for example in review.identical}}
    comparison = compare_scores(
        {example.id: _share(found.get(example.id, ()), 1) for example in examples},
        {example.id: _share(found.get(example.id, ()), -1) for example in examples},
        statistics=suite.statistics,
        seed=run.manifest.seed,
        min_gain=min_gain,
        clusters={example.id: example.cluster for example in examples},
    )
    return replace(comparison, candidate=suite.candidate, baseline=review.baseline, scorer="preference")


def _share(preferences: Sequence[int], side: int) -> ScoreResult:
    """The share of raters who preferred one side; a single rater's is 0 or 1, which calls for the exact test."""
    if not preferences:
        return Unscored("nobody rated it, or an answer is missing")
    return Score(preferences.count(side) / len(preferences))
