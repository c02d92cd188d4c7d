"""The errors: code, exit code and meaning from the class tree, with the remedy beside each code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.errors import StembridgeError
from docs.generate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a user does about each code; a test names what is missing here.
REMEDIES = {
    "error": "Read the message; it names the cause.",
    "usage": "Correct the command; `--help` after it lists its options.",
    "config": "Correct the setting that the message names, in `config.yaml` or the environment.",
    "preset": "Correct the line that the message names; check with `stembridge presets check`.",
    "bounce": "Render the bounce again.",
    "empty": "Render the bounce again; the DAW wrote no byte.",
    "not-audio": "Export the file from the DAW again, as WAV if in doubt.",
    "unsupported": "Export 1 to 64 channels at 8,000 to 192,000 Hz.",
    "no-frames": "Render again, with a range that is not empty.",
    "truncated": "Render again; or use the audio that is there with `--accept-truncated`.",
    "too-short": "Choose an earlier `--at`.",
    "silent": "Nothing, if `skip_silent` is meant; else check mute and solo in the DAW.",
    "non-finite": "Bypass the plugin that causes them and render again; or use `--repair`.",
    "changed": "Nothing: the bounce is tried again when its file no longer changes.",
    "model": "Choose another model or device; `stembridge doctor` tests the device.",
    "model-unavailable": (
        "Connect to a network, or run `stembridge models pull NAME` or `stembridge models import`."
    ),
    "plugin": "Run `stembridge presets check FILE`; update or remove the plugin.",
    "output": "Check the folder that the message names.",
    "file-too-large": "Render a shorter range, choose `wav`, or write to another file system.",
    "output-blocked": "Give write permission or reconnect the drive; the service then continues.",
    "disk-full": "Free space; the service then continues.",
    "session": "Install what the message names, or leave that session format out.",
    "session-defect": "Report it as a defect, with the log; the stems are not affected.",
    "promise-broken": "Report it as a defect, with the bounce and the manifest's versions.",
    "worker": "Nothing at first: it is tried three times. Then look into `log/service.jsonl`.",
    "internal": "Report it as a defect, with the log.",
    "service": "Check the watched folder and the state folder.",
    "already-watched": "Stop the other service, or use the same preset, model and output folder.",
    "lease-lost": "Nothing: the other service makes the stems.",
    "ledger": "Update Stembridge if it is older than the ledger; else move the ledger file away.",
    "ledger-blocked": "Free space or give write permission to the state folder.",
}


def classes() -> Iterator[tuple[int, type[StembridgeError]]]:
    """The whole tree, depth first, with the depth of each class."""

    def below(
        cls: type[StembridgeError], depth: int
    ) -> Iterator[tuple[int, type[StembridgeError]]]:
        yield depth, cls
        for each in cls.__subclasses__():
            if each.__module__ == StembridgeError.__module__:
                yield from below(each, depth + 1)

    return below(StembridgeError, 0)


def reference() -> str:
    """A table of all errors; the indentation of the codes shows the tree."""
    rows = (
        (
            f"{'&nbsp;&nbsp;' * depth}`{cls.code}`",
            _meaning(cls),
            REMEDIES.get(cls.code, ""),
            "yes" if cls.retryable else "",
            cls.exit_code,
            f"`{cls.__name__}`",
        )
        for depth, cls in classes()
    )
    header = ("code", "what happened", "what to do", "tried again", "exit code", "class")
    return table(header, rows)


def _meaning(cls: type[StembridgeError]) -> str:
    """The first sentence of the docstring."""
    first = (cls.__doc__ or "").split("\n\n")[0]
    return re.split(r"(?<=\.) ", " ".join(first.split()))[0]
