"""What a failed call tells: what went wrong, and whether it was applied."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

_NOT_APPLIED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Outcome(enum.Enum):
    """Whether a failed call was applied."""

    NOT_APPLIED = "not_applied"
    """Nothing was applied."""
    UNKNOWN = "unknown"
    """It may have been applied: repeat it with the same request_id."""


@dataclass(frozen=True)
class Violation:
    """A field that is wrong."""

    field: str
    """Its path, such as ``items[3].quantity``."""
    description: str
    """What is wrong with it."""


class ComandaError(Exception):
    """A call or a watch that failed.

    Servers of Comanda describe their errors with the details of google.rpc. An error without a reason comes from the connection or from a
    proxy.
    """

    code: grpc.StatusCode
    """The code of gRPC. The comment at OrderService in the protos says what each means."""
    message: str
    """A sentence for people. It may hold text that others wrote: escape it before it reaches a terminal or a page."""
    reason: str | None
    """A word in upper case, such as ``ORDER_NOT_FOUND``."""
    metadata: dict[str, str]
    """What belongs to the reason, such as the order's version."""
    violations: list[Violation]
    """Each field that is wrong."""
    retry_after: float | None
    """How many seconds the server asks to wait before the call is repeated."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: list[Violation] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({code.name}{f', {reason}' if reason else ''})")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = violations or []
        self.retry_after = retry_after

    @property
    def outcome(self) -> Outcome:
        """Whether the call was applied."""
        return Outcome.NOT_APPLIED if self.code in _NOT_APPLIED else Outcome.UNKNOWN

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> ComandaError:
        """The error of one row of BatchCreateOrders."""
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        for detail in status.details:
            for message in (info, bad, retry):
                detail.Unpack(message)
        return cls(
            _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
            status.message,
            reason=info.reason or None,
            metadata=info.metadata,
            violations=[Violation(violation.field, violation.description) for violation in bad.field_violations],
            retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        )

    @classmethod
    def from_rpc(cls, error: grpc.RpcError) -> ComandaError:
        """The error of a call that was made with a plain stub."""
        # Every error of a call is also a Call, which has the rest.
        assert isinstance(error, grpc.Call)
        status = status_pb2.Status()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                status.MergeFromString(value)
        status.code, status.message = error.code().value[0], error.details() or ""
        return cls.from_status(status)
