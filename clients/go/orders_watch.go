package comanda

import (
	"context"
	"encoding/base64"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// WatchOrders yields what happens to all orders that match, without end, and each version of an order once.
//
// It starts as the request says, else with a snapshot. It resumes by token. Where the token has expired a snapshot is taken again; where more orders
// match than a snapshot may hold, they are listed page by page beside the stream. Orders that it has shown and that have ended meanwhile are then
// read by their ids. After that comes snapshot_complete. An error ends the watch: it is about the request, or the context has ended.
//
// Keep the resume_token of a response where there is one: a later watch with the same filter can start there.
func (c *Client) WatchOrders(ctx context.Context, request *pb.WatchOrdersRequest) iter.Seq2[*pb.WatchOrdersResponse, error] {
	return func(yield func(*pb.WatchOrdersResponse, error) bool) {
		watch(ctx, c, newOrdersWatch(c, request))(yield)
	}
}

// ordersWatch is where the next stream starts, and what was handed out.
type ordersWatch struct {
	client  *Client
	request *pb.WatchOrdersRequest
	seen    *seen
	reader  reader
	// Whether orders must be listed as soon as the stream is open: what moves from then on comes from the stream, so nothing is missed between the
	// two.
	isListingDue bool
}

func newOrdersWatch(c *Client, request *pb.WatchOrdersRequest) *ordersWatch {
	w := &ordersWatch{client: c, request: proto.CloneOf(request), seen: newSeen(generationSize), reader: reader{c}}
	if w.request.GetStart() == nil {
		w.startWithSnapshot()
	}
	return w
}

func (w *ordersWatch) open() opening[pb.WatchOrdersResponse] {
	if _, ok := w.request.GetStart().(*pb.WatchOrdersRequest_Snapshot); ok {
		w.seen.beginSnapshot()
	}
	request := proto.CloneOf(w.request)
	return func(ctx context.Context) (grpc.ServerStreamingClient[pb.WatchOrdersResponse], error) {
		return w.client.Watches.WatchOrders(ctx, request)
	}
}

func (w *ordersWatch) patience(silence time.Duration) time.Duration { return silence }

func (w *ordersWatch) accept(
	ctx context.Context, response *pb.WatchOrdersResponse, s *stream[pb.WatchOrdersResponse], tell telling[pb.WatchOrdersResponse],
) error {
	w.noteToken(response)
	if response.GetSnapshotComplete() == nil && !w.isListingDue {
		return w.tell(response, tell)
	}
	// What is left to be read comes first: before that no token holds.
	if err := w.tellWithoutToken(response, tell); err != nil {
		return err
	}
	if err := w.readRest(ctx, s, tell); err != nil {
		return err
	}
	w.isListingDue = false
	complete := &pb.WatchOrdersResponse_SnapshotComplete{SnapshotComplete: &pb.SnapshotComplete{}}
	return tell(&pb.WatchOrdersResponse{Event: complete, ResumeToken: w.request.GetResumeToken()})
}

// interrupted chooses from where the next stream starts.
func (w *ordersWatch) interrupted(end *Error) next {
	switch {
	case end.Reason == "SNAPSHOT_TOO_LARGE":
		w.request.Start = &pb.WatchOrdersRequest_Now{Now: &pb.Now{}}
		w.isListingDue = true
		return nextOpen
	case end.Code == codes.OutOfRange && (end.Reason == "" || end.Reason == "TOKEN_EXPIRED"):
		w.startWithSnapshot()
		return nextWait
	}
	// Before the first token only the error can tell where the stream was.
	if token, err := base64.StdEncoding.DecodeString(end.Metadata["resume_token"]); w.request.GetNow() != nil && mayResume(end) && err == nil {
		w.startAt(token)
	}
	return onlyAboutTheRequest(end)
}

func (w *ordersWatch) startWithSnapshot() {
	w.request.Start = &pb.WatchOrdersRequest_Snapshot{Snapshot: &pb.Snapshot{}}
	w.isListingDue = false
}

func (w *ordersWatch) startAt(token []byte) {
	if len(token) > 0 {
		w.request.Start = &pb.WatchOrdersRequest_ResumeToken{ResumeToken: token}
	}
}

// noteToken keeps the token. While a snapshot is sent there is none: a break then starts the snapshot again.
func (w *ordersWatch) noteToken(response *pb.WatchOrdersResponse) {
	w.startAt(response.GetResumeToken())
}

// tell hands out a response that tells something new.
func (w *ordersWatch) tell(response *pb.WatchOrdersResponse, tell telling[pb.WatchOrdersResponse]) error {
	isNew := false
	switch event := response.GetEvent().(type) {
	case *pb.WatchOrdersResponse_Transition:
		isNew = w.seen.isNew(event.Transition)
	case *pb.WatchOrdersResponse_Current:
		isNew = w.seen.isNew(event.Current)
	case *pb.WatchOrdersResponse_Heartbeat:
		isNew = true
	}
	if isNew {
		return tell(response)
	}
	return nil
}

// tellWithoutToken leaves the token out: a watch that went on from it would miss what is still to be read.
func (w *ordersWatch) tellWithoutToken(response *pb.WatchOrdersResponse, tell telling[pb.WatchOrdersResponse]) error {
	if response.GetHeartbeat() != nil {
		return nil
	}
	response.ResumeToken = nil
	return w.tell(response, tell)
}

// readRest tells the orders that the stream alone does not show, and between them what it sends meanwhile.
func (w *ordersWatch) readRest(ctx context.Context, s *stream[pb.WatchOrdersResponse], tell telling[pb.WatchOrdersResponse]) error {
	merge := func(page []*pb.Order) error { return w.merge(s, page, tell) }
	if w.isListingDue {
		if err := w.reader.snapshot(ctx, w.request, merge); err != nil {
			return err
		}
	}
	return w.reader.ids(ctx, w.seen.missing(), w.request.GetView(), merge)
}

func (w *ordersWatch) merge(s *stream[pb.WatchOrdersResponse], page []*pb.Order, tell telling[pb.WatchOrdersResponse]) error {
	for _, order := range page {
		if err := w.tell(&pb.WatchOrdersResponse{Event: &pb.WatchOrdersResponse_Current{Current: order}}, tell); err != nil {
			return err
		}
	}
	for s.hasWaiting() {
		// A stream that has broken is met again when everything is read: the watch then resumes after the token.
		response, end := s.next(time.Second)
		if end != nil {
			return nil
		}
		w.noteToken(response)
		if err := w.tellWithoutToken(response, tell); err != nil {
			return err
		}
	}
	return nil
}
