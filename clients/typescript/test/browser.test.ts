/** The client in a browser, through the gateway, over both protocols of the web. Its page is of an origin that the gateway allows. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";

import { chromium, type Page } from "playwright-core";

import { connect } from "../src/node.js";
import { newCustomer, variable } from "./environment.js";
import type * as page from "./page.js";

const VERSIONS = ["1", "2", "3", "4"];
const ROOT = new URL("../../", import.meta.url);
const PAGES = new URL(variable("PAGES"));
/** What the modules of the client import by name; a browser must be told where they are. */
const MODULES = [
  ...["", "/codegenv2", "/reflect", "/wire", "/wkt"].map((path) => `@bufbuild/protobuf${path}`),
  ...["", "/protocol", "/protocol-connect", "/protocol-grpc-web"].map((path) => `@connectrpc/connect${path}`),
  "@connectrpc/connect-web",
];

const program = process.env["CHROMIUM"];
const options = { skip: program ? false : "there is no Chromium", timeout: 150_000 };

test("a page in a browser", options, async (suite) => {
  const browser = await chromium.launch({ executablePath: program!, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const server = createServer((request, response) => {
    body(request.url ?? "/").then(
      ([type, text]) => response.setHeader("content-type", type).end(text),
      () => response.writeHead(404).end(),
    );
  });
  server.listen(Number(PAGES.port));
  const at = async (origin: string) => {
    const opened = await browser.newPage();
    await opened.goto(origin);
    return opened;
  };
  try {
    const shop = await at(PAGES.origin);
    for (const protocol of ["Connect", "gRPC-Web"] as const) {
      const direct = { protocol, url: `http://${variable("HTTP")}` };
      for (const way of [direct, { protocol, url: `http://${variable("CUTTING_HTTP")}` }]) {
        await suite.test(`${protocol}, ${way.url}: a watch of one order tells each version once`, async () => {
          assert.deepEqual(await call(shop, "watchOne", way, newCustomer()), VERSIONS);
        });
        await suite.test(`${protocol}, ${way.url}: a watch of many orders tells each version once`, async () => {
          assert.deepEqual(await call(shop, "watchMany", way, newCustomer(), "4"), [VERSIONS, VERSIONS, VERSIONS]);
        });
      }
      await suite.test(`${protocol}: a watch that is left ends its request`, async () => {
        assert.deepEqual(await call(shop, "leave", direct), [true]);
      });
      await suite.test(`${protocol}: a refused order names every wrong field`, async () => {
        const fields = ["customer.customer_id", "items[0].quantity"];
        const expected = { code: "INVALID_ARGUMENT", reason: "INVALID_FIELDS", outcome: "not_applied", fields };
        assert.deepEqual(await call(shop, "refuse", direct), expected);
      });
      await suite.test(`${protocol}: numbers of 64 bits survive`, async () => {
        assert.equal(await call(shop, "price", direct, newCustomer(), "9007199254740993"), "9007199254740993");
      });
    }
    await suite.test("a page of another origin creates nothing", async () => {
      const customerId = newCustomer();
      const other = await at(`http://127.0.0.1:${PAGES.port}`);
      const way = { protocol: "Connect" as const, url: `http://${variable("HTTP")}` };
      assert.match(await call(other, "create", way, customerId, 1000), /UNKNOWN|DEADLINE/);
      const comanda = connect(variable("ADDRESS"));
      const { orders } = await comanda.orders.listOrders({ customerId });
      comanda.close();
      assert.deepEqual(orders, []);
    });
  } finally {
    await browser.close();
    server.close();
  }
});

/** Calls a function of page.ts in the browser. */
async function call<Name extends keyof typeof page>(
  at: Page,
  name: Name,
  ...words: Parameters<(typeof page)[Name]>
): Promise<Awaited<ReturnType<(typeof page)[Name]>>> {
  return at.evaluate(async ([module, name, words]) => (await import(module))[name](...words), ["/dist/test/page.js", name, words] as const);
}

/** The page and its modules, by path. */
async function body(path: string): Promise<[string, string]> {
  if (path === "/") {
    const imports = Object.fromEntries(MODULES.map((name) => [name, import.meta.resolve(name).slice(ROOT.href.length - 1)]));
    return ["text/html", `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>`];
  }
  assert.match(path, /^\/(dist|node_modules)\/[\w@/.-]+\.js$/);
  return ["text/javascript", await readFile(new URL(`.${path}`, ROOT), "utf8")];
}
