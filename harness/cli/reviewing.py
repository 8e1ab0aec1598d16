"""Commands that ask people: review export, review import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_runs
from harness.cli.output import Share, json_option, print_json

if TYPE_CHECKING:
    from harness.review import Review, ReviewResult

LARGEST_SEED = 2**32 - 1  # so that a browser, too, reads it as the same number


@click.group()
def review() -> None:
    """Ask people which of two answers is better, blinded, and decide on their ratings."""


@review.command("export")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--baseline", metavar="NAME", help="Whose answers stand beside the candidate's.  [default: the only one]")
@click.option("--examples", type=click.IntRange(1), help="How many test examples to draw.  [default: all]")
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="Of the draw, the order and the sides.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The page.  [default: ./review-ID.html]"
)
@json_option
def export_page(
    run: Path, baseline: str | None, examples: int | None, seed: int, output: Path | None, as_json: bool
) -> None:
    """Write one HTML page on which a rater chooses between the candidate's and a baseline's answers."""
    from harness.review import export_review

    made, path = export_review(run, baseline=baseline, examples=examples, seed=seed, output=output)
    if as_json:
        print_json({"page": str(path), "export": made.id, "baseline": made.baseline, "seed": seed, **_counts(made)})
        return
    click.echo(
        f"{path}: {len(made.items):,} items to rate, of {made.examples:,} examples against {made.baseline}; "
        f"{len(made.identical):,} identical answers are ties, {len(made.missing):,} examples lack an answer"
    )
    click.echo(f"give it to each rater; then: harness review import {run} RATINGS.json...")


@review.command("import")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.argument("ratings", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--min-gain",
    type=Share(ends=True),
    default="0",
    show_default=True,
    help="Ship when preferred by more than this on average; 0.1 or 10%.",
)
@json_option
def import_ratings(run: Path, ratings: tuple[Path, ...], min_gain: float, as_json: bool) -> None:
    """Un-blind the RATINGS files that raters exported, and decide whether the candidate is preferred."""
    import sys

    from harness.gate.deciding import EXIT_CODES, STATUS_DECISIONS
    from harness.review import import_review

    found = import_review(run, ratings, min_gain=min_gain)
    decision = STATUS_DECISIONS[found.status]
    exit_code = int(EXIT_CODES[decision])
    if as_json:
        print_json({"decision": decision, "exit_code": exit_code, **_facts(found)})
    else:
        click.echo(f"{decision}: {found.reason}")
        if found.needs:
            click.echo(f"to settle it: {found.needs}")
        click.echo(_rated(found))
        click.echo(_agreed(found))
        click.echo(f"{found.comparison.method}; review {found.review.id[:12]}, seed {found.review.seed}")
    sys.exit(exit_code)


def _counts(review: Review) -> dict[str, int]:
    return {
        "examples": review.examples,
        "items": len(review.items),
        "identical": len(review.identical),
        "missing": len(review.missing),
    }


def _rated(found: ReviewResult) -> str:
    """Who rated how much, and what was not rated or not asked."""
    review = found.review
    raters = ", ".join(f"{file.rater} {len(file.ratings.ratings):,}" for file in found.files)
    parts = [f"rated of {len(review.items):,} items: {raters}"]
    parts += [f"{found.partly:,} rated by some of them only"] if found.partly else []
    parts += [f"{found.unrated:,} rated by nobody"] if found.unrated else []
    parts += [f"{len(review.identical):,} identical answers are ties"]
    parts += [f"{len(review.missing):,} examples lack an answer"] if review.missing else []
    return "; ".join(parts)


def _agreed(found: ReviewResult) -> str:
    agreement = found.agreement
    if agreement is None:
        return f"{'one rater' if len(found.files) == 1 else 'no item was rated by two'}: agreement unknown"
    alpha = "undefined, as all ratings are equal" if agreement.alpha is None else f"{agreement.alpha:.2f}"
    return (
        f"agreement: {agreement.agreeing:,} of {agreement.pairs:,} pairs of ratings are equal ({agreement.share:.1%}), "
        f"Krippendorff's alpha (ordinal) {alpha}, on {agreement.units:,} shared items"
    )


def _facts(found: ReviewResult) -> dict[str, Any]:
    """Every number of --json and every setting behind it."""
    review, comparison, agreement = found.review, found.comparison, found.agreement
    return {
        "export": review.id,
        "candidate": comparison.candidate,
        "baseline": comparison.baseline,
        "seed": review.seed,
        **_counts(review),
        "unrated": found.unrated,
        "partly_rated": found.partly,
        "alpha": found.statistics.alpha,
        "min_gain": found.min_gain,
        "resampling_seed": found.resampling_seed,
        "delta": comparison.delta.value,
        "low": comparison.delta.low,
        "high": comparison.delta.high,
        "wins": comparison.wins,
        "losses": comparison.losses,
        "p_value": comparison.p_value,
        "p_reverse": comparison.p_reverse,
        "imputed": comparison.imputed,
        "method": comparison.method,
        "reason": found.reason,
        "needs": found.needs,
        "raters": [{"name": f.rater, "file": str(f.path), "rated": len(f.ratings.ratings)} for f in found.files],
        "agreement": agreement
        and {
            "metric": "ordinal",
            "krippendorff_alpha": agreement.alpha,
            "agreeing_pairs": agreement.agreeing,
            "pairs": agreement.pairs,
            "items": agreement.units,
        },
    }
