/** The API's messages and enums, and the details of errors. */
export * from "./gen/google/rpc/error_details_pb.js";
export * from "./gen/honeyguide/v1/errors_pb.js";
export * from "./gen/honeyguide/v1/event_service_pb.js";
export * from "./gen/honeyguide/v1/history_pb.js";
export * from "./gen/honeyguide/v1/model_service_pb.js";
export * from "./gen/honeyguide/v1/recommender_service_pb.js";
