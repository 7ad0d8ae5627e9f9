"""What a transport says when it can't.

TransportError
├── TransportClosed          sent or opened after `close`
├── Unreachable              no broker answers, or not in time
├── NotAuthenticated         wrong user, password, mechanism or certificate
├── NotAuthorized            the user may not do this to that topic or group
├── AddressUnknown           the topic or partition does not exist and may not be created
├── MessageTooLarge          refused for its size
├── MessageRefused           refused by the broker for another reason that will not pass
├── SendUncertain            handed over, outcome unknown: it may or may not have been appended
└── ConfigurationError       a URL or a setting makes no sense

Every one but `SendUncertain` proves that the message concerned was not appended.
"""

__all__ = [
    "AddressUnknown",
    "ConfigurationError",
    "MessageRefused",
    "MessageTooLarge",
    "NotAuthenticated",
    "NotAuthorized",
    "SendUncertain",
    "TransportClosed",
    "TransportError",
    "Unreachable",
]


class TransportError(Exception):
    """Base of all; the message says what happened, to what, and what to do."""


class TransportClosed(TransportError):
    """Something was asked of a transport or a receiver that is closed."""


class Unreachable(TransportError):
    """No broker could be reached in time, with the cause where the driver told one."""


class NotAuthenticated(TransportError):
    """The broker refused who we say we are."""


class NotAuthorized(TransportError):
    """The broker knows us and refuses the operation; the message names the missing right."""


class AddressUnknown(TransportError):
    """The topic or partition does not exist, and creating it is not allowed or failed."""


class MessageTooLarge(TransportError):
    """The message is larger than the transport or the topic takes."""


class MessageRefused(TransportError):
    """The broker refuses this message for good; others are not affected."""


class SendUncertain(TransportError):
    """The message was handed over and no answer came: it may or may not have been appended."""


class ConfigurationError(TransportError):
    """A URL or a setting makes no sense; the message names it and what would."""
