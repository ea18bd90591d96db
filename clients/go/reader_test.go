package comanda

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// failing fails with each of these codes, one after another, as a call does at its deadline; then it answers.
type failing struct {
	pb.OrderServiceClient
	codes []codes.Code
}

func (f *failing) BatchGetOrders(_ context.Context, request *pb.BatchGetOrdersRequest, _ ...grpc.CallOption) (*pb.BatchGetOrdersResponse, error) {
	if len(f.codes) > 0 {
		code := f.codes[0]
		f.codes = f.codes[1:]
		return nil, &Error{Code: code}
	}
	return &pb.BatchGetOrdersResponse{Orders: []*pb.Order{{OrderId: request.GetOrderIds()[0]}}}, nil
}

func readAfter(failures ...codes.Code) (string, error) {
	orders := &failing{codes: failures}
	r := reader{&Client{Orders: orders, config: Config{FirstWait: time.Millisecond, LongestWait: time.Millisecond}}}
	read := ""
	err := r.ids(context.Background(), []string{"o"}, 0, func(page []*pb.Order) error {
		read += page[0].GetOrderId()
		return nil
	})
	return read, err
}

func TestOrdersThatCannotBeReadBeforeADeadlineAreReadAgain(t *testing.T) {
	if read, err := readAfter(codes.DeadlineExceeded, codes.Unavailable); err != nil || read != "o" {
		t.Error(read, err)
	}
	var failure *Error
	if read, err := readAfter(codes.PermissionDenied); !errors.As(err, &failure) || read != "" {
		t.Error(read, err)
	}
}
