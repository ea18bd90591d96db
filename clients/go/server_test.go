package comanda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// The client against a real server, directly and through proxies that cut, end, silence and break what passes them.
var faults = []string{"ADDRESS", "CUTTING", "ENDING", "SILENT", "BREAKING"}

// Every order of the shipped workflow "delivery": received, preparing, dispatched, delivered.
var allVersions = []int64{1, 2, 3, 4}

// connectThrough returns a client that notices a silent stream soon.
func connectThrough(t *testing.T, fault string) (context.Context, *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx, connect(t, Config{
		Address: variable(t, fault), Silence: 1500 * time.Millisecond, FirstWait: 10 * time.Millisecond, LongestWait: 100 * time.Millisecond,
	})
}

func through(t *testing.T, test func(t *testing.T, ctx context.Context, client *Client)) {
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			ctx, client := connectThrough(t, fault)
			test(t, ctx, client)
		})
	}
}

func create(ctx context.Context, t *testing.T, client *Client, customer string) string {
	t.Helper()
	created, err := client.Orders.CreateOrder(ctx, orderOf(customer))
	if err != nil {
		t.Fatal(err)
	}
	return created.GetOrder().GetOrderId()
}

func expectOrders(ctx context.Context, t *testing.T, client *Client, customer string, count int) {
	t.Helper()
	page, err := client.Orders.ListOrders(ctx, &pb.ListOrdersRequest{CustomerId: customer})
	if err != nil || len(page.GetOrders()) != count {
		t.Errorf("%d orders, not %d (%v)", len(page.GetOrders()), count, err)
	}
}

func expectError(t *testing.T, err error, code codes.Code, reason string) *Error {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != code || failure.Reason != reason {
		t.Fatalf("%v, not %s, %s", err, CodeName(code), reason)
	}
	return failure
}

func TestAWatchOfOneOrderTellsEachVersionOnceWhateverBreaks(t *testing.T) {
	through(t, func(t *testing.T, ctx context.Context, client *Client) {
		var versions []int64
		for event, err := range client.WatchOrder(ctx, &pb.WatchOrderRequest{OrderId: create(ctx, t, client, newCustomer())}) {
			if err != nil {
				t.Fatal(err)
			}
			if moved := event.GetTransition(); moved != nil {
				versions = append(versions, moved.GetVersion())
			}
		}
		if !slices.Equal(versions, allVersions) {
			t.Errorf("told %v", versions)
		}
	})
}

func TestAWatchOfManyOrdersTellsEachVersionOnceWhateverBreaks(t *testing.T) {
	through(t, func(t *testing.T, ctx context.Context, client *Client) {
		customer, told := newCustomer(), map[string][]int64{}
		request := &pb.WatchOrdersRequest{
			Filter: &pb.WatchFilter{CustomerId: customer}, Start: &pb.WatchOrdersRequest_Now{Now: &pb.Now{}},
		}
		for response, err := range client.WatchOrders(ctx, request) {
			if err != nil {
				t.Fatal(err)
			}
			if response.GetHeartbeat() != nil && len(told) == 0 {
				// From its first heartbeat on the watch tells everything.
				for range 3 {
					told[create(ctx, t, client, customer)] = nil
				}
			}
			if moved := response.GetTransition(); moved != nil {
				told[moved.GetOrderId()] = append(told[moved.GetOrderId()], moved.GetVersion())
			}
			if len(told) > 0 && allEnded(told) {
				break
			}
		}
		for order, versions := range told {
			if !slices.Equal(versions, allVersions) {
				t.Errorf("told %v of %s", versions, order)
			}
		}
		if len(told) != 3 {
			t.Errorf("told %v", told)
		}
	})
}

func allEnded(told map[string][]int64) bool {
	for _, versions := range told {
		if !slices.Contains(versions, 4) {
			return false
		}
	}
	return true
}

func TestASnapshotShowsAnOrderThatMoves(t *testing.T) {
	through(t, func(t *testing.T, ctx context.Context, client *Client) {
		customer := newCustomer()
		create(ctx, t, client, customer)
		var shown []int64
		for response, err := range client.WatchOrders(ctx, &pb.WatchOrdersRequest{Filter: &pb.WatchFilter{CustomerId: customer}}) {
			if err != nil {
				t.Fatal(err)
			}
			if moved := response.GetTransition(); moved != nil {
				shown = append(shown, moved.GetVersion())
			}
			if current := response.GetCurrent(); current != nil {
				shown = append(shown, current.GetVersion())
			}
			if slices.Contains(shown, 4) {
				break
			}
		}
		if !slices.Equal(shown, allVersions[shown[0]-1:]) {
			t.Errorf("shown %v", shown)
		}
	})
}

func TestAContextOrAClosedClientEndsAWatch(t *testing.T) {
	for name, end := range map[string]func(context.CancelFunc, *Client){
		"context": func(cancel context.CancelFunc, _ *Client) { cancel() },
		"client":  func(_ context.CancelFunc, client *Client) { client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, client := connectThrough(t, "ADDRESS")
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			var failure error
			for _, err := range client.WatchOrders(ctx, &pb.WatchOrdersRequest{Start: &pb.WatchOrdersRequest_Now{Now: &pb.Now{}}}) {
				failure = err
				end(cancel, client)
			}
			expectError(t, failure, codes.Canceled, "")
		})
	}
}

func TestACreateWhoseAnswerWasLostMakesOneOrder(t *testing.T) {
	ctx, client := connectThrough(t, "FORGETFUL")
	customer := newCustomer()
	created, err := client.Orders.CreateOrder(ctx, orderOf(customer))
	if err != nil || !created.GetReplayed() {
		t.Errorf("%v (%v): the second try must find what the first one made", created, err)
	}
	expectOrders(ctx, t, client, customer, 1)
}

func TestTheRowsOfABatchGetRequestIDsToo(t *testing.T) {
	ctx, client := connectThrough(t, "FORGETFUL")
	customer := newCustomer()
	rows := []*pb.CreateOrderRequest{orderOf(customer), {}, orderOf(customer)}
	answer, err := client.Orders.BatchCreateOrders(ctx, &pb.BatchCreateOrdersRequest{Requests: rows})
	if err != nil || len(answer.GetResults()) != 3 {
		t.Fatal(answer, err)
	}
	if !answer.GetResults()[0].GetCreated().GetReplayed() {
		t.Error("the second try must find what the first one made")
	}
	expectError(t, ErrorOfStatus(answer.GetResults()[1].GetError()), codes.InvalidArgument, "INVALID_FIELDS")
	expectOrders(ctx, t, client, customer, 2)
}

func TestCreatesOverConnectionsThatAreCutMakeEachOrderOnce(t *testing.T) {
	ctx, client := connectThrough(t, "CUTTING")
	for enough := cuts(t) + 3; cuts(t) < enough; {
		customer := newCustomer()
		create(ctx, t, client, customer)
		expectOrders(ctx, t, client, customer, 1)
	}
}

func TestARefusedOrderNamesEveryWrongField(t *testing.T) {
	ctx, client := connectThrough(t, "ADDRESS")
	request := orderOf("")
	request.Items[0].Quantity = 0
	_, err := client.Orders.CreateOrder(ctx, request)
	failure := expectError(t, err, codes.InvalidArgument, "INVALID_FIELDS")
	var fields []string
	for _, violation := range failure.Violations {
		fields = append(fields, violation.Field)
	}
	if !slices.Equal(fields, []string{"customer.customer_id", "items[0].quantity"}) || failure.Violations[0].Description == "" {
		t.Error(failure.Violations)
	}
	if failure.Outcome() != OutcomeNotApplied {
		t.Error(failure.Outcome())
	}
}

func TestAStaleVersionIsToldWithTheVersionThatHolds(t *testing.T) {
	ctx, client := connectThrough(t, "ADDRESS")
	order := create(ctx, t, client, newCustomer())
	_, err := client.Lifecycle.AdvanceOrder(ctx, &pb.AdvanceOrderRequest{OrderId: order, ExpectedVersion: 99})
	failure := expectError(t, err, codes.Aborted, "VERSION_MISMATCH")
	if version, err := strconv.Atoi(failure.Metadata["version"]); err != nil || version < 1 {
		t.Error(failure.Metadata)
	}
}

func TestACallEndsAtItsDeadline(t *testing.T) {
	client := connect(t, Config{Address: variable(t, "MUTE"), Deadline: time.Second})
	began := time.Now()
	_, err := client.Orders.GetOrder(context.Background(), &pb.GetOrderRequest{Key: &pb.GetOrderRequest_OrderId{OrderId: uuid.NewString()}})
	var failure *Error
	if !errors.As(err, &failure) || failure.Outcome() != OutcomeUnknown || time.Since(began) > 9*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestTLSWorksWithTheRightCertificateOnly(t *testing.T) {
	certificate, err := os.ReadFile(variable(t, "CERTIFICATE"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	ctx := context.Background()
	create(ctx, t, connect(t, Config{Address: variable(t, "TLS"), TLS: &tls.Config{RootCAs: trusted}}), newCustomer())
	strict := connect(t, Config{Address: variable(t, "TLS"), TLS: &tls.Config{}, Deadline: time.Second})
	if _, err := strict.Orders.CreateOrder(ctx, orderOf(newCustomer())); err == nil {
		t.Error("trusted an unknown certificate")
	}
}
