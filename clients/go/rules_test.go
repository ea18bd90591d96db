package comanda

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

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

func TestAfterTheEndOfAnOrderItsStreamIsGivenLessTime(t *testing.T) {
	w := &orderWatch{request: &pb.WatchOrderRequest{}}
	before := w.patience(45 * time.Second)
	last := &pb.OrderTransition{Version: 2, Phase: pb.Phase_PHASE_SUCCEEDED}
	w.isNew(&pb.WatchOrderResponse{Event: &pb.WatchOrderResponse_Transition{Transition: last}})
	if after := w.patience(45 * time.Second); before != 45*time.Second || after != 5*time.Second {
		t.Error(before, after)
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
