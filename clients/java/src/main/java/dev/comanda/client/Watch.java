package dev.comanda.client;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Queue;

/**
 * What a watch tells, one response after another. {@link #hasNext} and {@link #next} wait for the next one. They fail with a {@link ComandaException}
 * where the request is wrong, and with CANCELLED where the client was closed or the thread interrupted.
 *
 * <p>One thread reads it; any thread may close it, and it then has no next response.
 *
 * @param <T> the responses
 */
public abstract class Watch<T> implements Iterator<T>, AutoCloseable {
  private final Patience patience;
  private final Waits waits;
  private final Queue<T> told = new ArrayDeque<>();
  private volatile Stream<?, T> stream;
  private volatile boolean isClosed;

  Watch(Patience patience) {
    this.patience = patience;
    this.waits = patience.waits();
  }

  /** How a watch goes on when its stream has ended. */
  enum Next {
    /** It opens another one after a wait. */
    WAIT,
    /** It opens another one at once. */
    OPEN,
    /** It is over. */
    OVER
  }

  @Override
  public final boolean hasNext() {
    while (told.isEmpty() && !isClosed) {
      step();
    }
    return !told.isEmpty();
  }

  @Override
  public final T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return told.remove();
  }

  /** Ends the watch. */
  @Override
  public final void close() {
    isClosed = true;
    Stream<?, T> open = stream;
    if (open != null) {
      open.close();
    }
  }

  /** Opens a stream where the one before was. */
  abstract Stream<?, T> open();

  /** Notes a response, and tells what is new of it. */
  abstract void accept(T response);

  /** Does the next thing that is to be done: usually, takes the next response. */
  void advance(Stream<?, T> from) {
    accept(take(from));
  }

  /** What the end of a stream means. Throws an error that is final. */
  Next interrupted(ComandaException error) {
    if (!Retry.mayResume(error)) {
      throw error;
    }
    return Next.WAIT;
  }

  /** How long the next response may take. */
  Duration silence() {
    return patience.silence();
  }

  final T take(Stream<?, T> from) {
    T response = from.next(silence());
    waits.reset();
    return response;
  }

  final void tell(T response) {
    told.add(response);
  }

  private void step() {
    Stream<?, T> open = stream == null ? open() : stream;
    stream = open;
    if (isClosed) {
      // It was closed while the stream was opened.
      open.close();
    }
    try {
      advance(open);
    } catch (ComandaException error) {
      open.close();
      stream = null;
      if (!isClosed) {
        goOn(error);
      }
    }
  }

  private void goOn(ComandaException error) {
    boolean goesOn = false;
    try {
      Next next = interrupted(error);
      if (next == Next.WAIT) {
        patience.pause(waits.after(error));
      }
      goesOn = next != Next.OVER;
    } finally {
      isClosed |= !goesOn;
    }
  }
}
