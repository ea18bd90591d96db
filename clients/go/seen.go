package comanda

import (
	"maps"
	"slices"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// Orders in each of the two generations: a watch may last forever, and its memory must not grow with it.
const generationSize = 100_000

// IsTerminal says whether an order in this phase has ended.
func IsTerminal(phase pb.Phase) bool {
	switch phase {
	case pb.Phase_PHASE_SUCCEEDED, pb.Phase_PHASE_CANCELLED, pb.Phase_PHASE_REJECTED, pb.Phase_PHASE_FAILED:
		return true
	default:
		return false
	}
}

// seen has what was handed out of each order: its last version, so that none is handed out twice, and whether it still moves.
type seen struct {
	generationSize int
	recent, older  map[string]last
	snapshot       int
}

type last struct {
	version  int64
	hasEnded bool
	// The snapshot that was being read, or had been read, when the order was seen.
	snapshot int
}

// moved is an order or a transition.
type moved interface {
	GetOrderId() string
	GetVersion() int64
	GetPhase() pb.Phase
}

func newSeen(generationSize int) *seen {
	return &seen{generationSize: generationSize, recent: map[string]last{}}
}

// beginSnapshot says that a new snapshot begins.
func (s *seen) beginSnapshot() { s.snapshot++ }

// isNew notes a version, and says whether it is above all that were seen of its order. An order that was forgotten, because very many others moved
// since, counts as new: a repeated transition may then be handed out twice, but none is left out.
func (s *seen) isNew(m moved) bool {
	known, ok := s.recent[m.GetOrderId()]
	if !ok {
		known, ok = s.older[m.GetOrderId()]
	}
	isNew := !ok || m.GetVersion() > known.version
	if isNew {
		known = last{version: m.GetVersion(), hasEnded: IsTerminal(m.GetPhase())}
	}
	known.snapshot = s.snapshot
	if len(s.recent) >= s.generationSize {
		s.older, s.recent = s.recent, map[string]last{}
	}
	s.recent[m.GetOrderId()] = known
	return isNew
}

// missing returns the orders that had not ended when they were seen before the last snapshot began, and that were not seen since: they have ended
// meanwhile, or match no more.
func (s *seen) missing() []string {
	all := map[string]last{}
	maps.Copy(all, s.older)
	maps.Copy(all, s.recent)
	maps.DeleteFunc(all, func(_ string, l last) bool { return l.hasEnded || l.snapshot >= s.snapshot })
	return slices.Sorted(maps.Keys(all))
}
