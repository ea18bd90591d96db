package comanda

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
)

// watched is one kind of watch.
type watched[T any] interface {
	// open opens a stream where the one before was.
	open() opening[T]
	// accept notes a response, and tells what is new of it. Its error is errLeft, or an *Error.
	accept(ctx context.Context, response *T, s *stream[T], tell telling[T]) error
	// patience returns how long the next response may take, of the usual silence.
	patience(silence time.Duration) time.Duration
	// interrupted says what the end of a stream means.
	interrupted(end *Error) next
}

// telling hands out a response. It returns errLeft where the loop was left.
type telling[T any] func(*T) error

var errLeft = errors.New("the loop was left")

// next says how a watch goes on when its stream has ended.
type next int

const (
	nextWait  next = iota // It opens another one after a wait.
	nextOpen              // It opens another one at once.
	nextFinal             // It ends with the error.
	nextOver              // It is over.
)

// onlyAboutTheRequest is the usual rule: only an error about the request is final.
func onlyAboutTheRequest(end *Error) next {
	if mayResume(end) {
		return nextWait
	}
	return nextFinal
}

// watch returns what all watches have in common: a stream is opened, read, and opened again for as long as its end is no answer.
func watch[T any](ctx context.Context, c *Client, w watched[T]) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(c.closed, func() { cancel(context.Cause(c.closed)) })()
		tell := func(response *T) error {
			if !yield(response, nil) {
				return errLeft
			}
			return nil
		}
		if err := watchAll(ctx, c, w, tell); err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// watchAll returns when the watch is over.
func watchAll[T any](ctx context.Context, c *Client, w watched[T], tell telling[T]) error {
	waits := c.newWaits()
	for {
		err := watchOnce(ctx, c, w, tell, waits)
		var end *Error
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if !errors.As(err, &end) {
			return err
		}
		var wait time.Duration
		switch w.interrupted(end) {
		case nextOver:
			return nil
		case nextFinal:
			return end
		case nextWait:
			wait = waits.after(end)
		}
		if pause(ctx, wait) != nil {
			return ended(ctx)
		}
	}
}

// watchOnce reads one stream to its end.
func watchOnce[T any](ctx context.Context, c *Client, w watched[T], tell telling[T], waits *waits) error {
	s := newStream(ctx, w.open())
	defer s.close()
	for {
		response, end := s.next(w.patience(c.config.Silence))
		if end != nil {
			return end
		}
		waits.reset()
		if err := w.accept(ctx, response, s, tell); err != nil {
			return err
		}
	}
}

// ended returns the error of a watch whose context has ended.
func ended(ctx context.Context) *Error {
	cause := context.Cause(ctx)
	code := codes.Canceled
	if errors.Is(cause, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return &Error{Code: code, Message: cause.Error(), cause: cause}
}
