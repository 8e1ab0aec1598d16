"""The light half: stored evidence → scores → comparisons → verdict → report. Never loads a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from scipy.stats import norm

from harness.arms import arm_use, break_even, effort_differences
from harness.assembly import assemble_evidence
from harness.clock import Clock
from harness.errors import EvidenceRefusedError, ExitCode, HarnessError, InvalidInputError
from harness.files import hold, make_folder, write_json, write_json_lines, write_text
from harness.findings import (
    AnswerLengths,
    CalibrationResult,
    JudgedPairs,
    LookCount,
    PastRun,
    RunRecord,
    ScorerSummary,
    Verdict,
)
from harness.gate.deciding import EXIT_CODES
from harness.gate.evidence import Evidence
from harness.gate.requirements import refuse_unknown_checks
from harness.gate.verdict import decide
from harness.invalid_answers import schema_problems
from harness.judged import read_verdict, verdict_of
from harness.records import REFERENCES, BenchmarkResult, Prediction, RunManifest, TrainingHistory
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.metrics import flat_metrics
from harness.report.page import Page
from harness.report.view import build_page
from harness.scoring.apply import confidence_in
from harness.scoring.calibration import expected_calibration_error
from harness.scoring.declared import scorers_of
from harness.sealing import note_judging, refuse_expired, refuse_overtaken, seal_run, signed_by
from harness.stats.summary import mean_estimate
from harness.store.facts import from_plain, read_json, read_record, to_plain
from harness.store.frames import as_csv, comparison_frame
from harness.store.ledger import LEDGER, Look, look_number, read_looks, record_look
from harness.store.runs import HISTORIES, MANIFEST, StoredRun, drop_derived, read_run, require_run
from harness.suite.checks import BetterThan
from harness.suite.load import LoadedSuite, parse_suite
from harness.suite.schema import Statistics, Suite
from harness.summaries import clean_subset, compare_baselines, summarise_scores
from harness.trust.history import log_path
from harness.trust.verdicts import SealedVerdict

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

POWER = 0.8  # with which an effect counts as one that could have been seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judged run: the record, its page model and the exit code, all from one verdict."""

    folder: Path
    record: RunRecord
    page: Page
    exit_code: ExitCode


def judge_run(
    folder: Path,
    clock: Clock,
    *,
    registry: Path | None = None,
    accepted: Mapping[str, str] | None = None,
    signer: CryptoSigner | None = None,
) -> Judgement:
    """Judge the evidence in a run folder anew and write verdict and reports beside it.

    The look at the test set is counted in the `registry`, and its log of verdicts goes on (None: neither); `accepted`
    maps the names of undecided checks that a person lets pass to the reason; without a `signer` the verdict is
    unsigned.

    Raises:
        InvalidInputError: `accepted` names a check that there is not; a verdict that stands is left as it is.
        BrokenRunError: evidence that is incomplete or does not pair.
        EvidenceRefusedError: evidence that changed since the run, or is outdated, or a damaged log; what is outdated
            keeps the verdict that it had.
    """
    require_run(folder)
    with contextlib.ExitStack() as held:
        held.enter_context(hold(folder))
        run, loaded = _read_judgeable(folder)
        # Before anything is touched: a slip must not cost the verdict that stands.
        refuse_unknown_checks(loaded.suite, run.manifest.absent_systems, accepted or {})
        judged = clock()
        refuse_expired(run, judged)
        log = log_path(registry, run.manifest.suite) if registry is not None else None
        ledger = registry / run.manifest.suite / LEDGER if registry is not None else None
        if ledger is not None:
            make_folder(ledger.parent)
            held.enter_context(hold(ledger.parent))  # two that look at once must not count as the same look
        if log is not None:
            refuse_overtaken(run, log)
        drop_derived(folder)
        if log is not None:
            note_judging(run, log, judged)
        looks, earlier = _count_look(run, loaded, ledger), _earlier_runs(run, loaded.suite, ledger)
        record = build_record(run, loaded, judged, looks=looks, accepted=accepted, earlier=earlier)
        record = replace(record, signed_by=signer.public_key.keyid if signer is not None else "")
        page = build_page(record)
        if ledger is not None:
            # Before the verdict is out: a look that led to a verdict can never go uncounted.
            record_look(ledger, _look(run, loaded, record))
        _write_reports(folder, record, page)
        seal_run(run, loaded.suite, record, judged, log=log, signer=signer)
    return Judgement(folder=folder, record=record, page=page, exit_code=EXIT_CODES[record.verdict.decision])


def report_run(folder: Path, *, registry: Path) -> Judgement:
    """Write the reports of a judged run again, under the verdict that stands: it is neither renewed nor changed.

    Raises:
        InvalidInputError: the run was not judged yet.
        BrokenRunError: evidence that is incomplete or does not pair.
        EvidenceRefusedError: evidence that changed since the run, or a verdict that is not about it.
    """
    require_run(folder)
    with hold(folder):
        run = read_run(folder)
        loaded, sealed = _own_suite(run), verdict_of(run)
        ledger = registry / run.manifest.suite / LEDGER
        looks, earlier = _count_look(run, loaded, ledger), _earlier_runs(run, loaded.suite, ledger)
        record = replace(sealed_record(run, loaded, sealed), looks=looks, earlier=earlier)
        page = build_page(record)
        _write_reports(folder, record, page)
    return Judgement(folder=folder, record=record, page=page, exit_code=EXIT_CODES[sealed.decision])


def sealed_record(run: StoredRun, loaded: LoadedSuite, sealed: SealedVerdict) -> RunRecord:
    """A run's numbers under its verdict as it was sealed: with what a person accepted, and the look that it was."""
    record = build_record(run, loaded, datetime.fromisoformat(sealed.judged))
    verdict = Verdict(decision=sealed.decision, sentence=sealed.sentence, checks=sealed.checks, notes=sealed.notes)
    return replace(record, verdict=verdict, signed_by=signed_by(run.folder))


def _read_judgeable(folder: Path) -> tuple[StoredRun, LoadedSuite]:
    """A run and its suite; when they cannot be read, its old verdict goes, for it must not outlive broken evidence."""
    try:
        run = read_run(folder)
        if run.manifest.shard is not None:
            raise InvalidInputError(
                f"{folder}: shard {run.manifest.shard} of a run; `harness merge` puts them together"
            )
        return run, _own_suite(run)
    except Exception:
        drop_derived(folder)
        raise


def _own_suite(run: StoredRun) -> LoadedSuite:
    loaded = parse_suite(run.suite_text, run.folder / "suite.yaml", run.manifest.overrides, files=False)
    if loaded.digest != run.manifest.digests.get("suite"):
        raise EvidenceRefusedError(f"{run.folder / 'suite.yaml'}: not the suite that the manifest binds")
    for name in ("suite", "seed"):  # of which paths are made, and draws
        said, bound = getattr(run.manifest, name), getattr(loaded.suite, name)
        if said != bound:
            raise EvidenceRefusedError(
                f"{run.folder / MANIFEST}: {name}: {said!r}, and the suite that it binds says {bound!r}; "
                "run the suite again"
            )
    return loaded


def _look(run: StoredRun, loaded: LoadedSuite, record: RunRecord) -> Look:
    return Look(
        test_digest=run.manifest.digests[str(loaded.suite.data.test)],
        candidate_digest=run.manifest.digests[f"adapter:{loaded.suite.candidate}"],
        suite_digest=loaded.digest,
        run_id=run.manifest.run_id,
        judged=record.judged,
        decision=record.verdict.decision,
    )


def _count_look(run: StoredRun, loaded: LoadedSuite, ledger: Path | None) -> LookCount | None:
    if ledger is None:
        return None
    number = look_number(
        read_looks(ledger),
        test_digest=run.manifest.digests[str(loaded.suite.data.test)],
        candidate_digest=run.manifest.digests[f"adapter:{loaded.suite.candidate}"],
        suite_digest=loaded.digest,
    )
    return LookCount(number=number, budget=loaded.suite.statistics.holdout_budget, recorded=ledger.is_file())


def build_record(
    run: StoredRun,
    loaded: LoadedSuite,
    judged: datetime,
    *,
    looks: LookCount | None = None,
    accepted: Mapping[str, str] | None = None,
    earlier: tuple[PastRun, ...] = (),
) -> RunRecord:
    """Score, compare and decide; nothing but the run is read."""
    suite = loaded.suite
    scores, evidence = assemble_evidence(run, suite)
    arms = arm_use(suite, [fact.name for fact in run.manifest.systems], run.predictions)
    verdict = decide(suite, evidence, looks=looks, accepted=accepted)
    return RunRecord(
        manifest=run.manifest,
        suite_text=run.suite_text,
        candidate=suite.candidate,
        examples=run.examples,
        predictions=run.predictions,
        scores=scores,
        summaries=tuple(summarise_scores(evidence, suite.statistics)),
        comparisons=tuple(compare_baselines(suite, evidence)),
        clean=clean_subset(suite, evidence),
        benchmarks=run.benchmarks,
        benchmark_summaries=tuple(_benchmark_summaries(run.benchmarks, suite.statistics)),
        leaks=run.leaks,
        training=run.training,
        liveness=run.liveness,
        verdict=verdict,
        looks=looks,
        judged=judged.isoformat(timespec="seconds"),
        schema_problems=schema_problems(run, suite),
        arms=arms,
        break_even=break_even(suite, arms, run.training),
        currency=suite.prices.currency if suite.prices else None,
        differences=effort_differences(suite, arms),
        calibrations=tuple(_calibrations(suite, run.predictions, evidence)),
        detectable=_detectable(verdict, suite.statistics),
        trainings=_trainings(run),
        lengths=tuple(_lengths(evidence)),
        judged_pairs=tuple(_judged_pairs(evidence)),
        earlier=earlier,
    )


def _calibrations(suite: Suite, predictions: Sequence[Prediction], evidence: Evidence) -> Iterator[CalibrationResult]:
    """Each arm by each Brier scorer, over every answer to the test set; an arm without any confidence has none."""
    known = scorers_of(suite)
    examples = {example.id: example for example in evidence.examples["test"]}
    for system, dataset, scorer in evidence.scores:
        if dataset != "test" or known[scorer].confidence is None:
            continue
        answers = [answer for answer in predictions if (answer.system, answer.dataset) == (system, "test")]
        found = [confidence_in(known[scorer], answer, examples[answer.example_id]) for answer in answers]
        if pairs := [pair for pair in found if pair is not None]:
            calibration = expected_calibration_error(pairs)
            yield CalibrationResult(
                system=system,
                scorer=scorer,
                ece=calibration.ece,
                n=calibration.n,
                missing=len(answers) - calibration.n,
                bins=calibration.bins,
            )


def _benchmark_summaries(results: Sequence[BenchmarkResult], statistics: Statistics) -> Iterator[ScorerSummary]:
    """Each system's accuracy on each benchmark, over all questions and over those of each subject."""
    for result in results:
        for subject in (None, *sorted({outcome.subject for outcome in result.outcomes})):
            correct = [float(o.correct) for o in result.outcomes if subject is None or o.subject == subject]
            yield ScorerSummary(
                system=result.system,
                dataset=result.benchmark,
                scorer="accuracy",
                estimate=mean_estimate(correct, statistics.alpha),
                unscored=0,
                tag=subject,
            )


def _detectable(verdict: Verdict, statistics: Statistics) -> dict[str, float]:
    """Check -> the smallest true difference, a fraction, that as many examples show with 80 % power.

    (z_alpha + z_power) standard errors (Miller 2024, arXiv 2411.00640), the standard error being read off
    the interval that the check used. Not for the t interval over a few seeds, whose reach is no normal quantile.
    """
    z = float(norm.ppf(1 - statistics.per_look.alpha))
    return {
        check.name: (check.high - check.low) / 2 * (z + float(norm.ppf(POWER))) / z
        for check in verdict.checks
        if check.unit == "points"
        and check.kind != "recipe_better_than"
        and check.low is not None
        and check.high is not None
    }


def _trainings(run: StoredRun) -> dict[str, TrainingHistory]:
    """System -> its training, for those that were trained here beside the candidate."""
    paths = [Path(name) for name in run.manifest.evidence]
    found = [path for path in paths if path.parent == Path(HISTORIES)]
    return {path.name.removesuffix(".json"): read_record(TrainingHistory, run.folder / path) for path in found}


def _lengths(evidence: Evidence) -> Iterator[AnswerLengths]:
    """Answers to the test set, the candidate's first, and the references; characters, which every arm counts alike."""
    answers = {name: found.values() for (name, dataset), found in evidence.answers.items() if dataset == "test"}
    texts = {name: [answer.text for answer in answers[name] if answer.error is None] for name in answers}
    texts[REFERENCES] = [example.target for example in evidence.examples["test"] if example.target is not None]
    for name in sorted(texts, key=lambda name: name != evidence.candidate):
        lengths = sorted(map(len, texts[name]))
        if len(lengths) > 1:
            five = (lengths[0], *quantiles(lengths, n=4, method="inclusive"), lengths[-1])
            yield AnswerLengths(system=name, n=len(lengths), quartiles=five)


def _judged_pairs(evidence: Evidence) -> Iterator[JudgedPairs]:
    """What each judge said over both orders; equal answers were nobody's question, so they are no agreement."""
    ours = evidence.answers[evidence.candidate, "test"]
    for (judge, baseline), rows in evidence.preferences.items():
        theirs = evidence.answers[baseline, "test"]
        pairs = {key: (row.shown_first, row.shown_second) for key, row in rows.items()}
        said = {key: (a, b) for key, (a, b) in pairs.items() if a is not None and b is not None}
        asked = [orders for key, orders in said.items() if ours[key].text != theirs[key].text]
        sums = [first + second for first, second in said.values()]
        yield JudgedPairs(
            judge=judge,
            baseline=baseline,
            candidate_preferred=sum(total > 0 for total in sums),
            tied=sums.count(0),
            baseline_preferred=sum(total < 0 for total in sums),
            missing=len(pairs) - len(said),
            asked=len(asked),
            agreeing=sum(first == second for first, second in asked),
        )


def _earlier_runs(run: StoredRun, suite: Suite, ledger: Path | None) -> tuple[PastRun, ...]:
    """What the ledger and the folders beside the run's tell of earlier runs on the same test set, oldest first."""
    own, test = run.manifest, run.manifest.digests[str(suite.data.test)]
    looks = [look for look in (read_looks(ledger) if ledger else ()) if look.test_digest == test]
    found = {look.run_id: PastRun(run_id=look.run_id, decision=look.decision, value=None) for look in looks}
    scorer = next((check.scorer for check in suite.checks if isinstance(check, BetterThan)), None)
    for path in run.folder.parent.glob("*/verdict.json"):
        try:
            past = read_record(RunManifest, path.with_name(MANIFEST))
            metrics = from_plain(dict[str, float], read_json(path.with_name("metrics.json")), str(path))
            decision = read_verdict(path).decision
        except HarnessError:
            continue  # being written, or damaged; it is not what is judged here
        if (past.suite, past.digests.get(str(suite.data.test))) == (own.suite, test):
            value = metrics.get(f"test.{scorer}.{suite.candidate}")
            found[past.run_id] = PastRun(run_id=past.run_id, decision=decision, value=value)
    return tuple(found[name] for name in sorted(found) if name < own.run_id)  # an id begins with its time


def _write_reports(folder: Path, record: RunRecord, page: Page) -> None:
    write_json_lines(folder / "scores.jsonl", [to_plain(score) for score in record.scores])
    frame = comparison_frame(record.examples["test"], record.predictions, record.scores, dataset="test")
    write_text(folder / "comparison.csv", as_csv(frame))
    write_json(folder / "metrics.json", flat_metrics(record))
    write_text(folder / "summary.md", render_markdown(page))
    write_text(folder / "junit.xml", render_junit(page))
    write_text(folder / "report.html", render_html(page))
