"""From a URL to the transport that serves its scheme."""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from transports.base import OpenTransport, Transport
from transports.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINTS", "open_transport"]

ENTRY_POINTS = "parley_rpc.transports"
"""The entry point group in which an installed distribution offers a scheme: its name is the scheme,
its object an `OpenTransport`."""

# Also declared as entry points of our own distribution; here, so that a plain checkout on the
# module path works, and so that nobody else's metadata is read for the two common schemes.
_BUILT_IN = {
    "kafka": "transports.kafka:open_transport",
    "memory": "transports.memory:open_transport",
}


def open_transport(url: str) -> Transport:
    """Open the transport that `url` names by its scheme, as in `kafka://host:9092` or `memory://`.

    Only the module of that scheme is imported. Raises `ConfigurationError` for a scheme that nobody
    offers or two distributions offer, for one whose code cannot be imported, and for what the
    transport itself refuses in the URL. The caller closes the transport.
    """
    scheme = _scheme(url)
    if scheme in _BUILT_IN:
        return _load_built_in(scheme)(url)
    return _load_installed(scheme)(url)


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme:
        # The URL itself is not repeated: it may hold a password.
        raise ConfigurationError(
            "a transport URL begins with a scheme and '://', as in kafka://localhost:9092 or memory://"
        )
    return scheme.lower()


def _load_built_in(scheme: str) -> OpenTransport:
    module, _, name = _BUILT_IN[scheme].partition(":")
    try:
        opener = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise _unusable(scheme, _BUILT_IN[scheme], "parley-rpc", error) from error
    return cast("OpenTransport", opener)


def _load_installed(scheme: str) -> OpenTransport:
    entry = _installed(scheme)
    try:
        opener = entry.load()
    except Exception as error:  # a module may fail in any way while it is imported
        raise _unusable(scheme, entry.value, _distribution(entry), error) from error
    if not callable(opener):
        raise ConfigurationError(
            f"transport {scheme!r}: {entry.value} of {_distribution(entry)} is not callable; "
            f"an entry point of the group {ENTRY_POINTS} names a function that takes a URL"
        )
    return cast("OpenTransport", opener)


def _installed(scheme: str) -> "EntryPoint":
    # Imported here: it takes longer than all of this package, and only third parties need it.
    from importlib.metadata import entry_points  # noqa: PLC0415 - see the line above

    offered = entry_points(group=ENTRY_POINTS)
    found = [entry for entry in offered if entry.name.lower() == scheme]
    if not found:
        raise _unknown(scheme, (entry.name for entry in offered))
    if len({entry.value for entry in found}) > 1:
        owners = " and ".join(sorted(_distribution(entry) for entry in found))
        raise ConfigurationError(
            f"transport {scheme!r} is offered by {owners}; uninstall all but one of them"
        )
    return found[0]


def _unknown(scheme: str, offered: Iterable[str]) -> ConfigurationError:
    known = ", ".join(sorted({*_BUILT_IN, *offered}))
    return ConfigurationError(
        f"no transport for the scheme {scheme!r}; found: {known}. Correct the URL, or install the "
        f"distribution that offers {scheme!r} in the entry point group {ENTRY_POINTS}"
    )


def _unusable(
    scheme: str, target: str, distribution: str, error: BaseException
) -> ConfigurationError:
    return ConfigurationError(
        f"transport {scheme!r}: {target} of {distribution} cannot be imported "
        f"({type(error).__name__}: {error}); repair or upgrade {distribution}"
    )


def _distribution(entry: "EntryPoint") -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed distribution"
