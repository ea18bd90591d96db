/**
 * Creates an order and watches it to its end.
 *
 *     node dist/examples/create-and-watch.js [HOST:PORT] [HOST:PORT of notification, where it is elsewhere]
 */

import { ComandaError } from "../src/index.js";
import { connect } from "../src/node.js";

async function main([address, notification]: string[]): Promise<void> {
  const comanda = connect(address, notification ? { addresses: { WatchService: notification } } : {});
  const { order } = await comanda.orders.createOrder({
    customer: { customerId: "typescript", email: "ana@example.com", locale: "es" },
    items: [{ name: "Pizza Margherita", quantity: 2, unitPrice: { currencyCode: "USD", units: 12n, nanos: 500_000_000 } }],
  });
  console.log(`order ${order?.number} (${order?.orderId}): ${order?.total?.units} ${order?.total?.currencyCode}`);
  for await (const { event } of comanda.watchOrder({ orderId: order!.orderId })) {
    if (event.case === "transition") {
      console.log(`  version ${event.value.version}: ${event.value.fromStatus || "-"} -> ${event.value.toStatus}`);
    }
  }
  comanda.close();
}

main(process.argv.slice(2)).catch((error: unknown) => {
  const outcome = error instanceof ComandaError ? `; the call was ${error.outcome === "unknown" ? "perhaps" : "not"} applied` : "";
  console.error(`${error}${outcome}`);
  process.exitCode = 1;
});
