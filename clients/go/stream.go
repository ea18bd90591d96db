package comanda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// How many responses wait to be taken. When there are so many nothing more is read, and flow control makes the server wait.
const queueSize = 1000

// opening opens a stream that the context ends.
type opening[T any] func(context.Context) (grpc.ServerStreamingClient[T], error)

// stream is read by a goroutine of its own, so that it can be seen to fall silent.
type stream[T any] struct {
	cancel context.CancelFunc
	queue  chan *T
	// Set before the queue is closed.
	end *Error
}

func newStream[T any](ctx context.Context, open opening[T]) *stream[T] {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream[T]{cancel: cancel, queue: make(chan *T, queueSize)}
	go s.read(ctx, open)
	return s
}

// next returns the next response within so much time. The end of the stream is an error too, at every later call: only a watch knows whether it
// came too early.
func (s *stream[T]) next(patience time.Duration) (*T, *Error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case response, ok := <-s.queue:
		if !ok {
			return nil, s.end
		}
		return response, nil
	case <-timer.C:
		s.close()
		return nil, &Error{Code: codes.Unavailable, Message: fmt.Sprintf("nothing was received for %s", patience)}
	}
}

// hasWaiting says whether there is something to take at once.
func (s *stream[T]) hasWaiting() bool { return len(s.queue) > 0 }

// close ends the stream. It may be called twice.
func (s *stream[T]) close() { s.cancel() }

func (s *stream[T]) read(ctx context.Context, open opening[T]) {
	defer close(s.queue)
	defer s.cancel()
	s.end = ErrorOf(s.pass(ctx, open))
}

// pass puts all responses into the queue, and returns how the stream ended.
func (s *stream[T]) pass(ctx context.Context, open opening[T]) error {
	responses, err := open(ctx)
	for err == nil {
		var response *T
		if response, err = responses.Recv(); err != nil {
			break
		}
		select {
		case s.queue <- response:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		return &Error{Code: codes.Unavailable, Message: "the stream ended early"}
	}
	return err
}
