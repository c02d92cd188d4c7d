"""A watched folder, as in the tests of the service."""

from tests.service.conftest import start, studio, tiny_model

__all__ = ["start", "studio", "tiny_model"]
