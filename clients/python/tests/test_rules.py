"""Rules that need no server."""

import contextlib
import itertools
import pathlib
import unittest
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from comanda.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from google.rpc import error_details_pb2, status_pb2

from comanda_client import Client, ComandaError, Outcome, Violation
from comanda_client.calls import with_request_id
from comanda_client.retry import Waits
from comanda_client.seen import Seen

SERVICE_CONFIG = pathlib.Path(__file__).parents[2] / "service-config.json"


class Requests(unittest.TestCase):
    def test_a_missing_request_id_is_filled_in_and_a_given_one_kept(self) -> None:
        empty = order_service_pb2.CreateOrderRequest()
        filled = with_request_id(empty)
        self.assertEqual(len(filled.request_id), 36)
        self.assertEqual(empty.request_id, "", "the caller's message is not changed")
        self.assertEqual(with_request_id(filled), filled)
        batch = with_request_id(order_service_pb2.BatchCreateOrdersRequest(requests=[empty, empty]))
        self.assertEqual(len({row.request_id for row in batch.requests}), 2)

    def test_an_unknown_service_has_no_address(self) -> None:
        with self.assertRaisesRegex(ValueError, "Watches"):
            Client(addresses={"Watches": "127.0.0.1:1"})

    def test_a_plain_stub_repeats_calls_by_the_service_config(self) -> None:
        options = [("grpc.service_config", SERVICE_CONFIG.read_text())]
        with flaky() as (address, calls, _), grpc.insecure_channel(address, options=options) as channel:
            order_service_pb2_grpc.OrderServiceStub(channel).CreateOrder(with_request_id(order_service_pb2.CreateOrderRequest()))
        self.assertEqual(calls, [calls[0]] * 2)

    def test_a_service_that_is_elsewhere_is_called_there_with_a_token_for_each_try(self) -> None:
        tokens = map(str, itertools.count(1))
        with flaky() as (address, calls, authorizations):
            client = Client("127.0.0.1:1", addresses={"OrderService": address}, token=lambda: next(tokens), first_wait=0.001)
            with client as comanda:
                comanda.orders.CreateOrder(order_service_pb2.CreateOrderRequest())
        self.assertEqual(authorizations, ["Bearer 1", "Bearer 2"])
        self.assertTrue(calls[0])
        self.assertEqual(calls, [calls[0]] * 2, "both tries have one request_id")


@contextlib.contextmanager
def flaky() -> Iterator[tuple[str, list[bytes], list[str]]]:
    """A server that fails the first CreateOrder: its address, the requests and the credentials that it gets."""
    calls: list[bytes] = []
    authorizations: list[str] = []

    def create(request: bytes, context: Any) -> bytes:
        calls.append(request)
        authorizations.append(dict(context.invocation_metadata()).get("authorization", ""))
        if len(calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "")
        return b""

    handlers: dict[str, Any] = {"CreateOrder": grpc.unary_unary_rpc_method_handler(create)}
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("comanda.v1.OrderService", handlers)])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield address, calls, authorizations
    server.stop(None).wait()


class Errors(unittest.TestCase):
    def test_every_detail_is_read(self) -> None:
        details = [
            error_details_pb2.ErrorInfo(reason="INVALID_FIELDS", domain="comanda.dev", metadata={"version": "3"}),
            error_details_pb2.BadRequest(field_violations=[{"field": "items[0].quantity", "description": "must be 1 to 10,000"}]),
            error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 500_000_000}),
        ]
        status = status_pb2.Status(code=3, message="a field is wrong")
        for detail in details:
            status.details.add().Pack(detail)
        error = ComandaError.from_status(status)
        self.assertEqual(str(error), "a field is wrong (INVALID_ARGUMENT, INVALID_FIELDS)")
        self.assertEqual((error.code, error.message), (grpc.StatusCode.INVALID_ARGUMENT, "a field is wrong"))
        self.assertEqual(error.metadata, {"version": "3"})
        self.assertEqual(error.violations, [Violation("items[0].quantity", "must be 1 to 10,000")])
        self.assertEqual((error.retry_after, error.outcome), (1.5, Outcome.NOT_APPLIED))


class Waiting(unittest.TestCase):
    def test_waits_double_up_to_the_longest_and_start_over(self) -> None:
        waits, error = Waits(0.1, 0.4), ComandaError(grpc.StatusCode.UNAVAILABLE, "")
        for base in (0.1, 0.2, 0.4, 0.4):
            wait = waits.after(error)
            self.assertTrue(base <= wait <= 2 * base, wait)
        waits.reset()
        self.assertLessEqual(waits.after(error), 0.2)

    def test_what_the_server_asks_for_is_granted_within_reason(self) -> None:
        waits = Waits(0.001, 0.001)
        self.assertEqual(waits.after(ComandaError(grpc.StatusCode.UNAVAILABLE, "", retry_after=3)), 3)
        self.assertEqual(waits.after(ComandaError(grpc.StatusCode.UNAVAILABLE, "", retry_after=3600)), 30)


class Orders(unittest.TestCase):
    def test_a_version_is_new_once(self) -> None:
        seen = Seen()
        tried = [("a", 2), ("a", 2), ("a", 1), ("a", 3), ("b", 1)]
        new = [seen.is_new(order_id, version, order_pb2.PHASE_ACTIVE) for order_id, version in tried]
        self.assertEqual(new, [True, False, False, True, True])

    def test_an_order_that_a_new_snapshot_does_not_show_is_missing_unless_it_had_ended(self) -> None:
        seen = Seen()
        seen.begin_snapshot()
        for order_id in ("shown", "gone"):
            seen.is_new(order_id, 2, order_pb2.PHASE_ACTIVE)
        seen.is_new("ended", 2, order_pb2.PHASE_SUCCEEDED)
        self.assertEqual(seen.missing(), [])
        seen.begin_snapshot()
        seen.is_new("shown", 2, order_pb2.PHASE_ACTIVE)
        self.assertEqual(seen.missing(), ["gone"])

    def test_memory_is_bounded_and_the_recent_is_kept(self) -> None:
        seen = Seen(generation_size=100)
        for order in range(300):
            self.assertTrue(seen.is_new(str(order), 1, order_pb2.PHASE_ACTIVE))
        self.assertLessEqual(len(seen), 200)
        self.assertFalse(seen.is_new("250", 1, order_pb2.PHASE_ACTIVE))


if __name__ == "__main__":
    unittest.main()
