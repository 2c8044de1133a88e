// Calls a service through Bottleneck, or decides so many times: the same as limiters.py, see bench.services.peers.

import { connect } from "node:net";
import { createInterface } from "node:readline";
import Bottleneck from "bottleneck";
import Redis from "ioredis";

const KEYS = 100;
const ROUNDS = 5;
const DECISIONS = 2_000;
const PAUSE_MS = 2;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (value) => process.stdout.write(`${value}\n`);
const go = async () => (say("ready"), await line());
const nowS = () => (performance.timeOrigin + performance.now()) / 1e3;

const plan = JSON.parse(await line());

const shared = () => {
  const { hostname: host, port } = new URL(plan.redis_url);
  return new Bottleneck.IORedisConnection({ clientOptions: { host, port: Number(port) }, Redis });
};
const connection = plan.redis_url ? shared() : undefined;

async function limiter(id, { count = 0, window_ms = 0, apart_ms = 0, concurrency = 0 }) {
  const words = { minTime: apart_ms, ...(concurrency && { maxConcurrent: concurrency }) };
  const window = { reservoir: count, reservoirRefreshAmount: count, reservoirRefreshInterval: window_ms };
  const made = new Bottleneck({ id, connection, ...words, ...(count && window) });
  await made.ready();
  return made;
}

// Several limiters are a chain: a job that is ready at one is queued at the next.
function chained(limiters) {
  limiters.slice(1).forEach((next, place) => limiters[place].chain(next));
  return limiters[0];
}

function service(url, calls) {
  const { hostname, port } = new URL(url);
  const free = Array.from({ length: calls }, () => connect(Number(port), hostname));
  return (number) =>
    new Promise((resolve) => {
      const socket = free.pop();
      socket.once("data", () => resolve(free.push(socket)));
      socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Client: ${number}\r\n\r\n`);
    });
}

async function warmUp(restMs = 1_200) {
  await (await limiter("warm", { count: 1_000, window_ms: 1_000 })).schedule(async () => {});
  await sleep(restMs);
}

async function burst() {
  const made = await limiter("burst", plan.limit);
  const call = service(plan.url, plan.calls);
  await warmUp();
  await go();
  const began = nowS();
  await Promise.all(Array.from({ length: plan.calls }, (_, number) => made.schedule(() => call(number))));
  return { began_s: began, took_s: nowS() - began };
}

async function timed(limiter) {
  const began = nowS();
  let took;
  await limiter.schedule(async () => {
    took = (nowS() - began) * 1e6;
    await sleep(PAUSE_MS);
  });
  await sleep(PAUSE_MS);
  return took;
}

async function decide() {
  const keys = [];
  for (let key = 0; key < KEYS; key++) {
    const parts = [];
    for (let place = 0; place < plan.limiters; place++)
      parts.push(await limiter(`k${key}-${place}`, { count: 100, window_ms: 1_000 }));
    keys.push(chained(parts));
  }
  await warmUp();
  await go();
  if (plan.redis_url) {
    const [each_us, ping_us] = [[], []];
    const redis = connection.client;
    for (let turn = 0; turn < plan.decisions; turn++) each_us.push(await timed(keys[turn % KEYS]));
    for (let turn = 0; turn < plan.decisions; turn++) {
      const began = nowS();
      await redis.ping();
      ping_us.push((nowS() - began) * 1e6);
      await sleep(PAUSE_MS);
    }
    return { each_us, ping_us };
  }
  const each_us = [];
  for (let round = 0; round < ROUNDS; round++) {
    const since = process.cpuUsage();
    for (let turn = 0; turn < DECISIONS; turn += KEYS) // a job begins with a timer: one at a time would wait for those
      await Promise.all(keys.map((each) => each.schedule(async () => {})));
    const { user, system } = process.cpuUsage(since);
    each_us.push((user + system) / DECISIONS);
  }
  return { each_us };
}

async function several() {
  const first = await limiter("first", { count: 10, window_ms: 4_000 });
  const second = await limiter("second", { count: 2, window_ms: 4_000 });
  const begun = { both: 0, one: 0 };
  const entry = (kind) => async () => {
    begun[kind]++;
  };
  await warmUp();
  await go();
  for (let turn = 0; turn < 5; turn++) first.schedule(() => second.schedule(entry("both")));
  await sleep(200);
  for (let turn = 0; turn < 10; turn++) first.schedule(entry("one"));
  await sleep(300);
  return begun;
}

say(JSON.stringify(await { burst, decide, several }[plan.work]()));
process.exit(0);
