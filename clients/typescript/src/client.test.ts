/** What needs no server: retries, errors, and the field that a wrong name would lose. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, createRouterTransport } from "@connectrpc/connect";
import { bearer, failureOf, over, retries } from "./client.js";
import { EventService, RecommendRequestSchema, RecommenderService, RetryInfoSchema, ErrorInfoSchema } from "./messages.js";

/** A server in this process that fails so many times before it answers. */
function scripted(failures: number, code = Code.ResourceExhausted) {
  const calls: { at: number; authorization: string | null }[] = [];
  const answer = (_: unknown, context: { requestHeader: Headers }) => {
    calls.push({ at: Date.now(), authorization: context.requestHeader.get("authorization") });
    if (calls.length > failures) return {};
    throw new ConnectError("not now", code, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "OVER_CAPACITY", domain: "honeyguide" } },
      { desc: RetryInfoSchema, value: { retryDelay: { nanos: 80_000_000 } } },
    ]);
  };
  const routes = (router: ConnectRouter) => {
    router.rpc(RecommenderService.method.recommend, answer);
    router.rpc(EventService.method.recordEvents, answer);
  };
  const interceptors = [retries(3), bearer("secret")];
  return { calls, ...over(createRouterTransport(routes, { transport: { interceptors } })) };
}

test("a call waits as long as the server asks, and is tried again", async () => {
  const { calls, recommender } = scripted(2);
  await recommender.recommend({ userId: "7" });
  assert.equal(calls.length, 3);
  assert.ok(calls[1]!.at - calls[0]!.at >= 79);
  assert.equal(calls[2]!.authorization, "Bearer secret");
});

test("a call ends when its tries are used up, and says why", async () => {
  const { calls, recommender } = scripted(9);
  const failure = failureOf(await recommender.recommend({}).catch((error: unknown) => error));
  assert.deepEqual(failure, { code: Code.ResourceExhausted, reason: "OVER_CAPACITY", fields: [], retryAfterMs: 80 });
  assert.equal(calls.length, 3);
});

test("tries end with the deadline of the call", async () => {
  const { calls, recommender } = scripted(9);
  const failure = failureOf(await recommender.recommend({}, { timeoutMs: 20 }).catch((error: unknown) => error));
  assert.equal(failure.code, Code.DeadlineExceeded);
  assert.equal(calls.length, 1);
});

test("what does not pass is not tried again", async () => {
  const { calls, recommender } = scripted(9, Code.InvalidArgument);
  await assert.rejects(recommender.recommend({}));
  assert.equal(calls.length, 1);
});

test("events are recorded again only where each has an id", async () => {
  const known = scripted(1);
  await known.events.recordEvents({ events: [{ eventId: "1", userId: "7", itemId: "a" }] });
  assert.equal(known.calls.length, 2);
  const unknown = scripted(1);
  await assert.rejects(unknown.events.recordEvents({ events: [{ userId: "7", itemId: "a" }] }));
  assert.equal(unknown.calls.length, 1);
});

test("the proto's own spelling of a field does not compile", () => {
  // @ts-expect-error: TypeScript says userId; without the check, user_id would be dropped in silence
  assert.equal(create(RecommendRequestSchema, { user_id: "7" }).userId, undefined);
  assert.equal(create(RecommendRequestSchema, { userId: "7" }).userId, "7");
});
