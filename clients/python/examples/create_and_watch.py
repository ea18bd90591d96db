"""Creates an order and watches it to its end.

    python create_and_watch.py [HOST:PORT] [HOST:PORT of notification, where it is elsewhere]
"""

import sys

from comanda_client import Client, ComandaError
from comanda_client.messages import CreateOrderRequest, Customer, Item, Money, WatchOrderRequest


def main() -> None:
    address, *notification = sys.argv[1:] or ["127.0.0.1:50051"]
    with Client(address, addresses={"WatchService": notification[0]} if notification else None) as comanda:
        pizza = Item(name="Pizza Margherita", quantity=2, unit_price=Money(currency_code="USD", units=12, nanos=500_000_000))
        customer = Customer(customer_id="python", email="ana@example.com", locale="es")
        order = comanda.orders.CreateOrder(CreateOrderRequest(customer=customer, items=[pizza])).order
        print(f"order {order.number} ({order.order_id}): {order.total.units}.{order.total.nanos // 10_000_000:02d} USD")
        for event in comanda.watch_order(WatchOrderRequest(order_id=order.order_id)):
            if event.WhichOneof("event") == "transition":
                moved = event.transition
                print(f"  version {moved.version}: {moved.from_status or '-'} -> {moved.to_status}")


if __name__ == "__main__":
    try:
        main()
    except ComandaError as error:
        sys.exit(f"{error}; the call was {'not applied' if error.outcome.value == 'not_applied' else 'perhaps applied'}")
