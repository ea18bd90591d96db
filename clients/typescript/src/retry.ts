/** When a failed call is repeated, when a broken stream is resumed, and how long to wait before it. */

import { Code } from "@connectrpc/connect";

import type { ComandaError } from "./errors.js";

/** A wait that a server asks for is granted up to here, in milliseconds. */
const LONGEST_ASKED = 30_000;

const ABOUT_THE_REQUEST = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
  Code.DataLoss,
]);

/** Whether the same call, with the same requestId, may succeed later. */
export function mayRepeat(error: ComandaError): boolean {
  if (error.code === Code.Aborted) {
    return error.reason === "CONTENTION";
  }
  return !ABOUT_THE_REQUEST.has(error.code) && error.reason !== "MESSAGE_TOO_LARGE";
}

/** Whether a stream that ended so may be opened again where it was. A proxy can end a stream with any code. */
export function mayResume(error: ComandaError): boolean {
  return !ABOUT_THE_REQUEST.has(error.code);
}

/** Waits in milliseconds that double from one failure to the next, with jitter, so that clients do not return all at once. */
export class Waits {
  #next: number;

  constructor(
    private readonly first: number,
    private readonly longest: number,
  ) {
    this.#next = first;
  }

  /** Back to the first wait, after a success. */
  reset(): void {
    this.#next = this.first;
  }

  /** The next wait, no shorter than the server asks for. */
  after(error: ComandaError): number {
    const wait = this.#next * (1 + Math.random());
    this.#next = Math.min(2 * this.#next, this.longest);
    return Math.max(wait, Math.min(error.retryAfterMs ?? 0, LONGEST_ASKED));
  }
}

/** Resolves after so many milliseconds; rejects with the signal's reason when that is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
