"""A bounce through the bridge: stems as files, as the service makes them, from Python.

    python examples/convert_bounce.py "Mix 3.wav" --out Stems --preset karaoke

Each stem has the frames, the rate, the channels, the depth and the time reference of the bounce;
the set is published whole, and its manifest says what was done. The work itself is done in a
process of its own, which ends with the `with` block.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bridge.config import resolve
from bridge.convert import Converter, choose_model
from bridge.errors import StembridgeError
from bridge.presets import loader as presets
from bridge.publish.locations import split_target


def main() -> int:
    """Converts one file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Stems of one bounce, with manifest.")
    parser.add_argument("bounce", type=Path, help="any file that the service takes")
    parser.add_argument("--out", type=Path, help="folder for stem sets; Stems beside the bounce")
    parser.add_argument("--preset", default="stems", help="name or file; `stembridge presets list`")
    parser.add_argument("--model", help="see `stembridge models list`")
    options = parser.parse_args()

    settings = resolve().settings  # file and environment, as the command has them
    out_dir, target = split_target(options.bounce, options.out)
    try:
        preset = presets.load(options.preset, plugin_folders=settings.plugin_folders)
        model = choose_model(options.model, preset, settings)
        with Converter(settings, preset, model) as converter:
            manifest, path = converter.convert(options.bounce.absolute(), target, out_dir, show)
    except StembridgeError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return error.exit_code
    for stem in manifest.stems:
        print(f"{stem.name}: {stem.frames} frames at {stem.rate_hz} Hz, {stem.subtype}")
    print(path)
    return 0


def show(stage: str, share: float) -> None:
    """Hears of every step; what it raises ends the work."""
    if share == 1:
        print(f"{stage} done", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
