/** What the tests talk to. scripts/check-clients starts it and sets these variables; clients/testing/server.py explains them. */

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";

import type { CreateOrderRequestSchema } from "../src/index.js";

export const FAULTS = ["CUTTING", "ENDING", "SILENT", "BREAKING"];

export function variable(name: string): string {
  const value = process.env[`COMANDA_TEST_${name}`];
  if (!value) {
    throw new Error("these tests need a server: run scripts/check-clients typescript");
  }
  return value;
}

export async function control(path: string): Promise<string> {
  const answer = await fetch(`${variable("SCENARIOS")}/${path}`);
  return answer.text();
}

/** A scenario of clients/scenarios.json, with the address at which it is played. */
export interface Scenario {
  name: string;
  rpc: "CreateOrder" | "WatchOrder" | "WatchOrders";
  request: JsonObject;
  address: string;
  stalls: boolean;
  told?: string[];
  versions?: Record<string, number>;
  snapshots?: number;
  outcome: string;
}

export async function scenarios(): Promise<Scenario[]> {
  return JSON.parse(await control("scenarios"));
}

/** How many connections were cut until now. */
export async function cuts(): Promise<number> {
  return JSON.parse(await control("faults")).cutting ?? 0;
}

export function newCustomer(): string {
  return `typescript-${crypto.randomUUID()}`;
}

export function orderOf(customerId: string) {
  const item = { name: "Empanada", quantity: 3, unitPrice: { currencyCode: "CLP", units: 1500n } };
  return { customer: { customerId }, items: [item] } satisfies MessageInitShape<typeof CreateOrderRequestSchema>;
}
