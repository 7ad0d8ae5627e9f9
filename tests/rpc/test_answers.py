"""Errors as replies: in the codec asked in, with nothing that belongs to the server alone."""

import pytest

from contracts import JSON, MSGPACK, Certainty, Code, ErrorBody, RpcError, Unimplemented
from rpc.answers import error_reply
from rpc.reply import decode_reply
from rpc.request import decode_request


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_an_error_is_written_in_the_codec_of_the_request(request_of, codec):
    error = Unimplemented(message="no such service", certainty=Certainty.NOT_EXECUTED)
    reply = decode_reply(error_reply(decode_request(request_of(key=b"k")), codec, error))

    assert (reply.code, reply.content_type) == (Code.UNIMPLEMENTED, codec.content_type.encode())
    assert codec.decoder(ErrorBody)(reply.body) == ErrorBody(
        "UNIMPLEMENTED", "Unimplemented", "no such service", {}, "NOT_EXECUTED"
    )


def test_what_only_the_process_knows_does_not_go_with_the_error(request_of):
    error = RpcError(code=Code.ABORTED, message="conflict")
    error.__cause__ = ValueError("password=hunter2")
    error.add_note("seen in /srv/app/secret.py")
    message = error_reply(decode_request(request_of()), JSON, error)

    assert b"hunter2" not in message.body
    assert b"/srv" not in message.body
