"""In dom0: what the installed libxlutil reads in the files of a JSON list; prints JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, "/")
from libxlutil import reader  # type: ignore[import-not-found]  # copied here by the test

texts, names = json.loads(Path("/texts.json").read_text())
read = reader()
print(json.dumps([read(text.encode("latin-1"), tuple(names)) for text in texts]))
