package comanda

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// WatchCourier yields what a courier has to do, without end: each response replaces the one before. An error ends the watch: it is about the request,
// or the context has ended.
func (c *Client) WatchCourier(ctx context.Context, request *pb.WatchCourierRequest) iter.Seq2[*pb.WatchCourierResponse, error] {
	return func(yield func(*pb.WatchCourierResponse, error) bool) {
		watch(ctx, c, &courierWatch{dispatch: c.Dispatch, request: request})(yield)
	}
}

// courierWatch is what was handed out last of one courier.
type courierWatch struct {
	dispatch pb.DispatchServiceClient
	request  *pb.WatchCourierRequest
	told     *pb.WatchCourierResponse
}

func (w *courierWatch) open() opening[pb.WatchCourierResponse] {
	return func(ctx context.Context) (grpc.ServerStreamingClient[pb.WatchCourierResponse], error) {
		return w.dispatch.WatchCourier(ctx, w.request)
	}
}

func (w *courierWatch) patience(silence time.Duration) time.Duration { return silence }

func (w *courierWatch) interrupted(end *Error) next { return onlyAboutTheRequest(end) }

// Heartbeats repeat the last response, and another replica may be behind it.
func (w *courierWatch) accept(
	_ context.Context, response *pb.WatchCourierResponse, _ *stream[pb.WatchCourierResponse], tell telling[pb.WatchCourierResponse],
) error {
	if w.told != nil && (response.GetRevision() < w.told.GetRevision() || proto.Equal(response, w.told)) {
		return nil
	}
	w.told = response
	return tell(response)
}
