"""What the packages offer: every public name in `__all__`, and nothing that is not there."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import contracts
import rpc
import transports

PACKAGES = (rpc, contracts, transports)


def modules():
    for package in PACKAGES:
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(("__main__", ".test_url")):
                yield found.name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_package_exports_its_public_names_and_no_others(package):
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    # what `rpc` needs to find its own packages is not for users
    assert public - {"refuse_shadowed"} == set(package.__all__)


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_says_what_it_exports_and_has_it(name):
    module = importlib.import_module(name)
    if not module.__doc__ and not vars(module).get("__all__"):
        assert pkgutil.get_data(name, "__init__.py") == b""
        return

    assert module.__doc__
    for exported in module.__all__:
        assert hasattr(module, exported), f"{name}.{exported}"
    assert len(set(module.__all__)) == len(module.__all__)


def test_users_need_no_other_import_than_rpc():
    assert set(rpc.__all__) >= {
        "Stub", "serve", "Server", "Channel", "Call", "connect", "method", "service",
        "current_call", "RpcError", "Code", "Certainty", "RetryPolicy", "NO_RETRY",
        "JSON", "MSGPACK", "open_transport", "Transport", "TransportError", "ContractError",
        "DeadlineExceeded", "Cancelled", "Unavailable", "Overloaded", "Unimplemented",
        "InvalidArgument", "InternalError", "Unauthenticated", "PermissionDenied",
    }  # fmt: skip
