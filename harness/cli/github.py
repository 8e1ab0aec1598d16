"""What a command tells GitHub Actions when a step runs it: the step's summary, outputs and annotations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.printing import InertStream, guard_output
from harness.environment import ActionsStep, actions_step

if TYPE_CHECKING:
    from harness.judge import Judgement
    from harness.suite.load import LoadedSuite


def tell_actions(judgement: Judgement, suite_file: Path | None = None) -> None:
    """In GitHub Actions, append a judged run to the step's summary and outputs, and annotate the suite.

    Annotations go to standard error, where the runner reads them as well, so that standard output stays data. The
    verdict stands whether or not this works: a file that cannot be written is a warning. `suite_file` is what was
    run; by default the project's own is looked for.
    """
    from harness.report.github import check_annotations, outputs
    from harness.suite.load import parse_suite

    step = actions_step()
    if step is None:
        return
    guard_output()
    assert isinstance(sys.stderr, InertStream)
    manifest, folder = judgement.record.manifest, judgement.folder
    _append_summary(step.summary, (folder / "summary.md").read_bytes())
    _append(step.output, outputs(_facts(judgement)).encode("utf-8"))
    suite = parse_suite(judgement.record.suite_text, folder / "suite.yaml", manifest.overrides, files=False)
    file = _in_checkout(step, suite_file or _declared_at(folder, manifest.suite_path, suite))
    for line in check_annotations(judgement.record.verdict.checks, suite, file):
        sys.stderr.command(line)


def _facts(judgement: Judgement) -> dict[str, str]:
    folder = judgement.folder.resolve()
    return {
        "verdict": judgement.record.verdict.decision,
        "exit-code": str(int(judgement.exit_code)),
        "run-id": judgement.record.manifest.run_id,
        "folder": str(folder),
        "report": str(folder / "report.html"),
    }


def _append_summary(path: Path | None, summary: bytes) -> None:
    from harness.report.github import SUMMARY_LIMIT

    earlier = path.stat().st_size if path is not None and path.exists() else 0
    if earlier + len(summary) + 1 > SUMMARY_LIMIT:
        click.echo("warning: the summary of this step is full, so this verdict is not in it", err=True)
    else:
        _append(path, (b"\n" if earlier else b"") + summary)


def _append(path: Path | None, content: bytes) -> None:
    if path is None:
        return
    try:
        with path.open("ab") as stream:
            stream.write(content)
    except OSError as error:
        click.echo(f"warning: GitHub was not told of the verdict: {error}", err=True)


def _declared_at(folder: Path, suite_path: str, suite: LoadedSuite) -> Path | None:
    """The project's file with the very suite that was run; None when it changed since, so that its lines are others."""
    from harness.store.project import project_folders

    for file in sorted((project_folders(folder).root / "suites" / suite_path).glob("*.yaml")):
        if file.read_bytes() == suite.text.encode("utf-8"):
            return file
    return None


def _in_checkout(step: ActionsStep, file: Path | None) -> str | None:
    """The path that annotations name, relative to the checkout."""
    if file is None or step.workspace is None or not file.resolve().is_relative_to(step.workspace.resolve()):
        return None
    return file.resolve().relative_to(step.workspace.resolve()).as_posix()
