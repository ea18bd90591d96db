package dev.comanda.client;

import static dev.comanda.client.Servers.connect;
import static dev.comanda.client.Servers.cuts;
import static dev.comanda.client.Servers.newCustomer;
import static dev.comanda.client.Servers.orderOf;
import static dev.comanda.client.Servers.variable;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.comanda.v1.AdvanceOrderRequest;
import dev.comanda.v1.BatchCreateOrdersRequest;
import dev.comanda.v1.BatchCreateOrdersResponse;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.GetOrderRequest;
import dev.comanda.v1.ListOrdersRequest;
import dev.comanda.v1.Now;
import dev.comanda.v1.WatchFilter;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;
import dev.comanda.v1.WatchOrdersRequest;
import dev.comanda.v1.WatchOrdersResponse;
import io.grpc.Status.Code;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** The client against a real server, directly and through proxies that cut, end, silence and break what passes them. */
@Execution(ExecutionMode.CONCURRENT)
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ServerTest {
  /** Every order of the shipped workflow "delivery": received, preparing, dispatched, delivered. */
  private static final List<Long> VERSIONS = List.of(1L, 2L, 3L, 4L);

  static final List<String> FAULTS = Servers.FAULTS;

  @ParameterizedTest
  @FieldSource("FAULTS")
  void aWatchOfOneOrderTellsEachVersionOnce(String fault) {
    try (Comanda comanda = connect(fault)) {
      WatchOrderRequest request = WatchOrderRequest.newBuilder().setOrderId(create(comanda, newCustomer())).build();
      List<Long> versions = new ArrayList<>();
      for (Watch<WatchOrderResponse> watch = comanda.watchOrder(request); watch.hasNext(); ) {
        WatchOrderResponse event = watch.next();
        if (event.hasTransition()) {
          versions.add(event.getTransition().getVersion());
        }
      }
      assertEquals(VERSIONS, versions);
    }
  }

  @ParameterizedTest
  @FieldSource("FAULTS")
  void aWatchOfManyOrdersTellsEachVersionOnce(String fault) {
    String customer = newCustomer();
    WatchOrdersRequest request = ofCustomer(customer).setNow(Now.getDefaultInstance()).build();
    Map<String, List<Long>> told = new HashMap<>();
    try (Comanda comanda = connect(fault);
        Watch<WatchOrdersResponse> watch = comanda.watchOrders(request)) {
      while (told.isEmpty() || !told.values().stream().allMatch(versions -> versions.contains(4L))) {
        WatchOrdersResponse response = watch.next();
        if (response.hasHeartbeat() && told.isEmpty()) {
          // From its first heartbeat on the watch tells everything.
          for (int order = 0; order < 3; order++) {
            told.put(create(comanda, customer), new ArrayList<>());
          }
        }
        if (response.hasTransition()) {
          told.get(response.getTransition().getOrderId()).add(response.getTransition().getVersion());
        }
      }
    }
    assertEquals(List.of(VERSIONS, VERSIONS, VERSIONS), List.copyOf(told.values()));
  }

  @ParameterizedTest
  @FieldSource("FAULTS")
  void aSnapshotShowsAnOrderThatMoves(String fault) {
    String customer = newCustomer();
    List<Long> shown = new ArrayList<>();
    try (Comanda comanda = connect(fault)) {
      create(comanda, customer);
      try (Watch<WatchOrdersResponse> watch = comanda.watchOrders(ofCustomer(customer).build())) {
        while (!shown.contains(4L)) {
          WatchOrdersResponse response = watch.next();
          if (response.hasCurrent()) {
            shown.add(response.getCurrent().getVersion());
          } else if (response.hasTransition()) {
            shown.add(response.getTransition().getVersion());
          }
        }
      }
    }
    assertEquals(VERSIONS.subList(shown.get(0).intValue() - 1, 4), shown);
  }

  @Test
  void aClosedWatchHasNoNextResponse() throws InterruptedException {
    try (Comanda comanda = connect("ADDRESS");
        Watch<WatchOrdersResponse> watch = comanda.watchOrders(WatchOrdersRequest.newBuilder().setNow(Now.getDefaultInstance()).build())) {
      assertTrue(watch.hasNext());
      Thread closing = new Thread(watch::close);
      watch.next();
      closing.start();
      watch.forEachRemaining(response -> {});
      closing.join();
      assertFalse(watch.hasNext());
    }
  }

  @Test
  void aClosedClientFailsItsWatchesWithCancelled() {
    Comanda comanda = connect("ADDRESS");
    Watch<WatchOrdersResponse> watch = comanda.watchOrders(WatchOrdersRequest.newBuilder().setNow(Now.getDefaultInstance()).build());
    watch.next();
    comanda.close();
    assertEquals(Code.CANCELLED, assertThrows(ComandaException.class, () -> watch.forEachRemaining(response -> {})).code());
  }

  @Test
  void aCreateWhoseAnswerWasLostMakesOneOrder() {
    String customer = newCustomer();
    try (Comanda comanda = connect("FORGETFUL")) {
      assertTrue(comanda.orders().createOrder(orderOf(customer)).getReplayed(), "the second try must find what the first one made");
      assertEquals(1, countOrders(comanda, customer));
    }
  }

  @Test
  void theRowsOfABatchGetRequestIdsToo() {
    String customer = newCustomer();
    BatchCreateOrdersRequest request =
        BatchCreateOrdersRequest.newBuilder()
            .addRequests(orderOf(customer))
            .addRequests(CreateOrderRequest.getDefaultInstance())
            .addRequests(orderOf(customer))
            .build();
    try (Comanda comanda = connect("FORGETFUL")) {
      BatchCreateOrdersResponse answer = comanda.orders().batchCreateOrders(request);
      assertTrue(answer.getResults(0).getCreated().getReplayed());
      ComandaException error = ComandaException.ofStatus(answer.getResults(1).getError());
      assertEquals(Code.INVALID_ARGUMENT, error.code());
      assertEquals("INVALID_FIELDS", error.reason().orElseThrow());
      assertEquals(2, countOrders(comanda, customer));
    }
  }

  @Test
  void createsOverConnectionsThatAreCutMakeEachOrderOnce() {
    int enough = cuts() + 3;
    try (Comanda comanda = connect("CUTTING")) {
      while (cuts() < enough) {
        String customer = newCustomer();
        create(comanda, customer);
        assertEquals(1, countOrders(comanda, customer));
      }
    }
  }

  @Test
  void aRefusedOrderNamesEveryWrongField() {
    CreateOrderRequest.Builder request = orderOf("").toBuilder();
    request.getItemsBuilder(0).setQuantity(0);
    try (Comanda comanda = connect("ADDRESS")) {
      ComandaException error = assertThrows(ComandaException.class, () -> comanda.orders().createOrder(request.build()));
      assertEquals(Code.INVALID_ARGUMENT, error.code());
      assertEquals("INVALID_FIELDS", error.reason().orElseThrow());
      assertEquals(Outcome.NOT_APPLIED, error.outcome());
      assertEquals(List.of("customer.customer_id", "items[0].quantity"), error.violations().stream().map(Violation::field).toList());
      assertFalse(error.violations().stream().anyMatch(violation -> violation.description().isEmpty()));
    }
  }

  @Test
  void aStaleVersionIsToldWithTheVersionThatHolds() {
    try (Comanda comanda = connect("ADDRESS")) {
      AdvanceOrderRequest request = AdvanceOrderRequest.newBuilder().setOrderId(create(comanda, newCustomer())).setExpectedVersion(99).build();
      ComandaException error = assertThrows(ComandaException.class, () -> comanda.lifecycle().advanceOrder(request));
      assertEquals(Code.ABORTED, error.code());
      assertEquals("VERSION_MISMATCH", error.reason().orElseThrow());
      assertTrue(Integer.parseInt(error.metadata().get("version")) >= 1);
    }
  }

  @Test
  void aCallEndsAtItsDeadline() {
    long began = System.nanoTime();
    GetOrderRequest request = GetOrderRequest.newBuilder().setOrderId(UUID.randomUUID().toString()).build();
    try (Comanda comanda = Comanda.connect(variable("MUTE"))) {
      Comanda hasty = comanda.withDeadline(Duration.ofSeconds(1));
      ComandaException error = assertThrows(ComandaException.class, () -> hasty.orders().getOrder(request));
      assertEquals(Outcome.UNKNOWN, error.outcome());
    }
    assertTrue(System.nanoTime() - began < Duration.ofSeconds(9).toNanos(), "the usual deadline is 10 s");
  }

  @Test
  void tlsWorksWithTheRightCertificateOnly() throws IOException {
    var trusted = TlsChannelCredentials.newBuilder().trustManager(new File(variable("CERTIFICATE"))).build();
    try (Comanda comanda = Comanda.builder(variable("TLS")).tls(trusted).connect()) {
      create(comanda, newCustomer());
    }
    try (Comanda comanda = Comanda.builder(variable("TLS")).tls().deadline(Duration.ofSeconds(1)).connect()) {
      assertThrows(ComandaException.class, () -> create(comanda, newCustomer()));
    }
  }

  private static String create(Comanda comanda, String customer) {
    return comanda.orders().createOrder(orderOf(customer)).getOrder().getOrderId();
  }

  private static int countOrders(Comanda comanda, String customer) {
    return comanda.orders().listOrders(ListOrdersRequest.newBuilder().setCustomerId(customer).build()).getOrdersCount();
  }

  private static WatchOrdersRequest.Builder ofCustomer(String customer) {
    return WatchOrdersRequest.newBuilder().setFilter(WatchFilter.newBuilder().setCustomerId(customer));
  }
}
