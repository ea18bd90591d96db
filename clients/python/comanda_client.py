"""Calls that are repeated where that is safe, and watches that resume.

The rules are those of the Rust crate comanda-client. clients/scenarios.json has an example of each; test_scenarios.py runs them.
"""

import base64
import queue
import random
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2

from comanda.v1 import order_pb2, order_service_pb2, watch_service_pb2

Code = grpc.StatusCode

# The waits between tries, in seconds: they double from the first to the longest, with jitter.
FIRST_WAIT = 0.25
LONGEST_WAIT = 15
# A wait that the server asks for is granted up to here.
LONGEST_ASKED = 30
# A stream that sends nothing for so long, not even a heartbeat, is opened again: three heartbeats.
SILENCE = 45
# How long to wait for the end of a stream whose order has ended.
AFTER_THE_END = 5
# The time for a call, with its repetitions.
DEADLINE = 10
# How many responses of a stream wait to be taken.
QUEUE_SIZE = 1000

ABOUT_THE_REQUEST = {
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.PERMISSION_DENIED,
    Code.UNAUTHENTICATED,
    Code.FAILED_PRECONDITION,
    Code.OUT_OF_RANGE,
    Code.UNIMPLEMENTED,
    Code.DATA_LOSS,
}
TERMINAL = {
    order_pb2.PHASE_SUCCEEDED,
    order_pb2.PHASE_CANCELLED,
    order_pb2.PHASE_REJECTED,
    order_pb2.PHASE_FAILED,
}


class Error(Exception):
    """A call or stream that failed: a code, and from servers of Comanda a reason, its metadata, and how long to wait."""

    def __init__(self, code, message, reason=None, metadata=None, retry_after=0.0):
        super().__init__(f"{message} ({code.name}{f', {reason}' if reason else ''})")
        self.code = code
        self.reason = reason
        self.metadata = metadata or {}
        self.retry_after = retry_after

    @classmethod
    def of(cls, error):
        """Reads google.rpc's details of an error of gRPC."""
        result = cls(error.code(), error.details())
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        for any_detail in status_pb2.Status.FromString(details).details if details else ():
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if any_detail.Unpack(info):
                result = cls(error.code(), error.details(), info.reason, dict(info.metadata), result.retry_after)
            elif any_detail.Unpack(retry):
                result.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        return result

    def may_repeat(self):
        """Whether the same call, with the same request id, may succeed later."""
        if self.code == Code.ABORTED:
            return self.reason == "CONTENTION"
        return self.code not in ABOUT_THE_REQUEST and self.reason != "MESSAGE_TOO_LARGE"

    def may_resume(self):
        """Whether a stream that ended so may be opened again where it was."""
        return self.code not in ABOUT_THE_REQUEST


class Waits:
    """Waits that double from one failure to the next."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.step = FIRST_WAIT

    def after(self, error):
        wait = self.step * random.uniform(1, 2)
        self.step = min(2 * self.step, LONGEST_WAIT)
        return max(wait, min(error.retry_after, LONGEST_ASKED))


def call(method, request, deadline=None):
    """Calls until there is an answer, an error that repeating cannot change, or the deadline.

    The request must be one that may be sent twice: a read, or a write with a request_id.
    """
    end = time.monotonic() + (deadline or DEADLINE)
    waits = Waits()
    while True:
        try:
            return method(request, timeout=max(0, end - time.monotonic()))
        except grpc.RpcError as failure:
            error = Error.of(failure)
        wait = waits.after(error)
        if not error.may_repeat() or time.monotonic() + wait >= end:
            raise error
        time.sleep(wait)


class Stream:
    """A stream that a thread reads into a queue, so that it can be seen to fall silent."""

    def __init__(self, method, request):
        self._call = method(request)
        self._queue = queue.Queue(QUEUE_SIZE)
        self._closed = threading.Event()
        self._error = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self._call:
                self._put(response)
            self._put(Error(Code.UNAVAILABLE, "the stream ended early"))
        except grpc.RpcError as error:
            self._put(Error.of(error))

    def _put(self, item):
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=0.5)
            except queue.Full:
                pass

    def next(self, patience):
        """The next response. The end is an error too, at every later call: only a watch knows whether it came too early."""
        if self._error:
            raise self._error
        try:
            item = self._queue.get(timeout=patience)
        except queue.Empty:
            item = Error(Code.UNAVAILABLE, f"nothing was received for {patience} s")
        if isinstance(item, Error):
            self._error = item
            self.close()
            raise item
        return item

    def waiting(self):
        """Whether there is something to take at once."""
        return not self._error and not self._queue.empty()

    def close(self):
        self._closed.set()
        self._call.cancel()


def watch_order(watches, request):
    """Yields the events of one order, each transition once and in order, and beside them its courier, until it has ended.

    Whatever happens to the stream, it is opened again after the last version, for as long as it takes; only errors about the request are
    raised. `watches` is a stub of WatchService.
    """
    request = watch_service_pb2.WatchOrderRequest.FromString(request.SerializeToString())
    waits, current_told, ended = Waits(), False, False
    while True:
        stream = Stream(watches.WatchOrder, request)
        try:
            while True:
                response = stream.next(min(SILENCE, AFTER_THE_END) if ended else SILENCE)
                waits.reset()
                event = response.WhichOneof("event")
                if event == "transition":
                    ended |= response.transition.phase in TERMINAL
                    if response.transition.version > request.after_version:
                        request.after_version = response.transition.version
                        yield response
                elif event == "current":
                    ended |= response.current.phase in TERMINAL
                    if not current_told:
                        current_told = True
                        yield response
                elif event == "courier":
                    yield response
        except Error as error:
            if ended:
                return
            if not error.may_resume():
                raise
            time.sleep(waits.after(error))
        finally:
            stream.close()


class Seen:
    """The last version of each order, and whether it still moves. A long-running program bounds it or keeps it in its database."""

    def __init__(self):
        self.last = {}
        self.snapshot = 0

    def is_new(self, order_id, version, phase):
        known, ended, _ = self.last.get(order_id, (0, False, 0))
        if version > known:
            self.last[order_id] = (version, phase in TERMINAL, self.snapshot)
            return True
        self.last[order_id] = (known, ended, self.snapshot)
        return False

    def missing(self):
        """Orders that moved before the last snapshot began, and were not seen since: they have ended, or match no more."""
        return sorted(id for id, (_, ended, snapshot) in self.last.items() if not ended and snapshot < self.snapshot)


def watch_orders(watches, orders, request):
    """Yields what happens to all orders that match, without end.

    Starts as the request says, else with a snapshot; resumes by token; takes a snapshot again where the token has expired. Where more orders
    match than a snapshot may hold it opens a stream with what happens next, and lists the orders that have not ended page by page; both are
    merged by version. Orders that it has shown and that have ended meanwhile are then read by their ids. `watches` and `orders` are
    stubs of WatchService and OrderService.

    Keep the resume_token of a response where there is one: a later watch can start there.
    """
    request = watch_service_pb2.WatchOrdersRequest.FromString(request.SerializeToString())
    if not request.WhichOneof("start"):
        request.snapshot.SetInParent()
    waits, seen, due = Waits(), Seen(), False
    while True:
        if request.WhichOneof("start") == "snapshot":
            seen.snapshot += 1
        stream = Stream(watches.WatchOrders, request)
        try:
            while True:
                response = stream.next(SILENCE)
                waits.reset()
                if response.resume_token:
                    request.resume_token = response.resume_token
                is_complete = response.WhichOneof("event") == "snapshot_complete"
                if is_complete or due:
                    # What is left to be read comes first: before that, no token holds.
                    yield from _tell(seen, response, with_token=False)
                    yield from _read_rest(stream, orders, request, seen, due)
                    due = False
                    yield watch_service_pb2.WatchOrdersResponse(
                        snapshot_complete=watch_service_pb2.SnapshotComplete(), resume_token=request.resume_token
                    )
                else:
                    yield from _tell(seen, response)
        except Error as error:
            due = _choose_start(request, error, due)
            if error.reason != "SNAPSHOT_TOO_LARGE":
                time.sleep(waits.after(error))
        finally:
            stream.close()


def _tell(seen, response, with_token=True):
    """Yields a response if it tells something new."""
    event = response.WhichOneof("event")
    if event is None:  # Of a kind that this client does not know.
        return
    moved = response.transition if event == "transition" else response.current
    if event in ("transition", "current") and not seen.is_new(moved.order_id, moved.version, moved.phase):
        return
    if event == "snapshot_complete" or (event == "heartbeat" and not with_token):
        return
    if not with_token:
        response.resume_token = b""
    yield response


def _read_rest(stream, orders, request, seen, due):
    """Yields the orders that a stream alone does not show, and between them what the stream sends meanwhile."""
    for page in _pages(orders, request) if due else ():
        yield from _merge(stream, request, seen, page)
    missing = seen.missing()
    while missing:
        ids = order_service_pb2.BatchGetOrdersRequest(order_ids=missing[:100], view=request.view)
        answer = _patient(orders.BatchGetOrders, ids)
        missing = missing[100:] + list(answer.left_out_order_ids)
        yield from _merge(stream, request, seen, answer.orders)


def _merge(stream, request, seen, orders):
    for order in orders:
        if seen.is_new(order.order_id, order.version, order.phase):
            yield watch_service_pb2.WatchOrdersResponse(current=order)
    while stream.waiting():
        try:
            response = stream.next(SILENCE)
        except Error as error:
            if not error.may_resume():
                raise
            return  # The watch meets this error again when everything is read, and then resumes after the token.
        if response.resume_token:
            request.resume_token = response.resume_token
        yield from _tell(seen, response, with_token=False)


def _pages(orders, watch):
    """The orders that a snapshot holds: those that match and have not ended."""
    if watch.filter.phases and order_pb2.PHASE_ACTIVE not in watch.filter.phases:
        return
    request = order_service_pb2.ListOrdersRequest(
        page_size=500,
        statuses=watch.filter.statuses,
        phases=[order_pb2.PHASE_ACTIVE],
        customer_id=watch.filter.customer_id,
        workflow=watch.filter.workflow,
        view=watch.view,
    )
    while True:
        page = _patient(orders.ListOrders, request)
        yield page.orders
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _patient(method, request):
    """Reads for as long as it takes."""
    waits = Waits()
    while True:
        try:
            return call(method, request)
        except Error as error:
            if not error.may_repeat():
                raise
            time.sleep(waits.after(error))


def _choose_start(request, error, due):
    """Chooses from where the next stream starts; true where orders must then be listed. Raises an error that is final."""
    if error.reason == "SNAPSHOT_TOO_LARGE":
        request.now.SetInParent()
        return True
    if error.code == Code.OUT_OF_RANGE and error.reason in (None, "TOKEN_EXPIRED"):
        request.snapshot.SetInParent()
        return False
    if not error.may_resume():
        raise error
    if request.WhichOneof("start") == "now" and "resume_token" in error.metadata:
        request.resume_token = base64.b64decode(error.metadata["resume_token"])
    return due
