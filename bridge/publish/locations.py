"""Where `split` puts the stems of a file, without a ledger to ask."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from bridge.publish.output_names import output_name
from bridge.publish.transaction import MANIFEST

OUTPUT_FOLDER = "Stems"


def split_target(file: Path, out: Path | None) -> tuple[Path, Path]:
    """The output directory and, in it, the bounce's own folder.

    A folder that holds the stems of another bounce of that name is left to it; the manifests tell.
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
    """The source that a manifest of ours names."""
    try:
        return str(json.loads(manifest.read_text(encoding="utf-8"))["source"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
