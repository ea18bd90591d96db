package dev.comanda.client;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.type.Money;
import dev.comanda.v1.CreateOrderRequest;
import dev.comanda.v1.Customer;
import dev.comanda.v1.Item;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.UUID;

/** What the tests talk to. scripts/check-clients starts it and sets these variables; clients/testing/server.py explains them. */
final class Servers {
  static final List<String> FAULTS = List.of("ADDRESS", "CUTTING", "ENDING", "SILENT", "BREAKING");
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  private Servers() {}

  static String variable(String name) {
    String value = System.getenv("COMANDA_TEST_" + name);
    if (value == null) {
      throw new IllegalStateException("these tests need a server: run scripts/check-clients java");
    }
    return value;
  }

  static String control(String path) {
    HttpRequest request = HttpRequest.newBuilder(URI.create(variable("SCENARIOS") + "/" + path)).timeout(Duration.ofSeconds(30)).build();
    try {
      return HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body();
    } catch (IOException failure) {
      throw new IllegalStateException(failure);
    } catch (InterruptedException interrupted) {
      throw Patience.interrupted();
    }
  }

  static Scenario[] scenarios() {
    return new Gson().fromJson(control("scenarios"), Scenario[].class);
  }

  /** How many connections were cut until now. */
  static int cuts() {
    JsonElement cut = new Gson().fromJson(control("faults"), JsonObject.class).get("cutting");
    return cut == null ? 0 : cut.getAsInt();
  }

  /** A client that notices a silent stream soon. */
  static Comanda connect(String name) {
    return Comanda.builder(variable(name))
        .silence(Duration.ofMillis(1500))
        .waits(Duration.ofMillis(10), Duration.ofMillis(100))
        .deadline(Duration.ofSeconds(30))
        .connect();
  }

  /** A server of the test's own, on a free port. */
  static Server serve(ServerServiceDefinition service) throws IOException {
    return Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()).addService(service).build().start();
  }

  static String newCustomer() {
    return "java-" + UUID.randomUUID();
  }

  static CreateOrderRequest orderOf(String customerId) {
    Money price = Money.newBuilder().setCurrencyCode("CLP").setUnits(1500).build();
    return CreateOrderRequest.newBuilder()
        .setCustomer(Customer.newBuilder().setCustomerId(customerId))
        .addItems(Item.newBuilder().setName("Empanada").setQuantity(3).setUnitPrice(price))
        .build();
  }
}
