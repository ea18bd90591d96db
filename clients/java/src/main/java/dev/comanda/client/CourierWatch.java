package dev.comanda.client;

import dev.comanda.v1.DispatchServiceGrpc;
import dev.comanda.v1.WatchCourierRequest;
import dev.comanda.v1.WatchCourierResponse;
import io.grpc.Channel;

/** Watching what a courier has to do. */
final class CourierWatch extends Watch<WatchCourierResponse> {
  private final Channel channel;
  private final WatchCourierRequest request;
  private WatchCourierResponse told;

  CourierWatch(Channel channel, Patience patience, WatchCourierRequest request) {
    super(patience);
    this.channel = channel;
    this.request = request;
  }

  @Override
  Stream<?, WatchCourierResponse> open() {
    return Stream.open(channel, DispatchServiceGrpc.getWatchCourierMethod(), request);
  }

  /** Heartbeats repeat the last response, and another replica may be behind it. */
  @Override
  void accept(WatchCourierResponse response) {
    if (told == null || (response.getRevision() >= told.getRevision() && !response.equals(told))) {
      told = response;
      tell(response);
    }
  }
}
