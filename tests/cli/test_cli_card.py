"""`harness card`: what a run's model card says, what it leaves alone, and what of it can be verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from huggingface_hub import EvalResult, ModelCard
from stored_verdict import own_part
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.records import RunManifest
from harness.report.card import BEGIN, END
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run
from harness.trust.digests import digest_bytes, digest_file

PEFT = """\
---
base_model: OWNER/base   # as PEFT wrote it
library_name: peft
language: no
license: 'apache-2.0'
tags:
- base_model:adapter:OWNER/base
- lora
model-index:
- name: my-adapter
  results:
  - task:
      type: text-generation
    dataset:
      name: Elsewhere
      type: elsewhere
    metrics:
    - type: bleu
      value: 12.5
  - task:
      type: text-generation
    dataset:
      name: 'fixture: test'
      type: fixture
      split: test
    metrics:
    - type: exact_match
      value: 0.1
---

# My adapter

Made with care; see the *other* page.
"""


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def judged(folder: Path, fixture: Fixture, *options: str) -> Path:
    fixture.write(folder)
    assert harness("gate", folder, *options).exit_code in {0, 3, 4}
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that shipped; tests leave it as it is but for its card."""
    return judged(tmp_path_factory.mktemp("card") / "run", Fixture())


@pytest.fixture
def published(shipped: Path, tmp_path: Path) -> Path:
    """A copy of the adapter as the command says to publish it."""
    assert harness("card", shipped).exit_code == 0
    folder = tmp_path / "published"
    shutil.copytree(shipped / "adapter", folder)
    for name in ("README.md", "verdict.json"):
        shutil.copyfile(shipped / name, folder / name)
    return folder


def results(path: Path) -> Sequence[EvalResult]:
    """What the hub reads out of a card."""
    found: Sequence[EvalResult] = ModelCard.load(path).data.eval_results
    return found


def test_the_hub_reads_every_score_of_the_candidate(shipped: Path) -> None:
    assert harness("card", shipped).exit_code == 0
    data = ModelCard.load(shipped / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.tags) == ("peft", "text-generation", ["lora"])
    assert data.model_name == "fixture"
    found = {(item.dataset_split, item.metric_type): item for item in data.eval_results}
    values = {key: item.metric_value for key, item in found.items()}
    assert values == {
        ("test", "exact_match"): 0.9, ("test", "schema_valid"): 1.0, ("test", "field_f1"): 0.9,
        ("probe", "json_valid"): 1.0, ("probe", "schema_valid"): 1.0, ("general", "accuracy"): 0.7,
    }  # fmt: skip
    exact = found["test", "exact_match"]
    assert exact.metric_name == "exact_match, n = 200, 90 % interval 85.8 to 93.3 %"
    assert (exact.dataset_type, exact.dataset_revision) == ("fixture", "t" * 64)


def test_the_card_tells_verdict_arms_checks_training_and_limits(shipped: Path) -> None:
    result = harness("card", shipped)
    assert f"cp -r {shipped}/adapter FOLDER" in result.output
    text = (shipped / "README.md").read_text(encoding="utf-8")
    verdict = own_part(shipped)
    assert "✓ **Ship**" in text and "Beats bare, the only baseline" in text
    assert "| **candidate** | adapter | 90.0 % (85.8 to 93.3 %) |" in text
    assert "| bare | prompt | 50.0 % (44.0 to 56.0 %) |" in text
    assert text.count("✓ Pass") == len(verdict["checks"])
    assert "| Method | lora |" in text
    digests = [digest_file(path) for path in (shipped / "verdict.json", *(shipped / "adapter").iterdir())]
    assert len(digests) == 3 and all(digest in text for digest in digests)
    assert "It is unsigned" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# fixture", "## Evaluation", "### What was judged", "### Compared with", "### Checks", "### Training",
        "### How to verify", "### Limits",
    ]  # fmt: skip


def test_what_the_card_said_before_is_kept(shipped: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(PEFT, encoding="utf-8")
    assert harness("card", shipped, "--output", card).exit_code == 0
    text = card.read_text(encoding="utf-8")
    for line in ("base_model: OWNER/base   # as PEFT wrote it", "language: no", "license: 'apache-2.0'"):
        assert f"\n{line}\n" in text
    data = ModelCard.load(card).data
    assert data.tags == ["base_model:adapter:OWNER/base", "lora"]
    assert data.model_name == "my-adapter"
    assert [item.metric_value for item in data.eval_results if item.dataset_type == "elsewhere"] == [12.5]
    own = [item.metric_value for item in data.eval_results if item.dataset_type == "fixture"]
    assert 0.1 not in own and own.count(0.9) == 2
    assert text.index("Made with care; see the *other* page.") < text.index(BEGIN)


def test_only_its_own_section_changes_when_a_card_is_written_again(shipped: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    harness("card", shipped, "--output", card)
    first = card.read_text(encoding="utf-8")
    edited = first.replace("# fixture", "# A better title").replace("Beats bare", "Loses to bare") + "\nMore below.\n"
    card.write_text(edited, encoding="utf-8")
    harness("card", shipped, "--output", card)
    assert card.read_text(encoding="utf-8") == first.replace("# fixture", "# A better title") + "\nMore below.\n"


def test_the_run_stays_whole_and_judging_again_removes_its_card(tmp_path: Path) -> None:
    folder = judged(tmp_path / "run", Fixture(n_probe=5, questions=8))
    assert harness("card", folder).exit_code == 0
    assert harness("card", folder, "--json").exit_code == 0
    harness("gate", folder)
    assert not (folder / "README.md").exists()


def test_the_published_weights_are_verified_without_the_card(published: Path) -> None:
    verdict = published.parent / "verdict.json"
    verdict.write_bytes((published / "verdict.json").read_bytes())
    options = ("--verdict", verdict, "--suite-digest", digest_bytes(SUITE.encode()))
    assert harness("verify", published, *options).exit_code == 5, "a card is no part of what was judged"
    (published / "README.md").unlink()
    (published / "verdict.json").unlink()
    result = harness("verify", published, *options)
    assert result.exit_code == 0, result.output


def test_the_card_of_a_held_run_says_that_it_is_refused(tmp_path: Path) -> None:
    folder = judged(tmp_path / "run", Fixture(n_probe=5, questions=8, candidate_right=lambda i: False))
    result = harness("card", folder, "--json")
    assert (result.exit_code, json.loads(result.output)["decision"]) == (0, "hold")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "✕ **Hold**" in text and "refuses these files" in text and "exits 0" not in text


def test_the_card_tells_the_sealed_verdict_with_what_a_person_accepted(tmp_path: Path) -> None:
    fixture = Fixture(suite_text=SUITE.replace("99.5%", "95%"), n_probe=40)
    options = ("--accept-undecided", "valid_output", "--reason", "a pilot")
    folder = judged(tmp_path / "run", fixture, *options)
    assert harness("gate", folder, *options).exit_code == 0
    assert json.loads(harness("card", folder, "--json").output)["decision"] == "ship"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert r"valid\_output was undecided and accepted: a pilot" in text
    assert "? Undecided" in text


def test_an_adapter_trained_elsewhere_has_no_training_facts(tmp_path: Path) -> None:
    folder = judged(tmp_path / "run", Fixture(n_probe=5, questions=8, history=None))
    assert harness("card", folder).exit_code == 0
    assert "trained elsewhere" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_base_model_is_named_to_the_hub_when_it_is_the_hubs(tmp_path: Path) -> None:
    model = "model: {hub: OWNER/base, revision: " + "a" * 40 + "}"
    fixture = Fixture(suite_text=SUITE.replace("model: smollm2-135m-instruct", model), n_probe=5, questions=8)
    folder = judged(tmp_path / "run", fixture)
    assert harness("card", folder).exit_code == 0
    assert ModelCard.load(folder / "README.md").data.base_model == "OWNER/base"


def test_a_classifier_is_told_as_one(tmp_path: Path) -> None:
    folder = Fixture(n_probe=5, questions=8).write(tmp_path / "run")
    (folder / "adapter" / "classes.json").write_text("[]")
    finish_run(folder, read_record(RunManifest, folder / MANIFEST))
    harness("gate", folder)
    assert harness("card", folder).exit_code == 0
    assert {item.task_type for item in results(folder / "README.md")} == {"text-classification"}


@pytest.mark.parametrize("name", ["adapter/README.md", "report.md", "adapter/../notes/card.md"])
def test_no_card_is_put_among_the_evidence(shipped: Path, name: str) -> None:
    result = harness("card", shipped, "--output", shipped / name)
    assert (result.exit_code, "no card is put there" in result.output) == (2, True)
    assert not (shipped / name).exists()


def test_a_run_that_was_not_judged_has_no_card(tmp_path: Path) -> None:
    folder = Fixture(n_probe=5, n_test=20, questions=8).write(tmp_path / "run")
    result = harness("card", folder)
    assert (result.exit_code, "not judged yet" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("verdict.json", '"status":"pass"', '"status":"fail"'), ("predictions.jsonl", "test-0", "test-1")],
)
def test_a_run_with_a_changed_file_has_no_card(name: str, old: str, new: str, tmp_path: Path) -> None:
    folder = judged(tmp_path / "run", Fixture(n_probe=5, questions=8))
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    assert harness("card", folder).exit_code == 5
    assert not (folder / "README.md").exists()


BAD_CARDS = {
    "front matter that is no YAML": "---\ntags: [a\n---\n",
    "a key twice": "---\nlicense: mit\nlicense: mit\n---\n",
    "front matter that is no mapping": "---\n- a\n---\n",
    "results that are no list": "---\nmodel-index: 3\n---\n",
    "results without a data set": "---\nmodel-index:\n- name: x\n  results:\n  - task: {type: a}\n---\n",
    "one mark only": f"# Title\n{BEGIN}\n",
    "marks the wrong way round": f"{END}\n{BEGIN}\n",
    "two sections": f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n",
    "no text": "\ud800",
}


@pytest.mark.parametrize("kind", BAD_CARDS)
def test_a_card_that_cannot_be_kept_is_left_as_it_is(kind: str, shipped: Path, tmp_path: Path) -> None:
    card, content = tmp_path / "README.md", BAD_CARDS[kind].encode("utf-8", "surrogatepass")
    card.write_bytes(content)
    result = harness("card", shipped, "--output", card)
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"error: {card}: ")
    assert card.read_bytes() == content


def test_writing_a_card_imports_no_model_libraries(shipped: Path) -> None:
    assert not modules_after("card", str(shipped)) & HEAVY
