"""Who answers for what was handed out of one partition in one assignment."""

from collections.abc import Callable
from typing import Protocol

from transports.base import Delivery
from transports.kafka.partition_log import PartitionLog

__all__ = ["Share", "ShareOwner"]


class ShareOwner(Protocol):
    """Whom a share asks. Any thread."""

    def settle(self, log: PartitionLog, offset: int, part: int) -> bool: ...
    def begin(self, log: PartitionLog, offset: int, part: int) -> None: ...
    def commit(self, log: PartitionLog, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """See `Delivery.commit`."""

    def owns(self, share: "Share") -> bool: ...
    def give_back(self, log: PartitionLog, offset: int, part: int) -> bool: ...


class Share:
    """The custody of what is handed out of one partition, as long as one assignment lasts."""

    __slots__ = ("_owner", "log")

    def __init__(self, owner: ShareOwner, log: PartitionLog) -> None:
        self._owner = owner
        self.log = log

    def ack(self, delivery: Delivery) -> bool:
        """Take it out of flight; False if it is not."""
        receipt = delivery.receipt
        return self._owner.settle(self.log, receipt.offset, receipt.part)

    def begin(self, delivery: Delivery) -> None:
        """Note that work on it begins, where it is a suspect."""
        receipt = delivery.receipt
        self._owner.begin(self.log, receipt.offset, receipt.part)

    def commit(self, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """Tell when that is durable."""
        self._owner.commit(self.log, delivery, then)

    def owned(self, delivery: Delivery) -> bool:
        """Whether the partition has been ours all the time, and certainly is."""
        del delivery
        return self._owner.owns(self)

    def lost(self, delivery: Delivery) -> bool:
        """Whether the partition is assigned to us no more."""
        del delivery
        return not self.log.held

    def give_back(self, delivery: Delivery) -> bool:
        """Take it out of flight unsettled, if the partition is lost."""
        receipt = delivery.receipt
        return self._owner.give_back(self.log, receipt.offset, receipt.part)
