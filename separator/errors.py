"""Every error that separation can raise.

SeparatorError
├── InputError              the array, the rate or an option cannot be used as given
└── WeightsError
    ├── UnknownModel        no model of that name in the catalog, and no file of that name
    ├── WeightsUnavailable  not cached, and every source failed
    ├── WrongChecksum       a file's sha256 is not the catalog's
    └── BadCheckpoint       a file cannot be read as a checkpoint, or does not fit its model
        └── UnsafePickle    a pickle contains more than tensors and plain values

Each message is one line: the problem, and what to do about it.
"""


class SeparatorError(Exception):
    """Base class of this package's errors."""


class InputError(SeparatorError, ValueError):
    """The array, the rate or an option cannot be used as given."""


class WeightsError(SeparatorError):
    """The weights of a model are not available or not usable."""


class UnknownModel(WeightsError):
    """No model of that name in the catalog, and no file of that name."""


class WeightsUnavailable(WeightsError):
    """The weights are not cached, and every source failed."""


class WrongChecksum(WeightsError):
    """A file's sha256 is not the one in the catalog."""


class BadCheckpoint(WeightsError):
    """A file cannot be read as a checkpoint, or its tensors do not fit the model."""


class UnsafePickle(BadCheckpoint):
    """A pickle contains something other than tensors, arrays and plain values."""
