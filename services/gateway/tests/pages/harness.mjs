// A gateway as a process that tests may kill, and a browser before it.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { chromium } from "playwright-core";

const PROGRAM = process.env.COMANDA_BIN ?? "comanda";
/** Where the other roles listen. */
const SERVERS = process.env.COMANDA_ADDR;

/** Waits until something holds. */
export async function eventually(what, holds, patience = 30_000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export class Gateway {
  static async start() {
    const gateway = new Gateway();
    gateway.port = await freePort();
    gateway.admin = await freePort();
    await gateway.again();
    return gateway;
  }

  get url() {
    return `http://localhost:${this.port}`;
  }

  async again() {
    const words = ["gateway", "--addr", SERVERS, "--http-listen", `127.0.0.1:${this.port}`, "--admin-listen", `127.0.0.1:${this.admin}`];
    this.process = spawn(PROGRAM, words, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, RUST_LOG: "warn" } });
    await eventually("the gateway serves", () => fetch(`${this.url}/healthz`).then((answer) => answer.ok, () => false));
  }

  async kill() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
  }

  async post(path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async get(path) {
    return (await fetch(this.url + path)).json();
  }

  /** One of its metrics. */
  async metric(name) {
    const text = await (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1] ?? 0);
  }
}

/** Every role in one process that wants keys, beside the servers of the other tests and with the same database and topics. */
export class Secured extends Gateway {
  static async start() {
    const server = new Secured();
    server.port = await freePort();
    server.grpc = await freePort();
    await server.again();
    return server;
  }

  async again() {
    const words = ["all", "--access", "required", "--no-mails", "--access-refresh-ms", "200", "--step-ms", "3600000"];
    const addresses = ["--listen", `127.0.0.1:${this.grpc}`, "--http-listen", `127.0.0.1:${this.port}`];
    const env = { ...process.env, RUST_LOG: "warn" };
    delete env.COMANDA_ADDR;
    this.process = spawn(PROGRAM, [...words, ...addresses], { stdio: ["ignore", "ignore", "inherit"], env });
    await eventually("the server serves", () => fetch(`${this.url}/healthz`).then((answer) => answer.ok, () => false));
  }
}

export const item = (name, quantity = 1) => ({ name, quantity, unitPrice: { currencyCode: "USD", units: "9", nanos: 500_000_000 } });
export const order = (customerId, ...items) => ({ customer: { customerId }, items: items.length ? items : [item("Pizza")] });

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
