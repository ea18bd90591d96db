/** What all watches share: a stream is opened, read, and opened again for as long as its end is no answer. */

import { ComandaError } from "./errors.js";
import { mayResume, pause, type Waits } from "./retry.js";
import { Stream, type Open } from "./stream.js";

/** How a watch is made. */
export interface Watching {
  /** A stream that sends nothing for so long is opened again. */
  silenceMs: number;
  waits: () => Waits;
  /** Ends the watch: it then throws the signal's reason. */
  signal: AbortSignal;
}

/** One kind of watch. */
export interface Watched<Response> {
  /** Opens a stream where the one before was. */
  open(): Open<Response>;
  /** Notes a response, and yields what it tells that is new. */
  accept(response: Response, stream: Stream<Response>): AsyncIterable<Response> | Iterable<Response>;
  /** How long the next response may take, in milliseconds, where that is less than `silenceMs`. */
  patience?: () => number;
  /** What the end of a stream means. Throws an error that is final. Without it the errors about the request are final. */
  interrupted?: (error: ComandaError) => "over" | "open at once" | "open after a wait";
}

/** Yields what a watch tells. */
export async function* watch<Response>(watched: Watched<Response>, { silenceMs, waits: newWaits, signal }: Watching): AsyncGenerator<Response, void> {
  const waits = newWaits();
  for (;;) {
    signal.throwIfAborted();
    const stream = new Stream(watched.open());
    const stop = () => stream.close();
    signal.addEventListener("abort", stop);
    let wait = 0;
    try {
      for (;;) {
        const response = await stream.next(Math.min(silenceMs, watched.patience?.() ?? silenceMs));
        waits.reset();
        yield* watched.accept(response, stream);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ComandaError)) {
        throw error;
      }
      const next = (watched.interrupted ?? onlyAboutTheRequest)(error);
      if (next === "over") {
        return;
      }
      wait = next === "open at once" ? 0 : waits.after(error);
    } finally {
      signal.removeEventListener("abort", stop);
      stream.close();
    }
    await pause(wait, signal);
  }
}

/** Only an error about the request is final. */
export function onlyAboutTheRequest(error: ComandaError): "open after a wait" {
  if (!mayResume(error)) {
    throw error;
  }
  return "open after a wait";
}
