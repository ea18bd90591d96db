/** The client against a real server, directly and through proxies that cut, end, silence and break what passes them. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { codeName, Code, ComandaError, CourierStatus, type Client } from "../src/index.js";
import { connect } from "../src/node.js";
import { cuts, FAULTS, newCustomer, orderOf, variable } from "./environment.js";

/** Every order of the shipped workflow "delivery": received, preparing, dispatched, delivered. */
const VERSIONS = [1n, 2n, 3n, 4n];
const LAST = VERSIONS.at(-1);
const HERE = { position: { latitude: -33.437, longitude: -70.651 } };

/** A client that notices a silent stream soon. */
async function using<T>(fault: string, talk: (comanda: Client) => Promise<T>): Promise<T> {
  const comanda = connect(variable(fault), { silenceMs: 1500, firstWaitMs: 10, longestWaitMs: 100, deadlineMs: 30_000 });
  try {
    return await talk(comanda);
  } finally {
    comanda.close();
  }
}

async function failure(call: Promise<unknown>): Promise<ComandaError> {
  const error = await call.then(
    () => assert.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ComandaError, String(error));
  return error;
}

async function create(comanda: Client, customer: string, more: { workflow?: string; trip?: object } = {}): Promise<string> {
  const { order } = await comanda.orders.createOrder({ ...orderOf(customer), ...more });
  assert.ok(order);
  return order.orderId;
}

/** A courier that takes the jobs of a zone. */
async function courierIn(comanda: Client, zone: string): Promise<string> {
  const courierId = `typescript-${crypto.randomUUID()}`;
  await comanda.dispatch.registerCourier({ courier: { courierId, name: "Maria", zone } });
  await comanda.dispatch.reportLocation({ courierId, location: HERE });
  await comanda.dispatch.setCourierStatus({ courierId, status: CourierStatus.AVAILABLE });
  return courierId;
}

async function countOrders(comanda: Client, customerId: string): Promise<number> {
  return (await comanda.orders.listOrders({ customerId })).orders.length;
}

for (const fault of ["ADDRESS", ...FAULTS]) {
  describe(`watches, ${fault}`, { timeout: 60_000 }, () => {
    test("a watch of one order tells each version once", () =>
      using(fault, async (comanda) => {
        const versions = [];
        for await (const { event } of comanda.watchOrder({ orderId: await create(comanda, newCustomer()) })) {
          if (event.case === "transition") {
            versions.push(event.value.version);
          }
        }
        assert.deepEqual(versions, VERSIONS);
      }));

    test("a watch of many orders tells each version once", () =>
      using(fault, async (comanda) => {
        const customerId = newCustomer();
        const told = new Map<string, bigint[]>();
        for await (const { event } of comanda.watchOrders({ filter: { customerId }, start: { case: "now", value: {} } })) {
          if (event.case === "heartbeat" && told.size === 0) {
            // From its first heartbeat on the watch tells everything.
            for (let order = 0; order < 3; order += 1) {
              told.set(await create(comanda, customerId), []);
            }
          } else if (event.case === "transition") {
            told.get(event.value.orderId)?.push(event.value.version);
          }
          if (told.size === 3 && [...told.values()].every((versions) => versions.at(-1) === LAST)) {
            break;
          }
        }
        assert.deepEqual([...told.values()], [VERSIONS, VERSIONS, VERSIONS]);
      }));

    test("a snapshot shows an order that moves", () =>
      using(fault, async (comanda) => {
        const customerId = newCustomer();
        await create(comanda, customerId);
        const shown = [];
        for await (const { event } of comanda.watchOrders({ filter: { customerId } })) {
          if (event.case === "current" || event.case === "transition") {
            shown.push(event.value.version);
          }
          if (shown.at(-1) === LAST) {
            break;
          }
        }
        assert.deepEqual(shown, VERSIONS.slice(Number(shown[0]) - 1));
      }));

    test("a courier is shown its job until it is done", () =>
      using(fault, async (comanda) => {
        const zone = crypto.randomUUID().replaceAll("-", "");
        const courierId = await courierIn(comanda, zone);
        let orderId = "";
        const shown: string[] = [];
        const revisions: bigint[] = [];
        for await (const { revision, assignments } of comanda.watchCourier({ courierId })) {
          const job = assignments[0];
          revisions.push(revision);
          shown.push(!job ? "nothing" : job.pickupTime ? "carried" : "allotted");
          if (!orderId) {
            orderId = await create(comanda, newCustomer(), { workflow: "courier-delivery", trip: { zone, pickup: HERE, dropoff: HERE } });
          } else if (job) {
            assert.deepEqual([job.orderId, job.trip?.zone], [orderId, zone]);
            const which = { orderId, attempt: job.attempt };
            await (job.pickupTime ? comanda.dispatch.completeAssignment(which) : comanda.dispatch.markPickedUp(which));
          } else if (shown.includes("carried")) {
            break;
          }
        }
        assert.deepEqual(shown.filter((state, index) => state !== shown[index - 1]), ["nothing", "allotted", "carried", "nothing"]);
        assert.deepEqual(revisions, revisions.toSorted((one, other) => Number(one - other)));
      }));
  });
}

describe("the end of a watch", () => {
  test("closing the client fails it with CANCELLED", () =>
    using("ADDRESS", async (comanda) => {
      const watch = comanda.watchOrders({ start: { case: "now", value: {} } });
      await watch.next();
      comanda.close();
      assert.equal((await failure(watch.next())).code, Code.Canceled);
    }));

  test("a signal ends it with its reason", () =>
    using("ADDRESS", async (comanda) => {
      const abort = new AbortController();
      const watch = comanda.watchOrders({ start: { case: "now", value: {} } }, abort);
      await watch.next();
      abort.abort(new Error("enough"));
      await assert.rejects(watch.next(), /enough/);
    }));
});

describe("calls", () => {
  test("a create whose answer was lost makes one order", () =>
    using("FORGETFUL", async (comanda) => {
      const customer = newCustomer();
      const { replayed } = await comanda.orders.createOrder(orderOf(customer));
      assert.ok(replayed, "the second try must find what the first one made");
      assert.equal(await countOrders(comanda, customer), 1);
    }));

  test("the rows of a batch get request ids too", () =>
    using("FORGETFUL", async (comanda) => {
      const customer = newCustomer();
      const { results } = await comanda.orders.batchCreateOrders({ requests: [orderOf(customer), {}, orderOf(customer)] });
      assert.deepEqual(results.map(({ outcome }) => outcome.case), ["created", "error", "created"]);
      assert.ok(results[0]?.outcome.case === "created" && results[0].outcome.value.replayed);
      assert.ok(results[1]?.outcome.case === "error");
      assert.equal(ComandaError.fromStatus(results[1].outcome.value).reason, "INVALID_FIELDS");
      assert.equal(await countOrders(comanda, customer), 2);
    }));

  test("creates over connections that are cut make each order once", () =>
    using("CUTTING", async (comanda) => {
      for (const enough = (await cuts()) + 3; (await cuts()) < enough; ) {
        const customer = newCustomer();
        await create(comanda, customer);
        assert.equal(await countOrders(comanda, customer), 1);
      }
    }));

  test("a refused order names every wrong field", () =>
    using("ADDRESS", async (comanda) => {
      const error = await failure(comanda.orders.createOrder({ items: [{ name: "Pizza", unitPrice: { currencyCode: "USD", units: 1n } }] }));
      assert.deepEqual([codeName(error.code), error.reason, error.outcome], ["INVALID_ARGUMENT", "INVALID_FIELDS", "not_applied"]);
      assert.deepEqual(error.violations.map(({ field }) => field), ["customer.customer_id", "items[0].quantity"]);
      assert.ok(error.violations.every(({ description }) => description));
    }));

  test("a stale version is told with the version that holds", () =>
    using("ADDRESS", async (comanda) => {
      const orderId = await create(comanda, newCustomer());
      const error = await failure(comanda.lifecycle.advanceOrder({ orderId, expectedVersion: 99n }));
      assert.deepEqual([codeName(error.code), error.reason], ["ABORTED", "VERSION_MISMATCH"]);
      assert.ok(Number(error.metadata["version"]) >= 1);
    }));

  test("numbers of 64 bits survive", () =>
    using("ADDRESS", async (comanda) => {
      const units = 9_007_199_254_740_993n;
      const items = [{ name: "Island", quantity: 1, unitPrice: { currencyCode: "USD", units } }];
      const { order } = await comanda.orders.createOrder({ customer: { customerId: newCustomer() }, items });
      assert.equal(order?.items[0]?.unitPrice?.units, units);
    }));

  test("a call ends at its deadline", async () => {
    const comanda = connect(variable("MUTE"), { deadlineMs: 1000 });
    const began = performance.now();
    const error = await failure(comanda.orders.getOrder({ key: { case: "orderId", value: crypto.randomUUID() } }));
    comanda.close();
    assert.ok(performance.now() - began < 9000, "the usual deadline is 10 s");
    assert.equal(error.outcome, "unknown");
  });

  test("TLS works with the right certificate only", async () => {
    const trusting = connect(variable("TLS"), { tls: { ca: readFileSync(variable("CERTIFICATE")) } });
    await create(trusting, newCustomer());
    trusting.close();
    const strict = connect(variable("TLS"), { tls: true, deadlineMs: 1000 });
    await failure(create(strict, newCustomer()));
    strict.close();
  });
});
