"""Reading many orders beside a stream, for as long as it takes: all that have not ended, or some by their ids."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from comanda.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc, watch_service_pb2

from comanda_client.errors import ComandaError
from comanda_client.retry import Waits, may_repeat

# The most that the server puts on a page.
_PAGE_SIZE = 500
# The most that the server looks up in one call.
_MAX_IDS = 100

Answer = TypeVar("Answer")


class Reader:
    """Reads pages of orders. A page that cannot be read now is read again."""

    def __init__(
        self, orders: order_service_pb2_grpc.OrderServiceStub, waits: Callable[[], Waits], pause: Callable[[float], None]
    ) -> None:
        self._orders, self._waits, self._pause = orders, waits, pause

    def snapshot(self, watch: watch_service_pb2.WatchOrdersRequest) -> Iterator[list[order_pb2.Order]]:
        """The orders that a snapshot of this watch holds: those that match and have not ended."""
        if watch.filter.phases and order_pb2.PHASE_ACTIVE not in watch.filter.phases:
            return
        request = order_service_pb2.ListOrdersRequest(
            page_size=_PAGE_SIZE,
            statuses=watch.filter.statuses,
            phases=[order_pb2.PHASE_ACTIVE],
            customer_id=watch.filter.customer_id,
            workflow=watch.filter.workflow,
            view=watch.view,
        )
        while True:
            page = self._patiently(lambda: self._orders.ListOrders(request))
            yield list(page.orders)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def ids(self, order_ids: list[str], view: "order_pb2.OrderView.ValueType") -> Iterator[list[order_pb2.Order]]:
        """The orders with these ids, where they still exist."""
        while order_ids:
            request = order_service_pb2.BatchGetOrdersRequest(order_ids=order_ids[:_MAX_IDS], view=view)
            answer = self._patiently(lambda: self._orders.BatchGetOrders(request))
            order_ids = order_ids[_MAX_IDS:] + list(answer.left_out_order_ids)
            yield list(answer.orders)

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        waits = self._waits()
        while True:
            try:
                return call()
            except ComandaError as error:
                if not may_repeat(error):
                    raise
                wait = waits.after(error)
            self._pause(wait)
