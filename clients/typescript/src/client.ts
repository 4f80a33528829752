/** What the clients for Node and for browsers share: the three services over any transport, and retries. */
import { type Client, Code, ConnectError, type Interceptor, type Transport, createClient } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { EventService, type RecordEventsRequest } from "./gen/honeyguide/v1/event_service_pb.js";
import { ModelService } from "./gen/honeyguide/v1/model_service_pb.js";
import { RecommenderService } from "./gen/honeyguide/v1/recommender_service_pb.js";

/** A server's services. */
export interface Honeyguide {
  recommender: Client<typeof RecommenderService>;
  events: Client<typeof EventService>;
  models: Client<typeof ModelService>;
}

/** What a failed call says to programs. */
export interface Failure {
  /** gRPC's code. */
  code: Code;
  /** One of Honeyguide's reasons, such as "INVALID_FIELD"; "" where the server did not answer. */
  reason: string;
  /** The fields at fault, as paths. */
  fields: string[];
  /** Milliseconds after which to try again, where the server says. */
  retryAfterMs?: number;
}

/** Makes the services' clients. */
export function over(transport: Transport): Honeyguide {
  return {
    recommender: createClient(RecommenderService, transport),
    events: createClient(EventService, transport),
    models: createClient(ModelService, transport),
  };
}

/** Reads what a failed call says. */
export function failureOf(error: unknown): Failure {
  const from = ConnectError.from(error);
  const delay = from.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: from.code,
    reason: from.findDetails(ErrorInfoSchema)[0]?.reason ?? "",
    fields: from.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations.map((one) => one.field)),
    ...(delay && { retryAfterMs: Number(delay.seconds) * 1000 + Math.ceil(delay.nanos / 1e6) }),
  };
}

/** Sends a token with every call. */
export function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

/**
 * Tries a call again whose failure passes: after the server's RetryInfo, else after 100 ms, doubled each time. The deadline
 * of the call holds for all tries together. What changes models is never tried again, nor are events without an id.
 */
export function retries(attempts = 5): Interceptor {
  return (next) => async (request) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (error) {
        const failure = failureOf(error);
        const passes = failure.code === Code.Unavailable || failure.code === Code.ResourceExhausted;
        if (!passes || attempt >= attempts || request.stream || !isRepeatable(request.service.typeName, request.message)) {
          throw error;
        }
        const own = 50 * 2 ** attempt * (0.5 + Math.random() / 2);
        await pause(failure.retryAfterMs === undefined ? own : failure.retryAfterMs + own / 2, request.signal);
      }
    }
  };
}

function isRepeatable(service: string, message: { $typeName: string }): boolean {
  if (message.$typeName === "honeyguide.v1.RecordEventsRequest") {
    return (message as RecordEventsRequest).events.every((event) => event.eventId !== "");
  }
  return service !== ModelService.typeName;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve()), ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
