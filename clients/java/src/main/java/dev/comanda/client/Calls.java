package dev.comanda.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * Calls with a deadline, repeated where that is safe, that fail with a ComandaException.
 *
 * <p>Every call of the API that answers once may be sent twice: it reads, says what shall be, or has a request_id. A missing one is filled in here,
 * once for all tries.
 */
final class Calls {
  private final Channel channel;
  private final Patience patience;

  Calls(Channel channel, Patience patience) {
    this.channel = channel;
    this.patience = patience;
  }

  /** Calls until there is an answer, an error that repeating cannot change, or the deadline. */
  <Q extends Message, A> A call(MethodDescriptor<Q, A> method, Q request) {
    Q message = withRequestId(request);
    long end = System.nanoTime() + patience.deadline().toNanos();
    Waits waits = patience.waits();
    while (true) {
      try {
        return attempt(method, message, end);
      } catch (StatusRuntimeException failure) {
        ComandaException error = ComandaException.of(failure);
        Duration wait = waits.after(error);
        if (!Retry.mayRepeat(error) || System.nanoTime() + wait.toNanos() - end >= 0) {
          throw error;
        }
        patience.pause(wait);
      }
    }
  }

  private <Q, A> A attempt(MethodDescriptor<Q, A> method, Q message, long end) {
    long left = Math.max(1, end - System.nanoTime());
    return ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT.withDeadlineAfter(left, TimeUnit.NANOSECONDS), message);
  }

  /** The request with every missing request_id filled in: its own, or those of its rows. */
  @SuppressWarnings("unchecked") // A builder builds what it was made of.
  static <Q extends Message> Q withRequestId(Q request) {
    Message.Builder filled = request.toBuilder();
    fillIn(filled);
    FieldDescriptor rows = filled.getDescriptorForType().findFieldByName("requests");
    for (int row = 0; rows != null && row < filled.getRepeatedFieldCount(rows); row++) {
      filled.setRepeatedField(rows, row, withRequestId((Message) filled.getRepeatedField(rows, row)));
    }
    return (Q) filled.build();
  }

  private static void fillIn(Message.Builder message) {
    FieldDescriptor requestId = message.getDescriptorForType().findFieldByName("request_id");
    if (requestId != null && message.getField(requestId).equals("")) {
      message.setField(requestId, UUID.randomUUID().toString());
    }
  }
}
