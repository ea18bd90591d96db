/** Watches of servers that answer by a script. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

import {
  Client,
  ComandaError,
  CourierStatus,
  DispatchService,
  OrderService,
  OrderView,
  Phase,
  WatchOrderRequestSchema,
  WatchOrderResponseSchema,
} from "../src/index.js";
import { OrderWatch } from "../src/order-watch.js";
import { Reader } from "../src/reader.js";
import { Waits } from "../src/retry.js";
import { Stream } from "../src/stream.js";

test("a stream is not read further ahead than its queue holds", async () => {
  let sent = 0;
  const stream = new Stream(async function* () {
    for (;;) {
      yield (sent += 1);
    }
  });
  assert.equal(await stream.next(1000), 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(sent <= 1001, `${sent}`);
  for (let expected = 2; expected <= 3000; expected += 1) {
    assert.equal(await stream.next(1000), expected);
  }
  stream.close();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(sent <= 4001, `${sent}: a closed stream is not read on`);
});

test("after the end of an order its stream is given less time", () => {
  const { watches } = new Client(createRouterTransport(() => {}));
  const watch = new OrderWatch(watches, create(WatchOrderRequestSchema));
  assert.equal(watch.patience(), Infinity);
  const transition = { case: "transition", value: { version: 2n, phase: Phase.SUCCEEDED } } as const;
  assert.equal([...watch.accept(create(WatchOrderResponseSchema, { event: transition }))].length, 1);
  assert.equal(watch.patience(), 5000);
});

test("orders that cannot be read before a deadline are read again", async () => {
  let calls = 0;
  const transport = createRouterTransport(({ service }) => {
    service(OrderService, {
      batchGetOrders({ orderIds }) {
        calls += 1;
        if (calls === 1) {
          throw new ConnectError("", Code.DeadlineExceeded);
        }
        return { orders: orderIds.map((orderId) => ({ orderId })) };
      },
    });
  });
  const reader = new Reader(createClient(OrderService, transport), () => new Waits(1, 1), new AbortController().signal);
  const read = [];
  for await (const page of reader.ids(["o"], OrderView.UNSPECIFIED)) {
    read.push(...page.map(({ orderId }) => orderId));
  }
  assert.deepEqual([read, calls], [["o"], 2]);
});

/** A message of a stream of Connect, behind its flags and length. */
function envelope(flags: number, message: object): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(5 + text.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, text.length);
  bytes.set(text, 5);
  return bytes;
}

test("a stream that ends inside a message is opened again", async () => {
  const moved = (version: number, phase: string) => envelope(0, { transition: { version, phase } });
  const bodies = [
    [moved(1, "PHASE_ACTIVE"), moved(2, "PHASE_SUCCEEDED").slice(0, 9)],
    [moved(2, "PHASE_SUCCEEDED"), envelope(2, {})],
  ];
  const asked: string[] = [];
  const transport = createConnectTransport({
    baseUrl: "http://localhost",
    async fetch(_, init) {
      asked.push(new TextDecoder().decode(init?.body as Uint8Array).slice(5));
      return new Response(new Blob(bodies.shift() as BlobPart[]), { headers: { "content-type": "application/connect+json" } });
    },
  });
  const told = [];
  for await (const { event } of new Client(transport, { firstWaitMs: 1 }).watchOrder({ orderId: "o" })) {
    told.push(event.case === "transition" && event.value.version);
  }
  assert.deepEqual(told, [1n, 2n]);
  assert.deepEqual(asked.map((request) => JSON.parse(request)), [{ orderId: "o" }, { orderId: "o", afterVersion: "1" }]);
});

/** Answers each watch of a courier with the next of these streams. */
function couriers(streams: { revision: bigint; status?: CourierStatus }[][]): Transport {
  return createRouterTransport(({ service }) => {
    service(DispatchService, {
      async *watchCourier() {
        const next = streams.shift();
        if (!next) {
          throw new ConnectError("", Code.NotFound);
        }
        yield* next;
      },
    });
  });
}

test("a courier's repetitions and what is older are left out, and a broken stream is opened again", async () => {
  const response = (revision: number, status = CourierStatus.UNSPECIFIED) => ({ revision: BigInt(revision), status });
  const transport = couriers([
    [response(3), response(3), response(2)],
    [response(4), response(4), response(4, CourierStatus.PAUSED)],
  ]);
  const told: [bigint, CourierStatus][] = [];
  await assert.rejects(async () => {
    for await (const { revision, status } of new Client(transport, { firstWaitMs: 1 }).watchCourier({ courierId: "maria" })) {
      told.push([revision, status]);
    }
  }, ComandaError);
  assert.deepEqual(told, [
    [3n, CourierStatus.UNSPECIFIED],
    [4n, CourierStatus.UNSPECIFIED],
    [4n, CourierStatus.PAUSED],
  ]);
});

test("a watch waits before it resumes, and each response makes the waits start over", { timeout: 30_000 }, async () => {
  // If they did not start over, the last one would take days.
  const transport = couriers(Array.from({ length: 24 }, (_, revision) => [{ revision: BigInt(revision) }]));
  const watch = new Client(transport, { firstWaitMs: 20, longestWaitMs: 86_400_000 }).watchCourier({ courierId: "maria" });
  const began = performance.now();
  const told = [];
  await assert.rejects(async () => {
    for await (const { revision } of watch) {
      told.push(revision);
    }
  }, ComandaError);
  assert.equal(told.length, 24);
  // A timer of Node.js may be a millisecond early.
  assert.ok(performance.now() - began >= 24 * 19);
});
