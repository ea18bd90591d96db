package dev.comanda.client;

import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A call or a watch that failed. Servers of Comanda describe their errors with the details of google.rpc; an error without a reason comes from the
 * connection or from a proxy.
 */
public final class ComandaException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final Set<Code> NOT_APPLIED =
      EnumSet.of(
          Code.INVALID_ARGUMENT,
          Code.NOT_FOUND,
          Code.ALREADY_EXISTS,
          Code.FAILED_PRECONDITION,
          Code.ABORTED,
          Code.OUT_OF_RANGE,
          Code.RESOURCE_EXHAUSTED,
          Code.UNIMPLEMENTED,
          Code.PERMISSION_DENIED,
          Code.UNAUTHENTICATED);

  private final Code code;
  private final transient Details details;

  ComandaException(Code code, String message, Details details, Throwable cause) {
    super(message + " (" + code + details.reason().map(reason -> ", " + reason).orElse("") + ")", cause);
    this.code = code;
    this.details = details;
  }

  ComandaException(Code code, String message) {
    this(code, message, Details.NONE, null);
  }

  /** Reads the error of a call that was made with a generated stub: a StatusException or StatusRuntimeException, or any other failure. */
  public static ComandaException of(Throwable failure) {
    if (failure instanceof ComandaException known) {
      return known;
    }
    Status status = Status.fromThrowable(failure);
    boolean hasDetails = failure instanceof StatusException || failure instanceof StatusRuntimeException;
    com.google.rpc.Status details = hasDetails ? StatusProto.fromThrowable(failure) : null;
    String message = status.getDescription() == null ? status.getCode().toString() : status.getDescription();
    return new ComandaException(status.getCode(), message, details == null ? Details.NONE : Details.of(details), failure);
  }

  /** Reads the error of one row of BatchCreateOrders. */
  public static ComandaException ofStatus(com.google.rpc.Status status) {
    return new ComandaException(Status.fromCodeValue(status.getCode()).getCode(), status.getMessage(), Details.of(status), null);
  }

  /** The code of gRPC. The comment at OrderService in the protos says what each means. */
  public Code code() {
    return code;
  }

  /** A word in upper case, such as {@code ORDER_NOT_FOUND}. */
  public Optional<String> reason() {
    return details.reason();
  }

  /** What belongs to the reason, such as the order's version. */
  public Map<String, String> metadata() {
    return details.metadata();
  }

  /** Each field that is wrong. */
  public List<Violation> violations() {
    return details.violations();
  }

  /** How long the server asks to wait before the call is repeated. */
  public Optional<Duration> retryAfter() {
    return details.retryAfter();
  }

  /** Whether the call was applied. */
  public Outcome outcome() {
    return NOT_APPLIED.contains(code) ? Outcome.NOT_APPLIED : Outcome.UNKNOWN;
  }

  boolean has(String reason) {
    return details.reason().filter(reason::equals).isPresent();
  }
}
