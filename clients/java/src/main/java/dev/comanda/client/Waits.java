package dev.comanda.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** Waits that double from one failure to the next, with jitter, so that clients do not return all at once. */
final class Waits {
  /** A wait that a server asks for is granted up to here. */
  private static final Duration LONGEST_ASKED = Duration.ofSeconds(30);

  private final Duration first;
  private final Duration longest;
  private Duration next;

  Waits(Duration first, Duration longest) {
    this.first = first;
    this.longest = longest;
    reset();
  }

  /** Back to the first wait, after a success. */
  void reset() {
    next = first;
  }

  /** The next wait, no shorter than the server asks for. */
  Duration after(ComandaException error) {
    Duration wait = next.plusNanos(ThreadLocalRandom.current().nextLong(next.toNanos() + 1));
    next = shorter(next.multipliedBy(2), longest);
    Duration asked = shorter(error.retryAfter().orElse(Duration.ZERO), LONGEST_ASKED);
    return asked.compareTo(wait) > 0 ? asked : wait;
  }

  static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? one : other;
  }
}
