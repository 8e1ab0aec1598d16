"""No adapter is believed that is not exactly what its configuration describes, and none is refused that is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from adapter_files import (
    CONFIG,
    HIDDEN,
    KEYS,
    LAYERS,
    PREFIX,
    VOCABULARY,
    WEIGHTS,
    base_shapes,
    lora_config,
    lora_shapes,
    random_tensors,
    safetensors,
    virtual_config,
    write_adapter,
    write_base,
    write_file,
)
from bad_adapters import BAD, FIRST, HEAD, PLAIN, Q_PROJ, Bad
from plain_suite import SUITE, write_plain_suite

from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.files import write_json
from harness.prepare import hold_to_base, read_inputs
from harness.store.baselines import RECORD_VERSION, BaselineRecord
from harness.store.facts import to_plain
from harness.suite.load import load_suite
from harness.trust.admission import admit, copy_admitted
from harness.trust.digests import digest_file
from harness.trust.expected_tensors import BaseWeights, read_base
from harness.trust.targets import refuse_unknown_targets
from harness.trust.weight_files import CHUNK

UNKNOWN = BaseWeights()


def base_for(bad: Bad, folder: Path) -> BaseWeights:
    return read_base(write_base(folder, base_shapes(biases="biases" in bad.says)))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_adapter_is_refused_and_what_is_bad_is_named(name: str, tmp_path: Path) -> None:
    bad, folder = BAD[name], write_adapter(tmp_path / "given")
    bad.change(folder)
    with pytest.raises(InvalidInputError) as caught:
        admit(folder, base_for(bad, tmp_path / "base"))
    message = str(caught.value)
    assert str(folder / bad.file) in message
    assert bad.says in message
    assert message.isprintable() and len(message) < 1000


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if not bad.needs_base])
def test_most_are_refused_before_the_base_model_is_on_this_machine(name: str, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "given")
    BAD[name].change(folder)
    with pytest.raises(InvalidInputError, match=re.escape(str(folder / BAD[name].file))):
        admit(folder, UNKNOWN)


def axolotl(folder: Path) -> None:
    """Weights and tokenizer of the training, its checkpoints and a card beside the adapter."""
    write_adapter(folder, lora_config(base_model_name_or_path="/data/base", lora_dropout=0.0), dtype="BF16")
    for name in ("README.md", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"):
        (folder / name).write_text("{}")
    write_adapter(folder / "checkpoint-20")
    (folder / "checkpoint-20" / "optimizer.pt").write_bytes(b"\x80")
    (folder / "debug.log").symlink_to("gone")


def llama_factory(folder: Path) -> None:
    names = ["gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj"]
    write_adapter(folder, lora_config(target_modules=names, lora_alpha=16.0), lora_shapes(*names), dtype="BF16")
    for name in ("all_results.json", "train_results.json", "trainer_log.jsonl", "training_loss.png", "vocab.json"):
        (folder / name).write_text("{}")
    (folder / "training_args.bin").write_bytes(b"\x80\x02")


def unsloth(folder: Path) -> None:
    mapping = {
        "base_model_class": "Qwen3ForCausalLM",
        "parent_library": "transformers.models.qwen3.modeling_qwen3",
        "unsloth_fixed": True,
    }
    write_adapter(
        folder, lora_config(auto_mapping=mapping, base_model_name_or_path="unsloth/small-bnb-4bit", lora_dropout=0)
    )
    (folder / "chat_template.jinja").write_text("{{ messages }}")


def trl(folder: Path) -> None:
    """All linear layers, in the names that PEFT then writes; some only by their endings."""
    names = [f"model.layers.{layer}.self_attn.q_proj" for layer in range(LAYERS)] + [
        "0.self_attn.v_proj",
        "1.self_attn.v_proj",
    ]
    write_adapter(folder, lora_config(target_modules=names))
    (folder / "adapter_model.bin").write_bytes(b"a pickle that is not looked at")


def old_peft(folder: Path) -> None:
    keys = ("base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "init_lora_weights", "lora_alpha",
            "lora_dropout", "modules_to_save", "peft_type", "r", "target_modules", "task_type")  # fmt: skip
    write_adapter(folder, {key: value for key, value in lora_config().items() if key in keys})


def newer_peft(folder: Path) -> None:
    later = {
        "new_method_config": None,
        "use_new_method": False,
        "new_names": [],
        "runtime_config": {"ephemeral_gpu_offload": False},
    }
    write_adapter(folder, lora_config(peft_version="0.22.0", **later))


def mixed_types(folder: Path) -> None:
    write_adapter(folder, lora_config(), dtype="BF16", dtypes={FIRST: "F32", list(PLAIN)[1]: "F16"})


def patterns(folder: Path) -> None:
    ranks, alphas = {"layers.1.self_attn.q_proj": 3, "v_proj": 1}, {"q_proj": 32}
    shapes = (
        lora_shapes("q_proj", layers=1)
        | lora_shapes("q_proj", rank=3, layers=range(1, 2))
        | lora_shapes("v_proj", rank=1)
    )
    write_adapter(folder, lora_config(rank_pattern=ranks, alpha_pattern=alphas, use_rslora=True), shapes)


def dora(folder: Path) -> None:
    vectors = {
        name.replace("lora_A.weight", "lora_magnitude_vector"): (PLAIN[name.replace("_A", "_B")][0],)
        for name in PLAIN
        if "lora_A" in name
    }
    write_adapter(folder, lora_config(use_dora=True), PLAIN | vectors)


def lora_bias(folder: Path) -> None:
    biases = {name.replace("weight", "bias"): (shape[0],) for name, shape in PLAIN.items() if "lora_B" in name}
    write_adapter(folder, lora_config(lora_bias=True), PLAIN | biases)


def all_linear(folder: Path) -> None:
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    write_adapter(folder, lora_config(target_modules="all-linear", bias="all"), lora_shapes(*names))


def some_layers(folder: Path) -> None:
    write_adapter(
        folder,
        lora_config(layers_to_transform=[1], layers_pattern="layers"),
        lora_shapes("q_proj", "v_proj", layers=range(1, 2)),
    )


def one_layer(folder: Path) -> None:
    write_adapter(folder, lora_config(layers_to_transform=0), lora_shapes("q_proj", "v_proj", layers=1))


def excluded(folder: Path) -> None:
    shapes = {name: shape for name, shape in PLAIN.items() if not name.startswith(Q_PROJ)}
    write_adapter(
        folder,
        lora_config(exclude_modules=["layers.0.self_attn.q_proj"], target_modules=["q_proj", "v_proj", "nowhere"]),
        shapes,
    )


def embedding(folder: Path) -> None:
    place = f"{PREFIX}model.embed_tokens.lora_embedding"
    shapes = PLAIN | {f"{place}_A": (2, VOCABULARY), f"{place}_B": (HIDDEN, 2)}
    write_adapter(folder, lora_config(target_modules=["q_proj", "v_proj", "embed_tokens"]), shapes)


def tied_output(folder: Path) -> None:
    shapes = PLAIN | {f"{PREFIX}lm_head.lora_A.weight": (2, HIDDEN), f"{PREFIX}lm_head.lora_B.weight": (VOCABULARY, 2)}
    write_adapter(folder, lora_config(target_modules=["q_proj", "v_proj", "lm_head"]), shapes)


def begun_otherwise(folder: Path) -> None:
    settings = {"rho": 2.0, "tau": 0.99, "use_label_mask": True, "label_mask_value": -100, "whiten": False}
    write_adapter(folder, lora_config(init_lora_weights="eva", eva_config=settings))


def odd_header(folder: Path) -> None:
    """No metadata, the tensors in another order than their bytes, spaces behind them, spread over lines."""
    header, data = safetensors(random_tensors(PLAIN))
    entries = {name: header[name] for name in reversed(PLAIN)}
    write_file(folder / WEIGHTS, json.dumps(entries, indent=1).encode() + b" " * 5, data)
    (folder / CONFIG).write_text(json.dumps(lora_config()))


def long_metadata(folder: Path) -> None:
    write_adapter(folder, metadata={"format": "pt", "arguments": json.dumps({"steps": [1] * 1000}), "é": "ü\n"})


def prefix(folder: Path) -> None:
    write_adapter(folder, virtual_config("PREFIX_TUNING"), {"prompt_embeddings": (3, 2 * LAYERS * KEYS)})


def prompt(folder: Path) -> None:
    settings = virtual_config(
        "PROMPT_TUNING", prompt_tuning_init="TEXT", prompt_tuning_init_text="Sort:", tokenizer_name_or_path="small"
    )
    write_adapter(folder, settings, {"prompt_embeddings": (3, HIDDEN)}, dtype="F16")


def classifier(folder: Path) -> None:
    write_adapter(
        folder, lora_config(task_type="SEQ_CLS", modules_to_save=["classifier", "score"]), PLAIN | {HEAD: (2, HIDDEN)}
    )
    (folder / "classes.json").write_text('["no", "yes"]')


GOOD: dict[str, Callable[[Path], None]] = {
    "Axolotl": axolotl,
    "LLaMA-Factory": llama_factory,
    "Unsloth": unsloth,
    "TRL": trl,
    "an old PEFT": old_peft,
    "a newer PEFT": newer_peft,
    "three data types": mixed_types,
    "rsLoRA with ranks and alphas of single layers": patterns,
    "DoRA": dora,
    "a bias of LoRA's own": lora_bias,
    "all linear layers": all_linear,
    "some layers": some_layers,
    "one layer": one_layer,
    "an excluded layer": excluded,
    "an embedding": embedding,
    "a tied output layer": tied_output,
    "EVA": begun_otherwise,
    "an odd header": odd_header,
    "long metadata": long_metadata,
    "prefix tuning": prefix,
    "prompt tuning": prompt,
    "a classifier": classifier,
}


@pytest.mark.parametrize("known", [True, False], ids=["base known", "base unknown"])
@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_whole_adapter_is_admitted(name: str, known: bool, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    GOOD[name](folder)
    base = read_base(write_base(tmp_path / "base")) if known else UNKNOWN
    assert bool(base.shapes) == known
    admitted = admit(folder, base)
    assert set(admitted.files) == {CONFIG, WEIGHTS} | ({"classes.json"} if name == "a classifier" else set())
    assert admitted.files == {file: digest_file(folder / file) for file in admitted.files}


def test_a_whole_model_is_admitted_when_it_has_the_names_and_shapes_of_the_base(tmp_path: Path) -> None:
    base = read_base(write_base(tmp_path / "base"))
    given = write_base(tmp_path / "given", shards=3, _name_or_path="/somewhere", transformers_version="5.0")
    (given / "training_args.bin").write_bytes(b"\x80")
    assert set(admit(given, base).files) == {"config.json", *(path.name for path in given.glob("*.safetensors"))}


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a weight missing": (
        lambda f: write_base(f, {k: v for k, v in base_shapes().items() if k != "model.norm.weight"}),
        "model.safetensors: 1 tensors are missing, the first is model.norm.weight; it was made for another",
    ),
    "a layer more": (lambda f: write_base(f, base_shapes(layers=3)), "9 tensors are not part of it"),
    "another width": (
        lambda f: write_base(f, base_shapes() | {"model.norm.weight": (9,)}),
        "1 tensors are of another shape, the first is model.norm.weight ([9], not [8]); it was made",
    ),
    "an output layer of its own": (lambda f: write_base(f, base_shapes(tied=False)), "the first is lm_head.weight"),
    "code": (lambda f: write_base(f, auto_map={"AutoModel": "evil.Model"}), "`auto_map` is not read"),
    "CVE-2026-4372": (
        lambda f: write_base(f, _attn_implementation_internal="evil/kernel"), "`_attn_implementation_internal` is not"
    ),
    "quantised": (lambda f: write_base(f, quantization_config={"bits": 4}), "`quantization_config` is not read"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "config.json: must be a JSON object"),
    "a tensor in two files": (
        lambda f: shutil.copy(f / "model.safetensors", f / "model-2.safetensors"),
        ": tensor model.embed_tokens.weight is in another file as well",
    ),
    "no tensors": (lambda f: write_file(f / "model.safetensors", {}, b""), "holds no tensors"),
    "NaN": (
        lambda f: write_file(
            f / "model.safetensors",
            *safetensors({name: np.full(shape, np.nan) for name, shape in base_shapes().items()}),
        ),
        "is not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model_that_is_not_the_base_with_other_weights_is_refused(name: str, tmp_path: Path) -> None:
    change, says = MODELS[name]
    folder = write_base(tmp_path / "given")
    change(folder)
    with pytest.raises(InvalidInputError, match=re.escape(says)):
        admit(folder, read_base(write_base(tmp_path / "base")))


def test_the_base_model_is_read_by_its_headers_in_one_file_or_several(tmp_path: Path) -> None:
    one, several = write_base(tmp_path / "one"), write_base(tmp_path / "several", shards=4)
    assert read_base(one).shapes == read_base(several).shapes == base_shapes()
    untied = read_base(write_base(tmp_path / "untied", base_shapes(tied=False), tie_word_embeddings=False))
    assert untied.modules["lm_head"] == read_base(one).modules["lm_head"] == (VOCABULARY, HIDDEN)
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in several.iterdir():
        (linked / path.name).symlink_to(path)  # as in the hub's cache
    assert read_base(linked).shapes == base_shapes()
    assert read_base(None).shapes == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"architectures": ["MixtralForCausalLM"]},
        {"quantization_config": {"bits": 4}},
        {"architectures": None},
        {"architectures": [["LlamaForCausalLM"]]},
    ],
)
def test_an_architecture_that_is_not_known_is_left_to_the_engine(settings: dict[str, object], tmp_path: Path) -> None:
    assert read_base(write_base(tmp_path / "base", **settings)).shapes == {}


def test_weights_that_are_named_otherwise_than_in_memory_are_left_to_the_engine(tmp_path: Path) -> None:
    for number, name in enumerate(("vision.patch.weight", "lm_head.weight")):
        shapes = base_shapes() | {name: (VOCABULARY, HIDDEN)}
        assert read_base(write_base(tmp_path / str(number), shapes)).shapes == {}
    old = base_shapes() | {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}
    assert read_base(write_base(tmp_path / "old", old)).shapes == base_shapes()


def test_a_base_model_that_is_not_whole_yet_is_left_to_the_engine(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert read_base(folder).shapes == {}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x" * 300}}))
    assert read_base(folder).shapes == {}
    lenient = write_base(tmp_path / "lenient")
    (lenient / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "limit": Infinity}')
    assert read_base(lenient).shapes == {}
    cut = write_base(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(InvalidInputError, match="cut off or has a rest"):
        read_base(cut)


def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base", shards=2)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret"}}))
    with pytest.raises(InvalidInputError, match="must name files of this folder"):
        read_base(folder)


def test_a_number_is_found_beyond_the_first_piece_that_is_read(tmp_path: Path) -> None:
    rows = CHUNK // (4 * HIDDEN) + 3
    base = read_base(write_base(tmp_path / "base", base_shapes() | {"model.embed_tokens.weight": (rows, HIDDEN)}))
    place = f"{PREFIX}model.embed_tokens.lora_embedding"
    tensors = random_tensors(PLAIN | {f"{place}_A": (2, rows), f"{place}_B": (HIDDEN, 2)})
    settings = lora_config(target_modules=["q_proj", "v_proj", "embed_tokens"], r=2)
    folder = write_adapter(tmp_path / "given", settings)
    write_file(folder / WEIGHTS, *safetensors(tensors))
    assert admit(folder, base).files[WEIGHTS] == digest_file(folder / WEIGHTS)
    big = write_base(tmp_path / "model", {name: shape for name, shape in base.shapes.items()})
    content = bytearray((big / "model.safetensors").read_bytes())
    start = len(content) - 4
    content[start:] = b"\0\0\x80\x7f"  # infinity
    (big / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidInputError, match="is not finite"):
        admit(big, base)


def test_what_is_copied_is_what_was_admitted(tmp_path: Path) -> None:
    admitted = admit(write_adapter(tmp_path / "given"), UNKNOWN)
    (tmp_path / "given" / "README.md").write_text("not part of it")
    copy_admitted(admitted, tmp_path / "copy")
    assert {path.name: digest_file(path) for path in (tmp_path / "copy").iterdir()} == admitted.files
    content = bytearray((tmp_path / "given" / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / "given" / WEIGHTS).write_bytes(content)
    with pytest.raises(InvalidInputError, match=rf"{WEIGHTS}: changed since it was read"):
        copy_admitted(admitted, tmp_path / "again")
    assert not (tmp_path / "again" / WEIGHTS).exists()


SCRIPT = """
import sys
from harness.cli.main import main
try:
    main(sys.argv[1:], standalone_mode=True)
finally:
    print("MODULES", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_a_run_refuses_a_bad_adapter_before_torch_is_imported(tmp_path: Path) -> None:
    suite = write_plain_suite(tmp_path, text=SUITE.replace("model: smollm2-135m-instruct", "model: {path: base}"))
    write_base(suite / "base")
    folder = write_adapter(tmp_path / "given", shapes=lora_shapes("q_proj", "v_proj", layers=3))
    command = [sys.executable, "-c", SCRIPT, "run", str(suite), "--adapter", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2, done.stderr
    assert f"{folder / WEIGHTS}: 4 tensors are not part of it" in done.stderr
    assert "Traceback" not in done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "MODULES" in loaded and not loaded & {"torch", "transformers", "peft", "safetensors"}
    assert not (tmp_path / "reports").exists(), "nothing was begun"


def test_baselines_are_admitted_too_and_another_base_model_is_said(tmp_path: Path) -> None:
    text = SUITE.replace("model: smollm2-135m-instruct", "model: {path: base}")
    text = text.replace("checks:", "  theirs: {kind: adapter, from: theirs}\nchecks:")
    suite = write_plain_suite(tmp_path, text=text)
    write_base(suite / "base")
    write_adapter(suite / "theirs", lora_config(base_model_name_or_path="meta/another-8b"))
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    assert {name: given.folder for name, given in inputs.baseline_adapters.items()} == {"theirs": suite / "theirs"}
    assert inputs.adapter is None
    assert "the adapter of theirs says that its base model is meta/another-8b; it is judged on base" in inputs.warnings
    write_adapter(suite / "theirs", lora_config(r=3))
    with pytest.raises(InvalidInputError, match=r"theirs/adapter_model.safetensors: .* of another shape"):
        read_inputs(load_suite(suite), registry=tmp_path / "baselines")


def promote(project: Path, adapter: Path, **digests: str) -> Path:
    """An adapter in the registry of the plain suite, as a promotion leaves it; returns its folder there."""
    record = BaselineRecord(
        format_version=RECORD_VERSION,
        suite="plain",
        name="first",
        run_id="run",
        promoted="2026-01-01T00:00:00+00:00",
        decision="ship",
        sentence="",
        system=None,
        digests=digests,
        adapter_files={path.name: digest_file(path) for path in adapter.iterdir()},
        adapter_location=None,
    )
    folder = project / "baselines" / "plain" / "first"
    shutil.copytree(adapter, folder / "adapter")
    write_json(folder / "record.json", to_plain(record))
    write_json(folder.parent / "promoted.json", {"name": "first"})
    return folder / "adapter"


@pytest.fixture
def with_promoted(tmp_path: Path) -> tuple[Path, Path]:
    """A suite that compares with its promoted adapter, and that adapter's folder."""
    text = SUITE.replace("model: smollm2-135m-instruct", "model: {path: base}")
    suite = write_plain_suite(tmp_path, text=text.replace("checks:", "  old: {kind: adapter, from: promoted}\nchecks:"))
    write_base(suite / "base")
    return suite, promote(tmp_path, write_adapter(tmp_path / "given", lora_config(base_model_name_or_path="base")))


def test_a_promoted_adapter_that_was_made_worse_since_is_refused(
    with_promoted: tuple[Path, Path], tmp_path: Path
) -> None:
    suite, adapter = with_promoted
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    assert inputs.baseline_adapters["old"].folder == adapter
    tensors = {name: array / 2 for name, array in random_tensors(PLAIN).items()}
    write_file(adapter / WEIGHTS, *safetensors(tensors))
    with pytest.raises(EvidenceRefusedError, match=rf"{WEIGHTS}: not the file that was promoted as first"):
        read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    (adapter / WEIGHTS).unlink()
    with pytest.raises(InvalidInputError, match="neither an adapter folder"):
        read_inputs(load_suite(suite), registry=tmp_path / "baselines")


def test_a_promoted_adapter_on_a_base_with_other_files_is_said(
    with_promoted: tuple[Path, Path], tmp_path: Path
) -> None:
    suite, _ = with_promoted
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    assert not any("base model" in warning for warning in inputs.warnings)
    held = hold_to_base(inputs, suite / "base", "another digest")
    assert held.warnings[-1] == "old was promoted on a base model with other files; it is judged on this one"


def test_an_adapter_is_held_to_a_base_model_that_came_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = write_plain_suite(tmp_path)  # its model is not on this machine
    folder = write_adapter(tmp_path / "given", shapes=lora_shapes("q_proj", "v_proj", layers=3))
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines", adapter=folder)
    assert inputs.adapter == folder
    with pytest.raises(InvalidInputError, match=f"{folder / WEIGHTS}: 4 tensors are not part of it"):
        hold_to_base(inputs, write_base(tmp_path / "base"), "")
    write_adapter(folder, lora_config(lora_alpha=16))
    with pytest.raises(InvalidInputError, match=f"{folder}: changed since it was read"):
        hold_to_base(inputs, tmp_path / "base", "")


TARGETED = SUITE.replace("{learning_rate: 2e-4}", "{learning_rate: 2e-4,\n  targets: [q_proj, v_prj, self_attn, '*']}")
LAYER_NAMES = "down_proj, embed_tokens, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
NO_LAYERS = (
    "^suite.yaml:6 train.targets.1: 'v_prj' is no linear layer of the base model; "
    rf"known: {LAYER_NAMES}; did you mean 'v_proj'\?\n"
    r"suite.yaml:6 train.targets.2: 'self_attn' is no .*\nsuite.yaml:6 train.targets.3: '\*' is no .*$"
)


def test_a_target_that_is_no_layer_of_the_base_model_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    suite = write_plain_suite(tmp_path, text=TARGETED.replace("smollm2-135m-instruct", "{path: base}"))
    write_base(suite / "base")
    with pytest.raises(InvalidInputError, match=NO_LAYERS):
        read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    for target in ("q_proj", "self_attn.q_proj", "model.layers.1.mlp.up_proj"):
        read_inputs(load_suite(suite, {"train.targets": f"[{target}]"}), registry=tmp_path / "baselines")


def test_a_target_that_was_set_on_the_command_line_is_refused_without_a_line_of_its_own(tmp_path: Path) -> None:
    suite = write_plain_suite(tmp_path, text=SUITE.replace("smollm2-135m-instruct", "{path: base}"))
    write_base(suite / "base")
    with pytest.raises(InvalidInputError, match=r"^suite\.yaml:1 train\.targets\.0: 'foo_proj' is no linear layer"):
        read_inputs(load_suite(suite, {"train.targets": "[foo_proj]"}), registry=tmp_path / "baselines")


def test_no_base_model_is_read_where_no_training_names_its_targets(tmp_path: Path) -> None:
    def read() -> BaseWeights:
        raise AssertionError("read")

    refuse_unknown_targets(load_suite(write_plain_suite(tmp_path)), read)


def test_a_target_is_compared_with_a_base_model_that_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = write_plain_suite(tmp_path, text=TARGETED)  # its model is not on this machine
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    with pytest.raises(InvalidInputError, match=NO_LAYERS):
        hold_to_base(inputs, write_base(tmp_path / "base"), "")
