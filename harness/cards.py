"""Write a judged run's results into a model card: one section of it, and the metadata that the Hugging Face hub reads.

The adapter that was judged keeps its files, so the card never goes into the run's own `adapter` folder: it is a derived
file of the run, or goes to where the adapter is published. There it is what people read; the proof is `verdict.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from harness.engine.artefacts import ADAPTER_CONFIG, CLASSES
from harness.errors import InvalidInputError
from harness.files import write_text
from harness.findings import Decision, RunRecord
from harness.judge import sealed_record
from harness.judged import verdict_of
from harness.limits import TEXT_BYTES, read_within
from harness.report.card import BEGIN, END, CardFacts, eval_results, render_card
from harness.report.formatting import clean
from harness.report.markdown import escape
from harness.report.view import build_page
from harness.store.facts import read_json
from harness.store.runs import ADAPTER, CARD, VERDICT, StoredRun, read_run
from harness.suite.declaration import HubModel, LocalModel
from harness.suite.load import SUITE_FILE, parse_suite
from harness.suite.schema import Suite
from harness.trust.digests import digest_file
from harness.trust.verdicts import SealedVerdict

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

INDEX = "model-index"


@dataclass(frozen=True, slots=True)
class WrittenCard:
    """Where a card was written, and the verdict that it tells."""

    path: Path
    decision: Decision


def write_card(run: Path, output: Path | None = None) -> WrittenCard:
    """Write the card of a judged run to `output`, by default README.md in the run folder.

    Of a card that is there, the front matter and the text around the harness's own section are kept.

    Raises:
        InvalidInputError: the run was not judged, `output` is evidence, or what is there cannot be kept.
        EvidenceRefusedError: evidence or verdict are not what they were.
    """
    stored = read_run(run)
    target = output or run / CARD
    _refuse_evidence(run, target)
    loaded = parse_suite(stored.suite_text, run / SUITE_FILE, stored.manifest.overrides, files=False)
    suite = loaded.suite
    sealed = verdict_of(stored)
    record = sealed_record(stored, loaded, sealed)
    front, body = _read_card(target)
    task = "text-classification" if CLASSES in sealed.adapter_files else "text-generation"
    results = eval_results(record, task=task, revisions=_revisions(record, suite))
    metadata = _metadata(front, _own_metadata(stored, suite, task), results, suite=suite.suite, path=target)
    section = render_card(build_page(record), _facts(record, suite, sealed, digest_file(run / VERDICT)))
    write_text(target, f"---\n{metadata}---\n{_with_section(body, section, suite.suite, target)}")
    return WrittenCard(target, record.verdict.decision)


def _refuse_evidence(run: Path, target: Path) -> None:
    own = (run / CARD).resolve()
    if target.resolve() != own and target.resolve().is_relative_to(run.resolve()):
        raise InvalidInputError(
            f"{target}: the verdict binds the files of the run folder, so no card is put there; "
            f"leave --output out to write {run / CARD}, or name a file in a copy of the adapter"
        )


def _facts(record: RunRecord, suite: Suite, sealed: SealedVerdict, verdict_digest: str) -> CardFacts:
    manifest = record.manifest
    candidate = next(fact for fact in manifest.systems if fact.name == record.candidate)
    estimates = [*(item.estimate for item in record.summaries), *(item.delta for item in record.comparisons)]
    return CardFacts(
        base=_base(suite),
        base_digest=manifest.digests["base"],
        system=manifest.candidate_system,
        signature=candidate.signature,
        files=sealed.adapter_files,
        suite_digest=manifest.digests["suite"],
        verdict_digest=verdict_digest,
        expires=sealed.expires,
        signed_by=record.signed_by,
        levels=tuple(sorted({estimate.confidence for estimate in estimates})),
        alpha=suite.statistics.alpha,
    )


def _base(suite: Suite) -> str:
    if isinstance(suite.model, HubModel):
        return f"{suite.model.hub} at {suite.model.revision}"
    return f"the folder {suite.model.path}" if isinstance(suite.model, LocalModel) else suite.model


def _revisions(record: RunRecord, suite: Suite) -> dict[str, str]:
    """Data set or benchmark -> the digest of what was asked."""
    digests, files = record.manifest.digests, {"test": suite.data.test, "probe": suite.data.probe}
    found = {name: digests[str(file)] for name, file in files.items() if str(file) in digests}
    return found | {result.benchmark: result.task_digest for result in record.benchmarks}


def _own_metadata(stored: StoredRun, suite: Suite, task: str) -> dict[str, Any]:
    """What the hub is told where a card says nothing yet; a base model only where the hub has it by this name."""
    base = {"base_model": suite.model.hub} if isinstance(suite.model, HubModel) else {}
    config = stored.folder / ADAPTER / ADAPTER_CONFIG
    if not config.is_file():
        return {**base, "library_name": "transformers", "pipeline_tag": task}
    method = str(read_json(config)["peft_type"]).lower()
    return {**base, "library_name": "peft", "pipeline_tag": task, "tags": [method]}


def _read_card(path: Path) -> tuple[str, str]:
    """Front matter and body of a card; both empty when there is none.

    Raises:
        InvalidInputError: it cannot be read as text.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        text = read_within(path, TEXT_BYTES).decode("utf-8-sig") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    match = REGEX_YAML_BLOCK.search(text)
    return (match[2], text[match.end() :]) if match else ("", text)


def _metadata(front: str, own: Mapping[str, Any], results: list[EvalResult], *, suite: str, path: Path) -> str:
    """The front matter with what is `own` where it says nothing, and with these results beside those of others.

    Read and written as YAML 1.2 with its comments, since huggingface_hub would turn `language: no` into false.

    Raises:
        InvalidInputError: the front matter cannot be read, or its results cannot.
    """
    from huggingface_hub import ModelCardData

    yaml, text = YAML(), StringIO()
    yaml.preserve_quotes, yaml.width = True, 10_000
    try:
        kept = yaml.load(front) or CommentedMap()
    except YAMLError as error:
        raise InvalidInputError(f"{path}: its front matter cannot be read: {error}") from None
    if not isinstance(kept, CommentedMap):
        raise InvalidInputError(f"{path}: its front matter is no mapping of keys such as library_name and tags")
    name, everything = suite, list(results)
    if kept.pop(INDEX, None):
        name, earlier = _earlier_results(front, path)
        everything = [*(result for result in earlier if result.dataset_type != suite), *results]
    for key, value in own.items():
        kept.setdefault(key, value)
    yaml.dump(kept, text)
    index = ModelCardData(model_name=name, eval_results=everything).to_yaml() + "\n" if everything else ""
    return text.getvalue() + index


def _earlier_results(front: str, path: Path) -> tuple[str, list[EvalResult]]:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    try:
        return model_index_to_eval_results(YAML(typ="safe", pure=True).load(front)[INDEX])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: its {INDEX} cannot be read ({error!r}); mend or remove it") from None


def _with_section(body: str, section: str, suite: str, path: Path) -> str:
    """The body with its own section, or with this one at its end.

    Raises:
        InvalidInputError: one of the marks around a section is missing, or stands there twice.
    """
    block = f"{BEGIN}\n\n{section}\n{END}"
    if BEGIN not in body and END not in body:
        before = body.rstrip() or f"\n# {escape(clean(suite))}"
        return f"{before}\n\n{block}\n"
    before, begin, rest = body.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise InvalidInputError(f"{path}: the marks around the harness's section are damaged; remove section and marks")
    return before + block + after
