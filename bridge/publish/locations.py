"""Output folder of a single file, chosen without a ledger."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from bridge.publish.output_names import output_name
from bridge.publish.transaction import MANIFEST

OUTPUT_FOLDER = "Stems"


def split_target(file: Path, out: Path | None) -> tuple[Path, Path]:
    """Choose where `split` puts the stems of a file.

    A folder whose manifest names another source belongs to that bounce and is not used.

    Args:
        file: the bounce.
        out: folder of all stem sets; None for `Stems` next to the bounce.

    Returns:
        the absolute folder of all stem sets, and in it the folder of this bounce.
    """
    source = file.absolute()
    out_dir = (out or source.parent / OUTPUT_FOLDER).absolute()
    taken = {
        manifest.parent.name: source.name if owner == str(source) else owner
        for manifest in sorted(out_dir.glob(f"*/{MANIFEST}"))
        if (owner := _owner(manifest)) is not None
    }
    return out_dir, out_dir / output_name(PurePath(source.name), taken)


def _owner(manifest: Path) -> str | None:
    """Source path in a manifest; None if it is unreadable."""
    try:
        return str(json.loads(manifest.read_text(encoding="utf-8"))["source"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
