"""What the tests talk to. scripts/check-clients starts it and sets these variables; clients/testing/server.py explains them."""

import json
import os
import urllib.request
import uuid
from typing import Any

from comanda_client.messages import CreateOrderRequest, Customer, Item, Money

FAULTS = ["CUTTING", "ENDING", "SILENT", "BREAKING"]


def variable(name: str) -> str:
    value = os.environ.get(f"COMANDA_TEST_{name}")
    if not value:
        raise RuntimeError("these tests need a server: run scripts/check-clients python")
    return value


def control(path: str) -> Any:
    with urllib.request.urlopen(f"{variable('SCENARIOS')}/{path}", timeout=30) as answer:
        return answer.read().decode()


def scenarios() -> list[dict[str, Any]]:
    return json.loads(control("scenarios"))  # type: ignore[no-any-return]


def cuts() -> int:
    """How many connections were cut until now."""
    return int(json.loads(control("faults")).get("cutting", 0))


def new_customer() -> str:
    return f"python-{uuid.uuid4()}"


def order_of(customer_id: str) -> CreateOrderRequest:
    item = Item(name="Empanada", quantity=3, unit_price=Money(currency_code="CLP", units=1500))
    return CreateOrderRequest(customer=Customer(customer_id=customer_id), items=[item])
