"""What several test folders share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

# The factories beside this file are imported by name from every test folder.
sys.path.insert(0, str(Path(__file__).parent))

# Our own tests may run as a step of Actions, whose summary and outputs are not theirs to write.
os.environ.pop("GITHUB_ACTIONS", None)

# The same examples on every machine and day; HARNESS_FUZZ draws new ones, for a search that may take its time.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("drawn", derandomize=False, deadline=None)
settings.load_profile("drawn" if os.environ.get("HARNESS_FUZZ") else "repeatable")
