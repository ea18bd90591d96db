// One stream for all tabs of the browser: browsers allow six connections to a server, and each board would keep one.
//
// The tab that holds a lock reads the stream and tells the others. When it goes, another one gets the lock and goes on where it was.

import { key } from "../shared/login.js";
import { Feed } from "./feed.js";

/** @typedef {import("./feed.js").Listener & {dump: () => any[], load: (cards: any[]) => void}} Listener */

export class Share {
  /** @param {URLSearchParams} filter @param {Listener} listener */
  constructor(filter, listener) {
    this.filter = filter;
    this.listener = listener;
    this.lastId = "";
    /** @type {"connecting" | "live" | "broken" | "pages"} */
    this.lastState = "connecting";
    /** @type {Feed | null} */
    this.feed = null;
    this.ended = new AbortController();
    if (!navigator.locks) {
      // Pages that come without TLS from another machine have none: each tab then has a stream of its own.
      this.#read();
      return;
    }
    this.#join();
  }

  async #join() {
    // Only tabs with the same key share: what another one shows may be of another tenant.
    const name = `comanda-board?${this.filter}#${await digest(key())}`;
    if (this.ended.signal.aborted) return;
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = (event) => this.#hear(event.data);
    this.channel.postMessage({ kind: "hello" });
    const untilEnd = new Promise((resolve) => this.ended.signal.addEventListener("abort", resolve));
    const lead = () => {
      // The lock may come just when it is not wanted any more.
      if (this.ended.signal.aborted) return undefined;
      this.#read();
      return untilEnd;
    };
    navigator.locks.request(name, { signal: this.ended.signal }, lead).catch(() => {});
  }

  close() {
    this.ended.abort();
    this.feed?.close();
    this.channel?.close();
  }

  #read() {
    this.feed = new Feed(this.filter, this.lastId, {
      event: (name, data, id) => {
        this.#event(name, data, id);
        this.channel?.postMessage({ kind: "event", name, data, id });
      },
      state: (state) => {
        if (state === this.lastState) return;
        this.#state(state);
        this.channel?.postMessage({ kind: "state", state });
      },
    });
  }

  /** @param {any} message */
  #hear(message) {
    if (this.feed) {
      if (message.kind === "hello") {
        this.channel?.postMessage({ kind: "cards", cards: this.listener.dump(), id: this.lastId, state: this.lastState });
      }
      return;
    }
    if (message.kind === "event") this.#event(message.name, message.data, message.id);
    if (message.kind === "state") this.#state(message.state);
    if (message.kind === "cards") {
      this.listener.load(message.cards);
      this.lastId = message.id;
      this.#state(message.state);
    }
  }

  /** @param {string} name @param {any} data @param {string} id */
  #event(name, data, id) {
    this.lastId = id;
    this.listener.event(name, data, id);
  }

  /** @param {"connecting" | "live" | "broken" | "pages"} state */
  #state(state) {
    this.lastState = state;
    this.listener.state(state);
  }
}

/** What tells keys apart and says nothing of them. @param {string} text */
async function digest(text) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
