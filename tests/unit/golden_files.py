"""Names of the golden files that tests compare with."""

from __future__ import annotations

DEMUCS_V1 = ("demucs_v1", "tasnet_v1")
DEMUCS_V2 = ("demucs_v2", "demucs_v2_noresample", "demucs_v2_normalized", "tasnet_v2")
# Folder, arrays and checkpoint.
HYBRID = (
    ("demucs_v3", "demucs_v3_time", "demucs_v3_time-9e5249a3.th"),
    ("demucs_v3", "hdemucs_v3", "hdemucs_v3-12fed0f4.th"),
    ("demucs_v4", "hdemucs_mmi", "hdemucs_mmi.safetensors"),
    ("demucs_v4", "htdemucs", "htdemucs.safetensors"),
    ("demucs_v4", "htdemucs", "htdemucs-9b4493cf.th"),
    ("demucs_v4", "htdemucs_6s", "htdemucs_6s.safetensors"),
    ("demucs_v4", "htdemucs_nobottom", "htdemucs_nobottom.safetensors"),
)
SPLEETER_2_STEMS = ("2stems", "2stems-16kHz", "2stems-mwf")
SPLEETER_MORE_STEMS = ("4stems", "4stems-average", "5stems")
