package dev.comanda.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A stream that can be seen to fall silent. */
final class Stream<Q, T> implements ClientResponseObserver<Q, T>, AutoCloseable {
  /** How many responses wait to be taken. When there are so many nothing more is asked for, and flow control makes the server wait. */
  private static final int QUEUE_SIZE = 1000;

  /** Responses, and as the last item the error that ended the stream. */
  private final BlockingQueue<Object> queue = new LinkedBlockingQueue<>();

  private ClientCallStreamObserver<Q> call;

  static <Q, T> Stream<Q, T> open(Channel channel, MethodDescriptor<Q, T> method, Q request) {
    Stream<Q, T> stream = new Stream<>();
    ClientCalls.asyncServerStreamingCall(channel.newCall(method, CallOptions.DEFAULT), request, stream);
    return stream;
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<Q> call) {
    this.call = call;
    call.disableAutoRequestWithInitial(QUEUE_SIZE);
  }

  @Override
  public void onNext(T response) {
    queue.add(response);
  }

  @Override
  public void onError(Throwable error) {
    queue.add(ComandaException.of(error));
  }

  @Override
  public void onCompleted() {
    queue.add(new ComandaException(Code.UNAVAILABLE, "the stream ended early"));
  }

  /**
   * The next response within so much time. The end of the stream is an error too, at every later call: only a watch knows whether it came too early.
   */
  T next(Duration patience) {
    Object item = poll(patience);
    if (item == null) {
      close();
      throw new ComandaException(Code.UNAVAILABLE, "nothing was received for " + patience);
    }
    if (item instanceof ComandaException error) {
      queue.add(error);
      throw error;
    }
    call.request(1);
    @SuppressWarnings("unchecked") // Only onNext adds anything but errors.
    T response = (T) item;
    return response;
  }

  /** Whether there is a response or an error to take at once. */
  boolean hasWaiting() {
    return !queue.isEmpty();
  }

  /** Ends the stream. May be called twice, and from any thread. */
  @Override
  public void close() {
    call.cancel("the stream was closed", null);
  }

  private Object poll(Duration patience) {
    try {
      return queue.poll(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      throw Patience.interrupted();
    }
  }
}
