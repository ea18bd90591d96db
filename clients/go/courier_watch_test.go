package comanda

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/type/latlng"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

var here = &latlng.LatLng{Latitude: -33.437, Longitude: -70.651}

func TestACourierIsShownItsJobUntilItIsDone(t *testing.T) {
	through(t, func(t *testing.T, ctx context.Context, client *Client) {
		zone := strings.ReplaceAll(uuid.NewString(), "-", "")
		courier := courierIn(ctx, t, client, zone)
		var order string
		var shown []string
		var revisions []int64
		for response, err := range client.WatchCourier(ctx, &pb.WatchCourierRequest{CourierId: courier}) {
			if err != nil {
				t.Fatal(err)
			}
			revisions = append(revisions, response.GetRevision())
			switch jobs := response.GetAssignments(); {
			case order == "":
				shown = append(shown, "nothing")
				order = createDelivery(ctx, t, client, zone)
			case len(jobs) == 0:
				shown = append(shown, "nothing")
			default:
				shown = append(shown, carryOn(ctx, t, client, order, jobs[0]))
			}
			if shown = slices.Compact(shown); len(shown) == 4 {
				break
			}
		}
		if !slices.Equal(shown, []string{"nothing", "allotted", "carried", "nothing"}) || !slices.IsSorted(revisions) {
			t.Errorf("shown %v at the revisions %v", shown, revisions)
		}
	})
}

// courierIn registers a courier that takes the jobs of a zone.
func courierIn(ctx context.Context, t *testing.T, client *Client, zone string) string {
	t.Helper()
	courier := "go-" + uuid.NewString()
	_, err := client.Dispatch.RegisterCourier(ctx, &pb.RegisterCourierRequest{Courier: &pb.Courier{CourierId: courier, Name: "Maria", Zone: zone}})
	_, err2 := client.Dispatch.ReportLocation(ctx, &pb.ReportLocationRequest{CourierId: courier, Location: &pb.Location{Position: here}})
	available := pb.CourierStatus_COURIER_STATUS_AVAILABLE
	_, err3 := client.Dispatch.SetCourierStatus(ctx, &pb.SetCourierStatusRequest{CourierId: courier, Status: available})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return courier
}

func createDelivery(ctx context.Context, t *testing.T, client *Client, zone string) string {
	t.Helper()
	request := orderOf(newCustomer())
	request.Workflow = "courier-delivery"
	request.Trip = &pb.Trip{Pickup: &pb.Place{Position: here}, Dropoff: &pb.Place{Position: here}, Zone: zone}
	created, err := client.Orders.CreateOrder(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	return created.GetOrder().GetOrderId()
}

// carryOn does what comes next of a job, and returns where it stood.
func carryOn(ctx context.Context, t *testing.T, client *Client, order string, job *pb.Assignment) string {
	t.Helper()
	if job.GetOrderId() != order || job.GetTrip().GetPickup() == nil {
		t.Errorf("the job %v is not of %s, or has no trip", job, order)
	}
	var err error
	state := "allotted"
	if job.GetPickupTime() == nil {
		_, err = client.Dispatch.MarkPickedUp(ctx, &pb.MarkPickedUpRequest{OrderId: order, Attempt: job.GetAttempt()})
	} else {
		state = "carried"
		_, err = client.Dispatch.CompleteAssignment(ctx, &pb.CompleteAssignmentRequest{OrderId: order, Attempt: job.GetAttempt()})
	}
	if err != nil {
		t.Error(err)
	}
	return state
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

func TestAWatchWaitsBeforeItResumesAndEachResponseMakesTheWaitsStartOver(t *testing.T) {
	// If they did not start over, the last one would take days.
	server := &couriers{}
	for revision := range int64(24) {
		server.streams = append(server.streams, []*pb.WatchCourierResponse{{Revision: revision}})
	}
	address := serve(t, func(to *grpc.Server) { pb.RegisterDispatchServiceServer(to, server) })
	client := connect(t, Config{Address: address, FirstWait: 20 * time.Millisecond, LongestWait: 24 * time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	began := time.Now()
	var end error
	for _, end = range client.WatchCourier(ctx, &pb.WatchCourierRequest{CourierId: "maria"}) {
	}
	expectError(t, end, codes.NotFound, "")
	if waited := time.Since(began); waited < 24*20*time.Millisecond {
		t.Errorf("only %s went by", waited)
	}
}
