"""Errors of the bridge.

StembridgeError
├── UsageError              the command or its options (exit code 2)
│   ├── ConfigError         the settings file or the environment
│   └── PresetError         a preset: file, line and a suggestion
├── BounceError             the bounce: the same file will fail again
│   ├── EmptyBounce         0 bytes
│   ├── NotAudio            no decoder can read it
│   ├── UnsupportedBounce   audio, but outside the limits (channels, rate, claimed size)
│   ├── NoFrames            a header without audio
│   ├── TruncatedBounce     shorter than its header says
│   ├── TooShortBounce      ends before the requested preview
│   ├── SilentBounce        digital silence, skipped by its preset: no failure
│   └── NonFiniteBounce     NaN, Inf, or values out of any audio range
├── BounceChanged           replaced, renamed or removed while it was read: a retry can help
├── ModelError              weights, model or device
│   └── ModelUnavailable    the weights could not be fetched: a retry can help
├── PluginError             an audio plugin does not load or fails: a retry can help
├── OutputError             the system refused to write the stems: a retry can help
│   ├── FileTooLarge        larger than the file system or a limit allows
│   └── OutputBlocked       no permission, read-only, device error: concerns every job
│       └── DiskFull        no space, or no quota left
├── SessionError            a session file: beyond its format, or a package is missing
│   └── SessionDefect       an unexpected exception in its writer: a bug
├── PromiseBroken           a result failed its check (length, checksum, null): a bug
├── WorkerLost              the worker process crashed, was killed or hung
├── InternalError           an unexpected exception: a bug
└── ServiceError            ledger or watched folder
    ├── AlreadyWatched      another service makes other stems of the same folder
    ├── LeaseLost           another service has taken the job over
    └── LedgerError         the ledger is damaged or of a newer version
        └── LedgerBlocked   it cannot be read or written now: disk full, locked, read-only

`code` is stable and machine-readable; the message names the problem and the remedy in one line;
`retryable` is true if the unchanged bounce may succeed later.
"""

from __future__ import annotations

from typing import ClassVar

from separator import errors as separation


class StembridgeError(Exception):
    """Base of all errors of the bridge."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """The message on one line, even if it quotes a file name with a newline."""
        return " ".join(super().__str__().split())


class UsageError(StembridgeError):
    """Invalid command or options."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """Invalid setting in the settings file, the environment or an option."""

    code = "config"


class PresetError(UsageError):
    """Invalid preset: PresetError(*problems), each with file, line and remedy."""

    code = "preset"

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each problem, in the order of the file."""
        return self.args

    def __str__(self) -> str:
        return " ".join("; ".join(self.problems).split())


class BounceError(StembridgeError):
    """Unusable bounce: the same file will fail again."""

    code = "bounce"


class EmptyBounce(BounceError):
    """File of 0 bytes."""

    code = "empty"


class NotAudio(BounceError):
    """File that no decoder can read."""

    code = "not-audio"


class UnsupportedBounce(BounceError):
    """Audio outside the limits (channels, rate, claimed size)."""

    code = "unsupported"


class NoFrames(BounceError):
    """Header without audio."""

    code = "no-frames"


class TruncatedBounce(BounceError):
    """File shorter than its header claims.

    Attributes:
        claimed_bytes: bytes of audio by the header; None if it does not state them.
        present_bytes: bytes of audio in the file.
    """

    code = "truncated"

    def __init__(
        self, message: str, *, claimed_bytes: int | None = None, present_bytes: int = 0
    ) -> None:
        super().__init__(message)
        self.claimed_bytes = claimed_bytes
        self.present_bytes = present_bytes


class TooShortBounce(BounceError):
    """Bounce that ends before the requested preview."""

    code = "too-short"


class SilentBounce(BounceError):
    """Silent bounce, which its preset skips; not a failure."""

    code = "silent"


class NonFiniteBounce(BounceError):
    """Audio with NaN, Inf or values out of any audio range."""

    code = "non-finite"


class BounceChanged(StembridgeError):
    """Bounce replaced, renamed or removed while it was read."""

    code = "changed"
    retryable = True


class ModelError(StembridgeError):
    """Problem with weights, model or device."""

    code = "model"


class ModelUnavailable(ModelError):
    """Weights that could not be fetched (no network) and are not cached."""

    code = "model-unavailable"
    retryable = True


class PluginError(StembridgeError):
    """Audio plugin that does not load, hangs or fails."""

    code = "plugin"
    retryable = True


class OutputError(StembridgeError):
    """Write error of the system."""

    code = "output"
    retryable = True


class FileTooLarge(OutputError):
    """File larger than the file system or a limit allows."""

    code = "file-too-large"
    retryable = False


class OutputBlocked(OutputError):
    """Write error that concerns every job: no permission, read-only, device error."""

    code = "output-blocked"


class DiskFull(OutputBlocked):
    """No space or quota left."""

    code = "disk-full"


class SessionError(StembridgeError):
    """Session file that its format cannot represent, or whose package is not installed."""

    code = "session"


class SessionDefect(SessionError):
    """Unexpected exception in a writer of session files."""

    code = "session-defect"


class PromiseBroken(StembridgeError):
    """Result that failed its own check."""

    code = "promise-broken"


class WorkerLost(StembridgeError):
    """Worker process that crashed, was killed or hung.

    Attributes:
        diagnosis: the end of its standard error, for the log; may have many lines.
    """

    code = "worker"
    retryable = True
    diagnosis: str = ""


class InternalError(StembridgeError):
    """Unexpected exception."""

    code = "internal"


class ServiceError(StembridgeError):
    """Problem with ledger or watched folder."""

    code = "service"


class AlreadyWatched(ServiceError):
    """Another service makes other stems of the same folder."""

    code = "already-watched"


class LeaseLost(ServiceError):
    """Another service has taken the job over."""

    code = "lease-lost"


class LedgerError(ServiceError):
    """Ledger that is damaged or was written by a newer version."""

    code = "ledger"


class LedgerBlocked(LedgerError):
    """Ledger that is temporarily unusable: disk full, locked, read-only."""

    code = "ledger-blocked"
    retryable = True


def with_code(code: str) -> type[StembridgeError]:
    """The error class with this code; StembridgeError if there is none."""
    classes: list[type[StembridgeError]] = [StembridgeError]
    for cls in classes:  # grows in the loop to the whole tree
        if cls.code == code:
            return cls
        classes += cls.__subclasses__()
    return StembridgeError


def from_separation(error: separation.SeparatorError) -> StembridgeError:
    """Convert an error of the separator, keeping its message."""
    if isinstance(error, separation.WeightsUnavailable):
        return ModelUnavailable(str(error))
    if isinstance(error, (separation.UnknownModel, separation.InputError)):
        return UsageError(str(error))
    return ModelError(str(error))
