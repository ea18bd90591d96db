"""A stream that can be seen to fall silent."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import grpc
from grpc import StatusCode

from comanda_client.errors import ComandaError

Response = TypeVar("Response", covariant=True)

# How many responses wait to be taken. When it is full nothing more is read, and flow control makes the server wait.
_QUEUE_SIZE = 1000
# How often a thread that waits for room looks whether the stream was closed, in seconds.
_LOOK_EVERY = 0.5


class Open(Protocol[Response]):
    """A call that streams responses."""

    def __iter__(self) -> Iterator[Response]: ...
    def cancel(self) -> Any: ...


class Stream(Generic[Response]):
    """A stream that a thread of its own reads into a queue."""

    def __init__(self, open_call: Callable[[], Open[Response]]) -> None:
        self._call = open_call()
        self._queue: queue.Queue[Response | ComandaError] = queue.Queue(_QUEUE_SIZE)
        self._closed = threading.Event()
        self._error: ComandaError | None = None
        threading.Thread(target=self._read, daemon=True, name="comanda-stream").start()

    def next(self, patience: float) -> Response:
        """The next response within so many seconds.

        The end of the stream is an error too, at every later call: only a watch knows whether it came too early.
        """
        if self._error:
            raise self._error
        try:
            item = self._queue.get(timeout=patience)
        except queue.Empty:
            item = ComandaError(StatusCode.UNAVAILABLE, f"nothing was received for {patience} s")
        if isinstance(item, ComandaError):
            self._error = item
            self.close()
            raise item
        return item

    def has_waiting(self) -> bool:
        """Whether there is something to take at once."""
        return not self._error and not self._queue.empty()

    def close(self) -> None:
        """Ends the stream. May be called twice."""
        self._closed.set()
        self._call.cancel()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._put(response)
            self._put(ComandaError(StatusCode.UNAVAILABLE, "the stream ended early"))
        except grpc.RpcError as error:
            self._put(ComandaError.from_rpc(error))

    def _put(self, item: Response | ComandaError) -> None:
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=_LOOK_EVERY)
            except queue.Full:
                pass
