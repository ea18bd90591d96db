"""Watching one order until it has ended."""

from collections.abc import Callable, Iterator

from comanda.v1 import watch_service_pb2, watch_service_pb2_grpc

from comanda_client.errors import ComandaError
from comanda_client.retry import Waits, may_resume
from comanda_client.seen import is_terminal
from comanda_client.stream import Stream

# After the last transition the server ends the stream at once; a proxy may keep it open. In seconds.
_AFTER_THE_END = 5.0


def watch(
    watches: watch_service_pb2_grpc.WatchServiceStub,
    request: watch_service_pb2.WatchOrderRequest,
    silence: float,
    waits: Waits,
    pause: Callable[[float], None],
) -> Iterator[watch_service_pb2.WatchOrderResponse]:
    """See Client.watch_order."""
    state = _State(request)
    while True:
        stream = Stream(lambda: watches.WatchOrder(state.request))
        try:
            while True:
                response = stream.next(min(silence, _AFTER_THE_END) if state.has_ended else silence)
                waits.reset()
                if state.accept(response):
                    yield response
        except ComandaError as error:
            if state.has_ended:
                return
            if not may_resume(error):
                raise
            wait = waits.after(error)
        finally:
            stream.close()
        pause(wait)


class _State:
    """What was seen of the order."""

    def __init__(self, request: watch_service_pb2.WatchOrderRequest) -> None:
        # Asks for what comes after the last version seen.
        self.request = watch_service_pb2.WatchOrderRequest()
        self.request.CopyFrom(request)
        self.has_ended = False
        self._is_current_told = False

    def accept(self, response: watch_service_pb2.WatchOrderResponse) -> bool:
        """Notes a response, and says whether it tells something new."""
        event = response.WhichOneof("event")
        if event == "transition":
            self.has_ended |= is_terminal(response.transition.phase)
            is_new = response.transition.version > self.request.after_version
            self.request.after_version = max(self.request.after_version, response.transition.version)
            return is_new
        if event == "current":
            self.has_ended |= is_terminal(response.current.phase)
            was_told, self._is_current_told = self._is_current_told, True
            return not was_told
        return event == "courier"
