"""What several test folders share."""

from __future__ import annotations

import sys
from pathlib import Path

# The factories beside this file are imported by name from every test folder.
sys.path.insert(0, str(Path(__file__).parent))
