"""One log line per call, for those who want it: an interceptor for either side."""

import time

from contracts import RpcError
from rpc.interceptor import CallInfo, Interception
from transports.log import get_logger

__all__ = ["log_calls"]

_log = get_logger("rpc.calls")


def log_calls(call: CallInfo) -> Interception:
    """Log each call's end: side, service, method, call id, attempt, code, seconds. No payloads.

    `Channel(interceptors=[log_calls])`, `serve(..., interceptors=[log_calls])`. A success is
    `call.ended` at info, a failure `call.failed` at warning, with the certainty. What is answered
    with the reply of another call has ended without a code of its own.
    """
    began = time.monotonic()
    fields: dict[str, object] = {
        "side": call.side,
        "service": call.service,
        "method": call.method,
        "call_id": call.call_id,
        "attempt": call.attempt,
    }
    try:
        result = yield call
    except GeneratorExit:  # by `Chain.close`: the outcome is another's
        _log.info("call.ended", **fields, elapsed=time.monotonic() - began)
        raise
    except BaseException as error:
        if isinstance(error, RpcError):
            fields |= {"code": error.code.value, "certainty": error.certainty.value}
        else:
            fields["error"] = type(error).__name__
        _log.warning("call.failed", **fields, elapsed=time.monotonic() - began)
        raise
    _log.info("call.ended", **fields, code="OK", elapsed=time.monotonic() - began)
    return result
