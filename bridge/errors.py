"""Every error that the bridge can raise.

StembridgeError
├── UsageError              the command or its options (exit code 2)
│   ├── ConfigError         the settings file or the environment
│   └── PresetError         a preset: file, line and a suggestion
├── BounceError             the bounce itself: the same file will fail again
│   ├── EmptyBounce         0 bytes
│   ├── NotAudio            no decoder knows it
│   ├── UnsupportedBounce   audio, but outside the limits (channels, rate, claimed size)
│   ├── NoFrames            a header without audio
│   ├── TruncatedBounce     shorter than its header says
│   ├── TooShortBounce      ends before the stretch that a preview shows
│   ├── SilentBounce        digital silence, which its preset skips: no failure
│   └── NonFiniteBounce     NaN, Inf, or values that no sound has
├── BounceChanged           replaced, renamed or removed while it was read: a retry can help
├── ModelError              weights, model or device
│   └── ModelUnavailable    the weights could not be had: a retry can help
├── PluginError             an audio plugin does not load or fails: a retry can help
├── OutputError             the system refused to write the stems: a retry can help
│   ├── FileTooLarge        longer than the file system or a limit lets a file be
│   └── OutputBlocked       no permission, read-only, device error: passes without the bounce
│       └── DiskFull        no space, or no quota left
├── SessionError            a session file that its format cannot hold, or a package it needs
│   └── SessionDefect       an unexpected exception in its writer: a defect of ours
├── PromiseBroken           a result failed its own check (length, checksum, null): a defect of ours
├── WorkerLost              the process that does the work crashed, was killed or hung
├── InternalError           an exception that nobody foresaw: a defect of ours
└── ServiceError            ledger or watched folder
    ├── AlreadyWatched      another service makes other stems of the same folder
    ├── LeaseLost           another service has taken the job over
    └── LedgerError         the ledger is damaged or of a newer version
        └── LedgerBlocked   it cannot be read or written now: disk full, locked, read-only

`code` is stable and machine-readable; the message says in one line what is wrong and what to do;
`retryable` says whether the same bounce may succeed later without being changed.
"""

from __future__ import annotations

from typing import ClassVar

from separator import errors as separation


class StembridgeError(Exception):
    """Base of every error raised on purpose in this package."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """The message on one line, whatever it quotes (a file name may hold a newline)."""
        return " ".join(super().__str__().split())


class UsageError(StembridgeError):
    """The command or its options."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """The settings file or the environment."""

    code = "config"


class PresetError(UsageError):
    """A preset: PresetError(*problems), each with file, line and a suggestion."""

    code = "preset"

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each thing that is wrong, in the order of the file."""
        return self.args

    def __str__(self) -> str:
        return " ".join("; ".join(self.problems).split())


class BounceError(StembridgeError):
    """The bounce itself: the same file will fail again."""

    code = "bounce"


class EmptyBounce(BounceError):
    """0 bytes."""

    code = "empty"


class NotAudio(BounceError):
    """No decoder knows it."""

    code = "not-audio"


class UnsupportedBounce(BounceError):
    """Audio, but outside the limits (channels, rate, claimed size)."""

    code = "unsupported"


class NoFrames(BounceError):
    """A header without audio."""

    code = "no-frames"


class TruncatedBounce(BounceError):
    """Shorter than its header says.

    claimed_bytes: of audio, None where the header does not tell. present_bytes: that are there.
    """

    code = "truncated"

    def __init__(
        self, message: str, *, claimed_bytes: int | None = None, present_bytes: int = 0
    ) -> None:
        super().__init__(message)
        self.claimed_bytes = claimed_bytes
        self.present_bytes = present_bytes


class TooShortBounce(BounceError):
    """Ends before the stretch that a preview shows."""

    code = "too-short"


class SilentBounce(BounceError):
    """Digital silence, which its preset skips: a bounce without stems, not a failure."""

    code = "silent"


class NonFiniteBounce(BounceError):
    """NaN, Inf, or values so large that no sound has them."""

    code = "non-finite"


class BounceChanged(StembridgeError):
    """Replaced, renamed or removed while it was read."""

    code = "changed"
    retryable = True


class ModelError(StembridgeError):
    """Weights, model or device."""

    code = "model"


class ModelUnavailable(ModelError):
    """The weights could not be had (no network, no cache)."""

    code = "model-unavailable"
    retryable = True


class PluginError(StembridgeError):
    """An audio plugin does not load, hangs, or fails while it runs."""

    code = "plugin"
    retryable = True


class OutputError(StembridgeError):
    """The system refused to write the stems."""

    code = "output"
    retryable = True


class FileTooLarge(OutputError):
    """Longer than the file system or a limit lets a file be."""

    code = "file-too-large"
    retryable = False


class OutputBlocked(OutputError):
    """No permission, read-only, device error: passes without anything being done to the bounce."""

    code = "output-blocked"


class DiskFull(OutputBlocked):
    """No space, or no quota left."""

    code = "disk-full"


class SessionError(StembridgeError):
    """A session file that its format cannot hold, or a package that it needs is not there."""

    code = "session"


class SessionDefect(SessionError):
    """A writer of session files failed with an exception that nobody foresaw."""

    code = "session-defect"


class PromiseBroken(StembridgeError):
    """A result failed its own check."""

    code = "promise-broken"


class WorkerLost(StembridgeError):
    """The process that does the work crashed, was killed or hung.

    diagnosis: the end of what it wrote to its standard error, for a log; may have many lines.
    """

    code = "worker"
    retryable = True
    diagnosis: str = ""


class InternalError(StembridgeError):
    """An exception that nobody foresaw."""

    code = "internal"


class ServiceError(StembridgeError):
    """Ledger or watched folder."""

    code = "service"


class AlreadyWatched(ServiceError):
    """Another service makes other stems of the same folder."""

    code = "already-watched"


class LeaseLost(ServiceError):
    """Another service has taken the job over."""

    code = "lease-lost"


class LedgerError(ServiceError):
    """The ledger is damaged or was written by a newer version."""

    code = "ledger"


class LedgerBlocked(LedgerError):
    """The ledger cannot be read or written now: disk full, locked, read-only."""

    code = "ledger-blocked"
    retryable = True


def with_code(code: str) -> type[StembridgeError]:
    """The class whose errors bear this code; the base of all where there is none."""
    classes: list[type[StembridgeError]] = [StembridgeError]
    for cls in classes:  # grows while it is read: the whole tree
        if cls.code == code:
            return cls
        classes += cls.__subclasses__()
    return StembridgeError


def from_separation(error: separation.SeparatorError) -> StembridgeError:
    """The bridge's error for an error of the separator, message kept."""
    if isinstance(error, separation.WeightsUnavailable):
        return ModelUnavailable(str(error))
    if isinstance(error, (separation.UnknownModel, separation.InputError)):
        return UsageError(str(error))
    return ModelError(str(error))
