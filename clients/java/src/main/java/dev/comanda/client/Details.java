package dev.comanda.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What servers of Comanda say of an error beside its code. */
record Details(Optional<String> reason, Map<String, String> metadata, List<Violation> violations, Optional<Duration> retryAfter) {
  static final Details NONE = new Details(Optional.empty(), Map.of(), List.of(), Optional.empty());

  static Details of(com.google.rpc.Status status) {
    Optional<ErrorInfo> info = find(status, ErrorInfo.class);
    List<BadRequest.FieldViolation> violations = find(status, BadRequest.class).map(BadRequest::getFieldViolationsList).orElse(List.of());
    return new Details(
        info.map(ErrorInfo::getReason),
        info.map(ErrorInfo::getMetadataMap).orElse(Map.of()),
        violations.stream().map(violation -> new Violation(violation.getField(), violation.getDescription())).toList(),
        find(status, RetryInfo.class)
            .map(RetryInfo::getRetryDelay)
            .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())));
  }

  private static <M extends com.google.protobuf.Message> Optional<M> find(com.google.rpc.Status status, Class<M> kind) {
    return status.getDetailsList().stream().filter(detail -> detail.is(kind)).findFirst().flatMap(detail -> unpack(detail, kind));
  }

  private static <M extends com.google.protobuf.Message> Optional<M> unpack(Any detail, Class<M> kind) {
    try {
      return Optional.of(detail.unpack(kind));
    } catch (InvalidProtocolBufferException broken) {
      // A detail that cannot be read must not hide the error that it came with.
      return Optional.empty();
    }
  }
}
