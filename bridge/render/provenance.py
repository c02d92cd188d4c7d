"""Provenance of the files of a job: source facts, plugin versions and the coding history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import __version__
from bridge.audio.encode import PCM_BITS
from bridge.plugins.discovery import fingerprint
from bridge.plugins.host import plugin_version
from bridge.publish.manifest import SourceFacts, level_dbfs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bridge.audio.decode import SurveyResult
    from bridge.audio.metadata.model import Metadata
    from bridge.audio.probe import AudioInfo
    from bridge.audio.targets.registry import Target
    from bridge.render.request import RenderRequest


def source_facts(
    request: RenderRequest, info: AudioInfo, found: SurveyResult, metadata: Metadata
) -> SourceFacts:
    """Facts about the bounce for the manifest.

    Args:
        request: path and hash of the bounce.
        info: format of the bounce.
        found: results of the survey.
        metadata: metadata of the bounce.
    """
    return SourceFacts(
        path=str(request.source),
        sha256=request.sha256,
        frames=found.frames,
        rate_hz=info.rate_hz,
        channels=info.channels,
        container=info.container,
        subtype=info.subtype,
        time_reference=metadata.time_reference,
        peak_dbfs=level_dbfs(found.peak),
        truncated=found.truncated,
        claimed_frames=found.claimed_frames,
        repaired_values=found.repaired_values,
        tempo_bpm=metadata.tempo_bpm,
        marks=metadata.marks,
    )


def plugin_versions(files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Versions and hashes of the plugins used, by the names of their files."""
    return {
        file.name: {"version": plugin_version(str(file)), "sha256": fingerprint(file)}
        for file in files
    }


def coding_history(target: Target, info: AudioInfo, subtype: str, model: str) -> str:
    """Coding history line (EBU R 98) of the files.

    Args:
        target: format of the files.
        info: format of the bounce.
        subtype: sample format of the files, as soundfile names it.
        model: name of the model.
    """
    layout = {1: "mono", 2: "stereo"}.get(info.channels, "multichannel")
    rate_hz = target.out_rate_hz(info.rate_hz)
    width = "" if target.lossy else f"W={PCM_BITS.get(subtype, 32)},"
    made_by = f"T=stembridge {__version__} {model}"
    return f"A={target.coding},F={rate_hz},{width}M={layout},{made_by}"
