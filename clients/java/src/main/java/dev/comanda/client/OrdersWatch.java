package dev.comanda.client;

import com.google.protobuf.ByteString;
import dev.comanda.v1.Now;
import dev.comanda.v1.Order;
import dev.comanda.v1.OrderTransition;
import dev.comanda.v1.Snapshot;
import dev.comanda.v1.SnapshotComplete;
import dev.comanda.v1.WatchOrdersRequest;
import dev.comanda.v1.WatchOrdersRequest.StartCase;
import dev.comanda.v1.WatchOrdersResponse;
import dev.comanda.v1.WatchOrdersResponse.EventCase;
import dev.comanda.v1.WatchServiceGrpc;
import io.grpc.Channel;
import io.grpc.Status.Code;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/** Watching all orders that match a filter. */
final class OrdersWatch extends Watch<WatchOrdersResponse> {
  private final Channel channel;
  private final Orders orders;
  private final Patience patience;
  /** Its start is where the next stream starts. */
  private final WatchOrdersRequest.Builder request;

  private final Seen seen = new Seen();
  /**
   * Whether orders must be listed as soon as the stream is open: what moves from then on comes from the stream, so nothing is missed between the two.
   */
  private boolean isListingDue;
  /** Reads what is left to be read before a token holds; null where nothing is. */
  private Reader rest;

  OrdersWatch(Channel channel, Orders orders, Patience patience, WatchOrdersRequest request) {
    super(patience);
    this.channel = channel;
    this.orders = orders;
    this.patience = patience;
    this.request = request.toBuilder();
    if (request.getStartCase() == StartCase.START_NOT_SET) {
      startWithSnapshot();
    }
  }

  @Override
  Stream<?, WatchOrdersResponse> open() {
    if (request.getStartCase() == StartCase.SNAPSHOT) {
      seen.beginSnapshot();
    }
    return Stream.open(channel, WatchServiceGrpc.getWatchOrdersMethod(), request.build());
  }

  @Override
  void advance(Stream<?, WatchOrdersResponse> from) {
    if (rest == null) {
      super.advance(from);
      return;
    }
    Optional<List<Order>> page = rest.next();
    if (page.isPresent()) {
      merge(from, page.get());
    } else {
      complete();
    }
  }

  @Override
  void accept(WatchOrdersResponse response) {
    noteToken(response);
    if (isListingDue) {
      rest = Reader.ofAll(orders, patience, request.build(), seen::missing);
    } else if (response.getEventCase() == EventCase.SNAPSHOT_COMPLETE) {
      rest = Reader.ofMissing(orders, patience, request.build(), seen::missing);
    } else {
      tellNews(response);
      return;
    }
    tellWithoutToken(response);
  }

  /** Chooses from where the next stream starts. */
  @Override
  Next interrupted(ComandaException error) {
    rest = null;
    if (error.has("SNAPSHOT_TOO_LARGE")) {
      request.setNow(Now.getDefaultInstance());
      isListingDue = true;
      return Next.OPEN;
    }
    if (error.code() == Code.OUT_OF_RANGE && (error.reason().isEmpty() || error.has("TOKEN_EXPIRED"))) {
      startWithSnapshot();
      return Next.WAIT;
    }
    Next next = super.interrupted(error);
    if (request.getStartCase() == StartCase.NOW) {
      // Before the first token only the error can tell where the stream was.
      startAt(tokenOf(error));
    }
    return next;
  }

  private void startWithSnapshot() {
    request.setSnapshot(Snapshot.getDefaultInstance());
    isListingDue = false;
  }

  private void startAt(ByteString token) {
    if (!token.isEmpty()) {
      request.setResumeToken(token);
    }
  }

  /** While a snapshot is sent there is no token: a break then starts the snapshot again. */
  private void noteToken(WatchOrdersResponse response) {
    startAt(response.getResumeToken());
  }

  private void tellNews(WatchOrdersResponse response) {
    boolean isNew =
        switch (response.getEventCase()) {
          case TRANSITION -> isNew(response.getTransition());
          case CURRENT -> isNew(response.getCurrent());
          case HEARTBEAT -> true;
          // The second is a kind that this client does not know.
          case SNAPSHOT_COMPLETE, EVENT_NOT_SET -> false;
        };
    if (isNew) {
      tell(response);
    }
  }

  private boolean isNew(OrderTransition transition) {
    return seen.isNew(transition.getOrderId(), transition.getVersion(), transition.getPhase());
  }

  private boolean isNew(Order order) {
    return seen.isNew(order.getOrderId(), order.getVersion(), order.getPhase());
  }

  /** A watch that went on from this token would miss what is still to be read. */
  private void tellWithoutToken(WatchOrdersResponse response) {
    if (response.getEventCase() != EventCase.HEARTBEAT) {
      tellNews(response.toBuilder().clearResumeToken().build());
    }
  }

  /** Tells the orders of a page, and what the stream sent meanwhile. */
  private void merge(Stream<?, WatchOrdersResponse> from, List<Order> page) {
    for (Order order : page) {
      tellNews(WatchOrdersResponse.newBuilder().setCurrent(order).build());
    }
    while (from.hasWaiting()) {
      try {
        WatchOrdersResponse response = take(from);
        noteToken(response);
        tellWithoutToken(response);
      } catch (ComandaException error) {
        if (!Retry.mayResume(error)) {
          throw error;
        }
        // The watch meets this error again when everything is read, and then resumes after the token.
        return;
      }
    }
  }

  private void complete() {
    rest = null;
    isListingDue = false;
    SnapshotComplete complete = SnapshotComplete.getDefaultInstance();
    tell(WatchOrdersResponse.newBuilder().setSnapshotComplete(complete).setResumeToken(request.getResumeToken()).build());
  }

  private static ByteString tokenOf(ComandaException error) {
    try {
      return ByteString.copyFrom(Base64.getDecoder().decode(error.metadata().getOrDefault("resume_token", "")));
    } catch (IllegalArgumentException noBase64) {
      return ByteString.EMPTY;
    }
  }
}
