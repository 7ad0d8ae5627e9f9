"""How bytes move: the joint that calls rest on, and the transports that fill it."""

from transports.base import (
    Address,
    Delivery,
    Headers,
    Message,
    OnSent,
    OpenTransport,
    Receipt,
    Receiver,
    Transport,
)
from transports.errors import (
    AddressUnknown,
    ConfigurationError,
    MessageRefused,
    MessageTooLarge,
    NotAuthenticated,
    NotAuthorized,
    SendUncertain,
    TransportClosed,
    TransportError,
    Unreachable,
)
from transports.registry import open_transport

__all__ = [
    "Address",
    "AddressUnknown",
    "ConfigurationError",
    "Delivery",
    "Headers",
    "Message",
    "MessageRefused",
    "MessageTooLarge",
    "NotAuthenticated",
    "NotAuthorized",
    "OnSent",
    "OpenTransport",
    "Receipt",
    "Receiver",
    "SendUncertain",
    "Transport",
    "TransportClosed",
    "TransportError",
    "Unreachable",
    "open_transport",
]
