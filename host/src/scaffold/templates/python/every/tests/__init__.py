"""Unit tests: `python3 -m unittest`. They find the driver and the SDK without an installation."""

import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "vendor" / "osiris-sdk")]
