"""Makes the packed checkpoints beside it, with the official packages demucs 4.1.0 and diffq.

    python make.py hdemucs_q hdemucs_v3-12fed0f4.th      (diffq 0.2.4)
    python make.py demucs_v3_q demucs_v3_time-9e5249a3.th    (diffq 0.2.4)
    python make.py demucs_v2_q demucs_v2-f212de40.th     (diffq 0.1.0, and this project)

The weights are those of the golden files named, packed with bits drawn at random for each group.
The .json says what the official program unpacks: the sum and the sum of absolute values of every
parameter, under its official name.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from pathlib import Path

import torch
from diffq import DiffQuantizer

HERE = Path(__file__).parent
LEAST_MIB = 0.02  # the networks are tiny; the releases have 0.2 and 1
GROUP = 8


def draw_bits(quantizer: DiffQuantizer) -> None:
    """2 to 5 for each group."""
    for parameter in quantizer._qparams:
        parameter.logit.data.uniform_(-3.5, -1)


def expected(model: torch.nn.Module) -> dict[str, list[float]]:
    state = {name: value.double() for name, value in model.state_dict().items()}
    return {name: [value.sum().item(), value.abs().sum().item()] for name, value in state.items()}


def version_3(name: str, source: Path) -> None:
    saved = torch.load(source, weights_only=False)
    model = saved["klass"](*saved["args"], **saved["kwargs"])
    model.load_state_dict(saved["state"])
    quantizer = DiffQuantizer(model, group_size=GROUP, min_size=LEAST_MIB)
    draw_bits(quantizer)
    state = quantizer.get_quantized_state(packed=True)
    quantizer.restore_quantized_state(state)
    quantizer.detach()
    state["__quantized"] = True
    torch.save({**saved, "state": state}, HERE / f"{name}.th")
    (HERE / f"{name}.json").write_text(json.dumps(expected(model), indent=1) + "\n")


def version_2(name: str, source: Path) -> None:
    """The network is ours: its parameters lie in the official order (a test of its own)."""
    import separator

    kwargs = json.loads((source.parent / "demucs_v2.json").read_text())["kwargs"]
    loaded = separator.load_checkpoint(source, architecture="demucs-v2", arguments=kwargs)
    model = loaded.model.requires_grad_(True)
    quantizer = DiffQuantizer(model, group_size=GROUP, min_size=LEAST_MIB)
    draw_bits(quantizer)
    state = quantizer.get_quantized_state()
    quantizer.restore_quantized_state(state)
    quantizer.detach()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    torch.save({"compressed": zlib.compress(buffer.getvalue())}, HERE / f"{name}.th")
    (HERE / f"{name}.json").write_text(json.dumps(expected(model), indent=1) + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    make = version_2 if sys.argv[1] == "demucs_v2_q" else version_3
    make(sys.argv[1], Path(sys.argv[2]))
