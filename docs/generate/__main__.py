"""Write the source tree of the site: python -m docs.generate [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate.assemble import BUILD, assemble

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD
    pages = assemble(target)
    print(f"{len(pages)} pages in {target}")
