"""Where things are that tests read: this checkout, and real data where it is at hand."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("KEMBAR_DATA", ROOT.parent / "shared" / "data"))
