/** The one object to call. It runs in Node.js and in browsers, over any transport. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, Code, type Client as ServiceClient, type Transport } from "@connectrpc/connect";

import { AnalyticsService } from "../generated/comanda/v1/analytics_service_pb.js";
import { DispatchService, WatchCourierRequestSchema, type WatchCourierResponse } from "../generated/comanda/v1/dispatch_service_pb.js";
import { LifecycleService } from "../generated/comanda/v1/lifecycle_service_pb.js";
import { MailService } from "../generated/comanda/v1/mail_service_pb.js";
import { OrderService } from "../generated/comanda/v1/order_service_pb.js";
import {
  WatchOrderRequestSchema,
  WatchOrdersRequestSchema,
  WatchService,
  type WatchOrderResponse,
  type WatchOrdersResponse,
} from "../generated/comanda/v1/watch_service_pb.js";
import { patient, type Token } from "./calls.js";
import { CourierWatch } from "./courier-watch.js";
import { ComandaError } from "./errors.js";
import { OrderWatch } from "./order-watch.js";
import { OrdersWatch } from "./orders-watch.js";
import { Reader } from "./reader.js";
import { Waits } from "./retry.js";
import { watch, type Watching } from "./watching.js";

/** The services of the API. */
export type ServiceName = "OrderService" | "LifecycleService" | "WatchService" | "MailService" | "DispatchService" | "AnalyticsService";

/** How patient to be. */
export interface ClientOptions {
  /** Sent with every call as a bearer token; or a function that returns it, for tokens that lapse. */
  token?: Token;
  /** The time for each call, with its repetitions. `timeoutMs` of a call overrides it. Watches have none. Default: 10 s. */
  deadlineMs?: number;
  /** A stream that sends nothing for so long, not even a heartbeat, is opened again. Default: 45 s, three heartbeats. */
  silenceMs?: number;
  /** The wait before a call is repeated or a watch resumed, doubled with each failure in a row; jitter may double each. Default: 250 ms. */
  firstWaitMs?: number;
  /** The longest such wait. Default: 15 s. */
  longestWaitMs?: number;
  /** Transports of services that are elsewhere. */
  transports?: Partial<Record<ServiceName, Transport>>;
}

/** How to end a watch, beside leaving its loop. */
export interface WatchOptions {
  /** The watch throws the reason of this signal once it is aborted. */
  signal?: AbortSignal;
}

/**
 * A client of Comanda. The services are generated; each call has a deadline, is repeated where that is safe, and fails with a ComandaError.
 * The contract of each is at its rpc in proto/comanda/v1. The watches resume; the streams of `watches` do not.
 */
export class Client {
  readonly orders: ServiceClient<typeof OrderService>;
  readonly lifecycle: ServiceClient<typeof LifecycleService>;
  readonly watches: ServiceClient<typeof WatchService>;
  readonly mails: ServiceClient<typeof MailService>;
  readonly dispatch: ServiceClient<typeof DispatchService>;
  readonly analytics: ServiceClient<typeof AnalyticsService>;
  readonly #silenceMs: number;
  readonly #waits: () => Waits;
  readonly #closed = new AbortController();

  /** Over a transport of Connect: gRPC in Node.js (`connect` of comanda-client/node makes it), gRPC-Web or Connect in browsers. */
  constructor(transport: Transport, options: ClientOptions = {}) {
    const { token, deadlineMs = 10_000, silenceMs = 45_000, firstWaitMs = 250, longestWaitMs = 15_000, transports = {} } = options;
    this.#silenceMs = silenceMs;
    this.#waits = () => new Waits(firstWaitMs, longestWaitMs);
    const to = (service: ServiceName) => patient(transports[service] ?? transport, { token, deadlineMs, waits: this.#waits });
    this.orders = createClient(OrderService, to("OrderService"));
    this.lifecycle = createClient(LifecycleService, to("LifecycleService"));
    this.watches = createClient(WatchService, to("WatchService"));
    this.mails = createClient(MailService, to("MailService"));
    this.dispatch = createClient(DispatchService, to("DispatchService"));
    this.analytics = createClient(AnalyticsService, to("AnalyticsService"));
  }

  /**
   * Yields the events of one order until it has ended: each transition once and in order. After the transitions that had happened comes
   * `current` once, the order as it is. A `courier` replaces the one before. A stream that breaks, falls silent or ends too early is resumed,
   * for as long as it takes. Errors about the request are thrown.
   */
  watchOrder(request: MessageInitShape<typeof WatchOrderRequestSchema>, options?: WatchOptions): AsyncGenerator<WatchOrderResponse, void> {
    return watch(new OrderWatch(this.watches, create(WatchOrderRequestSchema, request)), this.#watching(options));
  }

  /**
   * Yields what happens to all orders that match, without end, and each version of an order once. Starts as the request says, else with a
   * snapshot. Resumes by token. Where the token has expired a snapshot is taken again; where more orders match than a snapshot may hold, they
   * are listed page by page beside the stream. Orders that it has shown and that have ended meanwhile are then read by their ids. After
   * that comes `snapshotComplete`. Errors about the request are thrown.
   *
   * Keep the `resumeToken` of a response where there is one: a later watch with the same filter can start there.
   */
  watchOrders(request: MessageInitShape<typeof WatchOrdersRequestSchema>, options?: WatchOptions): AsyncGenerator<WatchOrdersResponse, void> {
    const watching = this.#watching(options);
    const reader = new Reader(this.orders, this.#waits, watching.signal);
    return watch(new OrdersWatch(this.watches, reader, create(WatchOrdersRequestSchema, request)), watching);
  }

  /** Yields what a courier has to do, without end: each response replaces the one before. Errors about the request are thrown. */
  watchCourier(request: MessageInitShape<typeof WatchCourierRequestSchema>, options?: WatchOptions): AsyncGenerator<WatchCourierResponse, void> {
    return watch(new CourierWatch(this.dispatch, create(WatchCourierRequestSchema, request)), this.#watching(options));
  }

  /** Ends all watches: they fail with CANCELLED. */
  close(): void {
    this.#closed.abort(new ComandaError(Code.Canceled, "the client was closed"));
  }

  #watching({ signal }: WatchOptions = {}): Watching {
    const signals = signal ? [signal, this.#closed.signal] : [this.#closed.signal];
    return { silenceMs: this.#silenceMs, waits: this.#waits, signal: AbortSignal.any(signals) };
  }
}
