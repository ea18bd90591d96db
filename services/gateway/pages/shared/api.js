// Calls of the API.

import { ask, credentials } from "./login.js";

const UNAUTHENTICATED = 401;

/** An error as the API tells it. */
export class Problem extends Error {
  /** @param {any} document */
  constructor(document) {
    super(document.detail ?? "");
    this.status = document.status;
    this.reason = document.reason;
    /** Whether the request may have been applied. */
    this.unknown = document.outcome !== "not_applied";
  }
}

/** By how much the server's clock is ahead of this one, in milliseconds. */
export let ahead = 0;

/** @param {Response} response */
async function read(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header has whole seconds: what is less is no difference.
  if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) ahead = date - Date.now();
  if (response.ok) return response.json();
  throw await problemOf(response);
}

/** What a response that is none tells. Where a key is missing, or is good no more, it is asked for. @param {Response} response */
export async function problemOf(response) {
  if (response.status === UNAUTHENTICATED) ask();
  const document = await response.json().catch(() => ({ status: response.status, detail: response.statusText }));
  return new Problem(document);
}

/** Any error as a problem: where there was no response, nobody knows what became of the request. @param {any} error */
export const failure = (error) => (error instanceof Problem ? error : new Problem({ status: 0, detail: error.message, outcome: "unknown" }));

/** @param {string} path @param {RequestInit} [options] */
async function send(path, options) {
  const headers = { ...credentials(), ...options?.headers };
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(20_000), ...options, headers }).catch((error) => {
    throw failure(error);
  });
  return read(response);
}

/** @param {string} path */
export const get = (path) => send(path);

/** @param {string} path @param {unknown} body @param {Record<string, string>} [headers] */
export const post = (path, body, headers = {}) =>
  send(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } });

/** A UUID; pages that come without TLS from another machine have no crypto.randomUUID. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** The time by the server's clock. */
export const now = () => Date.now() + ahead;
