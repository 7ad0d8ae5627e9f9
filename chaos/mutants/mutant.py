"""What a planted bug is, and how it is put into the library of this process."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

__all__ = ["MUTANTS", "Mutant", "Plant", "everywhere", "mutant", "put"]

Plant = Callable[[ExitStack], None]


class Mutant(NamedTuple):
    """One bug, and where it must be found."""

    name: str
    what: str
    plant: Plant
    tests: tuple[str, ...] = ()
    """Tests that find it; none: the simulation does."""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have it in the library until the block ends."""
        with ExitStack() as stack:
            self.plant(stack)
            yield


MUTANTS: dict[str, Mutant] = {}


def mutant(what: str, *tests: str) -> Callable[[Plant], Plant]:
    """Make a mutant of a function that plants it: `what` is wrong, and which tests find it."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        MUTANTS[name] = Mutant(name, what, plant, tests)
        return plant

    return register


def put(stack: ExitStack, owner: object, name: str, new: object) -> None:
    """Replace an attribute until the stack is left."""
    stack.enter_context(mock.patch.object(owner, name, new))


def everywhere(stack: ExitStack, original: object, new: object) -> None:
    """Replace a function in each module of the library that has imported it by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("rpc."):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    put(stack, module, attribute, new)
