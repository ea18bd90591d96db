package dev.comanda.client;

import static dev.comanda.client.Servers.connect;
import static dev.comanda.client.Servers.newCustomer;
import static dev.comanda.client.Servers.orderOf;
import static dev.comanda.client.Servers.serve;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.type.LatLng;
import dev.comanda.v1.Assignment;
import dev.comanda.v1.CompleteAssignmentRequest;
import dev.comanda.v1.Courier;
import dev.comanda.v1.CourierStatus;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.DispatchServiceGrpc;
import dev.comanda.v1.Location;
import dev.comanda.v1.MarkPickedUpRequest;
import dev.comanda.v1.Place;
import dev.comanda.v1.RegisterCourierRequest;
import dev.comanda.v1.ReportLocationRequest;
import dev.comanda.v1.SetCourierStatusRequest;
import dev.comanda.v1.Trip;
import dev.comanda.v1.WatchCourierRequest;
import dev.comanda.v1.WatchCourierResponse;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** Watches of couriers, against a real server and against one that answers by a script. */
@Execution(ExecutionMode.CONCURRENT)
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class CourierWatchTest {
  private static final LatLng HERE = LatLng.newBuilder().setLatitude(-33.437).setLongitude(-70.651).build();

  static final List<String> FAULTS = Servers.FAULTS;

  @ParameterizedTest
  @FieldSource("FAULTS")
  void aCourierIsShownItsJobUntilItIsDone(String fault) {
    String zone = UUID.randomUUID().toString().replace("-", "");
    String order = null;
    List<String> shown = new ArrayList<>();
    List<Long> revisions = new ArrayList<>();
    try (Comanda comanda = connect(fault);
        Watch<WatchCourierResponse> watch = comanda.watchCourier(WatchCourierRequest.newBuilder().setCourierId(courierIn(comanda, zone)).build())) {
      while (shown.size() < 4) {
        WatchCourierResponse response = watch.next();
        revisions.add(response.getRevision());
        String state = "nothing";
        if (order == null) {
          order = createDelivery(comanda, zone);
        } else if (response.getAssignmentsCount() > 0) {
          assertEquals(order, response.getAssignments(0).getOrderId());
          assertEquals(zone, response.getAssignments(0).getTrip().getZone());
          state = carryOn(comanda, response.getAssignments(0));
        }
        if (shown.isEmpty() || !shown.get(shown.size() - 1).equals(state)) {
          shown.add(state);
        }
      }
    }
    assertEquals(List.of("nothing", "allotted", "carried", "nothing"), shown);
    assertEquals(revisions.stream().sorted().toList(), revisions);
  }

  @Test
  void aCouriersRepetitionsAreLeftOutAndABrokenStreamIsOpenedAgain() throws IOException {
    WatchCourierResponse paused = at(4).toBuilder().setStatus(CourierStatus.COURIER_STATUS_PAUSED).build();
    Couriers couriers = new Couriers(List.of(List.of(at(3), at(3), at(2)), List.of(at(4), at(4), paused)));
    Server server = serve(couriers.bindService());
    List<WatchCourierResponse> told = new ArrayList<>();
    try (Comanda comanda = Comanda.connect("127.0.0.1:" + server.getPort())) {
      Watch<WatchCourierResponse> watch = comanda.watchCourier(WatchCourierRequest.newBuilder().setCourierId("maria").build());
      assertEquals(Code.NOT_FOUND, assertThrows(ComandaException.class, () -> watch.forEachRemaining(told::add)).code());
    } finally {
      server.shutdownNow();
    }
    assertEquals(List.of(at(3), at(4), paused), told);
  }

  @Test
  void aWatchWaitsBeforeItResumesAndEachResponseMakesTheWaitsStartOver() throws IOException {
    // If they did not start over, the last one would take days.
    Couriers couriers = new Couriers(LongStream.range(0, 24).mapToObj(revision -> List.of(at(revision))).toList());
    Server server = serve(couriers.bindService());
    ComandaBuilder builder = Comanda.builder("127.0.0.1:" + server.getPort()).waits(Duration.ofMillis(100), Duration.ofDays(1));
    long began = System.nanoTime();
    try (Comanda comanda = builder.connect()) {
      Watch<WatchCourierResponse> watch = comanda.watchCourier(WatchCourierRequest.newBuilder().setCourierId("maria").build());
      assertEquals(Code.NOT_FOUND, assertThrows(ComandaException.class, () -> watch.forEachRemaining(response -> {})).code());
    } finally {
      server.shutdownNow();
    }
    assertTrue(System.nanoTime() - began >= Duration.ofMillis(24 * 100).toNanos());
  }

  @Test
  void aStreamThatIsLongerThanItsQueueIsReadToItsEnd() throws IOException {
    List<WatchCourierResponse> responses = LongStream.range(0, 2500).mapToObj(CourierWatchTest::at).toList();
    Server server = serve(new Couriers(List.of(responses)).bindService());
    List<WatchCourierResponse> told = new ArrayList<>();
    try (Comanda comanda = Comanda.connect("127.0.0.1:" + server.getPort())) {
      Watch<WatchCourierResponse> watch = comanda.watchCourier(WatchCourierRequest.newBuilder().setCourierId("maria").build());
      assertThrows(ComandaException.class, () -> watch.forEachRemaining(told::add));
    } finally {
      server.shutdownNow();
    }
    assertEquals(responses, told);
  }

  /** A courier that takes the jobs of a zone. */
  private static String courierIn(Comanda comanda, String zone) {
    String id = "java-" + UUID.randomUUID();
    Courier courier = Courier.newBuilder().setCourierId(id).setName("Maria").setZone(zone).build();
    CourierStatus available = CourierStatus.COURIER_STATUS_AVAILABLE;
    comanda.dispatch().registerCourier(RegisterCourierRequest.newBuilder().setCourier(courier).build());
    comanda.dispatch().reportLocation(ReportLocationRequest.newBuilder().setCourierId(id).setLocation(Location.newBuilder().setPosition(HERE)).build());
    comanda.dispatch().setCourierStatus(SetCourierStatusRequest.newBuilder().setCourierId(id).setStatus(available).build());
    return id;
  }

  private static String createDelivery(Comanda comanda, String zone) {
    Place place = Place.newBuilder().setPosition(HERE).build();
    Trip trip = Trip.newBuilder().setPickup(place).setDropoff(place).setZone(zone).build();
    CreateOrderRequest request = orderOf(newCustomer()).toBuilder().setWorkflow("courier-delivery").setTrip(trip).build();
    return comanda.orders().createOrder(request).getOrder().getOrderId();
  }

  /** Does what comes next of a job, and returns where it stood. */
  private static String carryOn(Comanda comanda, Assignment job) {
    if (job.hasPickupTime()) {
      comanda.dispatch().completeAssignment(CompleteAssignmentRequest.newBuilder().setOrderId(job.getOrderId()).setAttempt(job.getAttempt()).build());
      return "carried";
    }
    comanda.dispatch().markPickedUp(MarkPickedUpRequest.newBuilder().setOrderId(job.getOrderId()).setAttempt(job.getAttempt()).build());
    return "allotted";
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

  private static WatchCourierResponse at(long revision) {
    return WatchCourierResponse.newBuilder().setRevision(revision).build();
  }
}
