"""A chat server around a tiny model: what vLLM and llama.cpp do, by plain transformers and peft.

It computes its log-probabilities itself, one whole forward pass a token, and shares no code with the engine.
"""

from __future__ import annotations

import copy
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from faulty_server import FaultyServer, Request, response

BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}


@dataclass
class ModelServer:
    """What is served, and how; the fields may be changed while it runs."""

    model: Path
    served: dict[str, Path | None]  # name -> folder of its adapter; None: the base model itself
    dtype: torch.dtype = torch.float32
    template: str | None = None  # another chat template than the model's
    tells: frozenset[str] = frozenset({"logprobs", "usage", "apply-template", "tokenize"})
    loads_adapters: bool = False
    broken: bool = False  # every answer is an error
    calls: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._base = AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)
        self._tokenizer = AutoTokenizer.from_pretrained(self.model)
        self._models: dict[tuple[str | None, torch.dtype], Any] = {}

    @contextmanager
    def running(self) -> Iterator[ModelServer]:
        with FaultyServer(self._behave) as server:
            self.url = server.base_url
            yield self

    def _behave(self, connection: socket.socket, request: Request, _server: FaultyServer) -> None:
        path = request.line.split(" ")[1]
        with self._lock:
            self.calls.append(path)
            connection.sendall(self._respond(path, request.body))

    def _respond(self, path: str, body: dict[str, Any]) -> bytes:
        if path == "/v1/models":
            return response(json.dumps({"data": [{"id": name} for name in self.served]}))
        if path == "/v1/load_lora_adapter" and self.loads_adapters:
            if body["lora_name"] in self.served or not Path(body["lora_path"]).is_dir():
                return response('{"error": {}}', "400 Bad Request")
            self.served[body["lora_name"]] = Path(body["lora_path"])
            return response("Success: LoRA adapter added successfully.", kind="text/plain")
        if path == "/v1/unload_lora_adapter" and self.loads_adapters:
            del self.served[body["lora_name"]]
            return response("Success", kind="text/plain")
        if path == "/apply-template" and "apply-template" in self.tells:
            return response(json.dumps({"prompt": self._render(body["messages"])}))
        if path == "/tokenize" and "tokenize" in self.tells:
            return response(json.dumps({"tokens": self._ids(body["messages"])}))
        if path == "/v1/chat/completions" and not self.broken and body["model"] in self.served:
            return response(json.dumps(self._complete(body)))
        return response('{"error": {}}', "404 Not Found")

    def _render(self, messages: list[dict[str, str]]) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, chat_template=self.template
            )
        )

    def _ids(self, messages: list[dict[str, str]]) -> list[int]:
        return list(self._tokenizer(self._render(messages), add_special_tokens=False)["input_ids"])

    def _model_of(self, name: str) -> Any:
        adapter = self.served[name]
        key = (str(adapter) if adapter else None, self.dtype)
        if key not in self._models:
            model = copy.deepcopy(self._base)
            if adapter is not None:
                model = PeftModel.from_pretrained(model, str(adapter))
            self._models[key] = model.to(self.dtype).eval()
        return self._models[key]

    @torch.inference_mode()
    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["temperature"] == 0.0
        model, prompt = self._model_of(body["model"]), self._ids(body["messages"])
        answer: list[int] = []
        content, ended = [], False
        while len(answer) < body["max_tokens"] and not ended:
            logprobs = model(torch.tensor([prompt + answer])).logits[0, -1].float().log_softmax(-1)
            likely = logprobs.topk(body.get("top_logprobs", 1))
            token = int(likely.indices[0])
            listed = [
                self._listed(int(index), float(value))
                for index, value in zip(likely.indices, likely.values, strict=True)
            ]
            content.append({**self._listed(token, float(likely.values[0])), "top_logprobs": listed})
            ended = token == self._tokenizer.eos_token_id
            if not ended:
                answer.append(token)
        text = self._tokenizer.decode(answer, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop" if ended else "length",
            "logprobs": {"content": content} if "logprobs" in self.tells else None,
        }
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(answer) + ended}
        return {"choices": [choice], **({"usage": usage} if "usage" in self.tells else {})}

    def _listed(self, token: int, logprob: float) -> dict[str, Any]:
        name = self._tokenizer.convert_ids_to_tokens(token)
        known = [BYTES[letter] for letter in name] if all(letter in BYTES for letter in name) else list(name.encode())
        return {"token": bytes(known).decode("utf-8", "replace"), "bytes": known, "logprob": logprob}
