package dev.comanda.client;

import dev.comanda.v1.AdvanceOrderRequest;
import dev.comanda.v1.AdvanceOrderResponse;
import dev.comanda.v1.CancelOrderRequest;
import dev.comanda.v1.CancelOrderResponse;
import dev.comanda.v1.GetWorkflowRequest;
import dev.comanda.v1.GetWorkflowResponse;
import dev.comanda.v1.LifecycleServiceGrpc;
import dev.comanda.v1.ListTransitionsRequest;
import dev.comanda.v1.ListTransitionsResponse;
import dev.comanda.v1.ListWorkflowsRequest;
import dev.comanda.v1.ListWorkflowsResponse;
import dev.comanda.v1.RejectOrderRequest;
import dev.comanda.v1.RejectOrderResponse;

/** LifecycleService. The whole contract of each call is at its rpc in {@code proto/comanda/v1/lifecycle_service.proto}. */
public final class Lifecycle {
  private final Calls calls;

  Lifecycle(Calls calls) {
    this.calls = calls;
  }

  /** Moves an order one step ahead, before its timer would, or to the named next status. */
  public AdvanceOrderResponse advanceOrder(AdvanceOrderRequest request) {
    return calls.call(LifecycleServiceGrpc.getAdvanceOrderMethod(), request);
  }

  /** Cancels an order where its workflow allows it. */
  public CancelOrderResponse cancelOrder(CancelOrderRequest request) {
    return calls.call(LifecycleServiceGrpc.getCancelOrderMethod(), request);
  }

  /** Rejects an order where its workflow allows it. */
  public RejectOrderResponse rejectOrder(RejectOrderRequest request) {
    return calls.call(LifecycleServiceGrpc.getRejectOrderMethod(), request);
  }

  /** Returns the history of one order, oldest first, from version 1, without gaps. */
  public ListTransitionsResponse listTransitions(ListTransitionsRequest request) {
    return calls.call(LifecycleServiceGrpc.getListTransitionsMethod(), request);
  }

  /** Returns the workflows that new orders may follow, by name, each in its current revision. */
  public ListWorkflowsResponse listWorkflows(ListWorkflowsRequest request) {
    return calls.call(LifecycleServiceGrpc.getListWorkflowsMethod(), request);
  }

  /** Returns one revision of a workflow, such as the one that an order is pinned to. */
  public GetWorkflowResponse getWorkflow(GetWorkflowRequest request) {
    return calls.call(LifecycleServiceGrpc.getGetWorkflowMethod(), request);
  }
}
