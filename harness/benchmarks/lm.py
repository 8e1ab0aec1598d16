"""The harness's engine as a model that lm-eval can drive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM

from harness.engine.session import ModelSession
from harness.errors import BrokenRunError


class SessionLM(TemplateLM):
    """One system of a session: the base model, or the base model with an adapter."""

    def __init__(self, session: ModelSession, adapter: str | None) -> None:
        super().__init__()
        self._session, self._adapter = session, adapter
        self.tokenizer = session.tokenizer
        config = session.base.model.config
        self._max_length = int(getattr(config, "max_position_embeddings", 2048))

    @property
    def eot_token_id(self) -> int:
        """The token that conditions an empty context."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The beginning-of-sequence token where there is one, as lm-eval's own backend does."""
        return int(self.tokenizer.bos_token_id) if self.tokenizer.bos_token_id is not None else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        """The name under which lm-eval caches requests; unused here."""
        return self._session.base.name

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids of a text; a text that already begins with the BOS token gets no second one."""
        special = True if add_special_tokens is None else add_special_tokens
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            special = False
        return list(self.tokenizer.encode(string, add_special_tokens=special))

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-probability of each continuation and whether it is the greedy one, without a progress bar."""
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = []
        for _, context, continuation in requests:
            room = self._max_length + 1 - len(continuation)
            # As lm-eval does: an over-long context loses its beginning.
            pairs.append((context[-room:], continuation))
        return [(item.logprob, item.is_greedy) for item in self._session.score(pairs, adapter=self._adapter)]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Refuse: no benchmark of the harness asks for it."""
        raise BrokenRunError("this benchmark asks for perplexity of whole texts, which the harness does not score")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Refuse: no benchmark of the harness asks for it."""
        raise BrokenRunError("this benchmark asks for free text, which the harness does not generate through lm-eval")
