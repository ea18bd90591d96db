// The board before a server that lets nobody in without a key.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Secured, launch, order } from "./harness.mjs";

const PROGRAM = process.env.COMANDA_BIN ?? "comanda";

let server;
let browser;
const keys = {};

const comanda = (...words) => execFileSync(PROGRAM, words, { encoding: "utf8" }).trim();

before(async () => {
  server = await Secured.start();
  browser = await launch();
  for (const tenant of ["acme", "bravo"]) keys[tenant] = comanda("access", "init", "--tenant", tenant);
  keys.till = comanda("key", "create", "--tenant", "acme", "--role", "staff", "--name", "till");
});
after(async () => {
  await browser?.close();
  await server?.kill();
});

const context = () => browser.newContext({ locale: "en-GB", viewport: { width: 1440, height: 900 } });
const card = (page, name) => page.locator("li.card", { hasText: name });
const live = (page) => page.waitForSelector('#connection[data-state="live"]', { timeout: 30_000 });

async function logIn(page, key) {
  await page.fill("#login input", key);
  await page.click('#login button[type="submit"]');
}

async function open(context, key) {
  const page = await context.newPage();
  await page.goto(`${server.url}/board`);
  await page.waitForSelector("#login[open]");
  if (key) await logIn(page, key);
  return page;
}

const create = (key, name) => server.post("/v1/orders", order(name, { name, quantity: 1, unitPrice: { currencyCode: "USD", units: "9" } }), {
  authorization: `Bearer ${key}`,
});

test("a board asks for a key, keeps it in its tab alone, and forgets it when it is told to", async () => {
  const browsing = await context();
  const page = await open(browsing);
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await logIn(page, keys.acme.slice(0, -1) + (keys.acme.endsWith("a") ? "b" : "a"));
  await page.locator("#login").getByText("does not take this key").waitFor();
  await logIn(page, keys.acme);
  await live(page);
  await create(keys.acme, "Cazuela");
  await card(page, "Cazuela").first().waitFor();
  await card(page, "Cazuela").first().locator("button.number").click();
  await page.locator("#detail h2").waitFor();
  const secret = keys.acme.split("_").pop();
  assert.ok(asked.length > 5 && asked.every((url) => !url.includes(secret)), "the key is in an address");
  const kept = await page.evaluate(() => [location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]);
  assert.deepEqual(kept.map((where) => where.includes(secret)), [false, false, false, true]);
  // Another tab is another visitor.
  const other = await open(browsing);
  await other.close();
  await page.keyboard.press("Escape");
  await page.click("#log-out");
  await page.waitForSelector("#login[open]");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await browsing.close();
});

test("tabs of two tenants show each its own orders", async () => {
  const browsing = await context();
  const [acme, bravo] = [await open(browsing, keys.acme), await open(browsing, keys.bravo)];
  await live(acme);
  await live(bravo);
  await create(keys.acme, "Of acme");
  await create(keys.bravo, "Of bravo");
  await card(acme, "Of acme").first().waitFor();
  await card(bravo, "Of bravo").first().waitFor();
  assert.equal(await card(acme, "Of bravo").count(), 0);
  assert.equal(await card(bravo, "Of acme").count(), 0);
  await browsing.close();
});

test("a board whose key is revoked shows nothing more and asks for another one", async () => {
  const browsing = await context();
  const page = await open(browsing, keys.till);
  await live(page);
  comanda("key", "revoke", "--tenant", "acme", "till");
  await page.waitForSelector("#login[open]", { timeout: 60_000 });
  await create(keys.acme, "Too late");
  await logIn(page, keys.acme);
  await live(page);
  await card(page, "Too late").first().waitFor();
  await browsing.close();
});

test("the reports ask for a key too", async () => {
  const page = await (await context()).newPage();
  await page.goto(`${server.url}/insights`);
  await page.waitForSelector("#login[open]");
  await logIn(page, keys.acme);
  await page.waitForSelector(".report");
  await page.context().close();
});
