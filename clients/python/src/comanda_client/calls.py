"""Calls with a deadline and a token, repeated where that is safe, that fail with a ComandaError."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from comanda_client.errors import ComandaError
from comanda_client.retry import Waits, may_repeat

Continuation = Callable[[Any, Any], Any]
Request = TypeVar("Request", bound=Message)


class _Details(NamedTuple):
    """What gRPC wants to know of a call."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any

    @classmethod
    def of(cls, details: grpc.ClientCallDetails) -> _Details:
        return cls(details.method, *(getattr(details, field, None) for field in cls._fields[1:]))


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Sends a token with every call. It is asked for each time, so that one that lapses can be replaced."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def _with_token(self, details: grpc.ClientCallDetails) -> _Details:
        own = _Details.of(details)
        authorization = ("authorization", f"Bearer {self._token()}")
        return own._replace(metadata=[*(own.metadata or ()), authorization])

    def intercept_unary_unary(self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request: Any) -> Any:
        return continuation(self._with_token(client_call_details), request)

    def intercept_unary_stream(self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request: Any) -> Any:
        return continuation(self._with_token(client_call_details), request)

    def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request_iterator: Iterator[Any]
    ) -> Any:
        return continuation(self._with_token(client_call_details), request_iterator)


class Repeat(grpc.UnaryUnaryClientInterceptor):
    """Repeats a call until there is an answer, an error that repeating cannot change, or the deadline.

    Every call of the API that answers once may be sent twice: it reads, says what shall be, or has a request_id. A missing one is filled in
    here, once for all tries.
    """

    def __init__(self, deadline: float, waits: Callable[[], Waits], closed: threading.Event) -> None:
        self._deadline, self._waits, self._closed = deadline, waits, closed

    def intercept_unary_unary(self, continuation: Continuation, client_call_details: grpc.ClientCallDetails, request: Any) -> Any:
        details, request = _Details.of(client_call_details), with_request_id(request)
        end = time.monotonic() + (details.timeout or self._deadline)
        waits = self._waits()
        while True:
            outcome = continuation(details._replace(timeout=max(0.0, end - time.monotonic())), request)
            if outcome.exception() is None:
                return outcome
            error = ComandaError.from_rpc(outcome.exception())
            wait = waits.after(error)
            if not may_repeat(error) or time.monotonic() + wait >= end or self._closed.wait(wait):
                raise error


def with_request_id(request: Request) -> Request:
    """The request, or a copy of it in which every missing request_id is filled in: its own, or those of its rows."""
    filled = type(request)()
    filled.CopyFrom(request)
    for message in (filled, *getattr(filled, "requests", ())):
        if getattr(message, "request_id", None) == "":
            message.request_id = str(uuid.uuid4())
    return filled
