"""Write the output of the commands that README and the documentation show, as the commands give it now."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
    from xenapic_docs.blocks import pages, updated

    for page in pages():
        text = updated(page)
        if text != page.read_text():
            page.write_text(text)
            print(page.relative_to(ROOT))
