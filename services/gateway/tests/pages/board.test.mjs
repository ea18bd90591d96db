// The board in a real browser, before a real gateway and real roles.

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

/** A page with the board of one customer, so that tests do not see each other's orders. */
async function open(customer, options = {}) {
  const context = options.context ?? (await browser.newContext({ locale: "en-GB", viewport: { width: 1440, height: 900 }, ...options }));
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => /Content.Security/i.test(message.text()) && faults.push(message.text()));
  page.faults = faults;
  await page.goto(`${gateway.url}/board`);
  await page.waitForSelector('#connection[data-state="live"]', { timeout: 30_000 });
  if (customer) {
    await page.fill("#customer", customer);
    await page.locator("#customer").blur();
    await page.waitForFunction((wanted) => globalThis.comandaBoard.watched() === wanted, `workflow=delivery&customer_id=${customer}`);
    await page.waitForSelector('#connection[data-state="live"]', { timeout: 30_000 });
  }
  return page;
}

const card = (page, number) => page.locator(`li.card:has(button.number:text-is("#${number}"))`);
const column = (page, status) => page.locator(`section[data-status="${status}"]`);

test("an order appears, moves and ends before the eyes of somebody who watches", async () => {
  const page = await open("walk");
  const created = (await gateway.post("/v1/orders", order("walk", item("Pizza <img src=x onerror=alert(1)>", 2)))).order;
  const shown = card(page, created.number);
  await column(page, "received").locator(shown).waitFor();
  // What others wrote is text.
  await shown.getByText("2 × Pizza <img src=x onerror=alert(1)>").waitFor();
  await gateway.post(`/v1/orders/${created.orderId}/advance`, {}, { "if-match": '"1"' });
  await column(page, "preparing").locator(shown).waitFor();
  assert.equal(await column(page, "preparing").locator(".count").textContent(), "1");
  await gateway.post(`/v1/orders/${created.orderId}/cancel`, { reason: "rain" });
  await column(page, "(ended)").locator(shown).waitFor();
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test("an order is moved and cancelled from the board, once, and never by a stale look", async () => {
  const page = await open("press");
  const created = (await gateway.post("/v1/orders", order("press"))).order;
  await card(page, created.number).locator("button.number").click();
  const dialog = page.locator("#detail");
  await dialog.locator("button.advance").first().click();
  await gateway.post(`/v1/orders/${created.orderId}/advance`, {}, { "if-match": '"1"' });
  await dialog.locator('form.sure button[type="submit"]').click();
  await dialog.getByText("has moved meanwhile").waitFor();
  await dialog.locator("h2", { hasText: "preparing" }).waitFor();
  const versions = async () => (await gateway.get(`/v1/orders/${created.orderId}/transitions`)).transitions.length;
  assert.equal(await versions(), 2);

  await dialog.locator("button.cancel").click();
  await dialog.locator('input[name="reason"]').fill("The oven is broken");
  await dialog.locator('form.sure button[type="submit"]').click();
  await dialog.getByText("The oven is broken").waitFor();
  assert.equal(await versions(), 3);
  await dialog.locator("button.close").click();
  await column(page, "(ended)").locator(card(page, created.number)).waitFor();
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test("while the gateway is away the board says so, and afterwards nothing is missing", async () => {
  const page = await open("away");
  const first = (await gateway.post("/v1/orders", order("away"))).order;
  await card(page, first.number).waitFor();
  await gateway.kill();
  await page.waitForSelector('#connection[data-state="broken"]');
  assert.match(await page.locator("#connection").textContent(), /as of \d/);
  assert.ok(await page.locator("#columns.old").count());
  assert.equal(await card(page, first.number).count(), 1);
  const other = await Gateway.start();
  const second = (await other.post("/v1/orders", order("away"))).order;
  await other.post(`/v1/orders/${first.orderId}/advance`, {}, { "if-match": '"1"' });
  await other.kill();
  await gateway.again();
  await page.waitForSelector('#connection[data-state="live"]', { timeout: 60_000 });
  await column(page, "received").locator(card(page, second.number)).waitFor();
  await column(page, "preparing").locator(card(page, first.number)).waitFor();
  await page.context().close();
});

test("six tabs share one stream, and another one takes it over", async () => {
  const context = await browser.newContext({ locale: "en-GB" });
  const pages = [];
  for (let tab = 0; tab < 6; tab += 1) pages.push(await open("tabs", { context }));
  await eventually("one stream", async () => (await gateway.metric("comanda_gateway_streams")) === 1);
  const created = (await gateway.post("/v1/orders", order("tabs"))).order;
  for (const page of pages) await card(page, created.number).waitFor();
  await pages[0].close();
  await gateway.post(`/v1/orders/${created.orderId}/advance`, {}, { "if-match": '"1"' });
  for (const page of pages.slice(1)) await column(page, "preparing").locator(card(page, created.number)).waitFor();
  await context.close();
});

test("a keyboard is enough", async () => {
  const page = await open("keys");
  const orders = [];
  for (let n = 0; n < 2; n += 1) orders.push((await gateway.post("/v1/orders", order("keys"))).order);
  await card(page, orders[1].number).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type(orders[0].number);
  await page.keyboard.press("Enter");
  await page.locator("#detail h2", { hasText: `#${orders[0].number}` }).waitFor();
  await page.keyboard.press("Escape");
  await page.fill("#search", "");
  await card(page, orders[1].number).waitFor();
  await card(page, orders[0].number).locator("button.number").focus();
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  assert.equal(await focused(), `#${orders[1].number}`);
  // The focus stays with the card when it moves.
  await gateway.post(`/v1/orders/${orders[1].orderId}/advance`, {}, { "if-match": '"1"' });
  await column(page, "preparing").locator(card(page, orders[1].number)).waitFor();
  assert.equal(await focused(), `#${orders[1].number}`);
  await page.context().close();
});

test("nothing stands in the way of people who cannot see well, in both themes and both languages", async () => {
  const created = (await gateway.post("/v1/orders", order("axe"))).order;
  for (const [locale, colorScheme] of [["en-GB", "light"], ["es-CL", "dark"]]) {
    const page = await open("axe", { locale, colorScheme });
    await card(page, created.number).locator("button.number").click();
    for (const what of ["detail", "board"]) {
      await page.locator("#detail h2").waitFor({ state: what === "detail" ? "visible" : "hidden" });
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      assert.deepEqual(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(" ")}`), []);
      if (what === "detail") await page.keyboard.press("Escape");
    }
    await page.context().close();
  }
});

test("the other pages show what there is and break no rule", async () => {
  const page = await (await browser.newContext({ locale: "en-GB" })).newPage();
  for (const [path, wanted] of [["/docs", "#CreateOrder"], ["/insights", ".report, [role=alert]"]]) {
    await page.goto(gateway.url + path);
    await page.waitForSelector(wanted);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map((violation) => `${path} ${violation.id}: ${violation.nodes[0].html}`), []);
    if (pictures) await page.screenshot({ path: `${pictures}${path}.png` });
  }
  await page.context().close();
});

test("a thousand moving orders leave the page smooth", async () => {
  const page = await open("crowd");
  const menu = ["Pizza Margherita", "Empanada de pino", "Sopaipilla", "Completo italiano", "Cazuela", "Pastel de choclo"];
  const ids = [];
  for (let batch = 0; batch < 10; batch += 1) {
    const requests = Array.from({ length: 100 }, (_, n) => order("crowd", item(menu[n % 6], 1 + (n % 3)), item(menu[(n + 2) % 6])));
    const { results } = await gateway.post("/v1/orders/batch", { requests });
    ids.push(...results.map((result) => result.created.order.orderId));
  }
  const counts = () => page.locator(".count").allTextContents();
  await eventually("all are there", async () => (await counts()).reduce((sum, count) => sum + Number(count), 0) >= 1000, 60_000);
  assert.ok((await page.locator("li.card").count()) <= 200 * 4);
  const frames = page.evaluate(
    () =>
      new Promise((resolve) => {
        const [times, end] = [[], performance.now() + 6000];
        let last = performance.now();
        const frame = (now) => {
          times.push(now - last);
          last = now;
          if (now < end) requestAnimationFrame(frame);
          else resolve(times.sort((one, other) => one - other));
        };
        requestAnimationFrame(frame);
      }),
  );
  // A third of them moves meanwhile, from 16 callers.
  const moving = ids.filter((_, n) => n % 3 === 0);
  const caller = async () => {
    for (let id = moving.pop(); id; id = moving.pop()) await gateway.post(`/v1/orders/${id}/advance`, {}, { "if-match": '"1"' });
  };
  await Promise.all([frames, ...Array.from({ length: 16 }, caller)]);
  const times = await frames;
  const at = (part) => Math.round(times[Math.floor(times.length * part)]);
  console.log(`frames of 1,000 orders: ${times.length} in 6 s; ms: half ${at(0.5)}, 95 of 100 ${at(0.95)}, longest ${at(0.999)}`);
  await eventually("all moves are shown", async () => Number((await counts())[1]) >= 334);
  if (pictures) await page.screenshot({ path: `${pictures}/board.png` });
  await page.context().close();
});
