/** A client for Node: gRPC over HTTP/2. */
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Honeyguide, bearer, over, retries } from "./client.js";

export { Code } from "@connectrpc/connect";
export { type Failure, type Honeyguide, failureOf } from "./client.js";
export * from "./messages.js";

/** How to reach a server. */
export interface Options {
  /** The caller's token. It travels in the clear where there is no TLS. */
  token?: string;
  /** The certificate of the authority to trust, PEM; true: the machine's authorities. Unset: no TLS. */
  ca?: string | Buffer | true;
  /** Tries in all, 1 or more; 5 unless given. */
  attempts?: number;
  /** Milliseconds for a whole call, unless the call says otherwise. */
  timeoutMs?: number;
}

/** Connects to `host:port`, at the first call. */
export function connect(address: string, options: Options = {}): Honeyguide {
  const { token, ca, attempts = 5, timeoutMs = 5000 } = options;
  const transport = createGrpcTransport({
    baseUrl: `${ca ? "https" : "http"}://${address}`,
    defaultTimeoutMs: timeoutMs,
    interceptors: [retries(attempts), ...(token ? [bearer(token)] : [])],
    pingIntervalMs: 30_000,
    readMaxBytes: 16 << 20,
    ...(ca && ca !== true && { nodeOptions: { ca } }),
  });
  return over(transport);
}
