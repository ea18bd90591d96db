// A stream of events that shows a key, which a browser's own EventSource cannot. It does not come again by itself.

import { failure, problemOf } from "./api.js";
import { credentials } from "./login.js";

/**
 * @typedef {object} Listener
 * @property {() => void} open
 * @property {(name: string, data: string, id: string) => void} event
 * @property {(problem: import("./api.js").Problem | null) => void} end null where the server ended it
 */

export class Source {
  /** @param {string} url @param {Listener} listener */
  constructor(url, listener) {
    this.listener = listener;
    /** The id of the last event that had one. */
    this.lastId = "";
    this.aborter = new AbortController();
    this.#read(url).then(
      () => this.#end(null),
      (error) => this.#end(failure(error)),
    );
  }

  close() {
    this.aborter.abort();
  }

  /** @param {import("./api.js").Problem | null} problem */
  #end(problem) {
    if (!this.aborter.signal.aborted) this.listener.end(problem);
  }

  /** @param {string} url */
  async #read(url) {
    const headers = { accept: "text/event-stream", ...credentials() };
    const response = await fetch(url, { headers, cache: "no-store", signal: this.aborter.signal });
    if (!response.ok) throw await problemOf(response);
    this.listener.open();
    if (!response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (text + part.value).split("\n\n");
      // What breaks off within an event was never sent.
      text = events.pop() ?? "";
      for (const event of events) this.#take(event);
    }
  }

  /** One event: lines of a field and its value. @param {string} text */
  #take(text) {
    let name = "message";
    /** @type {string[]} */
    const data = [];
    for (const line of text.split("\n")) {
      const [, field, value] = line.match(/^(\w+): ?([^]*)$/) ?? [];
      if (field === "event") name = value;
      if (field === "data") data.push(value);
      if (field === "id") this.lastId = value;
    }
    if (data.length > 0 && !this.aborter.signal.aborted) this.listener.event(name, data.join("\n"), this.lastId);
  }
}
