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
	"google.golang.org/grpc/metadata"
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
	calls, tokens []string
}

func (f *flaky) CreateOrder(ctx context.Context, request *pb.CreateOrderRequest) (*pb.CreateOrderResponse, error) {
	f.calls = append(f.calls, request.GetRequestId())
	f.tokens = append(f.tokens, metadata.ValueFromIncomingContext(ctx, "authorization")...)
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

func TestAServiceThatIsElsewhereIsCalledThereWithATokenForEachTry(t *testing.T) {
	orders, asked := &flaky{}, 0
	address := serve(t, func(server *grpc.Server) { pb.RegisterOrderServiceServer(server, orders) })
	client := connect(t, Config{
		Address:   "127.0.0.1:1",
		Addresses: map[string]string{"OrderService": address},
		Token:     func(context.Context) (string, error) { asked++; return strconv.Itoa(asked), nil },
		FirstWait: time.Millisecond,
	})
	if _, err := client.Orders.CreateOrder(context.Background(), &pb.CreateOrderRequest{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(orders.tokens, []string{"Bearer 1", "Bearer 2"}) {
		t.Error(orders.tokens)
	}
	if len(orders.calls[0]) != 36 || orders.calls[0] != orders.calls[1] {
		t.Errorf("the request ids %v of one call", orders.calls)
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
