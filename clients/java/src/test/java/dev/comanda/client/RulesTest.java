package dev.comanda.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.comanda.v1.BatchCreateOrdersRequest;
import dev.comanda.v1.CourierStatus;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.DispatchServiceGrpc;
import dev.comanda.v1.Phase;
import dev.comanda.v1.WatchCourierRequest;
import dev.comanda.v1.WatchCourierResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** Rules that need no server of Comanda. */
class RulesTest {
  @Test
  void aMissingRequestIdIsFilledInAndAGivenOneKept() {
    CreateOrderRequest filled = Calls.withRequestId(CreateOrderRequest.getDefaultInstance());
    assertEquals(filled.getRequestId(), UUID.fromString(filled.getRequestId()).toString());
    assertEquals(filled, Calls.withRequestId(filled));
    BatchCreateOrdersRequest batch = Calls.withRequestId(twoRows());
    assertFalse(batch.getRequests(0).getRequestId().isEmpty());
    assertNotEquals(batch.getRequests(0).getRequestId(), batch.getRequests(1).getRequestId());
  }

  @Test
  void everyDetailOfAnErrorIsRead() {
    var violation = BadRequest.FieldViolation.newBuilder().setField("items[0].quantity").setDescription("must be 1");
    var delay = com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000);
    var status =
        com.google.rpc.Status.newBuilder()
            .setCode(Code.INVALID_ARGUMENT.value())
            .setMessage("a field is wrong")
            .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("INVALID_FIELDS").putMetadata("version", "3").build()))
            .addDetails(Any.pack(BadRequest.newBuilder().addFieldViolations(violation).build()))
            .addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()))
            .build();
    ComandaException error = ComandaException.of(StatusProto.toStatusRuntimeException(status));
    assertEquals("a field is wrong (INVALID_ARGUMENT, INVALID_FIELDS)", error.getMessage());
    assertEquals(Code.INVALID_ARGUMENT, error.code());
    assertEquals(Map.of("version", "3"), error.metadata());
    assertEquals(List.of(new Violation("items[0].quantity", "must be 1")), error.violations());
    assertEquals(Optional.of(Duration.ofMillis(1500)), error.retryAfter());
    assertEquals(Outcome.NOT_APPLIED, error.outcome());
  }

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

  @Test
  void aCouriersRepetitionsAreLeftOutAndABrokenStreamIsOpenedAgain() throws IOException {
    WatchCourierResponse paused = at(4).toBuilder().setStatus(CourierStatus.COURIER_STATUS_PAUSED).build();
    Couriers couriers = new Couriers(List.of(List.of(at(3), at(3), at(2)), List.of(at(4), at(4), paused)));
    Server server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()).addService(couriers).build().start();
    List<WatchCourierResponse> told = new ArrayList<>();
    try (Comanda comanda = Comanda.connect("127.0.0.1:" + server.getPort())) {
      Watch<WatchCourierResponse> watch = comanda.watchCourier(WatchCourierRequest.newBuilder().setCourierId("maria").build());
      assertEquals(Code.NOT_FOUND, assertThrows(ComandaException.class, () -> watch.forEachRemaining(told::add)).code());
    } finally {
      server.shutdownNow();
    }
    assertEquals(List.of(at(3), at(4), paused), told);
  }

  /** Answers each watch with the next of its streams. */
  private static final class Couriers extends DispatchServiceGrpc.DispatchServiceImplBase {
    private final Queue<List<WatchCourierResponse>> streams;

    Couriers(List<List<WatchCourierResponse>> streams) {
      this.streams = new ArrayDeque<>(streams);
    }

    @Override
    public void watchCourier(WatchCourierRequest request, StreamObserver<WatchCourierResponse> answer) {
      List<WatchCourierResponse> stream = streams.poll();
      if (stream == null) {
        answer.onError(Status.NOT_FOUND.asRuntimeException());
        return;
      }
      stream.forEach(answer::onNext);
      answer.onCompleted();
    }
  }

  private static BatchCreateOrdersRequest twoRows() {
    CreateOrderRequest row = CreateOrderRequest.getDefaultInstance();
    return BatchCreateOrdersRequest.newBuilder().addRequests(row).addRequests(row).build();
  }

  private static WatchCourierResponse at(long revision) {
    return WatchCourierResponse.newBuilder().setRevision(revision).build();
  }

  private static boolean isNew(Seen seen, String orderId, long version) {
    return seen.isNew(orderId, version, Phase.PHASE_ACTIVE);
  }

  private static ComandaException error(Optional<Duration> retryAfter) {
    Details details = new Details(Optional.empty(), Map.of(), List.of(), retryAfter);
    return new ComandaException(Code.UNAVAILABLE, "", details, null);
  }
}
