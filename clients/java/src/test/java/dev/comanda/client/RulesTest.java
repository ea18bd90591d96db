package dev.comanda.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.comanda.v1.OrderTransition;
import dev.comanda.v1.Phase;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

/** Rules that need no server. */
class RulesTest {
  @Test
  void waitsDoubleUpToTheLongestAndStartOver() {
    Waits waits = new Waits(Duration.ofMillis(100), Duration.ofMillis(400));
    for (int base : List.of(100, 200, 400, 400)) {
      long wait = waits.after(error(Optional.empty())).toMillis();
      assertTrue(base <= wait && wait <= 2 * base, () -> wait + " for " + base);
    }
    waits.reset();
    assertTrue(waits.after(error(Optional.empty())).toMillis() <= 200);
  }

  @Test
  void whatTheServerAsksForIsGrantedWithinReason() {
    Waits waits = new Waits(Duration.ofMillis(1), Duration.ofMillis(1));
    assertEquals(Duration.ofSeconds(3), waits.after(error(Optional.of(Duration.ofSeconds(3)))));
    assertEquals(Duration.ofSeconds(30), waits.after(error(Optional.of(Duration.ofHours(1)))));
  }

  @Test
  void afterTheEndOfAnOrderItsStreamIsGivenLessTime() {
    Patience patience = new Patience(Duration.ZERO, Duration.ofSeconds(45), Duration.ZERO, Duration.ZERO, new CountDownLatch(1));
    OrderWatch watch = new OrderWatch(null, patience, WatchOrderRequest.getDefaultInstance());
    assertEquals(Duration.ofSeconds(45), watch.silence());
    OrderTransition last = OrderTransition.newBuilder().setVersion(2).setPhase(Phase.PHASE_SUCCEEDED).build();
    watch.accept(WatchOrderResponse.newBuilder().setTransition(last).build());
    assertEquals(Duration.ofSeconds(5), watch.silence());
  }

  @Test
  void aVersionIsNewOnce() {
    Seen seen = new Seen();
    List<Boolean> isNew =
        List.of(isNew(seen, "a", 2), isNew(seen, "a", 2), isNew(seen, "a", 1), isNew(seen, "a", 3), isNew(seen, "b", 1));
    assertEquals(List.of(true, false, false, true, true), isNew);
  }

  @Test
  void anOrderThatANewSnapshotDoesNotShowIsMissingUnlessItHadEnded() {
    Seen seen = new Seen();
    seen.beginSnapshot();
    isNew(seen, "shown", 2);
    isNew(seen, "gone", 2);
    seen.isNew("ended", 2, Phase.PHASE_SUCCEEDED);
    assertEquals(List.of(), seen.missing());
    seen.beginSnapshot();
    isNew(seen, "shown", 2);
    assertEquals(List.of("gone"), seen.missing());
  }

  @Test
  void memoryIsBoundedAndTheRecentIsKept() {
    Seen seen = new Seen(100);
    for (int order = 0; order < 300; order++) {
      assertTrue(isNew(seen, Integer.toString(order), 1));
    }
    assertTrue(seen.size() <= 200);
    assertFalse(isNew(seen, "250", 1));
  }

  private static boolean isNew(Seen seen, String orderId, long version) {
    return seen.isNew(orderId, version, Phase.PHASE_ACTIVE);
  }

  private static ComandaException error(Optional<Duration> retryAfter) {
    Details details = new Details(Optional.empty(), Map.of(), List.of(), retryAfter);
    return new ComandaException(Code.UNAVAILABLE, "", details, null);
  }
}
