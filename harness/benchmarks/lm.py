"""The harness's engine as a model that lm-eval can drive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.engine.generate import GenerationSettings
from harness.engine.loglikelihood import Scored
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError

ANSWER_BATCH = 32
DEFAULT_ANSWER_TOKENS = 256  # lm-eval's own default


class SessionLM(TemplateLM):
    """One system of a session: the base model, or the base model with an adapter."""

    def __init__(self, session: ModelSession, adapter: str | None) -> None:
        super().__init__()
        self._session, self._adapter = session, adapter
        self.tokenizer = session.tokenizer
        config = session.base.model.config
        self._max_length = int(getattr(config, "max_position_embeddings", 2048))
        self.left_out: set[str] = set()  # questions that are another shard's; their scores stand for nothing

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
        return self._encode([string], add_special_tokens=add_special_tokens)[0]

    def _encode(self, texts: Sequence[str], *, add_special_tokens: bool | None = None) -> list[list[int]]:
        """Token ids of each text, in one call."""
        if not texts:
            return []
        self._session.meter.tokenizer_calls += 1
        if add_special_tokens is not None:
            return [list(ids) for ids in self.tokenizer(texts, add_special_tokens=add_special_tokens)["input_ids"]]
        first = self.tokenizer.decode(self.prefix_token_id)
        begun = [text for text in texts if text.startswith(first)]
        plain = [text for text in texts if not text.startswith(first)]
        encoded: dict[str, list[int]] = {}
        for group, special in ((begun, False), (plain, True)):
            if group:
                ids = self.tokenizer(group, add_special_tokens=special)["input_ids"]
                encoded |= {text: list(row) for text, row in zip(group, ids, strict=True)}
        return [encoded[text] for text in texts]

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-probability of each continuation and whether it is the greedy one.

        Every text is tokenised once, in one call, and split where lm-eval splits it: after as many tokens as the
        context has by itself, its trailing spaces belonging to the continuation.
        """
        pairs = [_without_trailing_spaces(*request.args) for request in requests]
        texts = dict.fromkeys(text for context, rest in pairs if context for text in (context, context + rest))
        ids = dict(zip(texts, self._encode(list(texts)), strict=True))
        split = []
        for request, (context, rest) in zip(requests, pairs, strict=True):
            if context:
                whole, length = ids[context + rest], len(ids[context])
                split.append((request.args, ids[context], whole[length:]))
                continue
            alone = self.tok_encode(rest, add_special_tokens=False)
            begins = alone[0] == self.prefix_token_id
            split.append(
                (request.args, alone[:1] if begins else [self.prefix_token_id], alone[1:] if begins else alone)
            )
        scored = self._score(self._fitted(split))
        self.left_out |= {
            request.doc["question_id"] for request, item in zip(requests, scored, strict=True) if item is None
        }
        return [(item.logprob, item.is_greedy) if item is not None else (0.0, False) for item in scored]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        return [(item.logprob, item.is_greedy) for item in self._score(self._fitted(requests)) if item is not None]

    def _fitted(self, requests: Sequence[tuple[Any, list[int], list[int]]]) -> list[tuple[list[int], list[int]]]:
        """Context and continuation; as lm-eval does, an over-long context loses its beginning."""
        return [(context[-(self._max_length + 1 - len(rest)) :], rest) for _, context, rest in requests]

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Sequence[Scored | None]:
        return self._session.score(pairs, adapter=self._adapter)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """Log-probability of whole texts, each token once, in lm-eval's disjoint windows."""
        texts = self._encode([request.args[0] for request in requests])
        windows = [
            (place, make_disjoint_window(window))
            for place, ids in enumerate(texts)
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self._max_length, context_len=1)
        ]
        scored = self._loglikelihood_tokens([("", context, rest) for _, (context, rest) in windows])
        totals = [0.0] * len(texts)
        for (place, _), (logprob, _) in zip(windows, scored, strict=True):
            totals[place] += logprob
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """Greedy answers up to each request's own stop texts.

        Raises:
            BrokenRunError: a task that asks for anything but greedy answers.
        """
        end = str(self.tokenizer.decode(self.eot_token_id))
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for place, request in enumerate(requests):
            stop, limit = _generation_limits(dict(request.args[1]))
            groups.setdefault(((*stop, end), limit), []).append(place)
        answers = [""] * len(requests)
        for (stop, limit), places in groups.items():
            prompts = self._encode([requests[place].args[0] for place in places])
            cut = [ids[-(self._max_length - limit) :] for ids in prompts]
            settings = GenerationSettings(max_new_tokens=limit, batch_size=ANSWER_BATCH, stop=stop)
            for answer in self._session.generate(cut, settings, adapter=self._adapter):
                # As lm-eval reads answers: without special tokens.
                text = str(self.tokenizer.decode(answer.tokens, skip_special_tokens=True))
                answers[places[answer.index]] = text[: min((text.find(s) for s in stop if s in text), default=None)]
        return answers


def _without_trailing_spaces(context: str, continuation: str) -> tuple[str, str]:
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def _generation_limits(asked: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """The stop texts and the most tokens that a task's generation_kwargs allow."""
    until = asked.pop("until", None) or []
    limit = int(asked.pop("max_gen_toks", DEFAULT_ANSWER_TOKENS))
    if asked.pop("do_sample", False) or float(asked.pop("temperature", 0.0) or 0.0) or asked:
        more = f" and {', '.join(asked)}" if asked else ""
        raise BrokenRunError(f"this benchmark asks for sampled answers{more}; the harness answers benchmarks greedily")
    return tuple([until] if isinstance(until, str) else until), limit
