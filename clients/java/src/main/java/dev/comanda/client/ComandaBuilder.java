package dev.comanda.client;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Where the servers are, and how patient to be with them. Made by {@link Comanda#builder}. */
public final class ComandaBuilder {
  /** Well above the largest page, which is about 1 MiB. */
  private static final int MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

  private final String address;
  private final Map<Service, String> elsewhere = new EnumMap<>(Service.class);
  private ChannelCredentials credentials = InsecureChannelCredentials.create();
  private CallCredentials token;
  private Duration deadline = Duration.ofSeconds(10);
  private Duration silence = Duration.ofSeconds(45);
  private Duration firstWait = Duration.ofMillis(250);
  private Duration longestWait = Duration.ofSeconds(15);

  ComandaBuilder(String address) {
    this.address = Objects.requireNonNull(address, "address");
  }

  /** The address of a service that is elsewhere. */
  public ComandaBuilder address(Service service, String address) {
    elsewhere.put(service, Objects.requireNonNull(address, "address"));
    return this;
  }

  /** Sends this with every call as a bearer token. Without TLS everybody on the way can read it. */
  public ComandaBuilder token(String token) {
    return token(() -> token);
  }

  /** Sends what this returns with every call as a bearer token: for tokens that lapse. */
  public ComandaBuilder token(Supplier<String> token) {
    this.token = new Token(token);
    return this;
  }

  /** TLS with the system's certificates. */
  public ComandaBuilder tls() {
    return tls(TlsChannelCredentials.create());
  }

  /** TLS with certificates of your own: see {@link TlsChannelCredentials#newBuilder}. */
  public ComandaBuilder tls(ChannelCredentials credentials) {
    this.credentials = credentials;
    return this;
  }

  /** The time for each call, with its repetitions. Watches have none. Default: 10 s. */
  public ComandaBuilder deadline(Duration deadline) {
    this.deadline = deadline;
    return this;
  }

  /** A stream that sends nothing for so long, not even a heartbeat, is opened again. Default: 45 s, three heartbeats. */
  public ComandaBuilder silence(Duration silence) {
    this.silence = silence;
    return this;
  }

  /**
   * The wait before a call is repeated or a watch resumed, doubled with each failure in a row up to the longest; jitter may double each. Default: 250 ms
   * to 15 s.
   */
  public ComandaBuilder waits(Duration first, Duration longest) {
    this.firstWait = first;
    this.longestWait = longest;
    return this;
  }

  /** A client that has connected to nothing yet. */
  public Comanda connect() {
    Map<String, ManagedChannel> connections = new HashMap<>();
    Map<Service, Channel> channels = new EnumMap<>(Service.class);
    for (Service service : Service.values()) {
      // Services at one address share a connection.
      Channel connection = connections.computeIfAbsent(elsewhere.getOrDefault(service, address), this::open);
      channels.put(service, token == null ? connection : ClientInterceptors.intercept(connection, new WithToken(token)));
    }
    Patience patience = new Patience(deadline, silence, firstWait, longestWait, new CountDownLatch(1));
    return new Comanda(channels::get, connections.values(), patience);
  }

  /** The pings find out whether the other side of a silent stream is still there. */
  private ManagedChannel open(String address) {
    return Grpc.newChannelBuilder(address, credentials)
        .keepAliveTime(20, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .maxInboundMessageSize(MAX_RESPONSE_BYTES)
        .userAgent("comanda-java/0.1.0")
        .build();
  }

  private record WithToken(CallCredentials token) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return next.newCall(method, options.withCallCredentials(token));
    }
  }
}
