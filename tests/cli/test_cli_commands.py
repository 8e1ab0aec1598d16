"""Each command on a tiny model: what it prints, what it leaves, what it returns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stored_verdict import own_part
from tiny_model import write_tiny_suite

from harness.cli.main import main
from harness.store.ledger import Look, record_look
from harness.trust.history import note_start, read_log


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one suite that ran once."""
    root = tmp_path_factory.mktemp("project")
    (root / "baselines").mkdir()
    write_tiny_suite(root / "suites" / "tiny")
    result = harness("run", root / "suites" / "tiny", "--json")
    # Random weights do not learn colours in six steps, so nothing ships; but the run is whole.
    assert result.exit_code in {3, 4}, result.output
    return root


def only_run(project: Path) -> Path:
    return sorted((project / "reports" / "tiny").iterdir())[0]


def test_a_run_leaves_all_its_evidence_and_reports(project: Path) -> None:
    names = {path.relative_to(only_run(project)).as_posix() for path in only_run(project).rglob("*") if path.is_file()}
    assert names == {
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "benchmarks.jsonl", "comparison.csv",
        "drift.jsonl", "examples.jsonl", "junit.xml", "leaks.json", "liveness.json", "manifest.json", "metrics.json",
        "predictions.jsonl", "preferences.jsonl",
        "report.html", "scores.jsonl", "status.json", "suite.yaml", "summary.md", "training.json", "verdict.json",
    }  # fmt: skip


def test_the_manifest_says_who_took_part_and_who_did_not(project: Path) -> None:
    manifest = json.loads((only_run(project) / "manifest.json").read_text())
    assert [fact["name"] for fact in manifest["systems"]] == ["candidate", "bare", "few-shot"]
    assert list(manifest["absent_systems"]) == ["previous"]
    assert manifest["planned"] == {"candidate/test": 12, "bare/test": 12, "few-shot/test": 12}
    assert manifest["counters"]["model_loads"] == 1
    assert manifest["counters"]["trained_tokens"] > 0
    verdict = own_part(only_run(project))
    assert any("previous is absent" in note for note in verdict["notes"])


def test_judging_again_gives_the_same_decision_and_scores(project: Path) -> None:
    folder = only_run(project)
    before = own_part(folder)
    scores = (folder / "scores.jsonl").read_bytes()
    result = harness("gate", folder, "--json")
    assert json.loads(result.output)["decision"] == before["decision"]
    assert result.exit_code == before["exit_code"]
    assert (folder / "scores.jsonl").read_bytes() == scores
    assert harness("report", folder).exit_code == 0


def test_the_same_seed_gives_the_same_answers(project: Path) -> None:
    first = only_run(project)
    again = write_tiny_suite(project / "elsewhere" / "suites" / "tiny")
    (project / "elsewhere" / "baselines").mkdir()
    harness("run", again, "--fresh")
    second = sorted((project / "elsewhere" / "reports" / "tiny").iterdir())[0]

    def answers(folder: Path) -> list[tuple[str, str, str]]:
        rows = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
        return [(row["system"], row["example_id"], row["text"]) for row in rows]

    assert answers(first) == answers(second)
    weights = "adapter/adapter_model.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


def test_an_adapter_made_elsewhere_is_judged_without_training(project: Path) -> None:
    result = harness("run", project / "suites" / "tiny", "--adapter", only_run(project) / "adapter", "--json")
    assert result.exit_code in {3, 4}, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    healthy = next(check for check in found["checks"] if check["name"] == "healthy_training")
    assert "trained elsewhere" in healthy["reason"]
    manifest = json.loads((Path(found["run"]) / "manifest.json").read_text())
    assert manifest["counters"]["trained_tokens"] == 0


def test_a_foreign_adapter_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert harness("run", project / "suites" / "tiny", "--adapter", tmp_path).exit_code == 2
    assert harness("run", project / "suites" / "tiny", "--adapter", tmp_path / "none").exit_code == 2


def test_an_adapter_without_effect_is_held(project: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = only_run(project) / "adapter"
    (tmp_path / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
    tensors = load_file(source / "adapter_model.safetensors")
    save_file({k: v * 0 if "lora_B" in k else v for k, v in tensors.items()}, tmp_path / "adapter_model.safetensors")
    result = harness("run", project / "suites" / "tiny", "--adapter", tmp_path, "--json")
    assert result.exit_code == 3
    assert "the adapter has no effect" in result.output


def test_an_override_is_recorded(project: Path) -> None:
    result = harness("run", project / "suites" / "tiny", "--set", "train.epochs=1", "--json")
    manifest = json.loads((Path(json.loads(result.stdout.splitlines()[-1])["run"]) / "manifest.json").read_text())
    assert manifest["overrides"] == {"train.epochs": "1"}


def test_training_alone_writes_an_adapter(project: Path, tmp_path: Path) -> None:
    result = harness("train", project / "suites" / "tiny", "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / "adapter_model.safetensors").is_file()
    again = harness("train", project / "suites" / "tiny", "--out", tmp_path / "new")
    assert again.exit_code == 2 and "exists already" in again.output


@pytest.mark.parametrize("data", [None, "rows"])
def test_init_writes_a_suite_that_validates(data: str | None, tmp_path: Path) -> None:
    arguments: list[str | Path] = ["init", tmp_path / "mine"]
    if data:
        rows = [json.dumps({"prompt": f"say {i}", "completion": "yes" if i % 2 else "no"}) for i in range(60)]
        (tmp_path / "rows.jsonl").write_text("\n".join(rows))
        arguments += ["--from", tmp_path / "rows.jsonl"]
    assert harness(*arguments).exit_code == 0
    result = harness("validate", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert harness("init", tmp_path / "mine").exit_code == 2


BAD_CALLS = [
    (("run", "nowhere"), "no such suite"),
    (("gate", "nowhere"), "not a run folder"),
    (("validate", "SUITE", "--set", "epochs"), "write KEY=VALUE"),
    (("validate", "SUITE", "--set", "train.epoch=2"), "did you mean 'epochs'"),
    (("validate", "SUITE", "--set", "checks.0.scorer=exact"), "there is no scorer 'exact'; known: exact_match, "),
    (("validate", "SUITE", "--set", "checks.0.scorer=exact_mach"), "; did you mean 'exact_match'?"),
    (("nonsense",), "No such command"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_CALLS, ids=[" ".join(call[0]) for call in BAD_CALLS])
def test_wrong_usage_exits_2_without_a_traceback(arguments: tuple[str, ...], message: str, project: Path) -> None:
    result = harness(*(project / "suites" / "tiny" if part == "SUITE" else part for part in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_an_empty_test_set_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    folder = write_tiny_suite(tmp_path / "suites" / "tiny")
    (folder / "test.jsonl").write_text("")
    result = harness("run", folder)
    assert result.exit_code == 2
    assert "0 test rows" in result.output
    assert not (tmp_path / "reports").exists()


def promote_by_hand(project: Path, run: Path, **changes: object) -> None:
    """Put a run's adapter into the registry without a verdict, as a test needs one that never shipped."""
    from harness.store.baselines import BaselineRecord, write_baseline

    manifest = json.loads((run / "manifest.json").read_text())
    files = {
        name.removeprefix("adapter/"): digest
        for name, digest in manifest["evidence"].items()
        if name.startswith("adapter/")
    }
    facts: dict[str, object] = {
        "format_version": 1,
        "suite": "tiny",
        "name": "first",
        "run_id": manifest["run_id"],
        "promoted": "2026-01-01T00:00:00+00:00",
        "decision": "ship",
        "sentence": "",
        "system": manifest["candidate_system"],
        "digests": manifest["digests"],
        "adapter_files": files,
        "adapter_location": None,
    }
    write_baseline(project / "baselines", BaselineRecord(**{**facts, **changes}), [], run)  # type: ignore[arg-type]


def promote_accepted(suite: Path) -> Path:
    """Run a suite, let pass what it does not settle, and promote it as `first`; returns the run."""
    accepted = [f"--accept-undecided=better_than/exact_match/{name}" for name in ("bare", "few-shot")]
    made = harness("run", suite, *accepted, *["--reason=a tiny model"] * 2, "--json")
    assert made.exit_code == 0, made.output
    run = Path(json.loads(made.stdout.splitlines()[-1])["run"])
    assert harness("promote", run, "--name", "first").exit_code == 0
    return run


@pytest.fixture
def promoted(tmp_path: Path) -> tuple[Path, Path]:
    """A project of its own whose one run is promoted; returns the suite and that run's adapter."""
    suite = write_tiny_suite(tmp_path / "suites" / "tiny")
    (tmp_path / "baselines").mkdir()
    return suite, promote_accepted(suite) / "adapter"


def test_the_promoted_adapter_takes_part_as_previous(promoted: tuple[Path, Path]) -> None:
    suite, _ = promoted
    found = json.loads(harness("run", suite, "--set", "seed=2", "--json").stdout.splitlines()[-1])
    manifest = json.loads((Path(found["run"]) / "manifest.json").read_text())
    assert manifest["absent_systems"] == {}
    assert "previous/test" in manifest["planned"]
    assert manifest["counters"]["model_loads"] == 1
    assert any(check["name"].endswith("/previous") for check in found["checks"])


def test_the_promoted_adapter_itself_is_already_promoted(promoted: tuple[Path, Path]) -> None:
    suite, adapter = promoted
    before = len(list((suite.parents[1] / "reports" / "tiny").iterdir()))
    log = suite.parents[1] / "baselines" / "tiny" / "verdicts.jsonl"
    judged = log.read_bytes()
    result = harness("run", suite, "--adapter", adapter)
    assert result.exit_code == 0, result.output
    assert "already promoted as first" in result.output
    assert len(list((suite.parents[1] / "reports" / "tiny").iterdir())) == before
    assert log.read_bytes() == judged, "nothing is judged again, so the verdict on it stays believed"


@pytest.mark.parametrize(
    ("file", "content"), [("schema.json", '{"type": "string"}'), ("plain.txt", "Which colour is it?")]
)
def test_the_promoted_adapter_is_judged_again_when_what_it_is_judged_by_changed(
    file: str, content: str, tmp_path: Path
) -> None:
    data = "data: {train: train.jsonl, validation: 20%, test: test.jsonl, schema: schema.json}"
    checks = "checks:\n  - {kind: better_than}\n  - {kind: valid_output, on: test, bar: 90%, blocking: false}"
    suite = write_tiny_suite(tmp_path / "suites" / "tiny", data=data, checks=checks)
    (suite / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "baselines").mkdir()
    run = promote_accepted(suite)
    assert "already promoted as first" in harness("run", suite, "--adapter", run / "adapter").output
    (suite / file).write_text(content)
    result = harness("run", suite, "--adapter", run / "adapter")
    assert "already promoted" not in result.output
    assert len(list((tmp_path / "reports" / "tiny").iterdir())) == 2


@pytest.mark.parametrize("lost", ["held since", "expired", "record edited", "log lost"])
def test_the_promoted_adapter_is_judged_again_when_its_verdict_does_not_stand_any_more(
    lost: str, promoted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, adapter = promoted
    place = suite.parents[1] / "baselines" / "tiny"
    (last,) = (entry for entry in read_log(place / "verdicts.jsonl") if entry.event == "ship")
    if lost == "held since":
        note_start(
            place / "verdicts.jsonl", adapter=last.adapter, suite=last.suite, run_id=f"{last.run_id}-2", time=last.time
        )
    elif lost == "expired":
        monkeypatch.setattr("harness.clock.utc_now", lambda: datetime.now(UTC) + timedelta(days=31))
    elif lost == "record edited":
        verdict = place / "first" / "verdict.json"
        verdict.write_bytes(verdict.read_bytes().replace(b"ship", b"hold"))
    else:
        (place / "verdicts.jsonl").unlink()
    result = harness("run", suite, "--adapter", adapter)
    assert result.exit_code in {3, 4}, result.output
    assert "promoted as first, but its verdict does not stand any more" in result.output
    assert "already promoted" not in result.output


def test_a_promotion_needs_the_log_that_was_kept_when_the_verdict_was_given(promoted: tuple[Path, Path]) -> None:
    suite, adapter = promoted
    (suite.parents[1] / "baselines" / "tiny" / "verdicts.jsonl").unlink()
    result = harness("promote", adapter.parent, "--name", "second")
    assert result.exit_code == 5 and "verdicts.jsonl" in result.output


def test_an_adapter_that_is_given_is_noted_before_it_is_run_and_before_it_is_judged(
    promoted: tuple[Path, Path],
) -> None:
    suite, adapter = promoted
    log = suite.parents[1] / "baselines" / "tiny" / "verdicts.jsonl"
    first = len(read_log(log))
    assert harness("run", suite, "--adapter", adapter, "--set", "seed=2").exit_code in {0, 3, 4}
    entries = read_log(log)[first:]
    assert [entry.event == "started" for entry in entries] == [True, True, False]
    assert len({(entry.adapter, entry.suite, entry.run_id) for entry in entries}) == 1
    assert entries[0].adapter == read_log(log)[0].adapter, "the same bytes as when they were trained"
    manifest = json.loads((adapter.parents[1] / entries[0].run_id / "manifest.json").read_text())
    assert {name for name in manifest["digests"] if name.startswith("base:")} >= {
        "base:config.json", "base:model.safetensors", "base:tokenizer.json", "base:tokenizer_config.json",
    }  # fmt: skip


def test_the_promoted_adapter_is_not_its_own_baseline_when_the_data_changed(promoted: tuple[Path, Path]) -> None:
    suite, adapter = promoted
    rows = (suite / "test.jsonl").read_text()
    (suite / "test.jsonl").write_text(rows + json.dumps({"prompt": "one more item", "completion": "red"}) + "\n")
    result = harness("run", suite, "--adapter", adapter, "--json")
    assert result.exit_code in {3, 4}, result.output
    manifest = json.loads((Path(json.loads(result.stdout.splitlines()[-1])["run"]) / "manifest.json").read_text())
    assert manifest["absent_systems"] == {"previous": "it is the candidate itself, which is not compared with itself"}


def test_a_large_adapter_stays_in_its_run_unless_it_is_to_be_copied(
    promoted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, adapter = promoted
    monkeypatch.setattr("harness.promotion.LARGEST_COMMITTED_ADAPTER", 10)
    left = harness("promote", adapter.parent, "--name", "left")
    assert left.exit_code == 0 and f"stays in {adapter}" in left.output, left.output
    assert not (suite.parents[1] / "baselines" / "tiny" / "left" / "adapter").exists()
    copied = harness("promote", adapter.parent, "--name", "copied", "--copy")
    assert copied.exit_code == 0 and "stays in" not in copied.output, copied.output
    adapter.rename(adapter.with_name("gone"))
    assert harness("validate", suite).exit_code == 0


def test_a_promoted_adapter_that_is_not_to_be_had_is_refused(promoted: tuple[Path, Path], tmp_path: Path) -> None:
    suite, adapter = promoted
    promote_by_hand(tmp_path, adapter.parent, name="large", adapter_location=str(tmp_path / "gone"))
    result = harness("run", suite)
    assert result.exit_code == 2
    assert "which is not there" in result.output


def test_history_lists_the_looks_whose_runs_are_gone(tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "suites" / "fixture", suite="suite: fixture")
    empty = harness("history", suite)
    assert empty.exit_code == 0 and "no judged run is stored" in empty.output
    ledger = tmp_path / "baselines" / "fixture" / "looks.jsonl"
    for candidate in ("a", "b"):
        record_look(
            ledger,
            Look(
                test_digest="t" * 64,
                candidate_digest=candidate,
                suite_digest="s",
                run_id="r",
                judged="2026-01-01",
                decision="hold",
            ),
        )
    found = harness("history", suite)
    assert found.output.count("only its look at the test set is recorded (hold)") == 2


def test_forgetting_is_measured_on_rows_that_were_not_trained_on(tmp_path: Path) -> None:
    fixture = Path(__file__).parents[1] / "fixtures" / "mmlu"
    suite = write_tiny_suite(
        tmp_path / "suites" / "tiny",
        data="data: {train: train.jsonl, validation: 20%, test: test.jsonl, mix: {from: general.jsonl, share: 20%}}",
        benchmarks=f"benchmarks:\n  quiz: {{task: mmlu, mmlu_dir: {fixture}, per_subject: 3, shots: 1}}",
        checks=(
            "checks:\n  - {kind: better_than}\n  - {kind: logprob_drop, benchmark: quiz, margin: 5}\n"
            "  - {kind: kl_divergence, prompts: general.jsonl, limit: 5}\n"
            "  - {kind: benchmark_drop, benchmark: quiz, blocking: false}"
        ),
    )
    rows = [json.dumps({"prompt": f"general question {i}", "completion": f"answer {i}"}) for i in range(120)]
    (suite / "general.jsonl").write_text("\n".join(rows))
    found = json.loads(harness("run", suite, "--json").stdout.splitlines()[-1])
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["logprob_drop/quiz"]["status"] == checks["kl_divergence/general.jsonl"]["status"] == "pass"
    drift = [json.loads(line) for line in (Path(found["run"]) / "drift.jsonl").read_text().splitlines()]
    training = json.loads((Path(found["run"]) / "training.json").read_text())
    assert len(drift) == 120 - training["mixed_rows"]
    assert training["mixed_rows"] > 0 and all(row["kl"] > 0 for row in drift)
    # Random weights guess, so the benchmark cannot show forgetting and says so.
    assert checks["benchmark_drop/quiz"]["status"] == "undecided"
    assert "no headroom" in checks["benchmark_drop/quiz"]["reason"]


def test_a_run_that_may_stop_early_answers_no_more_than_it_needs(tmp_path: Path) -> None:
    fixture = Path(__file__).parents[1] / "fixtures" / "mmlu"
    suite = write_tiny_suite(
        tmp_path / "suites" / "tiny",
        rows=120,
        test_rows=200,
        # Random weights learn to say one of the labels, which is right for half of the rows; untrained they never are.
        train="train: {learning_rate: 3e-2, epochs: 12, rank: 8, alpha: 16, early_stopping: {patience: 30}}",
        decoding="decoding: {max_new_tokens: 8}",
        benchmarks=f"benchmarks:\n  quiz: {{task: mmlu, mmlu_dir: {fixture}, per_subject: null, shots: 1}}",
        checks="statistics: {mode: anytime, look_every: 20}\nchecks:\n  - {kind: better_than}\n"
        "  - {kind: benchmark_drop, benchmark: quiz, blocking: false}",
    )
    result = harness("run", suite, "--json")
    assert result.exit_code == 0, result.output + str(result.exception)
    found = json.loads(result.stdout.splitlines()[-1])
    folder = Path(found["run"])
    manifest = json.loads((folder / "manifest.json").read_text())
    used = manifest["planned"]["candidate/test"]
    assert manifest["pool"]["test"] == 200
    assert used % 20 == 0 and used < 200, found
    assert manifest["planned"] == {f"{name}/test": used for name in ("candidate", "bare", "few-shot")}
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    assert len(rows) == used
    assert [row["id"] for row in rows] != sorted(row["id"] for row in rows), "in random order"
    gains = [check for check in found["checks"] if check["name"].startswith("better_than")]
    assert {check["status"] for check in gains} == {"pass"}
    assert all("of 200 examples used" in check["reason"] for check in gains)
    results = [json.loads(line) for line in (folder / "benchmarks.jsonl").read_text().splitlines()]
    assert [result["pool"] for result in results] == [12, 12]
    assert harness("gate", folder).exit_code == found["exit_code"]
    fixed = harness("run", suite, "--fresh", "--set=statistics.mode=fixed", "--json")
    whole = json.loads(fixed.stdout.splitlines()[-1])
    full = json.loads((Path(whole["run"]) / "manifest.json").read_text())["counters"]
    spared = 1 - used / 200
    for counter in ("generated_tokens", "decoded_rows"):
        assert manifest["counters"][counter] <= full[counter] * (1 - 0.8 * spared), counter


def test_a_recipe_is_trained_once_for_each_seed(tmp_path: Path) -> None:
    suite = write_tiny_suite(
        tmp_path / "suites" / "tiny.v1",
        train="train: {learning_rate: 1e-3, epochs: 1, rank: 4, alpha: 8, seeds: 3}",
        systems="systems:\n  tuned.v1: {kind: adapter, role: candidate, system: plain.txt}\n"
        "  bare: {kind: prompt, role: baseline, system: plain.txt}",
        checks="checks:\n  - {kind: better_than}\n  - {kind: recipe_better_than}",
    )
    found = json.loads(harness("run", suite, "--json").stdout.splitlines()[-1])
    folder = Path(found["run"])
    manifest = json.loads((folder / "manifest.json").read_text())
    replicas = ["tuned.v1@seed2", "tuned.v1@seed3"]
    assert manifest["planned"] == dict.fromkeys((f"{name}/test" for name in ("tuned.v1", "bare", *replicas)), 12)
    adapters = [folder / "adapter", *(folder / "trained" / name for name in replicas)]
    assert len({(path / "adapter_model.safetensors").read_bytes() for path in adapters}) == 3
    histories = [json.loads((folder / "histories" / f"{name}.json").read_text()) for name in replicas]
    trained = [json.loads((folder / "training.json").read_text()), *histories]
    assert sum(history["trained_tokens"] for history in trained) == manifest["counters"]["trained_tokens"]
    recipe = next(check for check in found["checks"] if check["name"] == "recipe_better_than/exact_match/bare")
    assert "over 3 trainings" in recipe["reason"]
    refused = harness("run", suite, "--adapter", adapters[1])
    assert refused.exit_code == 2 and "judge a recipe" in refused.output


def test_an_example_that_is_answered_several_times_counts_once(tmp_path: Path) -> None:
    suite = write_tiny_suite(
        tmp_path / "suites" / "tiny",
        decoding="decoding: {max_new_tokens: 4, temperature: 0.8, samples: 3}",
        systems="systems:\n  candidate: {kind: adapter, role: candidate, system: plain.txt}\n"
        "  bare: {kind: prompt, role: baseline, system: plain.txt}",
    )
    found = json.loads(harness("run", suite, "--json").stdout.splitlines()[-1])
    folder = Path(found["run"])
    assert json.loads((folder / "manifest.json").read_text())["planned"] == {"candidate/test": 36, "bare/test": 36}
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [row["sample"] for row in rows] == [0, 1, 2] * 24
    by_example: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        by_example.setdefault((row["system"], row["example_id"]), set()).add(row["text"])
    assert max(map(len, by_example.values())) > 1, "draws of one example differ"
    gain = next(check for check in found["checks"] if check["name"] == "better_than/exact_match/bare")
    assert "over 12 examples" in gain["reason"]
    assert harness("gate", folder).exit_code == found["exit_code"]
    again = json.loads(harness("run", suite, "--fresh", "--json").stdout.splitlines()[-1])
    assert [
        json.loads(line)["text"] for line in (Path(again["run"]) / "predictions.jsonl").read_text().splitlines()
    ] == [row["text"] for row in rows]
