"""Proxies in front of a server, each with a fault that real networks and proxies have."""

import collections
import concurrent.futures
import contextlib
import random
import selectors
import socket
import struct
import threading

import grpc

# How long a connection or a stream lasts before its fault, in seconds, at random between the two: shorter than the 0.9 s that an order of the
# tests takes, so that each watch meets a fault, and now and then long enough for a client on a busy machine to get on.
SHORTEST_LIFE, LONGEST_LIFE = 0.2, 0.8
# How long a silent stream stays open, in seconds: longer than any test lasts.
LONGEST_SILENCE = 240

# How often each fault happened.
faults = collections.Counter()


def life():
    return random.uniform(SHORTEST_LIFE, LONGEST_LIFE)


class Proxy(grpc.GenericRpcHandler):
    """Passes calls on as bytes. Subclasses add the fault."""

    def __init__(self, target, credentials=None):
        self.channel = grpc.insecure_channel(target)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(100), handlers=[self])
        place = "127.0.0.1:0"
        port = self.server.add_secure_port(place, credentials) if credentials else self.server.add_insecure_port(place)
        self.address = f"127.0.0.1:{port}"
        self.server.start()

    def service(self, details):
        method = details.method
        if method.rpartition("/")[2].startswith("Watch"):
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self.stream(method, request, context))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.call(method, request, context))

    def call(self, method, request, context):
        try:
            return self.channel.unary_unary(method)(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            pass_on(error, context)

    def stream(self, method, request, context):
        upstream = self.channel.unary_stream(method)(request)
        context.add_callback(upstream.cancel)
        try:
            yield from self.responses(upstream, context)
        except grpc.RpcError as error:
            pass_on(error, context)

    def responses(self, upstream, _context):
        yield from upstream


def pass_on(error, context):
    context.set_trailing_metadata(error.trailing_metadata() or ())
    context.abort(error.code(), error.details())


class Timed:
    """Ends an upstream when its time is over, and says whether it did."""

    def __init__(self, upstream):
        self.is_over = False
        self.upstream = upstream
        threading.Timer(life(), self.end).start()

    def end(self):
        self.is_over = True
        self.upstream.cancel()


class Ending(Proxy):
    """Ends streams without an error, as if all had been said."""

    def responses(self, upstream, _context):
        time = Timed(upstream)
        try:
            yield from upstream
        except grpc.RpcError:
            if not time.is_over:
                raise
            faults["ending"] += 1


class Silent(Proxy):
    """Delays each response, and after a while passes nothing on any more, but keeps the stream open."""

    def responses(self, upstream, context):
        time, left = Timed(upstream), threading.Event()
        try:
            for response in upstream:
                left.wait(0.05)
                yield response
        except grpc.RpcError:
            if not time.is_over:
                raise
            faults["silent"] += 1
            if context.add_callback(left.set):
                left.wait(LONGEST_SILENCE)


class Breaking(Proxy):
    """Breaks streams with an error of its own, without details."""

    CODES = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED]

    def responses(self, upstream, context):
        time = Timed(upstream)
        try:
            yield from upstream
        except grpc.RpcError:
            if not time.is_over:
                raise
            faults["breaking"] += 1
            context.abort(random.choice(self.CODES), "upstream connect error or disconnect/reset before headers")


class Forgetful(Proxy):
    """Loses the first answer to each call: the server has done it, and the client is told UNAVAILABLE."""

    def __init__(self, target):
        self.known = set()
        super().__init__(target)

    def call(self, method, request, context):
        answer = super().call(method, request, context)
        if (method, request) not in self.known:
            self.known.add((method, request))
            faults["forgetful"] += 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        return answer


class Cutting:
    """Passes bytes on, and cuts each connection after a while, in the middle of whatever is on the way."""

    def __init__(self, target, fault="cutting"):
        host, _, port = target.rpartition(":")
        self.target, self.fault = (host, int(port)), fault
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(self.target) as server:
            cut = threading.Timer(life(), lambda: self.reset(client))
            cut.daemon = True
            cut.start()
            with contextlib.suppress(OSError):
                relay(client, server)
            cut.cancel()

    def reset(self, connection):
        """Closes at once, as a crash does: what was sent and not read is lost."""
        faults[self.fault] += 1
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)


def relay(one, other):
    """Passes bytes on in both directions until one side closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)

