import subprocess
import sys

import contracts


def test_all_that_is_exported_is_there_and_nothing_twice():
    assert len(set(contracts.__all__)) == len(contracts.__all__)
    assert all(hasattr(contracts, name) for name in contracts.__all__)


def test_the_exported_names_are_fixed():
    assert contracts.__all__ == [
        "BINDER",
        "JSON",
        "MAX_BODY_BYTES",
        "MAX_TIMEOUT",
        "MSGPACK",
        "NO_RETRY",
        "BoundMethod",
        "Call",
        "Cancelled",
        "Certainty",
        "Code",
        "Codec",
        "ContractError",
        "DeadlineExceeded",
        "DecodeError",
        "DeliveryMode",
        "EncodeError",
        "ErrorBody",
        "Handler",
        "InternalError",
        "InvalidArgument",
        "LocalMethod",
        "Method",
        "MethodSpec",
        "Mistake",
        "Overloaded",
        "PermissionDenied",
        "RetryPolicy",
        "RpcError",
        "Sent",
        "ServiceSpec",
        "Unauthenticated",
        "Unavailable",
        "Unimplemented",
        "check_implementation",
        "codec_named",
        "describe",
        "from_wire",
        "method",
        "routing_key",
        "service",
        "services_of",
        "sized",
        "to_wire",
    ]


def test_importing_it_imports_neither_rpc_nor_transports_nor_kafka():
    script = (
        "import sys, contracts\n"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'rpc', 'transports', 'kafka', 'structlog'})"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert found.stdout == "set()\n"
