"""Watching all orders that match a filter."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from comanda.v1 import order_pb2, order_service_pb2_grpc, watch_service_pb2_grpc
from comanda.v1.watch_service_pb2 import SnapshotComplete, WatchOrdersRequest, WatchOrdersResponse
from grpc import StatusCode

from comanda_client import reader
from comanda_client.errors import ComandaError
from comanda_client.retry import Waits, may_resume
from comanda_client.seen import Seen
from comanda_client.stream import Stream


def watch(
    watches: watch_service_pb2_grpc.WatchServiceStub,
    orders: order_service_pb2_grpc.OrderServiceStub,
    request: WatchOrdersRequest,
    silence: float,
    waits: Callable[[], Waits],
    pause: Callable[[float], None],
) -> Iterator[WatchOrdersResponse]:
    """See Client.watch_orders."""
    state, stream_waits, read = _State(request), waits(), reader.Reader(orders, waits, pause)
    while True:
        stream = state.open(watches)
        try:
            while True:
                response = stream.next(silence)
                stream_waits.reset()
                yield from state.accept(stream, response, read)
        except ComandaError as error:
            state.choose_start(error)
            wait = 0.0 if error.reason == "SNAPSHOT_TOO_LARGE" else stream_waits.after(error)
        finally:
            stream.close()
        pause(wait)


class _State:
    """Where the next stream starts, and what was handed out."""

    def __init__(self, request: WatchOrdersRequest) -> None:
        self._request = WatchOrdersRequest()
        self._request.CopyFrom(request)
        if not request.WhichOneof("start"):
            self._request.snapshot.SetInParent()
        self._seen = Seen()
        # Whether orders must be listed as soon as the stream is open: what moves from then on comes from the stream, so nothing is missed
        # between the two.
        self._is_listing_due = False

    def open(self, watches: watch_service_pb2_grpc.WatchServiceStub) -> Stream[WatchOrdersResponse]:
        if self._request.WhichOneof("start") == "snapshot":
            self._seen.begin_snapshot()
        return Stream(lambda: watches.WatchOrders(self._request))

    def accept(self, stream: Stream[WatchOrdersResponse], response: WatchOrdersResponse, read: reader.Reader) -> Iterator[WatchOrdersResponse]:
        """Notes a response, and yields what it tells that is new."""
        self._note_token(response)
        if not self._is_listing_due and response.WhichOneof("event") != "snapshot_complete":
            yield from self._tell(response)
            return
        # What is left to be read comes first: before that no token holds.
        yield from self._tell_without_token(response)
        yield from self._read_rest(stream, read)
        self._is_listing_due = False
        complete = SnapshotComplete()
        yield WatchOrdersResponse(snapshot_complete=complete, resume_token=self._request.resume_token)

    def choose_start(self, error: ComandaError) -> None:
        """Chooses from where the next stream starts. Raises an error that is final."""
        if error.reason == "SNAPSHOT_TOO_LARGE":
            self._request.now.SetInParent()
            self._is_listing_due = True
        elif error.code == StatusCode.OUT_OF_RANGE and error.reason in (None, "TOKEN_EXPIRED"):
            self._request.snapshot.SetInParent()
            self._is_listing_due = False
        elif not may_resume(error):
            raise error
        elif self._request.WhichOneof("start") == "now" and (token := _token(error)):
            # Before the first token only the error can tell where the stream was.
            self._request.resume_token = token

    def _note_token(self, response: WatchOrdersResponse) -> None:
        # While a snapshot is sent there is no token: a break then starts the snapshot again.
        if response.resume_token:
            self._request.resume_token = response.resume_token

    def _tell(self, response: WatchOrdersResponse) -> Iterator[WatchOrdersResponse]:
        event = response.WhichOneof("event")
        if event == "transition":
            if self._seen.is_new(response.transition.order_id, response.transition.version, response.transition.phase):
                yield response
        elif event == "current":
            if self._seen.is_new(response.current.order_id, response.current.version, response.current.phase):
                yield response
        elif event == "heartbeat":
            yield response

    def _tell_without_token(self, response: WatchOrdersResponse) -> Iterator[WatchOrdersResponse]:
        """A watch that went on from this token would miss what is still to be read."""
        response.resume_token = b""
        if response.WhichOneof("event") != "heartbeat":
            yield from self._tell(response)

    def _read_rest(self, stream: Stream[WatchOrdersResponse], read: reader.Reader) -> Iterator[WatchOrdersResponse]:
        """Yields the orders that the stream alone does not show, and between them what it sends meanwhile."""
        if self._is_listing_due:
            for page in read.snapshot(self._request):
                yield from self._merge(stream, page)
        for page in read.ids(self._seen.missing(), self._request.view):
            yield from self._merge(stream, page)

    def _merge(self, stream: Stream[WatchOrdersResponse], page: list[order_pb2.Order]) -> Iterator[WatchOrdersResponse]:
        for order in page:
            yield from self._tell(WatchOrdersResponse(current=order))
        while stream.has_waiting():
            try:
                response = stream.next(0)
            except ComandaError as error:
                if not may_resume(error):
                    raise
                return  # The watch meets this error again when everything is read, and then resumes after the token.
            self._note_token(response)
            yield from self._tell_without_token(response)


def _token(error: ComandaError) -> bytes:
    try:
        return base64.b64decode(error.metadata.get("resume_token", ""), validate=True)
    except binascii.Error:
        return b""
