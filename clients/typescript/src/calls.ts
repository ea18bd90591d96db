/** Calls with a deadline and a token, repeated where that is safe, that fail with a ComandaError. Over any transport. */

import { create, type Message } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";

import { ComandaError } from "./errors.js";
import { mayRepeat, pause, Waits } from "./retry.js";

/** A token, or a function that returns it, for tokens that lapse. */
export type Token = string | (() => string | Promise<string>);

/** How calls are made. */
export interface Patience {
  token: Token | undefined;
  deadlineMs: number;
  waits: () => Waits;
}

/**
 * A transport that repeats calls until there is an answer, an error that repeating cannot change, or the deadline. Every call of the API that
 * answers once may be sent twice: it reads, says what shall be, or has a requestId. A missing one is filled in here, once for all tries.
 */
export function patient(transport: Transport, { token, deadlineMs, waits: newWaits }: Patience): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const message = create(method.input, input);
      fillInRequestIds(message);
      const end = performance.now() + (timeoutMs ?? deadlineMs);
      const waits = newWaits();
      for (;;) {
        try {
          // The header grpc-timeout has whole milliseconds.
          const left = Math.max(1, Math.ceil(end - performance.now()));
          return await transport.unary(method, signal, left, await withToken(header, token), message as typeof input, contextValues);
        } catch (thrown) {
          const error = ComandaError.from(thrown);
          const wait = waits.after(error);
          if (signal?.aborted || !mayRepeat(error) || performance.now() + wait >= end) {
            throw error;
          }
          await pause(wait, signal);
        }
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      return transport.stream(method, signal, timeoutMs, await withToken(header, token), input, contextValues);
    },
  };
}

async function withToken(header: HeadersInit | undefined, token: Token | undefined): Promise<Headers> {
  const headers = new Headers(header);
  if (token !== undefined) {
    headers.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
  }
  return headers;
}

/** Fills in the missing requestId of a message, or of its rows. */
function fillInRequestIds(message: Message & { requestId?: string; requests?: { requestId?: string }[] }): void {
  for (const one of [message, ...(message.requests ?? [])]) {
    if (one.requestId === "") {
      one.requestId = randomUuid();
    }
  }
}

/** A UUID of version 4. Browsers have crypto.randomUUID only on pages that came by https. */
function randomUuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
