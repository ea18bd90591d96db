package dev.comanda.client;

import dev.comanda.v1.AcceptOfferRequest;
import dev.comanda.v1.AcceptOfferResponse;
import dev.comanda.v1.AssignOrderRequest;
import dev.comanda.v1.AssignOrderResponse;
import dev.comanda.v1.CompleteAssignmentRequest;
import dev.comanda.v1.CompleteAssignmentResponse;
import dev.comanda.v1.DeclineOfferRequest;
import dev.comanda.v1.DeclineOfferResponse;
import dev.comanda.v1.DispatchServiceGrpc;
import dev.comanda.v1.GetAssignmentRequest;
import dev.comanda.v1.GetAssignmentResponse;
import dev.comanda.v1.ListAssignmentsRequest;
import dev.comanda.v1.ListAssignmentsResponse;
import dev.comanda.v1.ListCouriersRequest;
import dev.comanda.v1.ListCouriersResponse;
import dev.comanda.v1.MarkArrivedRequest;
import dev.comanda.v1.MarkArrivedResponse;
import dev.comanda.v1.MarkPickedUpRequest;
import dev.comanda.v1.MarkPickedUpResponse;
import dev.comanda.v1.RegisterCourierRequest;
import dev.comanda.v1.RegisterCourierResponse;
import dev.comanda.v1.ReportLocationRequest;
import dev.comanda.v1.ReportLocationResponse;
import dev.comanda.v1.SetCourierStatusRequest;
import dev.comanda.v1.SetCourierStatusResponse;
import dev.comanda.v1.WithdrawAssignmentRequest;
import dev.comanda.v1.WithdrawAssignmentResponse;

/** DispatchService. The whole contract of each call is at its rpc in {@code proto/comanda/v1/dispatch_service.proto}. */
public final class Dispatch {
  private final Calls calls;

  Dispatch(Calls calls) {
    this.calls = calls;
  }

  /** Stores a courier under the caller's courier_id, or replaces what is stored. */
  public RegisterCourierResponse registerCourier(RegisterCourierRequest request) {
    return calls.call(DispatchServiceGrpc.getRegisterCourierMethod(), request);
  }

  /** Says whether a courier takes jobs. */
  public SetCourierStatusResponse setCourierStatus(SetCourierStatusRequest request) {
    return calls.call(DispatchServiceGrpc.getSetCourierStatusMethod(), request);
  }

  /** Takes one position, as StreamLocations does. */
  public ReportLocationResponse reportLocation(ReportLocationRequest request) {
    return calls.call(DispatchServiceGrpc.getReportLocationMethod(), request);
  }

  /** Lists couriers by courier_id. */
  public ListCouriersResponse listCouriers(ListCouriersRequest request) {
    return calls.call(DispatchServiceGrpc.getListCouriersMethod(), request);
  }

  /** Returns one assignment of an order. */
  public GetAssignmentResponse getAssignment(GetAssignmentRequest request) {
    return calls.call(DispatchServiceGrpc.getGetAssignmentMethod(), request);
  }

  /** Lists assignments, newest first (create_time, then order_id, both descending). */
  public ListAssignmentsResponse listAssignments(ListAssignmentsRequest request) {
    return calls.call(DispatchServiceGrpc.getListAssignmentsMethod(), request);
  }

  /** Gives an order to a courier by hand, without an offer. */
  public AssignOrderResponse assignOrder(AssignOrderRequest request) {
    return calls.call(DispatchServiceGrpc.getAssignOrderMethod(), request);
  }

  /** Takes an offer. */
  public AcceptOfferResponse acceptOffer(AcceptOfferRequest request) {
    return calls.call(DispatchServiceGrpc.getAcceptOfferMethod(), request);
  }

  /** Refuses an offer. */
  public DeclineOfferResponse declineOffer(DeclineOfferRequest request) {
    return calls.call(DispatchServiceGrpc.getDeclineOfferMethod(), request);
  }

  /** Takes an assignment back before the pickup. */
  public WithdrawAssignmentResponse withdrawAssignment(WithdrawAssignmentRequest request) {
    return calls.call(DispatchServiceGrpc.getWithdrawAssignmentMethod(), request);
  }

  /** The courier is at the pickup. */
  public MarkArrivedResponse markArrived(MarkArrivedRequest request) {
    return calls.call(DispatchServiceGrpc.getMarkArrivedMethod(), request);
  }

  /** The courier has picked up what it carries. */
  public MarkPickedUpResponse markPickedUp(MarkPickedUpRequest request) {
    return calls.call(DispatchServiceGrpc.getMarkPickedUpMethod(), request);
  }

  /** The job is done. */
  public CompleteAssignmentResponse completeAssignment(CompleteAssignmentRequest request) {
    return calls.call(DispatchServiceGrpc.getCompleteAssignmentMethod(), request);
  }
}
