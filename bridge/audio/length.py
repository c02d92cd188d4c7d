"""Length of a bounce by its container, to be compared with the decoded length.

Each decoder misses the end of some kind of file. The container is counted independently (frame
headers, packet tables, chunk sizes), and the two lengths are compared after the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import TruncatedBounce


@dataclass(frozen=True)
class Count:
    """Frames of audio in a container, counted without the decoder.

    Attributes:
        frames: the count.
        slack_frames: tolerated difference of the decoder: delay and padding of the encoder, if the
            container does not state them.
        basis: what was counted, for messages: "MPEG frame headers".
    """

    frames: int
    slack_frames: int
    basis: str

    def shortfall(self, decoded_frames: int) -> TruncatedBounce | None:
        """Return the error for a decoded length that is too short; None if it is not."""
        if decoded_frames >= self.frames - self.slack_frames:
            return None
        return TruncatedBounce(
            f"its {self.basis} come to {self.frames:,} frames, of which {decoded_frames:,} could "
            "be decoded; export it again, or take what is there with --accept-truncated",
        )

    def surplus(self, decoded_frames: int) -> str | None:
        """Return the warning for a decoded length that is too long; None if it is not."""
        if decoded_frames <= self.frames + self.slack_frames:
            return None
        return (
            f"its {self.basis} come to {self.frames:,} frames, {decoded_frames:,} were decoded: "
            "all of them are in the stems"
        )
