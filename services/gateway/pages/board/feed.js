// The stream of events of all orders: one that lasts. It says honestly whether it is connected.

import { Problem, get } from "../shared/api.js";

/** Servers send something every 15 s. */
const SILENCE = 45_000;
const LONGEST_WAIT = 15_000;
/** Pages of a list that are read where a snapshot would be too large. */
const MOST_PAGES = 40;

/**
 * @typedef {object} Listener
 * @property {(name: string, data: any, id: string) => void} event
 * @property {(state: "connecting" | "live" | "broken" | "pages") => void} state
 */

export class Feed {
  /** @param {URLSearchParams} filter @param {string} lastId where an earlier feed was @param {Listener} listener */
  constructor(filter, lastId, listener) {
    this.filter = filter;
    this.lastId = lastId;
    this.listener = listener;
    this.wait = 1000;
    this.tooMany = false;
    this.isClosed = false;
    /** @type {EventSource | null} */
    this.source = null;
    /** When something last came. */
    this.heard = 0;
    this.timers = { silence: 0, again: 0 };
    this.wake = () => document.visibilityState === "visible" && this.#isQuiet() && this.#open();
    document.addEventListener("visibilitychange", this.wake);
    addEventListener("pageshow", this.wake);
    addEventListener("online", this.wake);
    this.#open();
  }

  close() {
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.wake);
    removeEventListener("pageshow", this.wake);
    removeEventListener("online", this.wake);
    this.#shut();
  }

  #shut() {
    clearTimeout(this.timers.silence);
    clearTimeout(this.timers.again);
    this.source?.close();
    this.source = null;
  }

  /** Whether nothing has come for longer than it should take. A frozen tab's timers do not run. */
  #isQuiet() {
    return !this.source || Date.now() - this.heard > SILENCE;
  }

  #url() {
    const parameters = new URLSearchParams(this.filter);
    if (this.lastId) parameters.set("last_event_id", this.lastId);
    else if (this.tooMany) parameters.set("start", "now");
    return `/v1/events?${parameters}`;
  }

  #open() {
    this.#shut();
    this.listener.state("connecting");
    this.heard = Date.now();
    const source = new EventSource(this.#url());
    this.source = source;
    // The browser comes again by itself too, and then also begins with a snapshot where it has no id.
    source.onopen = () => source === this.source && !this.lastId && this.listener.event("snapshot_begin", null, "");
    for (const name of ["transition", "current", "snapshot_complete", "heartbeat", "reset", "problem"]) {
      source.addEventListener(name, (event) => source === this.source && this.#take(name, event));
    }
    source.onerror = () => source === this.source && this.#broken(source);
    this.#listenForSilence();
  }

  /** @param {string} name @param {MessageEvent} event */
  #take(name, event) {
    this.heard = Date.now();
    this.wait = 1000;
    this.#listenForSilence();
    const isFirst = this.tooMany && !this.lastId;
    // A snapshot has none, so that a break in it begins it again.
    this.lastId = event.lastEventId;
    if (name === "problem") return this.listener.state("broken");
    if (name === "reset") this.listener.event("snapshot_begin", null, "");
    this.listener.state("live");
    this.listener.event(name, JSON.parse(event.data), this.lastId);
    if (isFirst) this.#readPages();
  }

  #listenForSilence() {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => this.#reopen(), SILENCE);
  }

  /** @param {EventSource} source */
  #broken(source) {
    this.listener.state("broken");
    // Otherwise the browser comes again by itself.
    if (source.readyState === EventSource.CLOSED) this.#reopen();
  }

  async #reopen() {
    this.#shut();
    this.listener.state("broken");
    if (!this.lastId && !this.tooMany) this.tooMany = await isTooMany(this.filter);
    if (this.isClosed) return;
    const wait = this.wait * (1 + Math.random());
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.timers.again = setTimeout(() => this.#open(), wait);
  }

  /** Where a snapshot would be too large: the stream has begun with what happens now, and the rest is read beside it. */
  async #readPages() {
    this.listener.state("pages");
    let token = "";
    try {
      for (let page = 0; page < MOST_PAGES && !this.isClosed; page += 1) {
        const query = new URLSearchParams(this.filter);
        query.append("phase", "PHASE_ACTIVE");
        query.set("page_size", "500");
        if (token) query.set("page_token", token);
        const answer = await get(`/v1/orders?${query}`);
        for (const order of answer.orders) this.listener.event("current", order, this.lastId);
        token = answer.nextPageToken;
        if (!token) break;
      }
      this.listener.event("snapshot_complete", {}, this.lastId);
      this.listener.state("live");
    } catch {
      if (this.isClosed) return;
      this.lastId = "";
      this.#reopen();
    }
  }
}

/** A browser does not tell a script why a stream was refused, so it is asked again by hand. @param {URLSearchParams} filter */
async function isTooMany(filter) {
  const aborter = new AbortController();
  try {
    const response = await fetch(`/v1/events?${filter}`, { signal: aborter.signal, cache: "no-store" });
    if (response.ok) return false;
    return new Problem(await response.json()).reason === "SNAPSHOT_TOO_LARGE";
  } catch {
    return false;
  } finally {
    aborter.abort();
  }
}
