/** A stream that can be seen to fall silent. */

import { Code } from "@connectrpc/connect";

import { ComandaError } from "./errors.js";

/** How many responses wait to be taken. When there are so many nothing more is read, and flow control makes the server wait. */
const QUEUE_SIZE = 1000;

/** Opens a stream that the signal ends. */
export type Open<T> = (signal: AbortSignal) => AsyncIterable<T>;

/** A stream that is read ahead. */
export class Stream<T> {
  readonly #abort = new AbortController();
  readonly #queue: T[] = [];
  #error: ComandaError | undefined;
  #wakeReader: () => void = () => {};
  #wakeTaker: () => void = () => {};

  constructor(open: Open<T>) {
    void this.#read(open);
  }

  /**
   * The next response within so many milliseconds. The end of the stream is an error too, at every later call: only a watch knows whether
   * it came too early.
   */
  async next(patience: number): Promise<T> {
    if (!this.#hasNews()) {
      await this.#news(patience);
    }
    const response = this.#queue.shift();
    if (response !== undefined) {
      this.#wakeReader();
      return response;
    }
    this.#end(new ComandaError(Code.Unavailable, `nothing was received for ${patience / 1000} s`));
    throw this.#error;
  }

  /** Whether there is something to take at once. */
  get hasWaiting(): boolean {
    return this.#hasNews();
  }

  /** Ends the stream. May be called twice. */
  close(): void {
    this.#end(new ComandaError(Code.Canceled, "the stream was closed"));
  }

  #hasNews(): boolean {
    return this.#queue.length > 0 || this.#error !== undefined;
  }

  #news(patience: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.#wakeTaker = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #read(open: Open<T>): Promise<void> {
    try {
      for await (const response of open(this.#abort.signal)) {
        this.#queue.push(response);
        this.#wakeTaker();
        while (this.#queue.length >= QUEUE_SIZE && !this.#error) {
          await new Promise<void>((resolve) => (this.#wakeReader = resolve));
        }
        if (this.#error) {
          return;
        }
      }
      this.#end(new ComandaError(Code.Unavailable, "the stream ended early"));
    } catch (thrown) {
      this.#end(ComandaError.from(thrown));
    }
  }

  /** The first end counts. What was read before is still handed out. */
  #end(error: ComandaError): void {
    this.#error ??= error;
    this.#abort.abort();
    this.#wakeReader();
    this.#wakeTaker();
  }
}
