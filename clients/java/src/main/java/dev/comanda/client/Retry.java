package dev.comanda.client;

import io.grpc.Status.Code;
import java.util.EnumSet;
import java.util.Set;

/** When a failed call is repeated, and when a broken stream is resumed. */
final class Retry {
  private static final Set<Code> ABOUT_THE_REQUEST =
      EnumSet.of(
          Code.INVALID_ARGUMENT,
          Code.NOT_FOUND,
          Code.ALREADY_EXISTS,
          Code.PERMISSION_DENIED,
          Code.UNAUTHENTICATED,
          Code.FAILED_PRECONDITION,
          Code.OUT_OF_RANGE,
          Code.UNIMPLEMENTED,
          Code.DATA_LOSS);

  private Retry() {}

  /** Whether the same call, with the same request_id, may succeed later. */
  static boolean mayRepeat(ComandaException error) {
    if (error.code() == Code.ABORTED) {
      return error.has("CONTENTION");
    }
    return !ABOUT_THE_REQUEST.contains(error.code()) && !error.has("MESSAGE_TOO_LARGE");
  }

  /** Whether a stream that ended so may be opened again where it was. A proxy can end a stream with any code. */
  static boolean mayResume(ComandaException error) {
    return !ABOUT_THE_REQUEST.contains(error.code());
  }
}
