"""Watching what a courier has to do."""

from collections.abc import Callable, Iterator

from comanda.v1 import dispatch_service_pb2, dispatch_service_pb2_grpc

from comanda_client.errors import ComandaError
from comanda_client.retry import Waits, may_resume
from comanda_client.stream import Stream


def watch(
    dispatch: dispatch_service_pb2_grpc.DispatchServiceStub,
    request: dispatch_service_pb2.WatchCourierRequest,
    silence: float,
    waits: Waits,
    pause: Callable[[float], None],
) -> Iterator[dispatch_service_pb2.WatchCourierResponse]:
    """See Client.watch_courier."""
    told: dispatch_service_pb2.WatchCourierResponse | None = None
    while True:
        stream = Stream(lambda: dispatch.WatchCourier(request))
        try:
            while True:
                response = stream.next(silence)
                waits.reset()
                # Heartbeats repeat the last response, and another replica may be behind it.
                if told is None or (response.revision >= told.revision and response != told):
                    told = response
                    yield response
        except ComandaError as error:
            if not may_resume(error):
                raise
            wait = waits.after(error)
        finally:
            stream.close()
        pause(wait)
