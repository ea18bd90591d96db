/** Watching one order until it has ended. */

import type { Client as ServiceClient } from "@connectrpc/connect";
import { clone } from "@bufbuild/protobuf";

import {
  WatchOrderRequestSchema,
  type WatchOrderRequest,
  type WatchOrderResponse,
  type WatchService,
} from "../generated/comanda/v1/watch_service_pb.js";
import type { ComandaError } from "./errors.js";
import { isTerminal } from "./seen.js";
import { onlyAboutTheRequest, type Watched } from "./watching.js";

/** After the last transition the server ends the stream at once; a proxy may keep it open. In milliseconds. */
const AFTER_THE_END = 5000;

/** What was seen of one order. */
export class OrderWatch implements Watched<WatchOrderResponse> {
  /** Asks for what comes after the last version seen. */
  readonly #request: WatchOrderRequest;
  #hasEnded = false;
  #isCurrentTold = false;

  constructor(
    private readonly watches: ServiceClient<typeof WatchService>,
    request: WatchOrderRequest,
  ) {
    this.#request = clone(WatchOrderRequestSchema, request);
  }

  open() {
    return (signal: AbortSignal) => this.watches.watchOrder(this.#request, { signal });
  }

  *accept(response: WatchOrderResponse): Iterable<WatchOrderResponse> {
    if (this.#isNew(response)) {
      yield response;
    }
  }

  patience = (): number => (this.#hasEnded ? AFTER_THE_END : Infinity);

  interrupted = (error: ComandaError) => (this.#hasEnded ? "over" : onlyAboutTheRequest(error));

  #isNew({ event }: WatchOrderResponse): boolean {
    switch (event.case) {
      case "transition": {
        this.#hasEnded ||= isTerminal(event.value.phase);
        const isNew = event.value.version > this.#request.afterVersion;
        this.#request.afterVersion = isNew ? event.value.version : this.#request.afterVersion;
        return isNew;
      }
      case "current": {
        this.#hasEnded ||= isTerminal(event.value.phase);
        const wasTold = this.#isCurrentTold;
        this.#isCurrentTold = true;
        return !wasTold;
      }
      case "courier":
        return true;
      default:
        return false;
    }
  }
}
