"""The command that decides on scores made elsewhere: compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_runs
from harness.cli.output import FiniteRange, Share, json_option, print_json

if TYPE_CHECKING:
    from harness.comparison import FileComparison


@click.command()
@click.argument("baseline", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.argument("candidate", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--scorer", help="Which score, when a file has several.")
@click.option("--baseline-system", help="Which system of the baseline file, when it has several.")
@click.option("--candidate-system", help="Which system of the candidate file, when it has several.")
@click.option("--margin", type=Share(), help="Ship when shown to be less than this much worse; 0.05 or 5%.")
@click.option("--min-gain", type=Share(), help="Ship when shown to be better by more than this; 0.05 or 5%.")
@click.option("--alpha", type=FiniteRange(0.0001, 0.2), default=0.05, show_default=True, help="Error rate.")
@click.option(
    "--mode",
    type=click.Choice(["fixed", "hybrid", "anytime"]),
    default="fixed",
    show_default=True,
    help="Use every example once, or read them in random order and stop when it is clear.",
)
@click.option(
    "--look-every", type=click.IntRange(1), show_default="100", help="Examples between looks, unless mode is fixed."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples and the random order."
)
@click.option("--cluster-by", metavar="FIELD", help="Rows with the same value of this field are not independent.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one page on two runs: what differs between them, their checks, and the answers that changed.",
)
@json_option
def compare(  # noqa: PLR0913  one parameter per option, as click hands them over
    baseline: Path,
    candidate: Path,
    scorer: str | None,
    baseline_system: str | None,
    candidate_system: str | None,
    margin: float | None,
    min_gain: float | None,
    alpha: float,
    mode: str,
    look_every: int | None,
    seed: int,
    cluster_by: str | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Decide whether CANDIDATE beats BASELINE, two files of per-example scores or two runs."""
    import sys

    from harness.comparison import CompareSettings, compare_files
    from harness.gate.deciding import EXIT_CODES, STATUS_DECISIONS
    from harness.suite.schema import Statistics

    if margin is not None and min_gain is not None:
        raise click.UsageError("--margin allows a loss and --min-gain asks for a gain: give one of them")
    if look_every is not None and mode == "fixed":
        raise click.UsageError("--look-every is of the modes that look early: give --mode hybrid or anytime with it")
    looks = {} if look_every is None else {"look_every": look_every}
    settings = CompareSettings(
        statistics=Statistics.model_validate({"alpha": alpha, "mode": mode, **looks}),
        seed=seed,
        min_gain=-margin if margin is not None else min_gain or 0.0,
        scorer=scorer,
        systems=(baseline_system, candidate_system),
        cluster_by=cluster_by,
    )
    found = compare_files(baseline, candidate, settings)
    if page is not None:
        _write_page(found, page)
    decision = STATUS_DECISIONS[found.status]
    exit_code = int(EXIT_CODES[decision])
    if as_json:
        written = {} if page is None else {"page": str(page)}
        print_json({"decision": decision, "exit_code": exit_code, **_facts(found), **written})
    else:
        click.echo(f"{decision}: {found.reason}")
        if found.needs:
            click.echo(f"to settle it: {found.needs}")
        click.echo(f"{found.method}; read as {found.baseline.format} and {found.candidate.format}; seed {seed}")
        if page is not None:
            click.echo(f"page: {page}")
    sys.exit(exit_code)


def _write_page(found: FileComparison, page: Path) -> None:
    from harness.comparison import describe_runs
    from harness.files import write_text
    from harness.report.compare_html import render_compare_page
    from harness.report.view_compare import build_compare_page

    write_text(page, render_compare_page(build_compare_page(describe_runs(found))))


def _facts(found: FileComparison) -> dict[str, Any]:
    """Every number of --json and every setting behind it; null where a number does not hold or was not used."""
    settings, comparison, early = found.settings, found.comparison, found.early
    statistics, gain = settings.statistics, settings.min_gain
    return {
        "scorer": comparison.scorer,
        "alpha": statistics.alpha,
        "margin": -gain if gain < 0 else None,
        "min_gain": gain if gain >= 0 else None,
        "mode": statistics.mode,
        "look_every": statistics.look_every if early else None,
        "seed": settings.seed,
        "cluster_by": settings.cluster_by,
        "n": found.n,
        "n_used": comparison.n,
        "n_clusters": found.clusters,
        "delta": comparison.delta.value,
        # An interval for a fixed number of examples does not hold where looking chose the number.
        "low": None if early else comparison.delta.low,
        "high": None if early else comparison.delta.high,
        "wins": comparison.wins,
        "losses": comparison.losses,
        "p_value": comparison.p_value if found.fixed_test else None,
        "p_reverse": comparison.p_reverse if found.fixed_test else None,
        "wealth_pass": early.wealth_pass if early else None,
        "wealth_fail": early.wealth_fail if early else None,
        "imputed": comparison.imputed,
        "method": found.method,
        "reason": found.reason,
        "needs": found.needs,
        "formats": [found.baseline.format, found.candidate.format],
        "digests": [found.baseline.digest, found.candidate.digest],
    }
