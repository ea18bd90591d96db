package comanda

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

func TestAMissingRequestIDIsFilledInAndAGivenOneKept(t *testing.T) {
	empty := &pb.CreateOrderRequest{}
	filled := withRequestID(empty).(*pb.CreateOrderRequest)
	if len(filled.GetRequestId()) != 36 || empty.GetRequestId() != "" {
		t.Errorf("%q, and the caller's message must not change: %q", filled.GetRequestId(), empty.GetRequestId())
	}
	if !proto.Equal(withRequestID(filled), filled) {
		t.Error("a given request_id was replaced")
	}
	batch := withRequestID(&pb.BatchCreateOrdersRequest{Requests: []*pb.CreateOrderRequest{empty, empty}}).(*pb.BatchCreateOrdersRequest)
	if one, other := batch.Requests[0].GetRequestId(), batch.Requests[1].GetRequestId(); one == "" || one == other {
		t.Error(one, other)
	}
}

func TestAnUnknownServiceHasNoAddress(t *testing.T) {
	_, err := Connect(Config{Address: "127.0.0.1:1", Addresses: map[string]string{"Watches": "127.0.0.1:1"}})
	if err == nil || !strings.Contains(err.Error(), "Watches") {
		t.Error(err)
	}
}

// flaky fails the first call.
type flaky struct {
	pb.UnimplementedOrderServiceServer
	calls []string
}

func (f *flaky) CreateOrder(_ context.Context, request *pb.CreateOrderRequest) (*pb.CreateOrderResponse, error) {
	f.calls = append(f.calls, request.GetRequestId())
	if len(f.calls) == 1 {
		return nil, status.Error(codes.Unavailable, "")
	}
	return &pb.CreateOrderResponse{}, nil
}

func serve(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestAPlainStubRepeatsCallsByTheServiceConfig(t *testing.T) {
	orders := &flaky{}
	address := serve(t, func(server *grpc.Server) { pb.RegisterOrderServiceServer(server, orders) })
	config, err := os.ReadFile("../service-config.json")
	if err != nil {
		t.Fatal(err)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(string(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := pb.NewOrderServiceClient(connection).CreateOrder(context.Background(), &pb.CreateOrderRequest{RequestId: "r"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(orders.calls, []string{"r", "r"}) {
		t.Error(orders.calls)
	}
}

func TestEveryDetailOfAnErrorIsRead(t *testing.T) {
	s, err := status.New(codes.InvalidArgument, "a field is wrong").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_FIELDS", Metadata: map[string]string{"version": "3"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "items[0].quantity", Description: "must be 1"}}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	)
	if err != nil {
		t.Fatal(err)
	}
	failure := ErrorOf(s.Err())
	if failure.Error() != "a field is wrong (INVALID_ARGUMENT, INVALID_FIELDS)" || failure.Metadata["version"] != "3" {
		t.Errorf("%v %v", failure, failure.Metadata)
	}
	if !slices.Equal(failure.Violations, []Violation{{"items[0].quantity", "must be 1"}}) || failure.RetryAfter != 1500*time.Millisecond {
		t.Errorf("%v %v", failure.Violations, failure.RetryAfter)
	}
	if status.Code(failure) != codes.InvalidArgument || failure.Outcome() != OutcomeNotApplied {
		t.Errorf("%v %v", status.Code(failure), failure.Outcome())
	}
}

func TestWaitsDoubleUpToTheLongestAndStartOver(t *testing.T) {
	w, failure := newWaits(100*time.Millisecond, 400*time.Millisecond), &Error{Code: codes.Unavailable}
	for _, base := range []time.Duration{100, 200, 400, 400} {
		if wait := w.after(failure); wait < base*time.Millisecond || wait > 2*base*time.Millisecond {
			t.Errorf("%s for %d ms", wait, base)
		}
	}
	w.reset()
	if wait := w.after(failure); wait > 200*time.Millisecond {
		t.Error(wait)
	}
}

func TestWhatTheServerAsksForIsGrantedWithinReason(t *testing.T) {
	w := newWaits(time.Millisecond, time.Millisecond)
	if wait := w.after(&Error{RetryAfter: 3 * time.Second}); wait != 3*time.Second {
		t.Error(wait)
	}
	if wait := w.after(&Error{RetryAfter: time.Hour}); wait != longestAsked {
		t.Error(wait)
	}
}

func at(order string, version int64) *pb.Order {
	return &pb.Order{OrderId: order, Version: version, Phase: pb.Phase_PHASE_ACTIVE}
}

func TestAVersionIsNewOnce(t *testing.T) {
	s := newSeen(100)
	var isNew []bool
	for _, order := range []*pb.Order{at("a", 2), at("a", 2), at("a", 1), at("a", 3), at("b", 1)} {
		isNew = append(isNew, s.isNew(order))
	}
	if !slices.Equal(isNew, []bool{true, false, false, true, true}) {
		t.Error(isNew)
	}
}

func TestAnOrderThatANewSnapshotDoesNotShowIsMissingUnlessItHadEnded(t *testing.T) {
	s := newSeen(100)
	s.beginSnapshot()
	s.isNew(at("shown", 2))
	s.isNew(at("gone", 2))
	s.isNew(&pb.Order{OrderId: "ended", Version: 2, Phase: pb.Phase_PHASE_SUCCEEDED})
	if missing := s.missing(); len(missing) > 0 {
		t.Error(missing)
	}
	s.beginSnapshot()
	s.isNew(at("shown", 2))
	if missing := s.missing(); !slices.Equal(missing, []string{"gone"}) {
		t.Error(missing)
	}
}

func TestMemoryIsBoundedAndTheRecentIsKept(t *testing.T) {
	s := newSeen(100)
	for order := range 300 {
		if !s.isNew(at(strconv.Itoa(order), 1)) {
			t.Fatal(order)
		}
	}
	if size := len(s.recent) + len(s.older); size > 200 {
		t.Error(size)
	}
	if s.isNew(at("250", 1)) {
		t.Error("a recent order was forgotten")
	}
}

// couriers answers each watch with the next of its streams.
type couriers struct {
	pb.UnimplementedDispatchServiceServer
	streams [][]*pb.WatchCourierResponse
}

func (c *couriers) WatchCourier(_ *pb.WatchCourierRequest, stream grpc.ServerStreamingServer[pb.WatchCourierResponse]) error {
	if len(c.streams) == 0 {
		return status.Error(codes.NotFound, "")
	}
	responses := c.streams[0]
	c.streams = c.streams[1:]
	for _, response := range responses {
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return nil
}

func TestACouriersRepetitionsAreLeftOutAndABrokenStreamIsOpenedAgain(t *testing.T) {
	at := func(revision int64) *pb.WatchCourierResponse { return &pb.WatchCourierResponse{Revision: revision} }
	paused := &pb.WatchCourierResponse{Revision: 4, Status: pb.CourierStatus_COURIER_STATUS_PAUSED}
	server := &couriers{streams: [][]*pb.WatchCourierResponse{{at(3), at(3), at(2)}, {at(4), at(4), paused}}}
	address := serve(t, func(to *grpc.Server) { pb.RegisterDispatchServiceServer(to, server) })
	client := connect(t, Config{Address: address, FirstWait: time.Millisecond})
	var told []*pb.WatchCourierResponse
	var end error
	for response, err := range client.WatchCourier(context.Background(), &pb.WatchCourierRequest{CourierId: "maria"}) {
		if end = err; err == nil {
			told = append(told, response)
		}
	}
	expectError(t, end, codes.NotFound, "")
	if !slices.EqualFunc(told, []*pb.WatchCourierResponse{at(3), at(4), paused}, func(a, b *pb.WatchCourierResponse) bool { return proto.Equal(a, b) }) {
		t.Error(told)
	}
}
