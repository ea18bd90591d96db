package comanda

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// A wait that a server asks for is granted up to here.
const longestAsked = 30 * time.Second

// mayRepeat says whether the same call, with the same request_id, may succeed later.
func mayRepeat(e *Error) bool {
	if e.Code == codes.Aborted {
		return e.Reason == "CONTENTION"
	}
	return !isAboutTheRequest(e.Code) && e.Reason != "MESSAGE_TOO_LARGE"
}

// mayResume says whether a stream that ended so may be opened again where it was. A proxy can end a stream with any code.
func mayResume(e *Error) bool { return !isAboutTheRequest(e.Code) }

func isAboutTheRequest(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.DataLoss:
		return true
	default:
		return false
	}
}

// waits double from one failure to the next, with jitter, so that clients do not return all at once.
type waits struct{ first, longest, next time.Duration }

func newWaits(first, longest time.Duration) *waits { return &waits{first, longest, first} }

// reset goes back to the first wait, after a success.
func (w *waits) reset() { w.next = w.first }

// after returns the next wait, no shorter than the server asks for.
func (w *waits) after(e *Error) time.Duration {
	wait := w.next + rand.N(w.next+1)
	w.next = min(2*w.next, w.longest)
	return max(wait, min(e.RetryAfter, longestAsked))
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
