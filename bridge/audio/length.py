"""The length of a bounce by its container, held against the length that its decoder gives.

No decoder is believed alone: each of them has a kind of file whose end it does not notice. The
container is counted with code of our own (frame headers, packet tables, sizes of chunks), and the
two lengths are compared after the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import TruncatedBounce


@dataclass(frozen=True)
class Count:
    """Frames of sound that a container holds, counted apart from the decoder.

    Attributes:
        frames: the count.
        slack_frames: how far a decoder may be from it with no sound missing: what the encoder put
            in front of the sound and behind it, where the container does not say how much.
        basis: what was counted, for messages: "MPEG frame headers".
    """

    frames: int
    slack_frames: int
    basis: str

    def shortfall(self, decoded_frames: int) -> TruncatedBounce | None:
        """The error for a decoder that gave too little; None where nothing is missing."""
        if decoded_frames >= self.frames - self.slack_frames:
            return None
        return TruncatedBounce(
            f"its {self.basis} come to {self.frames:,} frames, of which {decoded_frames:,} could "
            "be decoded; export it again, or take what is there with --accept-truncated",
        )

    def surplus(self, decoded_frames: int) -> str | None:
        """The warning for a decoder that gave too much; None where it did not."""
        if decoded_frames <= self.frames + self.slack_frames:
            return None
        return (
            f"its {self.basis} come to {self.frames:,} frames, {decoded_frames:,} were decoded: "
            "all of them are in the stems"
        )
