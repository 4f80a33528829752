/** A client for browsers: gRPC-Web, to a server's `web_port` or a proxy that translates. Streams of batches are Node's. */
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { type Honeyguide, bearer, over, retries } from "./client.js";

export { Code } from "@connectrpc/connect";
export { type Failure, type Honeyguide, failureOf } from "./client.js";
export * from "./messages.js";

/** How to reach a server. */
export interface WebOptions {
  /** The caller's token; whoever sees the page sees it, so give it few roles and low limits. */
  token?: string;
  /** Tries in all, 1 or more. */
  attempts?: number;
  /** Milliseconds for a whole call, unless the call says otherwise. */
  timeoutMs?: number;
}

/** Connects to a URL such as "https://shop.example". */
export function connect(url: string, { token, attempts = 5, timeoutMs = 5000 }: WebOptions = {}): Honeyguide {
  const interceptors = [retries(attempts), ...(token ? [bearer(token)] : [])];
  return over(createGrpcWebTransport({ baseUrl: url, defaultTimeoutMs: timeoutMs, interceptors }));
}
