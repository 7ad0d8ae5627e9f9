"""What is started and closed by a `with` statement."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Lifetime"]


class Lifetime(ABC):
    """Start on entering, close on leaving, and close what a failed start left."""

    @abstractmethod
    def start(self) -> None:
        """Start; when it runs already, do nothing."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and remove what is temporary; again: nothing."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
