/** Reading many orders beside a stream, for as long as it takes: all that have not ended, or some by their ids. */

import { create } from "@bufbuild/protobuf";
import type { Client as ServiceClient } from "@connectrpc/connect";

import { Phase, type Order, type OrderView } from "../generated/comanda/v1/order_pb.js";
import { ListOrdersRequestSchema, type OrderService } from "../generated/comanda/v1/order_service_pb.js";
import type { WatchOrdersRequest } from "../generated/comanda/v1/watch_service_pb.js";
import { ComandaError } from "./errors.js";
import { mayRepeat, pause, type Waits } from "./retry.js";

/** The most that the server puts on a page. */
const PAGE_SIZE = 500;
/** The most that the server looks up in one call. */
const MAX_IDS = 100;

/** Reads pages of orders. A page that cannot be read now is read again. */
export class Reader {
  constructor(
    private readonly orders: ServiceClient<typeof OrderService>,
    private readonly waits: () => Waits,
    private readonly signal: AbortSignal,
  ) {}

  /** The orders that a snapshot of this watch holds: those that match and have not ended. */
  async *snapshot({ filter, view }: WatchOrdersRequest): AsyncGenerator<Order[], void> {
    if (filter?.phases.length && !filter.phases.includes(Phase.ACTIVE)) {
      return;
    }
    const { statuses = [], customerId = "", workflow = "" } = filter ?? {};
    const request = create(ListOrdersRequestSchema, { pageSize: PAGE_SIZE, statuses, phases: [Phase.ACTIVE], customerId, workflow, view });
    do {
      const page = await this.#patiently(() => this.orders.listOrders(request, { signal: this.signal }));
      yield page.orders;
      request.pageToken = page.nextPageToken;
    } while (request.pageToken);
  }

  /** The orders with these ids, where they still exist. */
  async *ids(orderIds: string[], view: OrderView): AsyncGenerator<Order[], void> {
    for (let left = orderIds; left.length > 0; ) {
      const request = { orderIds: left.slice(0, MAX_IDS), view };
      const answer = await this.#patiently(() => this.orders.batchGetOrders(request, { signal: this.signal }));
      left = [...left.slice(MAX_IDS), ...answer.leftOutOrderIds];
      yield answer.orders;
    }
  }

  async #patiently<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    for (const waits = this.waits(); ; ) {
      try {
        return await call();
      } catch (thrown) {
        const error = ComandaError.from(thrown);
        if (this.signal.aborted || !mayRepeat(error)) {
          throw error;
        }
        await pause(waits.after(error), this.signal);
      }
    }
  }
}
