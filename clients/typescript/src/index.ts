/** Client of Comanda, the order tracking service. Node.js connects with `connect` of comanda-client/node. */

export * from "./client.js";
export { ComandaError, codeName, type Outcome, type Violation } from "./errors.js";
export type { Token } from "./calls.js";
export { Code } from "@connectrpc/connect";

export * from "../generated/comanda/v1/analytics_service_pb.js";
export * from "../generated/comanda/v1/dispatch_service_pb.js";
export * from "../generated/comanda/v1/lifecycle_service_pb.js";
export * from "../generated/comanda/v1/mail_service_pb.js";
export * from "../generated/comanda/v1/order_pb.js";
export * from "../generated/comanda/v1/order_service_pb.js";
export * from "../generated/comanda/v1/transition_pb.js";
export * from "../generated/comanda/v1/trip_pb.js";
export * from "../generated/comanda/v1/watch_service_pb.js";
