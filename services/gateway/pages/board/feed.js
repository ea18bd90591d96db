// The stream of events of all orders: one that lasts. It says honestly whether it is connected.

import { get } from "../shared/api.js";
import { Source } from "../shared/source.js";

/** Servers send something every 15 s. */
const SILENCE = 45_000;
const LONGEST_WAIT = 15_000;
/** Pages of a list that are read where a snapshot would be too large. */
const MOST_PAGES = 40;
const NAMES = new Set(["transition", "current", "snapshot_complete", "heartbeat", "reset", "problem"]);

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
    /** @type {Source | null} */
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
    this.source = new Source(this.#url(), {
      open: () => this.lastId || this.listener.event("snapshot_begin", null, ""),
      event: (name, data, id) => NAMES.has(name) && this.#take(name, data, id),
      end: (problem) => this.#reopen(problem?.reason),
    });
    this.#listenForSilence();
  }

  /** @param {string} name @param {string} data @param {string} id */
  #take(name, data, id) {
    this.heard = Date.now();
    this.wait = 1000;
    this.#listenForSilence();
    const isFirst = this.tooMany && !this.lastId;
    // A snapshot has none, so that a break in it begins it again.
    this.lastId = id;
    if (name === "problem") return this.listener.state("broken");
    if (name === "reset") this.listener.event("snapshot_begin", null, "");
    this.listener.state("live");
    this.listener.event(name, JSON.parse(data), id);
    if (isFirst) this.#readPages();
  }

  #listenForSilence() {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => this.#reopen(), SILENCE);
  }

  /** @param {string} [reason] why it was refused */
  #reopen(reason) {
    this.#shut();
    this.listener.state("broken");
    if (reason === "SNAPSHOT_TOO_LARGE") this.tooMany = true;
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
