"""Runs the scenarios of clients/scenarios.json against comanda_client.py.

    python test_scenarios.py

A server answers by their scripts; the calls that it gets, what the client tells, and how the call or watch ends must be as they say.
Needs what create_and_watch.py needs.
"""

import concurrent.futures
import json
import pathlib
import sys
import threading

import grpc
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

import comanda_client
from comanda.v1 import order_service_pb2, order_service_pb2_grpc, watch_service_pb2, watch_service_pb2_grpc

CLIENTS = pathlib.Path(__file__).parent.parent
SCENARIOS = CLIENTS / "scenarios.json"
SERVICE_CONFIG = CLIENTS / "service-config.json"

comanda_client.FIRST_WAIT, comanda_client.LONGEST_WAIT = 0.001, 0.005


class Script:
    """The calls that arrived, and the answers to give, first to last."""

    def __init__(self, answers, message):
        self.answers = list(answers)
        self.message = message
        self.asked = []

    def next(self, request, context):
        copy = type(request)()
        copy.CopyFrom(request)
        self.asked.append(copy)
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
                left = threading.Event()
                context.add_callback(left.set)
                left.wait(30)
                return
            yield json_format.ParseDict(step["send"], self.message())


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


class Scenario:
    def __init__(self, scenario):
        self.scenario = scenario
        self.name = scenario["name"]
        self.create = Script(scenario.get("answers", []), order_service_pb2.CreateOrderResponse)
        self.list = Script(scenario.get("pages", []), order_service_pb2.ListOrdersResponse)
        self.look_up = Script(scenario.get("lookUps", []), order_service_pb2.BatchGetOrdersResponse)
        is_one = scenario["rpc"] == "WatchOrder"
        response = watch_service_pb2.WatchOrderResponse if is_one else watch_service_pb2.WatchOrdersResponse
        self.watch = Script(scenario.get("streams", []), response)

    def run(self, client=None):
        """Serves while `client`, or else what the scenario names, talks to the server."""
        # Short only where a stream falls silent: on a busy machine any stream may for a second.
        comanda_client.SILENCE = 2 if "stall" in json.dumps(self.scenario.get("streams", [])) else 60
        with concurrent.futures.ThreadPoolExecutor(20) as threads:
            server = grpc.server(threads)
            self.serve(server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            try:
                (client or self.talk)(f"127.0.0.1:{port}")
            finally:
                server.stop(0).wait()

    def talk(self, address):
        with grpc.insecure_channel(address) as channel:
            getattr(self, self.scenario["rpc"])(channel)

    def serve(self, server):
        orders = order_service_pb2_grpc.OrderServiceServicer()
        orders.CreateOrder = self.create.answer
        orders.ListOrders = self.list.answer
        orders.BatchGetOrders = self.look_up.answer
        watches = watch_service_pb2_grpc.WatchServiceServicer()
        watches.WatchOrder = self.watch.stream
        watches.WatchOrders = self.watch.stream
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(orders, server)
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(watches, server)

    def CreateOrder(self, channel):
        request = json_format.ParseDict(self.scenario["request"], order_service_pb2.CreateOrderRequest())
        outcome = "OK"
        try:
            comanda_client.call(order_service_pb2_grpc.OrderServiceStub(channel).CreateOrder, request)
        except comanda_client.Error as error:
            outcome = error.code.name
        self.expect("outcome", outcome)
        self.expect_calls("calls", self.create, order_service_pb2.CreateOrderRequest)

    def WatchOrder(self, channel):
        request = json_format.ParseDict(self.scenario["request"], watch_service_pb2.WatchOrderRequest())
        told, outcome = [], "OK"
        try:
            for response in comanda_client.watch_order(watch_service_pb2_grpc.WatchServiceStub(channel), request):
                event = response.WhichOneof("event")
                told_of = getattr(response, event)
                told.append(f"{event} {told_of.attempt if event == 'courier' else told_of.version}")
        except comanda_client.Error as error:
            outcome = error.code.name
        self.expect("told", told)
        self.expect("outcome", outcome)
        self.expect_calls("calls", self.watch, watch_service_pb2.WatchOrderRequest)

    def WatchOrders(self, channel):
        request = json_format.ParseDict(self.scenario["request"], watch_service_pb2.WatchOrdersRequest())
        watches = watch_service_pb2_grpc.WatchServiceStub(channel)
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        versions, snapshots = {}, 0
        try:
            for response in comanda_client.watch_orders(watches, orders, request):
                event = response.WhichOneof("event")
                waits = "snapshot" in self.scenario["request"] and not snapshots and event != "snapshot_complete"
                self.check("no token skips orders", not (waits and response.resume_token))
                if event == "snapshot_complete":
                    snapshots += 1
                    self.check("a complete snapshot has a token", bool(response.resume_token))
                elif event != "heartbeat":
                    moved = getattr(response, event)
                    self.check("versions rise", moved.version > versions.get(moved.order_id, 0))
                    versions[moved.order_id] = moved.version
        except comanda_client.Error as error:
            self.expect("outcome", error.code.name)
        self.expect("versions", versions)
        self.expect("snapshots", snapshots)
        self.expect_calls("calls", self.watch, watch_service_pb2.WatchOrdersRequest)
        self.expect_calls("listCalls", self.list, order_service_pb2.ListOrdersRequest)
        self.expect_calls("lookUpCalls", self.look_up, order_service_pb2.BatchGetOrdersRequest)

    def expect_calls(self, key, script, message):
        expected = [json_format.ParseDict(call, message()) for call in self.scenario.get(key, [])]
        self.check(f"{key}: {script.asked}", script.asked == expected)

    def expect(self, key, found):
        self.check(f"{key}: {found}", found == self.scenario[key])

    def check(self, what, holds):
        if not holds:
            raise AssertionError(f"{self.name}: {what}")


def check_service_config():
    """With clients/service-config.json a plain stub repeats a call by itself."""
    scenario = Scenario({"name": "service config", "rpc": "CreateOrder", "answers": [{"end": {"code": "UNAVAILABLE"}}, {"response": {}}]})

    def plain_call(address):
        options = [("grpc.service_config", SERVICE_CONFIG.read_text())]
        with grpc.insecure_channel(address, options=options) as channel:
            request = order_service_pb2.CreateOrderRequest(request_id="018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60")
            order_service_pb2_grpc.OrderServiceStub(channel).CreateOrder(request)
        scenario.check("the call is repeated", len(scenario.create.asked) == 2)

    scenario.run(plain_call)


def main():
    scenarios = [Scenario(scenario) for scenario in json.loads(SCENARIOS.read_text())]
    failures = []
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        jobs = [check_service_config, *(scenario.run for scenario in scenarios)]
        for running in [threads.submit(job) for job in jobs]:
            try:
                running.result()
            except Exception as failure:  # All scenarios are run, and all that fail are told.
                failures.append(f"{type(failure).__name__}: {failure}")
    print("\n".join(failures) or f"{len(scenarios)} scenarios: ok")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
