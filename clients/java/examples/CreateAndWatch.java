import com.google.type.Money;
import dev.comanda.client.Comanda;
import dev.comanda.client.ComandaBuilder;
import dev.comanda.client.Service;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.Customer;
import dev.comanda.v1.Item;
import dev.comanda.v1.Order;
import dev.comanda.v1.OrderTransition;
import dev.comanda.v1.WatchOrderRequest;
import dev.comanda.v1.WatchOrderResponse;

/** Creates an order and watches it to its end: CreateAndWatch [HOST:PORT] [HOST:PORT of notification, where it is elsewhere]. */
public final class CreateAndWatch {
  private CreateAndWatch() {}

  public static void main(String[] args) {
    ComandaBuilder builder = Comanda.builder(args.length > 0 ? args[0] : "127.0.0.1:50051");
    if (args.length > 1) {
      builder.address(Service.WATCHES, args[1]);
    }
    try (Comanda comanda = builder.connect()) {
      Order order = comanda.orders().createOrder(request()).getOrder();
      System.out.printf("order %d (%s): %d %s%n", order.getNumber(), order.getOrderId(), order.getTotal().getUnits(), order.getTotal().getCurrencyCode());
      comanda.watchOrder(WatchOrderRequest.newBuilder().setOrderId(order.getOrderId()).build()).forEachRemaining(CreateAndWatch::print);
    }
  }

  private static CreateOrderRequest request() {
    Money price = Money.newBuilder().setCurrencyCode("USD").setUnits(12).setNanos(500_000_000).build();
    return CreateOrderRequest.newBuilder()
        .setCustomer(Customer.newBuilder().setCustomerId("java").setEmail("ana@example.com").setLocale("es"))
        .addItems(Item.newBuilder().setName("Pizza Margherita").setQuantity(2).setUnitPrice(price))
        .build();
  }

  private static void print(WatchOrderResponse event) {
    if (event.hasTransition()) {
      OrderTransition moved = event.getTransition();
      String from = moved.getFromStatus().isEmpty() ? "-" : moved.getFromStatus();
      System.out.printf("  version %d: %s -> %s%n", moved.getVersion(), from, moved.getToStatus());
    }
  }
}
