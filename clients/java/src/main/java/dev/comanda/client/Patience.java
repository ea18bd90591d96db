package dev.comanda.client;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * How patient a client is.
 *
 * @param deadline the time for each call, with its repetitions
 * @param silence a stream that sends nothing for so long is opened again
 * @param firstWait the wait before a call is repeated or a watch resumed; it doubles with each failure in a row
 * @param longestWait the longest such wait, without the jitter
 * @param closed is down when the client was closed
 */
record Patience(Duration deadline, Duration silence, Duration firstWait, Duration longestWait, CountDownLatch closed) {
  Waits waits() {
    return new Waits(firstWait, longestWait);
  }

  /** Waits. Fails with CANCELLED where the client is closed or the thread interrupted. */
  void pause(Duration wait) {
    try {
      if (closed.await(wait.toNanos(), TimeUnit.NANOSECONDS)) {
        throw new ComandaException(Code.CANCELLED, "the client was closed");
      }
    } catch (InterruptedException interrupted) {
      throw interrupted();
    }
  }

  static ComandaException interrupted() {
    Thread.currentThread().interrupt();
    return new ComandaException(Code.CANCELLED, "the thread was interrupted");
  }
}
