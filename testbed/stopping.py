"""What runs until it is stopped, and is stopped at the end of its `with` block."""

from abc import ABC, abstractmethod
from typing import Self


class Stopping(ABC):
    """Something that runs."""

    __slots__ = ()

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
