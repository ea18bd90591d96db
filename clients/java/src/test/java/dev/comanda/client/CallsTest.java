package dev.comanda.client;

import static dev.comanda.client.Servers.serve;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.comanda.v1.AnalyticsServiceGrpc;
import dev.comanda.v1.BatchCreateOrdersRequest;
import dev.comanda.v1.BatchGetOrdersRequest;
import dev.comanda.v1.BatchGetOrdersResponse;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.CreateOrderResponse;
import dev.comanda.v1.DispatchServiceGrpc;
import dev.comanda.v1.LifecycleServiceGrpc;
import dev.comanda.v1.MailServiceGrpc;
import dev.comanda.v1.Order;
import dev.comanda.v1.OrderServiceGrpc;
import dev.comanda.v1.WatchOrdersRequest;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What calls do that need no server of Comanda. */
class CallsTest {
  @Test
  void everyCallThatAnswersOnceHasAMethod() {
    Map<ServiceDescriptor, Class<?>> services =
        Map.of(
            OrderServiceGrpc.getServiceDescriptor(), Orders.class,
            LifecycleServiceGrpc.getServiceDescriptor(), Lifecycle.class,
            MailServiceGrpc.getServiceDescriptor(), Mails.class,
            DispatchServiceGrpc.getServiceDescriptor(), Dispatch.class,
            AnalyticsServiceGrpc.getServiceDescriptor(), Analytics.class);
    services.forEach((service, type) -> assertEquals(unaryMethods(service), publicMethods(type)));
  }

  /** Method names as Java writes them. */
  private static Set<String> unaryMethods(ServiceDescriptor service) {
    return service.getMethods().stream()
        .filter(method -> method.getType() == MethodType.UNARY)
        .map(method -> method.getBareMethodName())
        .map(name -> Character.toLowerCase(name.charAt(0)) + name.substring(1))
        .collect(Collectors.toSet());
  }

  private static Set<String> publicMethods(Class<?> type) {
    Stream<Method> methods = Arrays.stream(type.getDeclaredMethods()).filter(method -> Modifier.isPublic(method.getModifiers()));
    return methods.map(Method::getName).collect(Collectors.toSet());
  }

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
  void aServiceThatIsElsewhereIsCalledThereWithATokenForEachTry() throws IOException {
    Flaky flaky = new Flaky();
    Server server = serve(ServerInterceptors.intercept(flaky, flaky));
    AtomicInteger asked = new AtomicInteger();
    ComandaBuilder builder =
        Comanda.builder("127.0.0.1:1")
            .address(Service.ORDERS, "127.0.0.1:" + server.getPort())
            .token(() -> Integer.toString(asked.incrementAndGet()))
            .waits(Duration.ofMillis(1), Duration.ofMillis(1));
    try (Comanda comanda = builder.connect()) {
      comanda.orders().createOrder(CreateOrderRequest.getDefaultInstance());
    } finally {
      server.shutdownNow();
    }
    assertEquals(List.of("Bearer 1", "Bearer 2"), List.copyOf(flaky.tokens));
    assertEquals(1, Set.copyOf(flaky.requestIds).size(), "both tries have one request id");
    assertFalse(flaky.requestIds.contains(""));
  }

  @Test
  void ordersThatCannotBeReadBeforeADeadlineAreReadAgain() throws IOException {
    Flaky flaky = new Flaky();
    Server server = serve(ServerInterceptors.intercept(flaky, flaky));
    // The call itself gives up at its first failure, because its wait would be longer than its deadline.
    Patience hasty = new Patience(Duration.ofSeconds(60), Duration.ZERO, Duration.ofHours(1), Duration.ofHours(1), new CountDownLatch(1));
    Patience patient = new Patience(Duration.ZERO, Duration.ZERO, Duration.ofMillis(1), Duration.ofMillis(1), new CountDownLatch(1));
    try (Comanda comanda = Comanda.connect("127.0.0.1:" + server.getPort())) {
      Orders orders = new Orders(new Calls(comanda.channel(Service.ORDERS), hasty));
      Reader reader = Reader.ofMissing(orders, patient, WatchOrdersRequest.getDefaultInstance(), () -> List.of("o"));
      assertEquals(List.of(Order.newBuilder().setOrderId("o").build()), reader.next().orElseThrow());
    } finally {
      server.shutdownNow();
    }
    assertEquals(2, flaky.tokens.size());
  }

  /** Fails the first call, and notes the token of each. */
  private static final class Flaky extends OrderServiceGrpc.OrderServiceImplBase implements ServerInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final Queue<String> tokens = new ConcurrentLinkedQueue<>();
    private final Queue<String> requestIds = new ConcurrentLinkedQueue<>();

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      tokens.add(Optional.ofNullable(headers.get(AUTHORIZATION)).orElse(""));
      return next.startCall(call, headers);
    }

    @Override
    public void createOrder(CreateOrderRequest request, StreamObserver<CreateOrderResponse> answer) {
      requestIds.add(request.getRequestId());
      if (tokens.size() == 1) {
        answer.onError(Status.UNAVAILABLE.asRuntimeException());
        return;
      }
      answer.onNext(CreateOrderResponse.getDefaultInstance());
      answer.onCompleted();
    }

    @Override
    public void batchGetOrders(BatchGetOrdersRequest request, StreamObserver<BatchGetOrdersResponse> answer) {
      if (tokens.size() == 1) {
        answer.onError(Status.UNAVAILABLE.asRuntimeException());
        return;
      }
      answer.onNext(BatchGetOrdersResponse.newBuilder().addOrders(Order.newBuilder().setOrderId(request.getOrderIds(0))).build());
      answer.onCompleted();
    }
  }

  private static BatchCreateOrdersRequest twoRows() {
    CreateOrderRequest row = CreateOrderRequest.getDefaultInstance();
    return BatchCreateOrdersRequest.newBuilder().addRequests(row).addRequests(row).build();
  }
}
