"""Every error that separation can raise.

SeparatorError
├── InputError              the array, the rate or an option cannot be used as given
└── WeightsError
    ├── UnknownModel        no model of that name in the catalog, and no file of that name
    ├── WeightsUnavailable  not in the cache and no source could deliver it
    ├── WrongChecksum       a file is not the one the catalog names
    └── BadCheckpoint       a file cannot be read as a checkpoint, or does not fit its model
        └── UnsafePickle    a pickle asks for something other than tensors and plain values

Each message says in one line what is wrong and what to do.
"""


class SeparatorError(Exception):
    """Base of every error raised on purpose in this package."""


class InputError(SeparatorError, ValueError):
    """The array, the rate or an option cannot be used as given."""


class WeightsError(SeparatorError):
    """The weights of a model cannot be had or cannot be used."""


class UnknownModel(WeightsError):
    """No model of that name in the catalog, and no file of that name."""


class WeightsUnavailable(WeightsError):
    """The weights are not in the cache and no source could deliver them."""


class WrongChecksum(WeightsError):
    """A file's sha256 is not the one that the catalog names."""


class BadCheckpoint(WeightsError):
    """A file cannot be read as a checkpoint, or its tensors do not fit the model."""


class UnsafePickle(BadCheckpoint):
    """A pickle asks for something other than tensors, arrays and plain values."""
