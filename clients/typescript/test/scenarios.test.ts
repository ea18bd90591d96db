/** Every scenario of clients/scenarios.json ends as it says. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromJson } from "@bufbuild/protobuf";

import {
  codeName,
  ComandaError,
  CreateOrderRequestSchema,
  WatchOrderRequestSchema,
  WatchOrdersRequestSchema,
  type Client,
} from "../src/index.js";
import { connect } from "../src/node.js";
import { control, scenarios, type Scenario } from "./environment.js";

type Found = Pick<Scenario, "told" | "versions" | "snapshots">;

const all = await scenarios();
assert.ok(all.length > 40);

test("scenarios", { concurrency: 16 }, async (suite) => {
  await Promise.all(all.map((scenario, index) => suite.test(scenario.name, () => run(scenario, index))));
});

async function run(scenario: Scenario, index: number): Promise<void> {
  const token = `token-${index}`;
  // Short only where a stream falls silent: on a busy machine any stream may for a second.
  const silenceMs = scenario.stalls ? 2000 : 60_000;
  const comanda = connect(scenario.address, { token, silenceMs, firstWaitMs: 1, longestWaitMs: 5 });
  const found: Found = {};
  const outcome = await outcomeOf(TALK[scenario.rpc](comanda, scenario, found));
  comanda.close();
  const { told, versions, snapshots } = scenario;
  assert.deepEqual({ ...found, outcome }, defined({ told, versions, snapshots, outcome: scenario.outcome }));
  assert.equal(await control(`verdict/${index}`), "");
  assert.equal(await control(`authorization/${index}`), `Bearer ${token}`);
}

const TALK = { CreateOrder: create, WatchOrder: watchOrder, WatchOrders: watchOrders };

async function create(comanda: Client, { request }: Scenario): Promise<void> {
  try {
    await comanda.orders.createOrder(fromJson(CreateOrderRequestSchema, request));
  } catch (error) {
    assert.equal(error instanceof ComandaError && error.outcome, "not_applied");
    throw error;
  }
}

async function watchOrder(comanda: Client, { request }: Scenario, found: Found): Promise<void> {
  found.told = [];
  for await (const { event } of comanda.watchOrder(fromJson(WatchOrderRequestSchema, request))) {
    assert.ok(event.value);
    found.told.push(`${event.case} ${event.case === "courier" ? event.value.attempt : event.value.version}`);
  }
}

async function watchOrders(comanda: Client, { request }: Scenario, found: Found): Promise<void> {
  const versions: Record<string, number> = (found.versions = {});
  found.snapshots = 0;
  for await (const { event, resumeToken } of comanda.watchOrders(fromJson(WatchOrdersRequestSchema, request))) {
    const isComplete = event.case === "snapshotComplete";
    found.snapshots += isComplete ? 1 : 0;
    assert.ok(!("snapshot" in request && found.snapshots === 0 && resumeToken.length > 0), "a token that would skip orders");
    assert.ok(!isComplete || resumeToken.length > 0, "a complete snapshot has a token");
    if (event.case === "transition" || event.case === "current") {
      const { orderId, version } = event.value;
      assert.ok(Number(version) > (versions[orderId] ?? 0), `version ${version} after ${versions[orderId]}`);
      versions[orderId] = Number(version);
    }
  }
}

async function outcomeOf(talk: Promise<void>): Promise<string> {
  try {
    await talk;
    return "OK";
  } catch (error) {
    if (error instanceof ComandaError) {
      return codeName(error.code);
    }
    throw error;
  }
}

function defined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
