"""Servers that answer by the scripts of clients/scenarios.json, one for each scenario, and judge the calls that arrived."""

import concurrent.futures
import json
import pathlib
import threading

import grpc
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

from comanda.v1 import order_service_pb2, order_service_pb2_grpc, watch_service_pb2, watch_service_pb2_grpc

SCENARIOS = pathlib.Path(__file__).parent.parent / "scenarios.json"
# A client under test leaves a silent stream long before so many seconds have passed.
LONGEST_STALL = 60


def serve_all():
    """Starts a server for each scenario."""
    return [Scenario(scenario) for scenario in json.loads(SCENARIOS.read_text())]


class Script:
    """The calls that arrived, and the answers to give, first to last."""

    def __init__(self, answers, expected, message):
        self.answers = list(answers)
        self.expected = expected
        self.message = message
        self.asked = []
        self.authorization = ""

    def next(self, request, context):
        self.asked.append(request)
        self.authorization = dict(context.invocation_metadata()).get("authorization", "")
        if not self.answers:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the script is over")
        return self.answers.pop(0)

    def answer(self, request, context):
        step = self.next(request, context)
        if "end" in step:
            end(step["end"], context)
        return json_format.ParseDict(step["response"], self.message())

    def stream(self, request, context):
        for step in self.next(request, context):
            if "end" in step:
                end(step["end"], context)
            if "stall" in step:
                stall(context)
                return
            yield json_format.ParseDict(step["send"], self.message())

    def difference(self, request_type):
        expected = [json_format.ParseDict(call, request_type()) for call in self.expected]
        if self.asked == expected:
            return []
        asked = [json_format.MessageToDict(call) for call in self.asked]
        return [f"{request_type.DESCRIPTOR.name}: expected {json.dumps(self.expected)}, got {json.dumps(asked)}"]


class Scenario:
    """One scenario and the server that plays it."""

    def __init__(self, scenario):
        self.scenario = scenario
        is_create, is_one = scenario["rpc"] == "CreateOrder", scenario["rpc"] == "WatchOrder"
        calls = scenario["calls"]
        response = watch_service_pb2.WatchOrderResponse if is_one else watch_service_pb2.WatchOrdersResponse
        self.create = Script(
            scenario.get("answers", []), calls if is_create else [], order_service_pb2.CreateOrderResponse
        )
        self.watch = Script(scenario.get("streams", []), [] if is_create else calls, response)
        self.list = Script(scenario.get("pages", []), scenario.get("listCalls", []), order_service_pb2.ListOrdersResponse)
        self.look_up = Script(
            scenario.get("lookUps", []), scenario.get("lookUpCalls", []), order_service_pb2.BatchGetOrdersResponse
        )
        self.watch_request = watch_service_pb2.WatchOrderRequest if is_one else watch_service_pb2.WatchOrdersRequest
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(20))
        self.register()
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def register(self):
        orders = order_service_pb2_grpc.OrderServiceServicer()
        orders.CreateOrder, orders.ListOrders, orders.BatchGetOrders = self.create.answer, self.list.answer, self.look_up.answer
        watches = watch_service_pb2_grpc.WatchServiceServicer()
        watches.WatchOrder = watches.WatchOrders = self.watch.stream
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(orders, self.server)
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(watches, self.server)

    def described(self):
        """The scenario with the address at which it is played."""
        return self.scenario | {"address": self.address, "stalls": "stall" in json.dumps(self.scenario.get("streams", []))}

    def verdict(self):
        """How the calls that arrived differ from those that must arrive; empty where they do not."""
        return "\n".join(
            self.create.difference(order_service_pb2.CreateOrderRequest)
            + self.watch.difference(self.watch_request)
            + self.list.difference(order_service_pb2.ListOrdersRequest)
            + self.look_up.difference(order_service_pb2.BatchGetOrdersRequest)
        )

    def authorization(self):
        """The credentials that came with the last call."""
        return self.create.authorization or self.watch.authorization


def stall(context):
    left = threading.Event()
    if context.add_callback(left.set) and not left.wait(LONGEST_STALL):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the client stayed with a silent stream")


def end(how, context):
    """Ends a call or stream with an error, with details where it has a reason."""
    code = grpc.StatusCode[how["code"]]
    if "reason" in how:
        detail = any_pb2.Any()
        detail.Pack(
            error_details_pb2.ErrorInfo(reason=how["reason"], domain="comanda.dev", metadata=how.get("metadata", {}))
        )
        details = status_pb2.Status(code=code.value[0], details=[detail]).SerializeToString()
        context.set_trailing_metadata([("grpc-status-details-bin", details)])
    context.abort(code, "")
