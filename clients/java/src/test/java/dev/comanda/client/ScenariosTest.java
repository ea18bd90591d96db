package dev.comanda.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;
import dev.comanda.v1.WatchOrdersRequest;
import dev.comanda.v1.WatchOrdersResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Every scenario of clients/scenarios.json ends as it says. */
class ScenariosTest {
  @TestFactory
  @Execution(ExecutionMode.CONCURRENT)
  Stream<DynamicTest> everyScenarioEndsAsItSays() {
    Scenario[] all = Servers.scenarios();
    assertTrue(all.length > 40);
    return IntStream.range(0, all.length).mapToObj(index -> DynamicTest.dynamicTest(all[index].name, () -> new Run(all[index]).play(index)));
  }

  /** What a client tells. */
  private static final class Run {
    private final Scenario scenario;
    private final List<String> told = new ArrayList<>();
    private final Map<String, Long> versions = new HashMap<>();
    private int snapshots;

    Run(Scenario scenario) {
      this.scenario = scenario;
    }

    void play(int index) {
      // Short only where a stream falls silent: on a busy machine any stream may for a second.
      Duration silence = Duration.ofSeconds(scenario.stalls ? 2 : 60);
      ComandaBuilder builder = Comanda.builder(scenario.address).token("token-" + index).silence(silence);
      try (Comanda comanda = builder.waits(Duration.ofMillis(1), Duration.ofMillis(5)).connect()) {
        assertEquals(scenario.outcome, outcome(comanda));
      }
      assertEquals(scenario.told == null ? List.of() : scenario.told, told);
      assertEquals(scenario.versions == null ? Map.of() : scenario.versions, versions);
      assertEquals(scenario.snapshots, snapshots);
      assertEquals("", Servers.control("verdict/" + index));
      assertEquals("Bearer token-" + index, Servers.control("authorization/" + index));
    }

    private String outcome(Comanda comanda) {
      try {
        talk(comanda);
        return "OK";
      } catch (ComandaException error) {
        return error.code().name();
      }
    }

    private void talk(Comanda comanda) {
      switch (scenario.rpc) {
        case "CreateOrder" -> create(comanda);
        case "WatchOrder" -> comanda.watchOrder(scenario.request(WatchOrderRequest.getDefaultInstance())).forEachRemaining(this::note);
        default -> comanda.watchOrders(scenario.request(WatchOrdersRequest.getDefaultInstance())).forEachRemaining(this::note);
      }
    }

    private void create(Comanda comanda) {
      try {
        comanda.orders().createOrder(scenario.request(CreateOrderRequest.getDefaultInstance()));
      } catch (ComandaException refused) {
        assertEquals(Outcome.NOT_APPLIED, refused.outcome());
        throw refused;
      }
    }

    private void note(WatchOrderResponse response) {
      told.add(
          switch (response.getEventCase()) {
            case TRANSITION -> "transition " + response.getTransition().getVersion();
            case CURRENT -> "current " + response.getCurrent().getVersion();
            case COURIER -> "courier " + response.getCourier().getAttempt();
            default -> response.toString();
          });
    }

    private void note(WatchOrdersResponse response) {
      boolean isComplete = response.hasSnapshotComplete();
      snapshots += isComplete ? 1 : 0;
      boolean waits = scenario.request.has("snapshot") && snapshots == 0;
      assertFalse(waits && !response.getResumeToken().isEmpty(), "a token that would skip orders");
      assertFalse(isComplete && response.getResumeToken().isEmpty(), "a complete snapshot without a token");
      if (response.hasTransition()) {
        note(response.getTransition().getOrderId(), response.getTransition().getVersion());
      } else if (response.hasCurrent()) {
        note(response.getCurrent().getOrderId(), response.getCurrent().getVersion());
      }
    }

    private void note(String orderId, long version) {
      Long before = versions.put(orderId, version);
      assertTrue(before == null || version > before, () -> "version " + version + " after " + before);
    }
  }
}
