/** Watching all orders that match a filter. */

import { clone, create } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, type Client as ServiceClient } from "@connectrpc/connect";

import type { Order } from "../generated/comanda/v1/order_pb.js";
import {
  NowSchema,
  SnapshotCompleteSchema,
  SnapshotSchema,
  WatchOrdersRequestSchema,
  WatchOrdersResponseSchema,
  type WatchOrdersRequest,
  type WatchOrdersResponse,
  type WatchService,
} from "../generated/comanda/v1/watch_service_pb.js";
import { ComandaError } from "./errors.js";
import type { Reader } from "./reader.js";
import { mayResume } from "./retry.js";
import { Seen } from "./seen.js";
import type { Stream } from "./stream.js";
import { onlyAboutTheRequest, type Watched } from "./watching.js";

const NO_TOKEN = new Uint8Array();

/** Where the next stream starts, and what was handed out. */
export class OrdersWatch implements Watched<WatchOrdersResponse> {
  readonly #request: WatchOrdersRequest;
  readonly #seen = new Seen();
  /**
   * Whether orders must be listed as soon as the stream is open: what moves from then on comes from the stream, so nothing is missed between
   * the two.
   */
  #isListingDue = false;

  constructor(
    private readonly watches: ServiceClient<typeof WatchService>,
    private readonly reader: Reader,
    request: WatchOrdersRequest,
  ) {
    this.#request = clone(WatchOrdersRequestSchema, request);
    if (!request.start.case) {
      this.#startWithSnapshot();
    }
  }

  open() {
    if (this.#request.start.case === "snapshot") {
      this.#seen.beginSnapshot();
    }
    const request = clone(WatchOrdersRequestSchema, this.#request);
    return (signal: AbortSignal) => this.watches.watchOrders(request, { signal });
  }

  async *accept(response: WatchOrdersResponse, stream: Stream<WatchOrdersResponse>): AsyncIterable<WatchOrdersResponse> {
    this.#noteToken(response);
    if (!this.#isListingDue && response.event.case !== "snapshotComplete") {
      yield* this.#tell(response);
      return;
    }
    // What is left to be read comes first: before that no token holds.
    yield* this.#tellWithoutToken(response);
    yield* this.#readRest(stream);
    this.#isListingDue = false;
    yield this.#complete();
  }

  /** Chooses from where the next stream starts. */
  interrupted = (error: ComandaError) => {
    if (error.reason === "SNAPSHOT_TOO_LARGE") {
      this.#request.start = { case: "now", value: create(NowSchema) };
      this.#isListingDue = true;
      return "open at once";
    }
    if (error.code === Code.OutOfRange && (error.reason === undefined || error.reason === "TOKEN_EXPIRED")) {
      this.#startWithSnapshot();
      return "open after a wait";
    }
    const next = onlyAboutTheRequest(error);
    // Before the first token only the error can tell where the stream was.
    const token = this.#request.start.case === "now" ? tokenOf(error) : NO_TOKEN;
    if (token.length > 0) {
      this.#request.start = { case: "resumeToken", value: token };
    }
    return next;
  };

  #startWithSnapshot(): void {
    this.#request.start = { case: "snapshot", value: create(SnapshotSchema) };
    this.#isListingDue = false;
  }

  #complete(): WatchOrdersResponse {
    const { start } = this.#request;
    return create(WatchOrdersResponseSchema, {
      event: { case: "snapshotComplete", value: create(SnapshotCompleteSchema) },
      resumeToken: start.case === "resumeToken" ? start.value : NO_TOKEN,
    });
  }

  #noteToken({ resumeToken }: WatchOrdersResponse): void {
    // While a snapshot is sent there is no token: a break then starts the snapshot again.
    if (resumeToken.length > 0) {
      this.#request.start = { case: "resumeToken", value: resumeToken };
    }
  }

  *#tell(response: WatchOrdersResponse): Iterable<WatchOrdersResponse> {
    const { event } = response;
    const isMove = event.case === "transition" || event.case === "current";
    if (isMove ? this.#seen.isNew(event.value) : event.case === "heartbeat") {
      yield response;
    }
  }

  /** A watch that went on from this token would miss what is still to be read. */
  *#tellWithoutToken(response: WatchOrdersResponse): Iterable<WatchOrdersResponse> {
    if (response.event.case !== "heartbeat") {
      yield* this.#tell({ ...response, resumeToken: NO_TOKEN });
    }
  }

  /** Yields the orders that the stream alone does not show, and between them what it sends meanwhile. */
  async *#readRest(stream: Stream<WatchOrdersResponse>): AsyncIterable<WatchOrdersResponse> {
    if (this.#isListingDue) {
      for await (const page of this.reader.snapshot(this.#request)) {
        yield* this.#merge(stream, page);
      }
    }
    for await (const page of this.reader.ids(this.#seen.missing(), this.#request.view)) {
      yield* this.#merge(stream, page);
    }
  }

  async *#merge(stream: Stream<WatchOrdersResponse>, page: Order[]): AsyncIterable<WatchOrdersResponse> {
    for (const order of page) {
      yield* this.#tell(create(WatchOrdersResponseSchema, { event: { case: "current", value: order } }));
    }
    while (stream.hasWaiting) {
      const response = await next(stream);
      if (!response) {
        return;
      }
      this.#noteToken(response);
      yield* this.#tellWithoutToken(response);
    }
  }
}

/** The next response; nothing where the stream has broken: the watch meets that again when everything is read, and then resumes. */
async function next(stream: Stream<WatchOrdersResponse>): Promise<WatchOrdersResponse | undefined> {
  try {
    return await stream.next(0);
  } catch (thrown) {
    if (thrown instanceof ComandaError && mayResume(thrown)) {
      return undefined;
    }
    throw thrown;
  }
}

function tokenOf(error: ComandaError): Uint8Array<ArrayBuffer> {
  try {
    return base64Decode(error.metadata["resume_token"] ?? "");
  } catch {
    return NO_TOKEN;
  }
}
