"""The only place that touches the global random generators and the thread count."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, and forbid kernels whose result depends on scheduling."""
    random.seed(seed)  # noqa: TID251
    np.random.seed(seed % 2**32)  # noqa: TID251
    torch.manual_seed(seed)  # noqa: TID251
    torch.use_deterministic_algorithms(True, warn_only=True)


def fix_threads(threads: int | None = None) -> int:
    """Fix and return the number of torch threads, since the order of sums depends on it."""
    torch.set_num_threads(threads or torch.get_num_threads())
    return torch.get_num_threads()
