package comanda

import (
	"context"
	"slices"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

const (
	// The most that the server puts on a page.
	pageSize = 500
	// The most that the server looks up in one call.
	maxIDs = 100
)

// reader reads many orders beside a stream, for as long as it takes. A page that cannot be read now is read again.
type reader struct{ client *Client }

// snapshot reads the orders that a snapshot of this watch holds: those that match and have not ended.
func (r *reader) snapshot(ctx context.Context, watch *pb.WatchOrdersRequest, use func([]*pb.Order) error) error {
	filter := watch.GetFilter()
	if phases := filter.GetPhases(); len(phases) > 0 && !slices.Contains(phases, pb.Phase_PHASE_ACTIVE) {
		return nil
	}
	request := &pb.ListOrdersRequest{
		PageSize:   pageSize,
		Statuses:   filter.GetStatuses(),
		Phases:     []pb.Phase{pb.Phase_PHASE_ACTIVE},
		CustomerId: filter.GetCustomerId(),
		Workflow:   filter.GetWorkflow(),
		View:       watch.GetView(),
	}
	for {
		page, err := patiently(ctx, r.client, func() (*pb.ListOrdersResponse, error) { return r.client.Orders.ListOrders(ctx, request) })
		if err != nil {
			return err
		}
		if err := use(page.GetOrders()); err != nil || page.GetNextPageToken() == "" {
			return err
		}
		request.PageToken = page.GetNextPageToken()
	}
}

// ids reads the orders with these ids, where they still exist.
func (r *reader) ids(ctx context.Context, ids []string, view pb.OrderView, use func([]*pb.Order) error) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), maxIDs)]
		request := &pb.BatchGetOrdersRequest{OrderIds: some, View: view}
		answer, err := patiently(ctx, r.client, func() (*pb.BatchGetOrdersResponse, error) { return r.client.Orders.BatchGetOrders(ctx, request) })
		if err != nil {
			return err
		}
		if err := use(answer.GetOrders()); err != nil {
			return err
		}
		ids = slices.Concat(ids[len(some):], answer.GetLeftOutOrderIds())
	}
	return nil
}

func patiently[A any](ctx context.Context, c *Client, call func() (A, error)) (A, error) {
	for waits := c.newWaits(); ; {
		answer, err := call()
		if err == nil {
			return answer, nil
		}
		failure := ErrorOf(err)
		if !mayRepeat(failure) || pause(ctx, waits.after(failure)) != nil {
			return answer, failure
		}
	}
}
