/** What a failed call tells: what went wrong, and whether it was applied. */

import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import type { Status } from "../generated/google/rpc/status_pb.js";

/** Whether a failed call was applied: it was not, or it may have been, and is to be repeated with the same requestId. */
export type Outcome = "not_applied" | "unknown";

/** A field that is wrong. */
export interface Violation {
  /** Its path, such as `items[3].quantity`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

const NOT_APPLIED = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.Aborted,
  Code.OutOfRange,
  Code.ResourceExhausted,
  Code.Unimplemented,
  Code.PermissionDenied,
  Code.Unauthenticated,
]);

/** What may come with a code and a message. */
export interface Details {
  reason?: string | undefined;
  metadata?: Record<string, string>;
  violations?: Violation[];
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * A call or a watch that failed. Servers of Comanda describe their errors with the details of google.rpc; an error without a reason comes from
 * the connection or from a proxy.
 */
export class ComandaError extends Error {
  override readonly name = "ComandaError";
  /** The code of gRPC. The comment at OrderService in the protos says what each means. */
  readonly code: Code;
  /** A word in upper case, such as `ORDER_NOT_FOUND`. */
  readonly reason: string | undefined;
  /** What belongs to the reason, such as the order's version. */
  readonly metadata: Record<string, string>;
  /** Each field that is wrong. */
  readonly violations: Violation[];
  /** How many milliseconds the server asks to wait before the call is repeated. */
  readonly retryAfterMs: number | undefined;

  /** `message` is for people. It may hold text that others wrote: escape it before it reaches a page or a terminal. */
  constructor(code: Code, message: string, details: Details = {}) {
    super(`${message} (${codeName(code)}${details.reason ? `, ${details.reason}` : ""})`, { cause: details.cause });
    this.code = code;
    this.reason = details.reason;
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Whether the call was applied. */
  get outcome(): Outcome {
    return NOT_APPLIED.has(this.code) ? "not_applied" : "unknown";
  }

  /** The error of a call: any value that was thrown. */
  static from(thrown: unknown): ComandaError {
    if (thrown instanceof ComandaError) {
      return thrown;
    }
    const error = ConnectError.from(thrown);
    const details = error.details.flatMap((detail) => ("type" in detail ? [detail] : []));
    // What is no answer of the protocol, such as one that is cut off inside a message, Connect calls INVALID_ARGUMENT: as if the request were wrong.
    const isBroken = details.length === 0 && error.rawMessage.startsWith("protocol error: ");
    return new ComandaError(isBroken ? Code.Internal : error.code, error.rawMessage, { ...read(details), cause: thrown });
  }

  /** The error of one row of BatchCreateOrders. */
  static fromStatus(status: Status): ComandaError {
    const details = status.details.map(({ typeUrl, value }) => ({ type: typeUrl.split("/").at(-1) ?? "", value }));
    return new ComandaError(Code[status.code] === undefined ? Code.Unknown : status.code, status.message, read(details));
  }
}

/** A code as the API writes it: `NOT_FOUND`. */
export function codeName(code: Code): string {
  // Connect spells it with one l.
  return code === Code.Canceled ? "CANCELLED" : (Code[code] ?? "Unknown").replace(/(?<=.)(?=[A-Z])/g, "_").toUpperCase();
}

interface Detail {
  type: string;
  value: Uint8Array;
}

function read(details: Detail[]): Details {
  const info = find(details, ErrorInfoSchema);
  const violations = find(details, BadRequestSchema)?.fieldViolations ?? [];
  const delay = find(details, RetryInfoSchema)?.retryDelay;
  return {
    reason: info?.reason,
    metadata: info?.metadata ?? {},
    violations: violations.map(({ field, description }) => ({ field, description })),
    retryAfterMs: delay && durationMs(delay),
  };
}

function find<D extends DescMessage>(details: Detail[], schema: D): MessageShape<D> | undefined {
  const found = details.find((detail) => detail.type === schema.typeName);
  return found && fromBinary(schema, found.value);
}
