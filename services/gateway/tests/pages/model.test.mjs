// The rules by which the board keeps orders.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_ENDED, Model } from "../../pages/board/model.js";
import { activeStatuses, duration, label, lateness, targets } from "../../pages/board/workflow.js";

const order = (id, version, more = {}) => ({
  orderId: id,
  number: "7",
  version: String(version),
  workflow: "delivery",
  status: "received",
  phase: "PHASE_ACTIVE",
  statusTime: "2026-01-31T12:00:00Z",
  items: [{ name: "Pizza", quantity: 2 }],
  ...more,
});
const step = (id, version, more = {}) => ({
  orderId: id,
  number: "7",
  version: String(version),
  workflow: "delivery",
  toStatus: "preparing",
  phase: "PHASE_ACTIVE",
  transitionTime: "2026-01-31T12:01:00Z",
  customerId: "ana",
  ...more,
});

test("a version that is not above the last one is dropped, and items stay known", () => {
  const model = new Model();
  model.order(order("a", 1));
  model.transition(step("a", 3, { toStatus: "dispatched" }));
  model.transition(step("a", 2));
  model.order(order("a", 1));
  assert.equal(model.cards.get("a").status, "dispatched");
  assert.deepEqual(model.cards.get("a").items, [{ name: "Pizza", quantity: 2 }]);
  assert.deepEqual([...model.take()], ["a"]);
  assert.equal(model.take().size, 0);
});

test("an order that is new has to be asked for its items, once", () => {
  const model = new Model();
  model.transition(step("a", 1));
  assert.deepEqual(model.takeIncomplete(10), ["a"]);
  assert.deepEqual(model.takeIncomplete(10), []);
  model.order(order("a", 1));
  assert.equal(model.cards.get("a").items.length, 1);
  assert.deepEqual(model.news(), { created: 1, moved: 0 });
});

test("after a snapshot those that it did not show are asked for, and stay shown until then", () => {
  const model = new Model();
  model.order(order("a", 1));
  model.order(order("b", 1));
  model.beginSnapshot();
  model.order(order("b", 1));
  assert.deepEqual(model.completeSnapshot(), ["a"]);
  assert.ok(model.cards.has("a"));
  model.order(order("a", 4, { phase: "PHASE_SUCCEEDED", status: "delivered" }));
  model.beginSnapshot();
  assert.deepEqual(model.completeSnapshot(), ["b"]);
});

test("only the latest of the ended orders are kept", () => {
  const model = new Model();
  for (let n = 0; n < MOST_ENDED + 5; n += 1) {
    const statusTime = new Date(Date.UTC(2026, 0, 1, 0, 0, n)).toISOString();
    model.order(order(`o${n}`, 4, { phase: "PHASE_SUCCEEDED", statusTime }));
  }
  model.take();
  assert.equal(model.cards.size, MOST_ENDED);
  assert.ok(!model.cards.has("o0") && model.cards.has(`o${MOST_ENDED + 4}`));
});

const workflow = {
  name: "delivery",
  revision: 1,
  statuses: [
    { name: "received", phase: "PHASE_ACTIVE", labels: { es: "recibido", en: "received" } },
    { name: "delivered", phase: "PHASE_SUCCEEDED", labels: {} },
  ],
  edges: [
    { fromStatus: "received", toStatus: "delivered", trigger: "TRIGGER_TIMER", delayDuration: "100s" },
    { fromStatus: "received", toStatus: "delivered", trigger: "TRIGGER_ADVANCE" },
  ],
};

test("a step is nearly late after three quarters of its time, and late after all of it", () => {
  const card = { status: "received", since: 0, due: null };
  assert.equal(lateness(workflow, card, 74_000), "fine");
  assert.equal(lateness(workflow, card, 75_000), "nearly");
  assert.equal(lateness(workflow, card, 100_000), "late");
  assert.equal(lateness(workflow, { ...card, due: 10_000 }, 10_000), "late");
  assert.equal(lateness(workflow, { ...card, status: "delivered" }, 100_000), "fine");
});

test("the workflow says columns, words and what can be done", () => {
  assert.deepEqual(activeStatuses(workflow).map((status) => status.name), ["received"]);
  assert.deepEqual(["es", "en", "fr"].map((language) => label(workflow, "received", language)), ["recibido", "received", "received"]);
  assert.equal(label(workflow, "delivered", "es"), "delivered");
  assert.deepEqual(targets(workflow, "received", "TRIGGER_ADVANCE"), ["delivered"]);
  assert.deepEqual(targets(workflow, "received", "TRIGGER_CANCEL"), []);
  assert.equal(duration("90.5s"), 90_500);
});
