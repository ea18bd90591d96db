"""Watches of servers that answer by a script."""

import threading
import unittest
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import grpc
from comanda.v1 import order_pb2
from comanda.v1.dispatch_service_pb2 import COURIER_STATUS_PAUSED, WatchCourierRequest, WatchCourierResponse
from comanda.v1.order_service_pb2 import BatchGetOrdersResponse
from comanda.v1.transition_pb2 import OrderTransition
from comanda.v1.watch_service_pb2 import WatchOrderRequest, WatchOrderResponse, WatchOrdersRequest, WatchOrdersResponse

from comanda_client import ComandaError, courier_watch, order_watch, orders_watch, reader
from comanda_client.retry import Waits


class Couriers(unittest.TestCase):
    def test_repetitions_and_what_is_older_are_left_out_and_a_broken_stream_is_opened_again(self) -> None:
        paused = WatchCourierResponse(revision=4, status=COURIER_STATUS_PAUSED)
        at = {revision: WatchCourierResponse(revision=revision) for revision in (2, 3, 4)}
        streams = [FakeCall([at[3], at[3], at[2]]), FakeCall([at[4], at[4], paused])]
        last = FakeCall([], grpc.StatusCode.NOT_FOUND)

        class Dispatch:
            def WatchCourier(self, request: WatchCourierRequest) -> FakeCall:
                return streams.pop(0) if streams else last

        watch = courier_watch.watch(Dispatch(), WatchCourierRequest(), 10, Waits(0, 0), lambda _: None)  # type: ignore[arg-type]
        told = []
        with self.assertRaises(ComandaError):
            for response in watch:
                told.append(response)
        self.assertEqual(told, [at[3], at[4], paused])


class Streams(unittest.TestCase):
    def test_a_watch_waits_before_it_resumes_and_each_response_makes_the_waits_start_over(self) -> None:
        moved = OrderTransition(order_id="o", version=1, phase=order_pb2.PHASE_ACTIVE)
        one, many = WatchOrderResponse(transition=moved), WatchOrdersResponse(transition=moved)
        watches: dict[str, Callable[[Any], Iterator[Any]]] = {
            "one": lambda pause: order_watch.watch(stub(one), WatchOrderRequest(), 10, Waits(1, 100), pause),
            "many": lambda pause: orders_watch.watch(stub(many), stub(many), WatchOrdersRequest(), 10, lambda: Waits(1, 100), pause),
            "courier": lambda pause: courier_watch.watch(stub(WatchCourierResponse()), WatchCourierRequest(), 10, Waits(1, 100), pause),
        }
        for kind, watch in watches.items():
            pauses: list[float] = []
            with self.subTest(kind), self.assertRaises(ComandaError):
                list(watch(pauses.append))
            self.assertEqual(len(pauses), 5)
            self.assertTrue(1 <= min(pauses) and max(pauses) <= 2, pauses)

    def test_after_the_end_of_an_order_its_stream_is_given_less_time(self) -> None:
        last = WatchOrderResponse(transition=OrderTransition(version=2, phase=order_pb2.PHASE_SUCCEEDED))
        stays_open = mock.Mock(WatchOrder=lambda request: OpenCall([last]))
        with mock.patch.object(order_watch, "_AFTER_THE_END", 0.01):
            told = list(order_watch.watch(stays_open, WatchOrderRequest(), 3600, Waits(1, 1), lambda _: None))
        self.assertEqual(told, [last])

    def test_orders_that_cannot_be_read_before_a_deadline_are_read_again(self) -> None:
        pauses: list[float] = []
        late, answer = ComandaError(grpc.StatusCode.DEADLINE_EXCEEDED, ""), BatchGetOrdersResponse(orders=[order_pb2.Order(order_id="o")])
        orders = mock.Mock(BatchGetOrders=mock.Mock(side_effect=[late, answer]))
        read = reader.Reader(orders, lambda: Waits(1, 1), pauses.append).ids(["o"], order_pb2.ORDER_VIEW_UNSPECIFIED)
        self.assertEqual(list(read), [list(answer.orders)])
        self.assertEqual(len(pauses), 1)


def stub(response: Any) -> Any:
    """Stands for a stub whose calls get this response five times, each on a stream that then ends early, and at last an error."""
    streams = [FakeCall([response]) for _ in range(5)] + [FakeCall([], grpc.StatusCode.NOT_FOUND)]

    class Stub:
        def __getattr__(self, method: str) -> Any:
            return lambda request: streams.pop(0)

    return Stub()


class FakeCall(grpc.RpcError, grpc.Call):
    """A stream of responses that then ends, without or with an error."""

    def __init__(self, responses: list[Any], code: grpc.StatusCode | None = None) -> None:
        self._responses, self._code = responses, code

    def __iter__(self) -> Any:
        yield from self._responses
        if self._code:
            raise self

    def code(self) -> grpc.StatusCode:
        assert self._code
        return self._code

    def details(self) -> str:
        return ""

    def trailing_metadata(self) -> Any:
        return ()

    def initial_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def add_callback(self, callback: Any) -> bool:
        return False

    def cancel(self) -> bool:
        return False


class OpenCall(FakeCall):
    """A stream of responses that stays open until it is cancelled."""

    def __init__(self, responses: list[Any]) -> None:
        super().__init__(responses)
        self._cancelled = threading.Event()

    def __iter__(self) -> Any:
        yield from self._responses
        self._cancelled.wait()

    def cancel(self) -> bool:
        self._cancelled.set()
        return True


if __name__ == "__main__":
    unittest.main()
