package comanda

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a call or a watch that failed. Every call of a Client fails with one: use errors.As.
//
// Servers of Comanda describe their errors with the details of google.rpc. An error without a Reason comes from the connection or from a proxy.
type Error struct {
	// Code of gRPC. The comment at OrderService in the protos says what each means.
	Code codes.Code
	// Message is for people. It may hold text that others wrote: escape it before it reaches a terminal or a page.
	Message string
	// Reason is a word in upper case, such as ORDER_NOT_FOUND.
	Reason string
	// Metadata belongs to the reason: the order's version, for example.
	Metadata map[string]string
	// Violations has each field that is wrong.
	Violations []Violation
	// RetryAfter is how long the server asks to wait before the call is repeated; 0 where it does not ask.
	RetryAfter time.Duration

	cause error
}

// Violation is a field that is wrong.
type Violation struct {
	// Field is its path, such as items[3].quantity.
	Field string
	// Description says what is wrong with it.
	Description string
}

// Outcome says whether a failed call was applied.
type Outcome int

const (
	// OutcomeUnknown means that it may have been applied: repeat it with the same request_id.
	OutcomeUnknown Outcome = iota
	// OutcomeNotApplied means that nothing was applied.
	OutcomeNotApplied
)

// Outcome says whether the call was applied.
func (e *Error) Outcome() Outcome {
	switch e.Code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange,
		codes.ResourceExhausted, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated:
		return OutcomeNotApplied
	default:
		return OutcomeUnknown
	}
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s (%s)", e.Message, CodeName(e.Code))
	}
	return fmt.Sprintf("%s (%s, %s)", e.Message, CodeName(e.Code), e.Reason)
}

// Unwrap returns what the error was made of: a status of gRPC, or the error of a context.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus lets status.FromError and status.Code see the status.
func (e *Error) GRPCStatus() *status.Status {
	if s, ok := status.FromError(e.cause); ok && e.cause != nil {
		return s
	}
	return status.New(e.Code, e.Message)
}

// ErrorOf reads the error of a call that was made with a plain stub.
func ErrorOf(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := ErrorOfStatus(status.Convert(err).Proto())
	e.cause = err
	return e
}

// ErrorOfStatus reads the error of one row of BatchCreateOrders.
func ErrorOfStatus(s *spb.Status) *Error {
	e := &Error{Code: codes.Code(s.GetCode()), Message: s.GetMessage()}
	for _, detail := range status.FromProto(s).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return e
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE", codes.DataLoss: "DATA_LOSS",
	codes.Unauthenticated: "UNAUTHENTICATED",
}

// CodeName returns a code as the API writes it: NOT_FOUND.
func CodeName(code codes.Code) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return code.String()
}
