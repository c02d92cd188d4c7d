"""Template of a new preset, with further keys in comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import PresetError
from bridge.presets import loader as presets
from bridge.presets.mixdown import is_file_part
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """\
# Check it:  stembridge presets check {name}
# Hear it:   stembridge preview --preset {name} mix.wav
# Use it:    stembridge split --preset {name} mix.wav
schema: 2
"""

_STANDALONE = """\
summary: {summary}      # one line for `stembridge presets list`

# Remove the `#` before a key to use it. All keys are in the documentation, under "Preset keys".

# model: spleeter:4stems        # what separates; `stembridge models list`

# Every stem runs through these, from top to bottom.
chain:
  - dc_removal
  # - highpass: {{cutoff_hz: 30}}
  # - width: {{width_percent: 90, when: {{channels: stereo}}}}

# One stem alone; `rest` is every other one.
# stem_chains:
#   vocals:
#     - de_esser

# Which stems become files: all, or a list; [] for none.
stems: all

# Sums of stems, a file each: gains in dB, or off. `rest` is every stem that is not named.
# mixdowns:
#   karaoke: {{vocals: off, rest: 0}}

# Session files beside the stems, for REAPER, Bitwig Studio, Studio One, Cubase, Ardour and others.
# session: [reaper, dawproject]

# Values with a name; `--set ceiling=-3` gives another one for once.
variables:
  ceiling: -1

headroom:
  mode: common
  ceiling_dbfs: ${{ceiling}}
"""

_CHILD = """\
# All other keys are those of `{parent}`; `stembridge presets show {parent}` prints them.
# Mappings are merged key by key, other values replace the parent's, and null removes a key.
extends: {parent}
summary: {summary}

# headroom:
#   ceiling_dbfs: -3
"""


def write(name: str, parent: str | None, folder: Path) -> Path:
    """Write a new preset into a folder and return its path.

    Args:
        name: name of the preset.
        parent: name of the preset to extend, or None.
        folder: created if missing.

    Raises:
        PresetError: the name is invalid or taken, or the parent cannot be loaded.
        OutputError: the file cannot be written.
    """
    if not is_file_part(name) or name.startswith("-") or name.endswith((".yaml", ".yml")):
        raise PresetError(f"'{name}' cannot be a preset's name; use letters, digits and dashes")
    text = _HEAD.format(name=f"'{name}'" if " " in name else name)
    if parent is None:
        text += _STANDALONE.format(summary=_quoted(f"{name}, a preset of mine"))
    else:
        summary = presets.load(parent).summary
        text += _CHILD.format(parent=parent, summary=_quoted(summary))
    path = folder / f"{name}.yaml"
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise PresetError(f"{path} is there already; choose another name") from None
    return path


def _quoted(text: str) -> str:
    """Text as a quoted YAML string."""
    return "'" + text.replace("'", "''") + "'"
