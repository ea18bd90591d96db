/** Rules that need no server. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import { StatusSchema } from "../generated/google/rpc/status_pb.js";

import { Client, codeName, ComandaError, OrderService, Phase, type CreateOrderRequest } from "../src/index.js";
import { Waits } from "../src/retry.js";
import { Seen } from "../src/seen.js";

test("a missing requestId is filled in once for all tries, over any transport", async () => {
  const asked: CreateOrderRequest[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(OrderService, {
      createOrder(request) {
        asked.push(request);
        if (asked.length === 1) {
          throw new ConnectError("", Code.Unavailable);
        }
        return {};
      },
    });
  });
  const request = {};
  await new Client(transport, { firstWaitMs: 1 }).orders.createOrder(request);
  assert.equal(asked.length, 2);
  assert.match(asked[0]!.requestId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(asked[0]!.requestId, asked[1]!.requestId);
  assert.deepEqual(request, {}, "the caller's object is not changed");
});

test("a service that is elsewhere is called there, with a token for each try", async () => {
  const tokens: (string | null)[] = [];
  const elsewhere = createRouterTransport(({ service }) => {
    service(OrderService, {
      createOrder(_, { requestHeader }) {
        tokens.push(requestHeader.get("authorization"));
        if (tokens.length === 1) {
          throw new ConnectError("", Code.Unavailable);
        }
        return {};
      },
    });
  });
  let asked = 0;
  const token = () => `${(asked += 1)}`;
  const nobody = createRouterTransport(() => {});
  await new Client(nobody, { transports: { OrderService: elsewhere }, token, firstWaitMs: 1 }).orders.createOrder({});
  assert.deepEqual(tokens, ["Bearer 1", "Bearer 2"]);
});

test("every detail of an error is read", () => {
  const status = create(StatusSchema, {
    code: Code.InvalidArgument,
    message: "a field is wrong",
    details: [
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "INVALID_FIELDS", metadata: { version: "3" } })),
      anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [{ field: "items[0].quantity", description: "must be 1" }] })),
      anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } })),
    ],
  });
  const error = ComandaError.fromStatus(status);
  assert.equal(error.message, "a field is wrong (INVALID_ARGUMENT, INVALID_FIELDS)");
  assert.deepEqual([error.code, error.reason, error.outcome], [Code.InvalidArgument, "INVALID_FIELDS", "not_applied"]);
  assert.deepEqual(error.metadata, { version: "3" });
  assert.deepEqual(error.violations, [{ field: "items[0].quantity", description: "must be 1" }]);
  assert.equal(error.retryAfterMs, 1500);
});

test("a program may have newer versions of what the package needs, and so one of each", async () => {
  const { dependencies } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  for (const version of Object.values(dependencies)) {
    assert.match(String(version), /^\^/);
  }
});

test("codes are named as the API writes them", () => {
  assert.deepEqual([Code.Canceled, Code.Unknown, Code.NotFound].map(codeName), ["CANCELLED", "UNKNOWN", "NOT_FOUND"]);
});

test("waits double up to the longest and start over", () => {
  const waits = new Waits(100, 400);
  const error = new ComandaError(Code.Unavailable, "");
  for (const base of [100, 200, 400, 400]) {
    const wait = waits.after(error);
    assert.ok(base <= wait && wait <= 2 * base, `${wait}`);
  }
  waits.reset();
  assert.ok(waits.after(error) <= 200);
});

test("what the server asks for is granted within reason", () => {
  const waits = new Waits(1, 1);
  assert.equal(waits.after(new ComandaError(Code.Unavailable, "", { retryAfterMs: 3000 })), 3000);
  assert.equal(waits.after(new ComandaError(Code.Unavailable, "", { retryAfterMs: 3_600_000 })), 30_000);
});

const at = (orderId: string, version: number, phase = Phase.ACTIVE) => ({ orderId, version: BigInt(version), phase });

test("a version is new once", () => {
  const seen = new Seen();
  const tried = [at("a", 2), at("a", 2), at("a", 1), at("a", 3), at("b", 1)];
  assert.deepEqual(tried.map((moved) => seen.isNew(moved)), [true, false, false, true, true]);
});

test("an order that a new snapshot does not show is missing unless it had ended", () => {
  const seen = new Seen();
  seen.beginSnapshot();
  [at("shown", 2), at("gone", 2), at("ended", 2, Phase.SUCCEEDED)].forEach((moved) => seen.isNew(moved));
  assert.deepEqual(seen.missing(), []);
  seen.beginSnapshot();
  seen.isNew(at("shown", 2));
  assert.deepEqual(seen.missing(), ["gone"]);
});

test("memory is bounded and the recent is kept", () => {
  const seen = new Seen(100);
  for (let order = 0; order < 300; order += 1) {
    assert.ok(seen.isNew(at(`${order}`, 1)));
  }
  assert.ok(seen.size <= 200);
  assert.ok(!seen.isNew(at("250", 1)));
});
