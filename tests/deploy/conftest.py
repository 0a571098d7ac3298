"""The bundle made by hand of the runtime's tests, and the trained network of the engine's."""

from tests.engine.conftest import config_file, scenes, trained, varied
from tests.runtime.conftest import make_bundle

__all__ = ["config_file", "make_bundle", "scenes", "trained", "varied"]
