"""What the tests of all clients talk to, beside a real server: scripted servers, and proxies with faults in front of the real one.

    python server.py ADDRESS HTTP CERTIFICATE KEY >environment

ADDRESS is that of a `comanda all`, HTTP that of its gateway.

Prints the environment variables that the tests need, as lines of a shell script, and serves until it is stopped:

    COMANDA_TEST_ADDRESS       the real server
    COMANDA_TEST_CUTTING ..    the proxies of proxies.py, by their faults
    COMANDA_TEST_HTTP          the gateway
    COMANDA_TEST_CUTTING_HTTP  a proxy before the gateway that cuts connections
    COMANDA_TEST_TLS           a proxy without a fault that speaks TLS, with the certificate COMANDA_TEST_CERTIFICATE
    COMANDA_TEST_MUTE          accepts connections and never answers
    COMANDA_TEST_SCENARIOS     an HTTP server: /scenarios has the scenarios, each with the address that plays it; /verdict/3 says how the calls
                               that scenario 3 got differ from what they must be (nothing where they do not); /authorization/3 has the
                               credentials that came with them; /faults counts the faults of the proxies
"""

import http.server
import json
import pathlib
import socket
import sys

import grpc

import proxies
import scenarios


def main():
    address, web, certificate, key = sys.argv[1:]
    credentials = grpc.ssl_server_credentials([(pathlib.Path(key).read_bytes(), pathlib.Path(certificate).read_bytes())])
    faulty = [proxies.Cutting, proxies.Ending, proxies.Silent, proxies.Breaking, proxies.Forgetful]
    running = {kind.__name__.upper(): kind(address) for kind in faulty} | {"TLS": proxies.Proxy(address, credentials)}
    mute = socket.create_server(("127.0.0.1", 0))
    control = Control(("127.0.0.1", 0), handler(scenarios.serve_all()))
    variables = {name: proxy.address for name, proxy in running.items()} | {
        "ADDRESS": address,
        "HTTP": web,
        "CUTTING_HTTP": proxies.Cutting(web, "cutting_http").address,
        "CERTIFICATE": certificate,
        "MUTE": f"127.0.0.1:{mute.getsockname()[1]}",
        "SCENARIOS": f"http://127.0.0.1:{control.server_port}",
    }
    for name, value in variables.items():
        print(f"export COMANDA_TEST_{name}={value}")
    # The reader waits for the end of the list.
    sys.stdout.flush()
    sys.stdout.close()
    control.serve_forever()


class Control(http.server.ThreadingHTTPServer):
    """Answers what the tests ask beside their calls."""

    # Java's tests ask for all verdicts at about the same time.
    request_queue_size = 128


def handler(played):
    """Answers GET /KIND and GET /KIND/INDEX."""

    def answer(path):
        kind, _, index = path.strip("/").partition("/")
        if kind == "scenarios":
            return json.dumps([scenario.described() for scenario in played])
        if kind == "faults":
            return json.dumps(proxies.faults)
        return {"verdict": scenarios.Scenario.verdict, "authorization": scenarios.Scenario.authorization}[kind](played[int(index)])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer(self.path).encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            # This server closes the connection after each answer. Without this header Java's client tries to reuse it, and fails.
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


if __name__ == "__main__":
    main()
