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
│   ├── TooShortBounce      too short to separate
│   ├── SilentBounce        nothing but digital silence
│   └── NonFiniteBounce     NaN or Inf
├── BounceChanged           replaced, renamed or removed while it was read: a retry can help
├── ModelError              weights, model or device
│   └── ModelUnavailable    the weights could not be had: a retry can help
├── OutputError             disk full, no permission, device error: a retry can help
├── SessionError            a session file that its format cannot hold, or a program it needs
├── PromiseBroken           a result failed its own check (length, checksum, null): a defect of ours
└── ServiceError            ledger or watched folder
    ├── AlreadyWatched      another service owns the folder
    └── LedgerError         the ledger cannot be opened or is of a newer version

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
    """Shorter than its header says."""

    code = "truncated"


class TooShortBounce(BounceError):
    """Too short to separate."""

    code = "too-short"


class SilentBounce(BounceError):
    """Nothing but digital silence."""

    code = "silent"


class NonFiniteBounce(BounceError):
    """NaN or Inf."""

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


class OutputError(StembridgeError):
    """Disk full, no permission, device error."""

    code = "output"
    retryable = True


class SessionError(StembridgeError):
    """A session file that its format cannot hold, or a program that it needs is not there."""

    code = "session"


class PromiseBroken(StembridgeError):
    """A result failed its own check."""

    code = "promise-broken"


class ServiceError(StembridgeError):
    """Ledger or watched folder."""

    code = "service"


class AlreadyWatched(ServiceError):
    """Another service owns the folder."""

    code = "already-watched"


class LedgerError(ServiceError):
    """The ledger cannot be opened or was written by a newer version."""

    code = "ledger"


def from_separation(error: separation.SeparatorError) -> StembridgeError:
    """The bridge's error for an error of the separator, message kept."""
    if isinstance(error, separation.WeightsUnavailable):
        return ModelUnavailable(str(error))
    if isinstance(error, (separation.UnknownModel, separation.InputError)):
        return UsageError(str(error))
    return ModelError(str(error))
