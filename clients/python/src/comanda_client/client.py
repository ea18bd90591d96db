"""The one object to connect with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType

import grpc
from comanda.v1 import (
    analytics_service_pb2_grpc,
    dispatch_service_pb2,
    dispatch_service_pb2_grpc,
    lifecycle_service_pb2_grpc,
    mail_service_pb2_grpc,
    order_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from comanda_client import courier_watch, order_watch, orders_watch
from comanda_client.calls import Repeat, Token
from comanda_client.errors import ComandaError
from comanda_client.retry import Waits

_SERVICES = ("OrderService", "LifecycleService", "WatchService", "MailService", "DispatchService", "AnalyticsService")
_OPTIONS = [
    # Pings find out whether the other side of a silent stream is still there.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Well above the largest page, which is about 1 MiB.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.primary_user_agent", "comanda-python/0.1.0"),
]


class Client:
    """A client of Comanda. Threads may share it. It connects at its first call, and the connections repair themselves.

    ``orders``, ``lifecycle``, ``mails``, ``dispatch`` and ``analytics`` are the generated stubs; every call of them has the deadline, is
    repeated where that is safe, and fails with a ComandaError. The contract of each is at its rpc in ``proto/comanda/v1``. ``watch_order``,
    ``watch_orders`` and ``watch_courier`` resume; the streams of ``watches`` do not.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        addresses: Mapping[str, str] | None = None,
        token: str | Callable[[], str] | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        deadline: float = 10.0,
        silence: float = 45.0,
        first_wait: float = 0.25,
        longest_wait: float = 15.0,
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: Host and port of the server. An IPv6 address stands in brackets.
            addresses: Addresses of services that are elsewhere, by the service's name: ``{"WatchService": "10.0.0.3:50053"}``.
            token: Sent with every call as a bearer token; or a function that returns it, for tokens that lapse. Without TLS everybody on the
                way can read it.
            tls: True for TLS with the system's certificates, or what ``grpc.ssl_channel_credentials`` returned.
            deadline: Seconds for each call, with its repetitions. The argument ``timeout`` of a call overrides it. Watches have none.
            silence: A stream that sends nothing for so many seconds, not even a heartbeat, is opened again: three heartbeats.
            first_wait: Seconds before a call is repeated or a watch resumed, doubled with each failure in a row. Jitter may double each wait.
            longest_wait: The longest such wait.
        """
        unknown = set(addresses or ()) - set(_SERVICES)
        if unknown:
            raise ValueError(f"addresses: {sorted(unknown)} are no services; there are {list(_SERVICES)}")
        self._address, self._addresses = address, dict(addresses or {})
        self._token: Callable[[], str] | None = (lambda: token) if isinstance(token, str) else token
        self._tls = grpc.ssl_channel_credentials() if tls is True else tls
        self._silence, self._first_wait, self._longest_wait = silence, first_wait, longest_wait
        self._closed = threading.Event()
        self._repeat = Repeat(deadline, self._waits, self._closed)
        self._channels: dict[str, grpc.Channel] = {}
        self.orders = order_service_pb2_grpc.OrderServiceStub(self._channel("OrderService"))
        self.lifecycle = lifecycle_service_pb2_grpc.LifecycleServiceStub(self._channel("LifecycleService"))
        self.watches = watch_service_pb2_grpc.WatchServiceStub(self._channel("WatchService"))
        self.mails = mail_service_pb2_grpc.MailServiceStub(self._channel("MailService"))
        self.dispatch = dispatch_service_pb2_grpc.DispatchServiceStub(self._channel("DispatchService"))
        self.analytics = analytics_service_pb2_grpc.AnalyticsServiceStub(self._channel("AnalyticsService"))

    def watch_order(self, request: watch_service_pb2.WatchOrderRequest) -> Iterator[watch_service_pb2.WatchOrderResponse]:
        """Yields the events of one order until it has ended: each transition once and in order.

        After the transitions that had happened comes ``current`` once, the order as it is. A ``courier`` replaces the one before. A stream that
        breaks, falls silent or ends too early is resumed, for as long as it takes. Errors about the request are raised.
        """
        return order_watch.watch(self.watches, request, self._silence, self._waits(), self._pause)

    def watch_orders(self, request: watch_service_pb2.WatchOrdersRequest) -> Iterator[watch_service_pb2.WatchOrdersResponse]:
        """Yields what happens to all orders that match, without end, and each version of an order once.

        Starts as the request says, else with a snapshot. Resumes by token. Where the token has expired a snapshot is taken again; where more
        orders match than a snapshot may hold, they are listed page by page beside the stream. Orders that it has shown and that have
        ended meanwhile are then read by their ids. After that comes ``snapshot_complete``. Errors about the request are raised.

        Keep the ``resume_token`` of a response where there is one: a later watch with the same filter can start there.
        """
        return orders_watch.watch(self.watches, self.orders, request, self._silence, self._waits, self._pause)

    def watch_courier(self, request: dispatch_service_pb2.WatchCourierRequest) -> Iterator[dispatch_service_pb2.WatchCourierResponse]:
        """Yields what a courier has to do, without end: each response replaces the one before. Errors about the request are raised."""
        return courier_watch.watch(self.dispatch, request, self._silence, self._waits(), self._pause)

    def close(self) -> None:
        """Closes the connections. Calls and watches that are under way fail with CANCELLED."""
        self._closed.set()
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _waits(self) -> Waits:
        return Waits(self._first_wait, self._longest_wait)

    def _pause(self, seconds: float) -> None:
        """Waits before a watch is resumed."""
        if self._closed.wait(seconds):
            raise ComandaError(grpc.StatusCode.CANCELLED, "the client was closed")

    def _channel(self, service: str) -> grpc.Channel:
        """The connection to a service. Services at one address share one."""
        address = self._addresses.get(service, self._address)
        if address not in self._channels:
            self._channels[address] = self._connect(address)
        return self._channels[address]

    def _connect(self, address: str) -> grpc.Channel:
        if isinstance(self._tls, grpc.ChannelCredentials):
            channel = grpc.secure_channel(address, self._tls, options=_OPTIONS)
        else:
            channel = grpc.insecure_channel(address, options=_OPTIONS)
        interceptors = [self._repeat] + ([Token(self._token)] if self._token else [])
        return grpc.intercept_channel(channel, *interceptors)
