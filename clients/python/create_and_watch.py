"""Creates an order and watches it to its end.

    python create_and_watch.py [HOST:PORT of ordering] [HOST:PORT of notification]

Give both the same address for `comanda dev` and `comanda all`. Needs grpcio, googleapis-common-protos and the generated code
(see buf.gen.yaml) on the path.
"""

import pathlib
import sys
import time
import uuid

import grpc

from comanda.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc, watch_service_pb2, watch_service_pb2_grpc
from google.type import money_pb2

SERVICE_CONFIG = pathlib.Path(__file__).parent.parent / "service-config.json"


def connect(address):
    """A channel that retries calls which may safely be repeated."""
    return grpc.insecure_channel(address, options=[("grpc.service_config", SERVICE_CONFIG.read_text())])


def create(channel):
    """Creates an order. The request id makes a repeated call, by us or by the channel, return the same order."""
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
    return order_service_pb2_grpc.OrderServiceStub(channel).CreateOrder(request, timeout=10).order


def watch(channel, order_id):
    """Yields every transition of an order once, in order, whatever happens to the stream meanwhile."""
    stub = watch_service_pb2_grpc.WatchServiceStub(channel)
    version = 0
    while True:
        try:
            request = watch_service_pb2.WatchOrderRequest(order_id=order_id, after_version=version)
            for response in stub.WatchOrder(request):
                if response.WhichOneof("event") == "transition":
                    version = response.transition.version
                    yield response.transition
            return  # The order has ended.
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
                raise
            time.sleep(0.5)


def main():
    ordering, notification = (sys.argv[1:] + ["127.0.0.1:50051"] * 2)[:2]
    order = create(connect(ordering))
    print(f"order {order.number} ({order.order_id}): {order.total.units}.{order.total.nanos // 10_000_000:02d} USD")
    for transition in watch(connect(notification), order.order_id):
        print(f"  version {transition.version}: {transition.from_status or '-'} -> {transition.to_status}")


if __name__ == "__main__":
    main()
