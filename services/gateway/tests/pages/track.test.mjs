// The page of one order in a real browser, as a customer who follows the link of a mail.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { Gateway, eventually, item, launch, order } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = process.env.COMANDA_PICTURES;

let gateway;
let browser;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.kill();
});

async function open(path, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 390, height: 780 }, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => /Content.Security/i.test(message.text()) && page.faults.push(message.text()));
  await page.goto(gateway.url + path);
  return page;
}

async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(" ")}`);
}

const status = (page, text) => page.locator(`#status:text-is("${text}")`).waitFor();
const move = (id, verb, version, body = {}) => gateway.post(`/v1/orders/${id}/${verb}`, body, { "if-match": `"${version}"` });

test("a customer sees where the order is, when it was there, and its end", async () => {
  const { order: created, trackingToken } = await gateway.post("/v1/orders", order("secret-customer", item("Pizza <b>", 2)));
  const page = await open(`/t/${trackingToken}`);
  await status(page, "received");
  await page.getByText(`Your order ${created.number}`).waitFor();
  await page.getByText("2 × Pizza <b>").waitFor();
  await move(created.orderId, "advance", 1);
  await status(page, "preparing");
  assert.equal(await page.locator("#steps li").count(), 2);
  assert.match(await page.locator("#next").textContent(), /^dispatched at about \d\d:\d\d$/);
  assert.deepEqual(await violations(page), []);
  if (pictures) await page.screenshot({ path: `${pictures}/track.png` });
  // The gateway goes away and comes back, and meanwhile the order moves on.
  await gateway.kill();
  await page.locator("#connection", { hasText: "No connection" }).waitFor();
  await gateway.again();
  await move(created.orderId, "cancel", 2, { reason: "The oven is broken" });
  await status(page, "cancelled");
  await page.getByText("The oven is broken").waitFor();
  await page.getByText("Nothing more will happen.").waitFor();
  assert.equal(await page.locator("#steps li").count(), 3);
  assert.ok(!(await page.content()).includes("secret-customer"));
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test("an order that has ended is shown whole, in Spanish and dark as well", async () => {
  const { order: created, trackingToken } = await gateway.post("/v1/orders", order("ended"));
  await move(created.orderId, "cancel", 1, { reason: "lluvia" });
  const page = await open(`/t/${trackingToken}`, { locale: "es-CL", colorScheme: "dark" });
  await page.getByText("No pasará nada más.").waitFor();
  await page.getByText("lluvia").waitFor();
  assert.deepEqual(await violations(page), []);
  // It stays away from the server.
  await eventually("no stream is open", async () => (await gateway.metric("comanda_gateway_streams")) === 0);
  await page.context().close();
});

test("a link that is not valid says so, and the page of one that has become so as well", async () => {
  const page = await open("/t/trk_nothing");
  await page.getByText("This link is not valid any more, or never was.").waitFor();
  await page.getByText("Ask the shop").waitFor();
  assert.deepEqual(await violations(page), []);
  await page.context().close();

  const { trackingToken } = await gateway.post("/v1/orders", order("lapsing"));
  const lapsing = await open(`/t/${trackingToken}`);
  await status(lapsing, "received");
  // From now on the token is good for nothing, as when it has expired.
  await lapsing.route(/\/t\/trk_/, (route) => route.fulfill({ status: 404, contentType: "text/html", body: "<p>lapsed</p>" }));
  await gateway.kill();
  await gateway.again();
  await lapsing.getByText("lapsed").waitFor();
  await lapsing.context().close();
});
