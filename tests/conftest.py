"""What several test folders share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The factories beside this file are imported by name from every test folder.
sys.path.insert(0, str(Path(__file__).parent))

# Our own tests may run as a step of Actions, whose summary and outputs are not theirs to write.
os.environ.pop("GITHUB_ACTIONS", None)
