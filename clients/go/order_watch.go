package comanda

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// After the last transition the server ends the stream at once; a proxy may keep it open.
const afterTheEnd = 5 * time.Second

// WatchOrder yields the events of one order until it has ended: each transition once and in order.
//
// After the transitions that had happened comes current once, the order as it is. A courier replaces the one before. A stream that breaks, falls
// silent or ends too early is resumed, for as long as it takes. An error ends the watch: it is about the request, or the context has ended.
func (c *Client) WatchOrder(ctx context.Context, request *pb.WatchOrderRequest) iter.Seq2[*pb.WatchOrderResponse, error] {
	return func(yield func(*pb.WatchOrderResponse, error) bool) {
		watch(ctx, c, &orderWatch{watches: c.Watches, request: proto.CloneOf(request)})(yield)
	}
}

// orderWatch is what was seen of one order.
type orderWatch struct {
	watches pb.WatchServiceClient
	// Asks for what comes after the last version seen.
	request       *pb.WatchOrderRequest
	hasEnded      bool
	isCurrentTold bool
}

func (w *orderWatch) open() opening[pb.WatchOrderResponse] {
	request := proto.CloneOf(w.request)
	return func(ctx context.Context) (grpc.ServerStreamingClient[pb.WatchOrderResponse], error) {
		return w.watches.WatchOrder(ctx, request)
	}
}

func (w *orderWatch) patience(silence time.Duration) time.Duration {
	if w.hasEnded {
		return min(silence, afterTheEnd)
	}
	return silence
}

func (w *orderWatch) interrupted(end *Error) next {
	if w.hasEnded {
		return nextOver
	}
	return onlyAboutTheRequest(end)
}

func (w *orderWatch) accept(
	_ context.Context, response *pb.WatchOrderResponse, _ *stream[pb.WatchOrderResponse], tell telling[pb.WatchOrderResponse],
) error {
	if w.isNew(response) {
		return tell(response)
	}
	return nil
}

// isNew notes a response, and says whether it tells something new.
func (w *orderWatch) isNew(response *pb.WatchOrderResponse) bool {
	switch event := response.GetEvent().(type) {
	case *pb.WatchOrderResponse_Transition:
		w.hasEnded = w.hasEnded || IsTerminal(event.Transition.GetPhase())
		isNew := event.Transition.GetVersion() > w.request.GetAfterVersion()
		w.request.AfterVersion = max(w.request.GetAfterVersion(), event.Transition.GetVersion())
		return isNew
	case *pb.WatchOrderResponse_Current:
		w.hasEnded = w.hasEnded || IsTerminal(event.Current.GetPhase())
		isNew := !w.isCurrentTold
		w.isCurrentTold = true
		return isNew
	case *pb.WatchOrderResponse_Courier:
		return true
	default: // A heartbeat, or a kind that this client does not know.
		return false
	}
}
