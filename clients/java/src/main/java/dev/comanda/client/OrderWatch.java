package dev.comanda.client;

import dev.comanda.v1.Phase;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;
import dev.comanda.v1.WatchServiceGrpc;
import io.grpc.Channel;
import java.time.Duration;

/** Watching one order until it has ended. */
final class OrderWatch extends Watch<WatchOrderResponse> {
  /** After the last transition the server ends the stream at once; a proxy may keep it open. */
  private static final Duration AFTER_THE_END = Duration.ofSeconds(5);

  private final Channel channel;
  /** Asks for what comes after the last version seen. */
  private final WatchOrderRequest.Builder request;

  private boolean hasEnded;
  private boolean isCurrentTold;

  OrderWatch(Channel channel, Patience patience, WatchOrderRequest request) {
    super(patience);
    this.channel = channel;
    this.request = request.toBuilder();
  }

  @Override
  Stream<?, WatchOrderResponse> open() {
    return Stream.open(channel, WatchServiceGrpc.getWatchOrderMethod(), request.build());
  }

  @Override
  void accept(WatchOrderResponse response) {
    if (isNew(response)) {
      tell(response);
    }
  }

  @Override
  Duration silence() {
    return hasEnded ? Waits.shorter(super.silence(), AFTER_THE_END) : super.silence();
  }

  @Override
  Next interrupted(ComandaException error) {
    return hasEnded ? Next.OVER : super.interrupted(error);
  }

  /** Notes a response, and says whether it tells something new. */
  private boolean isNew(WatchOrderResponse response) {
    return switch (response.getEventCase()) {
      case TRANSITION -> {
        noteEnd(response.getTransition().getPhase());
        boolean isNew = response.getTransition().getVersion() > request.getAfterVersion();
        request.setAfterVersion(Math.max(request.getAfterVersion(), response.getTransition().getVersion()));
        yield isNew;
      }
      case CURRENT -> {
        noteEnd(response.getCurrent().getPhase());
        boolean isNew = !isCurrentTold;
        isCurrentTold = true;
        yield isNew;
      }
      case COURIER -> true;
      // The second is a kind that this client does not know.
      case HEARTBEAT, EVENT_NOT_SET -> false;
    };
  }

  private void noteEnd(Phase phase) {
    hasEnded |= Seen.isTerminal(phase);
  }
}
