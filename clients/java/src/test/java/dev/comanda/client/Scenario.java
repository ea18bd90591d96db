package dev.comanda.client;

import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.util.List;
import java.util.Map;

/** A scenario of clients/scenarios.json, with the address at which it is played. */
final class Scenario {
  String name;
  String rpc;
  JsonObject request;
  String address;
  boolean stalls;
  List<String> told;
  Map<String, Long> versions;
  int snapshots;
  String outcome;

  @SuppressWarnings("unchecked") // A builder builds what it was made of.
  <Q extends Message> Q request(Q kind) {
    Message.Builder message = kind.newBuilderForType();
    try {
      JsonFormat.parser().merge(request.toString(), message);
    } catch (InvalidProtocolBufferException broken) {
      throw new IllegalStateException(broken);
    }
    return (Q) message.build();
  }
}
