package dev.comanda.client;

import dev.comanda.v1.WatchCourierRequest;
import dev.comanda.v1.WatchCourierResponse;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;
import dev.comanda.v1.WatchOrdersRequest;
import dev.comanda.v1.WatchOrdersResponse;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.function.Function;

/**
 * A client of Comanda. Threads may share it. It connects at its first call, and the connections repair themselves.
 *
 * <p>Each call has a deadline, is repeated where that is safe, and fails with a {@link ComandaException}. Watches resume.
 */
public final class Comanda implements AutoCloseable {
  private final Function<Service, Channel> channels;
  private final Collection<ManagedChannel> connections;
  private final Patience patience;

  Comanda(Function<Service, Channel> channels, Collection<ManagedChannel> connections, Patience patience) {
    this.channels = channels;
    this.connections = List.copyOf(connections);
    this.patience = patience;
  }

  /**
   * A client with the usual settings, without a token and TLS.
   *
   * @param address host and port; an IPv6 address stands in brackets
   */
  public static Comanda connect(String address) {
    return builder(address).connect();
  }

  /**
   * The settings of a client.
   *
   * @param address host and port; an IPv6 address stands in brackets
   */
  public static ComandaBuilder builder(String address) {
    return new ComandaBuilder(address);
  }

  /** The same client with another deadline for each call, its repetitions included. It shares the connections: close only one of the two. */
  public Comanda withDeadline(Duration deadline) {
    Patience other = new Patience(deadline, patience.silence(), patience.firstWait(), patience.longestWait(), patience.closed());
    return new Comanda(channels, connections, other);
  }

  /** Takes orders, shows them, and erases a customer's personal data. */
  public Orders orders() {
    return new Orders(calls(Service.ORDERS));
  }

  /** Moves orders by command and keeps their history. */
  public Lifecycle lifecycle() {
    return new Lifecycle(calls(Service.LIFECYCLE));
  }

  /** Shows mails and sends them again. */
  public Mails mails() {
    return new Mails(calls(Service.MAILS));
  }

  /** Finds couriers and follows their jobs. */
  public Dispatch dispatch() {
    return new Dispatch(calls(Service.DISPATCH));
  }

  /** Reports. */
  public Analytics analytics() {
    return new Analytics(calls(Service.ANALYTICS));
  }

  /**
   * Watches one order until it has ended: each transition once and in order. After the transitions that had happened comes {@code current} once, the
   * order as it is. A {@code courier} replaces the one before. A stream that breaks, falls silent or ends too early is resumed, for as long as it takes.
   */
  public Watch<WatchOrderResponse> watchOrder(WatchOrderRequest request) {
    return new OrderWatch(channels.apply(Service.WATCHES), patience, request);
  }

  /**
   * Watches all orders that match, without end, and tells each version of an order once.
   *
   * <p>It starts as the request says, else with a snapshot. It resumes by token. Where the token has expired a snapshot is taken again; where more
   * orders match than a snapshot may hold, they are listed page by page beside the stream. Orders that it has shown and that have ended meanwhile
   * are then read by their ids. After that comes {@code snapshot_complete}.
   *
   * <p>Keep the resume_token of a response where there is one: a later watch with the same filter can start there.
   */
  public Watch<WatchOrdersResponse> watchOrders(WatchOrdersRequest request) {
    return new OrdersWatch(channels.apply(Service.WATCHES), orders(), patience, request);
  }

  /** Watches what a courier has to do, without end: each response replaces the one before. */
  public Watch<WatchCourierResponse> watchCourier(WatchCourierRequest request) {
    return new CourierWatch(channels.apply(Service.DISPATCH), patience, request);
  }

  /** The connection to a service, for generated stubs: without deadlines and repetitions, but with the token. */
  public Channel channel(Service service) {
    return channels.apply(service);
  }

  /** Closes the connections. Calls and watches that are under way fail. */
  @Override
  public void close() {
    patience.closed().countDown();
    connections.forEach(ManagedChannel::shutdownNow);
  }

  private Calls calls(Service service) {
    return new Calls(channels.apply(service), patience);
  }
}
