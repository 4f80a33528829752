/** Everything that a caller needs, a line for each: node dist/example.js ADDRESS [CA.pem TOKEN_FILE] */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Code, UserState, connect, failureOf } from "./index.js";

const [address = "127.0.0.1:50051", caFile, tokenFile] = process.argv.slice(2);
const ca = caFile && readFileSync(caFile);
const token = tokenFile && readFileSync(tokenFile, "utf8").trim();
const honeyguide = connect(address, { ...(ca && { ca }), ...(token && { token }) });
const { recommender, events } = honeyguide;
const userId = `example-${randomUUID()}`;

if (ca && token) {
  const stranger = connect(address, { ca });
  const failure = failureOf(await stranger.recommender.recommend({ userId }).catch((error: unknown) => error));
  console.log(`tls and token: without a token ${failure.reason}`);
}

const popular = await recommender.recommend({ userId, k: 5 }, { timeoutMs: 2000 });
console.log(`recommend: ${UserState[popular.userState]}, ${popular.items.length} items`);

const seen = popular.items.slice(0, 3).map((item) => item.itemId);
const { accepted } = await events.recordEvents({
  // With an id of its own, an event may be sent again and is stored once.
  events: seen.map((itemId) => ({ eventId: randomUUID(), userId, itemId, eventType: "view", requestId: popular.requestId })),
});
console.log(`record: ${accepted} accepted`);

const next = await recommender.recommend({ userId, k: 5 });
if (next.userState !== UserState.STORED) {
  console.error(`the server knows no events of the user: ${UserState[next.userState]}; did userId arrive?`);
  process.exit(1);
}
console.log(`recommend again: ${UserState[next.userState]}, ${next.items.length} items`);

const own = await recommender.recommend({ history: { itemIds: seen }, k: 5 });
console.log(`history: ${UserState[own.userState]}, ${own.items.length} items`);

const error = failureOf(await recommender.recommend({ userId: "", k: 0 }).catch((failed: unknown) => failed));
console.log(`error: ${error.reason}, fields ${error.fields.join(" ")}`);

// A stream on which nothing is asked ends by its deadline.
const silent = recommender.recommendStream((async function* () {
  yield { message: { case: "options" as const, value: {} } };
  await new Promise((resolve) => setTimeout(resolve, 2000).unref());
})(), { timeoutMs: 100 });
const late = failureOf(await silent[Symbol.asyncIterator]().next().catch((failed: unknown) => failed));
console.log(`deadline: ${late.code === Code.DeadlineExceeded ? "DEADLINE_EXCEEDED" : Code[late.code]}`);

let users = 0;
const answers = recommender.recommendStream((async function* () {
  yield { message: { case: "options" as const, value: { k: 5 } } };
  for (let batch = 0; batch < 4; batch++) {
    const rows = Array.from({ length: 250 }, (_, row) => ({ userId: row ? `visitor-${row}` : userId }));
    yield { message: { case: "batch" as const, value: { sequence: BigInt(batch), rows } } };
  }
})(), { timeoutMs: 30_000 });
for await (const answer of answers) users += answer.rows.filter((row) => row.result.case === "ranked").length;
console.log(`stream: ${users} users`);

let answered = 0;
for (; answered < 20; answered++) await recommender.recommend({ userId }); // beyond a limit of the caller `connect` waits
console.log(`retry: ${answered} answered`);

const { deletedEvents } = await events.deleteUser({ userId });
console.log(`forget: ${deletedEvents} events`);
process.exit(0); // the connection would be kept for the next call
