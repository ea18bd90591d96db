/** Connecting in Node.js, over gRPC. */

import type { SecureClientSessionOptions } from "node:http2";

import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { Client, type ClientOptions, type ServiceName } from "./client.js";

/** Pings find out whether the other side of a silent stream is still there. */
const PINGS = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 };
/** Well above the largest page, which is about 1 MiB. */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

/** How to connect, and how patient to be. */
export interface ConnectOptions extends Omit<ClientOptions, "transports"> {
  /** True for TLS with the system's certificates, or options such as `ca`, `cert` and `key`. Without TLS everybody on the way can read a token. */
  tls?: boolean | Pick<SecureClientSessionOptions, "ca" | "cert" | "key" | "passphrase" | "servername" | "rejectUnauthorized">;
  /** Addresses of services that are elsewhere: `{ WatchService: "10.0.0.3:50053" }`. */
  addresses?: Partial<Record<ServiceName, string>>;
}

class NodeClient extends Client {
  readonly #sessions: Map<string, Http2SessionManager>;

  constructor(address: string, { tls = false, addresses = {}, ...options }: ConnectOptions) {
    const sessions = new Map<string, Http2SessionManager>();
    const to = (place: string) => transport(place, tls, sessions);
    const elsewhere = Object.entries(addresses).map(([service, place]) => [service, to(place)]);
    super(to(address), { ...options, transports: Object.fromEntries(elsewhere) });
    this.#sessions = sessions;
  }

  override close(): void {
    super.close();
    this.#sessions.forEach((session) => session.abort());
  }
}

/** A client of the server at HOST:PORT. It connects at its first call, and the connections repair themselves. */
export function connect(address = "127.0.0.1:50051", options: ConnectOptions = {}): Client {
  return new NodeClient(address, options);
}

/** Services at one address share a connection. */
function transport(address: string, tls: ConnectOptions["tls"], sessions: Map<string, Http2SessionManager>) {
  const baseUrl = `${tls ? "https" : "http"}://${address}`;
  const session = sessions.get(baseUrl) ?? new Http2SessionManager(baseUrl, PINGS, typeof tls === "object" ? tls : undefined);
  sessions.set(baseUrl, session);
  return createGrpcTransport({ baseUrl, sessionManager: session, readMaxBytes: MAX_RESPONSE_BYTES });
}
