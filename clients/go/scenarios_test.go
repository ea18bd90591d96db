package comanda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// found is what a client told.
type found struct {
	told      []string
	versions  map[string]int64
	snapshots int
}

func TestEveryScenarioEndsAsItSays(t *testing.T) {
	all := scenarios(t)
	if len(all) <= 40 {
		t.Fatalf("only %d scenarios", len(all))
	}
	for index, scenario := range all {
		t.Run(scenario.Name, func(t *testing.T) {
			t.Parallel()
			runScenario(t, index, scenario)
		})
	}
}

func runScenario(t *testing.T, index int, s scenario) {
	token := fmt.Sprintf("token-%d", index)
	config := Config{
		Address: s.Address, FirstWait: time.Millisecond, LongestWait: 5 * time.Millisecond,
		Token: func(context.Context) (string, error) { return token, nil },
		// Short only where a stream falls silent: on a busy machine any stream may for a second.
		Silence: 60 * time.Second,
	}
	if s.Stalls {
		config.Silence = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := talk(ctx, t, connect(t, config), s)
	outcome := "OK"
	var failure *Error
	if errors.As(err, &failure) {
		outcome = CodeName(failure.Code)
	}
	if outcome != s.Outcome || !slices.Equal(got.told, s.Told) || !maps.Equal(got.versions, s.Versions) || got.snapshots != s.Snapshots {
		t.Errorf("told %+v and ended with %v, not %+v", got, err, s)
	}
	if verdict := control(t, fmt.Sprintf("verdict/%d", index)); verdict != "" {
		t.Error(verdict)
	}
	if sent := control(t, fmt.Sprintf("authorization/%d", index)); sent != "Bearer "+token {
		t.Errorf("sent the credentials %q", sent)
	}
}

func talk(ctx context.Context, t *testing.T, client *Client, s scenario) (found, error) {
	switch s.RPC {
	case "CreateOrder":
		request := &pb.CreateOrderRequest{}
		parse(t, s, request)
		_, err := client.Orders.CreateOrder(ctx, request)
		if err != nil && ErrorOf(err).Outcome() != OutcomeNotApplied {
			t.Error("a call that was refused was not applied")
		}
		return found{}, err
	case "WatchOrder":
		request := &pb.WatchOrderRequest{}
		parse(t, s, request)
		return watchOne(ctx, client, request)
	default:
		request := &pb.WatchOrdersRequest{}
		parse(t, s, request)
		return watchMany(ctx, t, client, request)
	}
}

func parse(t *testing.T, s scenario, message proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(s.Request, message); err != nil {
		t.Fatal(err)
	}
}

func watchOne(ctx context.Context, client *Client, request *pb.WatchOrderRequest) (found, error) {
	var got found
	for response, err := range client.WatchOrder(ctx, request) {
		if err != nil {
			return got, err
		}
		switch event := response.GetEvent().(type) {
		case *pb.WatchOrderResponse_Transition:
			got.told = append(got.told, fmt.Sprintf("transition %d", event.Transition.GetVersion()))
		case *pb.WatchOrderResponse_Current:
			got.told = append(got.told, fmt.Sprintf("current %d", event.Current.GetVersion()))
		case *pb.WatchOrderResponse_Courier:
			got.told = append(got.told, fmt.Sprintf("courier %d", event.Courier.GetAttempt()))
		default:
			got.told = append(got.told, fmt.Sprintf("%v", response))
		}
	}
	return got, nil
}

func watchMany(ctx context.Context, t *testing.T, client *Client, request *pb.WatchOrdersRequest) (found, error) {
	got := found{versions: map[string]int64{}}
	for response, err := range client.WatchOrders(ctx, request) {
		if err != nil {
			return got, err
		}
		isComplete := response.GetSnapshotComplete() != nil
		if isComplete {
			got.snapshots++
		}
		if request.GetSnapshot() != nil && got.snapshots == 0 && len(response.GetResumeToken()) > 0 {
			t.Error("a token that would skip orders")
		}
		if isComplete && len(response.GetResumeToken()) == 0 {
			t.Error("a complete snapshot without a token")
		}
		var m moved
		if transition := response.GetTransition(); transition != nil {
			m = transition
		} else if current := response.GetCurrent(); current != nil {
			m = current
		} else {
			continue
		}
		if m.GetVersion() <= got.versions[m.GetOrderId()] {
			t.Errorf("version %d after %d", m.GetVersion(), got.versions[m.GetOrderId()])
		}
		got.versions[m.GetOrderId()] = m.GetVersion()
	}
	return got, nil
}
