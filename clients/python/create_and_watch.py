"""Creates an order and watches it to its end.

    python create_and_watch.py [HOST:PORT of ordering] [HOST:PORT of notification]

Give both the same address for `comanda dev` and `comanda all`. Needs grpcio, googleapis-common-protos and the generated code
(see buf.gen.yaml) on the path.
"""

import sys
import uuid

import grpc

import comanda_client
from comanda.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc, watch_service_pb2, watch_service_pb2_grpc
from google.type import money_pb2


def connect(address):
    """A channel. Pings find out whether the other side of a silent stream is still there."""
    return grpc.insecure_channel(address, options=[("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000)])


def create(channel):
    """Creates an order. The request id makes a repeated call return the same order."""
    request = order_service_pb2.CreateOrderRequest(
        request_id=str(uuid.uuid4()),
        customer=order_pb2.Customer(customer_id="python", email="ana@example.com", locale="es"),
        items=[
            order_pb2.Item(
                name="Pizza Margherita",
                quantity=2,
                unit_price=money_pb2.Money(currency_code="USD", units=12, nanos=500_000_000),
            )
        ],
    )
    return comanda_client.call(order_service_pb2_grpc.OrderServiceStub(channel).CreateOrder, request).order


def watch(channel, order_id):
    """Yields every transition of an order once, in order, until it has ended."""
    request = watch_service_pb2.WatchOrderRequest(order_id=order_id)
    for response in comanda_client.watch_order(watch_service_pb2_grpc.WatchServiceStub(channel), request):
        if response.WhichOneof("event") == "transition":
            yield response.transition


def main():
    ordering, notification = (sys.argv[1:] + ["127.0.0.1:50051"] * 2)[:2]
    order = create(connect(ordering))
    print(f"order {order.number} ({order.order_id}): {order.total.units}.{order.total.nanos // 10_000_000:02d} USD")
    for transition in watch(connect(notification), order.order_id):
        print(f"  version {transition.version}: {transition.from_status or '-'} -> {transition.to_status}")


if __name__ == "__main__":
    main()
