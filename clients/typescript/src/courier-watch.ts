/** Watching what a courier has to do. */

import { equals } from "@bufbuild/protobuf";
import type { Client as ServiceClient } from "@connectrpc/connect";

import {
  WatchCourierResponseSchema,
  type DispatchService,
  type WatchCourierRequest,
  type WatchCourierResponse,
} from "../generated/comanda/v1/dispatch_service_pb.js";
import type { Watched } from "./watching.js";

/** What was handed out last of one courier. */
export class CourierWatch implements Watched<WatchCourierResponse> {
  #told: WatchCourierResponse | undefined;

  constructor(
    private readonly dispatch: ServiceClient<typeof DispatchService>,
    private readonly request: WatchCourierRequest,
  ) {}

  open() {
    return (signal: AbortSignal) => this.dispatch.watchCourier(this.request, { signal });
  }

  /** Heartbeats repeat the last response, and another replica may be behind it. */
  *accept(response: WatchCourierResponse): Iterable<WatchCourierResponse> {
    const told = this.#told;
    if (!told || (response.revision >= told.revision && !equals(WatchCourierResponseSchema, response, told))) {
      this.#told = response;
      yield response;
    }
  }
}
