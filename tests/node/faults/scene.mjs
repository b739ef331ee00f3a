// Where a fault happens: nodes, their Redis, the door to the nodes, and calls that go on all the while.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { chaosProxy } from '../chaos.mjs';
import { startCluster } from '../cluster.mjs';
import { NO_RATE_LIMITS } from '../support.mjs';
import { startRedis, startSentinels } from '../redis.mjs';
import { pause } from './app.mjs';
import { chanceOf } from './chance.mjs';
import { openDoor } from './door.mjs';
import { prepareLoad } from './load.mjs';
import { timeToRecover } from './recovery.mjs';
import { hasties, lateness, repeats, wrongs } from './verdict.mjs';

async function startStore({ needs, config }) {
  if (needs === 'sentinels') {
    const group = await startSentinels();
    return { group, env: group.env, stop: group.stop };
  }
  const redis = await startRedis(undefined, { config });
  if (!needs) return { redis, env: redis.env, stop: redis.stop };
  const road = await chaosProxy(undefined, redis);
  const detour = { REDIS_URL: `redis://127.0.0.1:${road.port}` };
  return { redis, road, detour, env: needs === 'road' ? detour : redis.env, stop: () => (road.stop(), redis.stop()) };
}

async function makeScene(fault, { seed, nodes, rate, ringMs, drainMs, logLevel }) {
  const chance = chanceOf(seed);
  const store = await startStore(fault);
  const undo = [store.stop];
  const stop = async () => {
    for (const one of undo.reverse()) await one();
  };
  try {
    const env = { ...NO_RATE_LIMITS, CALL_RING_TIMEOUT: String(ringMs), DRAIN_TIMEOUT: String(drainMs), SHUTDOWN_TIMEOUT: '3000', LOG_LEVEL: logLevel };
    const hasOneApart = fault.needs === 'road of one';
    const cluster = await startCluster({ nodes: hasOneApart ? nodes - 1 : nodes, redis: store, env });
    undo.push(() => cluster.stop('SIGKILL'));
    if (hasOneApart) await (await cluster.join(store.detour)).ready();
    const door = await openDoor(cluster, chance);
    undo.push(door.close);
    const load = await prepareLoad({ door, rate, chance, ringMs });
    undo.push(load.close);
    return { ...store, chance, cluster, door, load, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Deals the fault and ends it. Answers when it began, from when its end is waited for, and how long that took. */
async function suffer(fault, scene) {
  const began = performance.now();
  await fault.strike(scene);
  const recovery = fault.isABlow ? timeToRecover(scene.cluster, began) : undefined;
  if (fault.lastsMs) await pause(fault.lastsMs);
  await fault.heal?.(scene);
  const since = fault.isABlow ? began : performance.now();
  return { began, since, recoveryMs: await (recovery ?? timeToRecover(scene.cluster, since)) };
}

/** Runs calls through `fault`: numbers for the table, and `notes` about each call that went wrong. `keep` gets the scene at the end. */
export async function runFault(fault, options, keep) {
  const scene = await makeScene(fault, options);
  const { load } = scene;
  const delays = monitorEventLoopDelay();
  try {
    delays.enable();
    load.begin();
    await pause(options.leadMs);
    const { began, since, recoveryMs } = await suffer(fault, scene);
    const running = load.runningBetween(began, since + (recoveryMs ?? 0));
    await pause(options.trailMs);
    await load.stop();
    const result = { fault, running, recoveryMs, ...judged(load), backMs: timeToReturn(load, since), heldUpMs: delays.max / 1e6 };
    await keep?.({ fault, scene, result, began, since });
    return result;
  } finally {
    delays.disable();
    await scene.stop();
  }
}

/** When the last app was registered again that had been cut off. */
function timeToReturn({ apps }, since) {
  const cut = apps.filter(({ connections, sentAway }) => connections > 1 && !sentAway);
  if (cut.some(({ isRegistered }) => !isRegistered)) return undefined;
  return Math.max(0, ...cut.map(({ registeredAt }) => registeredAt - since));
}

const sum = (calls, count) => calls.reduce((total, call) => total + count(call), 0);

function judged({ apps, calls, strays }) {
  const faulty = calls.map((call) => ({ call, wrong: wrongs(call) }));
  const strayed = strays.map(({ app, name, payload }) => `${app.user} is told ${name} of ${payload.callId}, a call it is not in`);
  return {
    calls: calls.length,
    lost: calls.filter(({ lost }) => lost),
    wrong: faulty.filter(({ wrong }) => wrong.length),
    strayed,
    refused: calls.filter(({ isRefused }) => isRefused).length,
    lateMs: calls.map(lateness).filter((ms) => ms !== undefined),
    repeats: sum(calls, repeats),
    hasties: sum(calls, hasties),
    sentAway: apps.filter(({ sentAway }) => sentAway).map(({ user, sentAway }) => `${user} was sent away for good: ${sentAway}`),
  };
}
