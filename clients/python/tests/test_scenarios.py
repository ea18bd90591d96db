"""Every scenario of clients/scenarios.json ends as it says."""

import concurrent.futures
import unittest
from typing import Any

from comanda.v1 import order_service_pb2, watch_service_pb2
from google.protobuf import json_format

from comanda_client import Client, ComandaError, Outcome
from environment import control, scenarios

Found = dict[str, Any]


class Scenarios(unittest.TestCase):
    def test_every_scenario_ends_as_it_says(self) -> None:
        all_scenarios = scenarios()
        self.assertGreater(len(all_scenarios), 40)
        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            running = [threads.submit(run, index, scenario) for index, scenario in enumerate(all_scenarios)]
        for scenario, ended in zip(all_scenarios, running):
            with self.subTest(scenario["name"]):
                found = ended.result()
                self.assertEqual(found, {key: scenario[key] for key in found if key != "verdict"} | {"verdict": ""})


def run(index: int, scenario: Found) -> Found:
    """What the client tells, and what the server says of its calls."""
    # Short only where a stream falls silent: on a busy machine any stream may for a second.
    silence = 2.0 if scenario["stalls"] else 60.0
    token = f"token-{index}"
    with Client(scenario["address"], token=token, silence=silence, first_wait=0.001, longest_wait=0.005) as comanda:
        found = TALK[scenario["rpc"]](comanda, scenario)
    if control(f"authorization/{index}") != f"Bearer {token}":
        raise AssertionError("the token was not sent")
    return found | {"verdict": control(f"verdict/{index}")}


def create(comanda: Client, scenario: Found) -> Found:
    try:
        comanda.orders.CreateOrder(json_format.ParseDict(scenario["request"], order_service_pb2.CreateOrderRequest()))
        return {"outcome": "OK"}
    except ComandaError as error:
        assert error.outcome == Outcome.NOT_APPLIED
        return {"outcome": error.code.name}


def watch_order(comanda: Client, scenario: Found) -> Found:
    told, outcome = [], "OK"
    try:
        for response in comanda.watch_order(json_format.ParseDict(scenario["request"], watch_service_pb2.WatchOrderRequest())):
            event = response.WhichOneof("event")
            assert event
            told_of = getattr(response, event)
            told.append(f"{event} {told_of.attempt if event == 'courier' else told_of.version}")
    except ComandaError as error:
        outcome = error.code.name
    return {"told": told, "outcome": outcome}


def watch_orders(comanda: Client, scenario: Found) -> Found:
    versions: dict[str, int] = {}
    snapshots, outcome = 0, "OK"
    try:
        for response in comanda.watch_orders(json_format.ParseDict(scenario["request"], watch_service_pb2.WatchOrdersRequest())):
            event = response.WhichOneof("event")
            snapshots += event == "snapshot_complete"
            if "snapshot" in scenario["request"] and not snapshots and response.resume_token:
                raise AssertionError("a token that would skip orders")
            if event == "snapshot_complete" and not response.resume_token:
                raise AssertionError("a complete snapshot without a token")
            if event in ("transition", "current"):
                moved = response.transition if event == "transition" else response.current
                if moved.version <= versions.get(moved.order_id, 0):
                    raise AssertionError(f"version {moved.version} after {versions[moved.order_id]}")
                versions[moved.order_id] = moved.version
    except ComandaError as error:
        outcome = error.code.name
    return {"versions": versions, "snapshots": snapshots, "outcome": outcome}


TALK = {"CreateOrder": create, "WatchOrder": watch_order, "WatchOrders": watch_orders}

if __name__ == "__main__":
    unittest.main()
