"""An attribute that is computed when it is first asked for."""
from collections.abc import Callable
from typing import Any


class computed_once:                                  # lower case, for it is written as a decorator
    """functools.cached_property as it is from Python 3.12 on: without a lock.

    That of Python 3.11 is the class's, held while the value is computed, so that a child forked meanwhile waits for ever.  Here
    several threads may compute the same value; all get the one that was ready first.
    """

    def __init__(self, function: Callable[[Any], Any]):
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.setdefault(self.name, self.function(instance))
