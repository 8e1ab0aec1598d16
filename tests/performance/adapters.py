"""What an active LoRA costs: scoring and answering with an adapter on all linear layers, against the base weights.

python -m tests.performance.adapters --repeats 3
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from harness.engine.artefacts import files_of
from harness.engine.generate import GenerationSettings
from harness.engine.loading import LoadedModel
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.trust.digests import digest_file
from tests.performance.measure import alternate, arguments, real_model, report

PREFIX, SUFFIX, ROWS = 600, 110, 40


def main() -> None:
    """Alternate the base model and the adapter over the same work, and compare the adapter's numbers with PEFT's."""
    asked = arguments(__doc__ or "", rank=16, repeats=3)
    base = real_model()
    chance = random.Random(0)
    prefix = [chance.randrange(5, 40_000) for _ in range(PREFIX)]
    requests = [([*prefix, *(chance.randrange(5, 40_000) for _ in range(SUFFIX))], [65]) for _ in range(ROWS)]
    prompts = [context[-40:] for context, _ in requests]
    settings = GenerationSettings(max_new_tokens=24, batch_size=32)
    with tempfile.TemporaryDirectory() as scratch:
        folder = _adapter(base, Path(scratch) / "adapter", asked.rank)
        before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
        session = ModelSession(base, Meter())
        session.attach("adapter", folder, {file: digest_file(folder / file) for file in files_of(folder)})

        def scoring(adapter: str | None) -> dict[str, int]:
            session.meter.forwarded_tokens = 0
            session.score(requests, adapter=adapter)
            return {"forwarded_tokens": session.meter.forwarded_tokens}

        def answering(adapter: str | None) -> dict[str, int]:
            session.meter.decoded_rows = 0
            list(session.generate(prompts, settings, adapter=adapter))
            return {"decoded_rows": session.meter.decoded_rows}

        for name, work in (("scoring", scoring), ("answering", answering)):
            sides = {"adapter": lambda work=work: work("adapter"), "base": lambda work=work: work(None)}
            results = alternate(sides, repeats=asked.repeats)
            report(f"adapters-{name}", results, ours="adapter", rank=asked.rank, rows=len(requests))
        ours = session.next_token_logits(prompts[:4], adapter="adapter").log_softmax(-1)
        unchanged = all(
            torch.equal(before[name.replace(".base_layer", "")], tensor)
            for name, tensor in base.model.state_dict().items()
            if "lora_" not in name
        )
        reference = PeftModel.from_pretrained(real_model().model, folder).eval()
        with torch.inference_mode():
            theirs = [reference(input_ids=torch.tensor([p])).logits[0, -1].log_softmax(-1) for p in prompts[:4]]
        print(f"largest difference of a log-probability from PEFT's: {(ours - torch.stack(theirs)).abs().max():.2e}")
        print(f"base weights bit-identical afterwards: {unchanged}")


def _adapter(base: LoadedModel, folder: Path, rank: int) -> Path:
    """An adapter on all linear layers with random weights in both factors."""
    torch.manual_seed(0)
    model = get_peft_model(base.model, LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    model.unload()
    base.model.requires_grad_(False).eval()
    return folder


if __name__ == "__main__":
    main()
