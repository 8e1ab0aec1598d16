"""Weight files that change, end or cannot be read while they are read, and what only a base model shows of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapter_files import base_shapes, lora_config, lora_shapes, random_tensors, safetensors, write_adapter, write_base
from adapter_files import write_file as write_weights

from harness.errors import InvalidInputError
from harness.trust import weight_files
from harness.trust.admission import admit
from harness.trust.digests import (
    digest_file,
    digest_model_files,
    digest_model_folder,
    digest_tree,
    seal,
    weights_digest,
)
from harness.trust.expected_tensors import BaseWeights, read_base
from harness.trust.weight_files import hash_finite, read_header, read_whole

NAME = "model.norm.weight"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Eight numbers."""
    write_weights(tmp_path / "model.safetensors", *safetensors(random_tensors({NAME: (8,)})))
    return tmp_path / "model.safetensors"


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"gone\.safetensors: cannot be read: No such file"):
        read_header(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("file", "why"),
    [("/proc/self/mem", "cannot be read: Input/output error"), ("/proc/self/status", "changed while it was read")],
)
def test_a_regular_file_that_is_not_what_it_says_is_refused(file: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{file}: {why}"):
        read_whole(Path(file), largest=1 << 20)


def test_a_file_that_is_another_than_its_header_was_read_from_is_refused(weights: Path) -> None:
    found = read_header(weights)
    write_weights(weights, *safetensors(random_tensors({NAME: (9,)})))
    with pytest.raises(InvalidInputError, match=f"{weights}: changed while it was read"):
        hash_finite(weights, found)


def shorter(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 4)


def longer(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\0")


@pytest.mark.parametrize(("change", "why"), [(shorter, "cut off while it was read"), (longer, "grew while it was")])
def test_a_file_that_is_written_to_meanwhile_is_refused(
    change: Callable[[Path], None], why: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, look = read_header(weights), weight_files._refuse_infinite

    def look_while_another_writes(*arguments: Any) -> None:
        look(*arguments)
        if arguments[3] == 0:  # the first piece
            change(weights)

    monkeypatch.setattr(weight_files, "CHUNK", 16)
    monkeypatch.setattr(weight_files, "_refuse_infinite", look_while_another_writes)
    with pytest.raises(InvalidInputError, match=why):
        hash_finite(weights, found)


def test_a_whole_model_is_admitted_by_its_own_files_when_the_base_is_not_known(tmp_path: Path) -> None:
    given = write_base(tmp_path / "given")
    admitted = admit(given, BaseWeights())
    assert set(admitted.files) == {"config.json", "model.safetensors"}
    assert admitted.base_name is None


@pytest.mark.parametrize("setting", ["use_dora", "lora_bias"])
def test_an_embedding_is_not_judged_with_settings_of_linear_layers(setting: str, tmp_path: Path) -> None:
    settings = lora_config(target_modules=["q_proj", "embed_tokens"], **{setting: True})
    folder = write_adapter(tmp_path / "given", settings, lora_shapes("q_proj"))
    with pytest.raises(InvalidInputError, match=r"config\.json: `use_dora` and `lora_bias` on an embedding are not"):
        admit(folder, read_base(write_base(tmp_path / "base", base_shapes())))


def test_a_model_folders_digest_is_over_its_files_through_links_and_without_hidden_ones(tmp_path: Path) -> None:
    real = write_base(tmp_path / "real")
    linked = tmp_path / "linked"
    (linked / "folder").mkdir(parents=True)
    (linked / ".cache" / "huggingface").mkdir(parents=True)
    (linked / ".cache" / "huggingface" / "lock").write_text("x")
    (linked / ".gitattributes").write_text("x")
    for path in real.iterdir():
        (linked / path.name).symlink_to(path)
    template = "additional_chat_templates/default.jinja"
    for folder in (real, linked):
        (folder / template).parent.mkdir()
    (real / template).write_text("hello")
    (linked / template).symlink_to(real / template)
    files = {path.relative_to(real).as_posix(): digest_file(path) for path in real.rglob("*.*")}
    assert set(files) == {"config.json", "model.safetensors", template}
    assert digest_model_files(linked) == digest_model_files(real) == files
    assert digest_model_folder(linked) == digest_tree(files)
    assert weights_digest("a", None) == digest_tree({"base": "a"})
    assert weights_digest("a", "b") == digest_tree({"base": "a", "adapter": "b"})
    assert seal({"a": 1}) == {"a": 1, "digest": digest_tree({"a": 1})}  # type: ignore[dict-item]


def test_a_linked_folder_in_a_model_is_refused(tmp_path: Path) -> None:
    model = write_base(tmp_path / "model")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "default.jinja").write_text("hello")
    (model / "additional_chat_templates").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match=r"additional_chat_templates: a model holds no links to folders"):
        digest_model_files(model)
