/** What runs in a browser: browser.test.ts calls each function, with arguments and answers that can be sent there. */

import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

import { Client, codeName, ComandaError } from "../src/index.js";
import { orderOf } from "./environment.js";

const TRANSPORTS = { Connect: createConnectTransport, "gRPC-Web": createGrpcWebTransport };

/** How to reach the gateway. */
export interface Way {
  protocol: keyof typeof TRANSPORTS;
  url: string;
}

function client({ protocol, url }: Way, deadlineMs = 30_000, fetch = globalThis.fetch): Client {
  const transport = TRANSPORTS[protocol]({ baseUrl: url, fetch: (...request) => fetch(...request) });
  return new Client(transport, { firstWaitMs: 10, longestWaitMs: 100, deadlineMs });
}

/** Creates an order, and returns the versions that a watch of it tells. */
export async function watchOne(way: Way, customerId: string): Promise<string[]> {
  const comanda = client(way);
  const { order } = await comanda.orders.createOrder(orderOf(customerId));
  const versions: string[] = [];
  for await (const { event } of comanda.watchOrder({ orderId: order!.orderId })) {
    if (event.case === "transition") {
      versions.push(`${event.value.version}`);
    }
  }
  return versions;
}

/** Creates three orders, and returns the versions that a watch of all of this customer tells of each. */
export async function watchMany(way: Way, customerId: string, last: string): Promise<string[][]> {
  const comanda = client(way);
  const told = new Map<string, string[]>();
  for await (const { event } of comanda.watchOrders({ filter: { customerId }, start: { case: "now", value: {} } })) {
    if (event.case === "heartbeat" && told.size === 0) {
      // From its first heartbeat on the watch tells everything.
      for (let order = 0; order < 3; order += 1) {
        told.set((await comanda.orders.createOrder(orderOf(customerId))).order!.orderId, []);
      }
    } else if (event.case === "transition") {
      told.get(event.value.orderId)?.push(`${event.value.version}`);
    }
    if (told.size === 3 && [...told.values()].every((versions) => versions.at(-1) === last)) {
      break;
    }
  }
  return [...told.values()];
}

/** Begins and leaves a watch, and returns whether its requests were ended then. A browser opens six connections to a server at most. */
export async function leave(way: Way): Promise<boolean[]> {
  const requests: (AbortSignal | null | undefined)[] = [];
  const comanda = client(way, undefined, (input, init) => {
    requests.push(init?.signal);
    return fetch(input, init);
  });
  for await (const { event } of comanda.watchOrders({ start: { case: "now", value: {} } })) {
    if (event.case === "heartbeat") {
      break;
    }
  }
  return requests.map((signal) => signal?.aborted ?? false);
}

/** What an order is told that has neither a customer nor a quantity. */
export async function refuse(way: Way): Promise<Record<string, unknown>> {
  try {
    await client(way).orders.createOrder({ items: [{ name: "Pizza", unitPrice: { currencyCode: "USD", units: 1n } }] });
  } catch (error) {
    if (error instanceof ComandaError) {
      const { code, reason, outcome, violations } = error;
      return { code: codeName(code), reason, outcome, fields: violations.map(({ field }) => field) };
    }
    throw error;
  }
  return {};
}

/** The price of an item as it comes back. */
export async function price(way: Way, customerId: string, units: string): Promise<string> {
  const items = [{ name: "Island", quantity: 1, unitPrice: { currencyCode: "USD", units: BigInt(units) } }];
  const { order } = await client(way).orders.createOrder({ customer: { customerId }, items });
  return `${order?.items[0]?.unitPrice?.units}`;
}

/** The outcome of creating an order. */
export async function create(way: Way, customerId: string, deadlineMs: number): Promise<string> {
  try {
    await client(way, deadlineMs).orders.createOrder(orderOf(customerId));
    return "created";
  } catch (error) {
    return String(error);
  }
}
