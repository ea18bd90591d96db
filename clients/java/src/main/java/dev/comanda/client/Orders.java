package dev.comanda.client;

import dev.comanda.v1.BatchCreateOrdersRequest;
import dev.comanda.v1.BatchCreateOrdersResponse;
import dev.comanda.v1.BatchGetOrdersRequest;
import dev.comanda.v1.BatchGetOrdersResponse;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.CreateOrderResponse;
import dev.comanda.v1.EraseCustomerRequest;
import dev.comanda.v1.EraseCustomerResponse;
import dev.comanda.v1.GetOrderRequest;
import dev.comanda.v1.GetOrderResponse;
import dev.comanda.v1.ListOrdersRequest;
import dev.comanda.v1.ListOrdersResponse;
import dev.comanda.v1.OrderServiceGrpc;

/** OrderService. The whole contract of each call is at its rpc in {@code proto/comanda/v1/order_service.proto}. */
public final class Orders {
  private final Calls calls;

  Orders(Calls calls) {
    this.calls = calls;
  }

  /** Stores an order and returns it. */
  public CreateOrderResponse createOrder(CreateOrderRequest request) {
    return calls.call(OrderServiceGrpc.getCreateOrderMethod(), request);
  }

  /** Stores up to 100 orders and returns an order or an error for each, in the order of the request. */
  public BatchCreateOrdersResponse batchCreateOrders(BatchCreateOrdersRequest request) {
    return calls.call(OrderServiceGrpc.getBatchCreateOrdersMethod(), request);
  }

  /** Returns one order as it is now. */
  public GetOrderResponse getOrder(GetOrderRequest request) {
    return calls.call(OrderServiceGrpc.getGetOrderMethod(), request);
  }

  /** Returns up to 100 orders as they are now, in the order of the request. */
  public BatchGetOrdersResponse batchGetOrders(BatchGetOrdersRequest request) {
    return calls.call(OrderServiceGrpc.getBatchGetOrdersMethod(), request);
  }

  /** Lists orders, newest first (create_time, then order_id, both descending). */
  public ListOrdersResponse listOrders(ListOrdersRequest request) {
    return calls.call(OrderServiceGrpc.getListOrdersMethod(), request);
  }

  /** Removes the personal data of one customer from all orders of the tenant that are stored when the call begins. */
  public EraseCustomerResponse eraseCustomer(EraseCustomerRequest request) {
    return calls.call(OrderServiceGrpc.getEraseCustomerMethod(), request);
  }
}
