package dev.comanda.client;

import dev.comanda.v1.BatchGetOrdersRequest;
import dev.comanda.v1.BatchGetOrdersResponse;
import dev.comanda.v1.ListOrdersRequest;
import dev.comanda.v1.ListOrdersResponse;
import dev.comanda.v1.Order;
import dev.comanda.v1.Phase;
import dev.comanda.v1.WatchFilter;
import dev.comanda.v1.WatchOrdersRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Reads many orders beside a stream, page by page: first all that have not ended, where they are to be listed, then some by their ids. A page that
 * cannot be read now is read again.
 */
final class Reader {
  /** The most that the server puts on a page. */
  private static final int PAGE_SIZE = 500;
  /** The most that the server looks up in one call. */
  private static final int MAX_IDS = 100;

  private final Orders orders;
  private final Patience patience;
  private final WatchOrdersRequest watch;
  /** Asked for when all pages were read. */
  private final Supplier<List<String>> missing;

  /** The next page to ask for; null when there is none. */
  private ListOrdersRequest page;
  /** The ids to look up; null while pages are read. */
  private List<String> ids;

  private Reader(Orders orders, Patience patience, WatchOrdersRequest watch, Supplier<List<String>> missing) {
    this.orders = orders;
    this.patience = patience;
    this.watch = watch;
    this.missing = missing;
  }

  /** Reads the orders that a snapshot of the watch holds, those that match and have not ended, and then those that are missing. */
  static Reader ofAll(Orders orders, Patience patience, WatchOrdersRequest watch, Supplier<List<String>> missing) {
    Reader reader = new Reader(orders, patience, watch, missing);
    WatchFilter filter = watch.getFilter();
    if (filter.getPhasesCount() == 0 || filter.getPhasesList().contains(Phase.PHASE_ACTIVE)) {
      reader.page =
          ListOrdersRequest.newBuilder()
              .setPageSize(PAGE_SIZE)
              .addAllStatuses(filter.getStatusesList())
              .addPhases(Phase.PHASE_ACTIVE)
              .setCustomerId(filter.getCustomerId())
              .setWorkflow(filter.getWorkflow())
              .setView(watch.getView())
              .build();
    }
    return reader;
  }

  /** Reads those that are missing. */
  static Reader ofMissing(Orders orders, Patience patience, WatchOrdersRequest watch, Supplier<List<String>> missing) {
    return new Reader(orders, patience, watch, missing);
  }

  /** The next orders; nothing at the end. */
  Optional<List<Order>> next() {
    if (page != null) {
      return Optional.of(nextPage());
    }
    if (ids == null) {
      ids = missing.get();
    }
    return ids.isEmpty() ? Optional.empty() : Optional.of(nextIds());
  }

  private List<Order> nextPage() {
    ListOrdersRequest request = page;
    ListOrdersResponse answer = patiently(() -> orders.listOrders(request));
    boolean isLast = answer.getNextPageToken().isEmpty();
    page = isLast ? null : request.toBuilder().setPageToken(answer.getNextPageToken()).build();
    return answer.getOrdersList();
  }

  private List<Order> nextIds() {
    List<String> some = ids.subList(0, Math.min(MAX_IDS, ids.size()));
    BatchGetOrdersRequest request = BatchGetOrdersRequest.newBuilder().addAllOrderIds(some).setView(watch.getView()).build();
    BatchGetOrdersResponse answer = patiently(() -> orders.batchGetOrders(request));
    List<String> left = new ArrayList<>(ids.subList(some.size(), ids.size()));
    left.addAll(answer.getLeftOutOrderIdsList());
    ids = left;
    return answer.getOrdersList();
  }

  private <A> A patiently(Supplier<A> call) {
    Waits waits = patience.waits();
    while (true) {
      try {
        return call.get();
      } catch (ComandaException error) {
        if (!Retry.mayRepeat(error)) {
          throw error;
        }
        patience.pause(waits.after(error));
      }
    }
  }
}
