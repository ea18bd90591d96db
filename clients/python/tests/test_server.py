"""The client against a real server, directly and through proxies that cut, end, silence and break what passes them."""

import itertools
import time
import unittest
import uuid
from collections.abc import Iterator

import grpc

from comanda_client import Client, ComandaError, Outcome, Violation
from comanda_client.messages import (
    COURIER_STATUS_AVAILABLE,
    AdvanceOrderRequest,
    BatchCreateOrdersRequest,
    CompleteAssignmentRequest,
    Courier,
    CreateOrderRequest,
    GetOrderRequest,
    LatLng,
    ListOrdersRequest,
    Location,
    MarkPickedUpRequest,
    Now,
    Place,
    RegisterCourierRequest,
    ReportLocationRequest,
    SetCourierStatusRequest,
    Trip,
    WatchCourierRequest,
    WatchFilter,
    WatchOrderRequest,
    WatchOrdersRequest,
)
from environment import FAULTS, cuts, new_customer, order_of, variable

# Every order of the shipped workflow "delivery": received, preparing, dispatched, delivered.
VERSIONS = [1, 2, 3, 4]
HERE = LatLng(latitude=-33.437, longitude=-70.651)


def client(fault: str) -> Client:
    """A client that notices a silent stream soon."""
    return Client(variable(fault), silence=1.5, first_wait=0.01, longest_wait=0.1, deadline=30)


def through_all(test: unittest.TestCase) -> Iterator[Client]:
    for fault in ["ADDRESS", *FAULTS]:
        with test.subTest(fault), client(fault) as comanda:
            yield comanda


class Watches(unittest.TestCase):
    def test_a_watch_of_one_order_tells_each_version_once_whatever_breaks(self) -> None:
        for comanda in through_all(self):
            order = comanda.orders.CreateOrder(order_of(new_customer())).order
            events = list(comanda.watch_order(WatchOrderRequest(order_id=order.order_id)))
            versions = [event.transition.version for event in events if event.HasField("transition")]
            self.assertEqual(versions, VERSIONS)

    def test_a_watch_of_many_orders_tells_each_version_once_whatever_breaks(self) -> None:
        for comanda in through_all(self):
            customer = new_customer()
            told: dict[str, list[int]] = {}
            request = WatchOrdersRequest(filter=WatchFilter(customer_id=customer), now=Now())
            for response in comanda.watch_orders(request):
                if response.HasField("heartbeat") and not told:
                    # From its first heartbeat on the watch tells everything.
                    told = {comanda.orders.CreateOrder(order_of(customer)).order.order_id: [] for _ in range(3)}
                if response.HasField("transition"):
                    told[response.transition.order_id].append(response.transition.version)
                if told and all(versions and versions[-1] == VERSIONS[-1] for versions in told.values()):
                    break
            self.assertEqual(list(told.values()), [VERSIONS] * 3)

    def test_a_snapshot_shows_the_orders_that_move(self) -> None:
        for comanda in through_all(self):
            customer = new_customer()
            order = comanda.orders.CreateOrder(order_of(customer)).order
            shown = []
            for response in comanda.watch_orders(WatchOrdersRequest(filter=WatchFilter(customer_id=customer))):
                for event in ("current", "transition"):
                    if response.HasField(event):
                        shown.append(getattr(response, event).version)
                if shown and shown[-1] == VERSIONS[-1]:
                    break
            self.assertEqual(shown, VERSIONS[shown[0] - 1 :], order.order_id)

    def test_a_closed_client_ends_its_watches(self) -> None:
        comanda = client("ADDRESS")
        watch = comanda.watch_orders(WatchOrdersRequest(now=Now()))
        next(watch)
        comanda.close()
        with self.assertRaises(ComandaError) as raised:
            list(watch)
        self.assertEqual(raised.exception.code, grpc.StatusCode.CANCELLED)


class Couriers(unittest.TestCase):
    def test_a_courier_is_shown_its_job_until_it_is_done_whatever_breaks(self) -> None:
        for comanda in through_all(self):
            zone = uuid.uuid4().hex
            courier = courier_in(comanda, zone)
            order, shown, revisions = "", [], []
            for response in comanda.watch_courier(WatchCourierRequest(courier_id=courier)):
                revisions.append(response.revision)
                job = response.assignments[0] if response.assignments else None
                shown.append("nothing" if job is None else "carried" if job.HasField("pickup_time") else "allotted")
                if not order:
                    order = comanda.orders.CreateOrder(delivery_in(zone)).order.order_id
                elif job is None and "carried" in shown:
                    break
                elif job is not None:
                    self.assertEqual((job.order_id, job.trip.zone), (order, zone))
                    if job.HasField("pickup_time"):
                        comanda.dispatch.CompleteAssignment(CompleteAssignmentRequest(order_id=order, attempt=job.attempt))
                    else:
                        comanda.dispatch.MarkPickedUp(MarkPickedUpRequest(order_id=order, attempt=job.attempt))
            self.assertEqual([state for state, _ in itertools.groupby(shown)], ["nothing", "allotted", "carried", "nothing"])
            self.assertEqual(revisions, sorted(revisions))


def courier_in(comanda: Client, zone: str) -> str:
    """A courier that takes the jobs of a zone."""
    courier = f"python-{uuid.uuid4()}"
    comanda.dispatch.RegisterCourier(RegisterCourierRequest(courier=Courier(courier_id=courier, name="Maria", zone=zone)))
    comanda.dispatch.ReportLocation(ReportLocationRequest(courier_id=courier, location=Location(position=HERE)))
    comanda.dispatch.SetCourierStatus(SetCourierStatusRequest(courier_id=courier, status=COURIER_STATUS_AVAILABLE))
    return courier


def delivery_in(zone: str) -> CreateOrderRequest:
    """An order that a courier of this zone delivers."""
    request = order_of(new_customer())
    request.workflow = "courier-delivery"
    request.trip.CopyFrom(Trip(pickup=Place(position=HERE), dropoff=Place(position=HERE), zone=zone))
    return request


class Calls(unittest.TestCase):
    def test_a_create_whose_answer_was_lost_makes_one_order(self) -> None:
        customer = new_customer()
        with client("FORGETFUL") as comanda:
            answer = comanda.orders.CreateOrder(order_of(customer))
            self.assertTrue(answer.replayed, "the second try must find what the first one made")
            self.assertEqual(len(comanda.orders.ListOrders(ListOrdersRequest(customer_id=customer)).orders), 1)

    def test_the_rows_of_a_batch_get_request_ids_too(self) -> None:
        customer = new_customer()
        bad = CreateOrderRequest()
        with client("FORGETFUL") as comanda:
            rows = [order_of(customer), bad, order_of(customer)]
            results = comanda.orders.BatchCreateOrders(BatchCreateOrdersRequest(requests=rows)).results
            self.assertEqual([result.WhichOneof("outcome") for result in results], ["created", "error", "created"])
            self.assertTrue(results[0].created.replayed)
            error = ComandaError.from_status(results[1].error)
            self.assertEqual((error.code, error.reason), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"))
            self.assertEqual(len(comanda.orders.ListOrders(ListOrdersRequest(customer_id=customer)).orders), 2)

    def test_creates_over_connections_that_are_cut_make_each_order_once(self) -> None:
        enough = cuts() + 3
        with client("CUTTING") as comanda:
            while cuts() < enough:
                customer = new_customer()
                comanda.orders.CreateOrder(order_of(customer))
                self.assertEqual(len(comanda.orders.ListOrders(ListOrdersRequest(customer_id=customer)).orders), 1)

    def test_a_refused_order_names_every_wrong_field(self) -> None:
        request = order_of("")
        request.items[0].quantity = 0
        with client("ADDRESS") as comanda, self.assertRaises(ComandaError) as raised:
            comanda.orders.CreateOrder(request)
        error = raised.exception
        self.assertEqual((error.code, error.reason), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"))
        self.assertEqual(error.outcome, Outcome.NOT_APPLIED)
        self.assertEqual([violation.field for violation in error.violations], ["customer.customer_id", "items[0].quantity"])
        self.assertTrue(all(isinstance(violation, Violation) and violation.description for violation in error.violations))

    def test_a_stale_version_is_told_with_the_version_that_holds(self) -> None:
        with client("ADDRESS") as comanda:
            order = comanda.orders.CreateOrder(order_of(new_customer())).order
            with self.assertRaises(ComandaError) as raised:
                comanda.lifecycle.AdvanceOrder(AdvanceOrderRequest(order_id=order.order_id, expected_version=99))
        self.assertEqual((raised.exception.code, raised.exception.reason), (grpc.StatusCode.ABORTED, "VERSION_MISMATCH"))
        self.assertGreaterEqual(int(raised.exception.metadata["version"]), 1)

    def test_a_call_ends_at_its_deadline(self) -> None:
        began = time.monotonic()
        with Client(variable("MUTE"), deadline=1) as comanda, self.assertRaises(ComandaError) as raised:
            comanda.orders.GetOrder(GetOrderRequest(order_id=str(uuid.uuid4())))
        self.assertLess(time.monotonic() - began, 9, "the usual deadline is 10 s")
        self.assertEqual(raised.exception.outcome, Outcome.UNKNOWN)

    def test_tls_with_the_right_certificate_only(self) -> None:
        with open(variable("CERTIFICATE"), "rb") as file:
            trusted = grpc.ssl_channel_credentials(file.read())
        with Client(variable("TLS"), tls=trusted) as comanda:
            comanda.orders.CreateOrder(order_of(new_customer()))
        with Client(variable("TLS"), tls=True, deadline=1) as comanda, self.assertRaises(ComandaError):
            comanda.orders.CreateOrder(order_of(new_customer()))


if __name__ == "__main__":
    unittest.main()
