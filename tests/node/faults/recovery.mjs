// When a fault is over: every node is ready, and a call from each node to the next is as quick as ever.
import { Phone, unique } from '../support.mjs';
import { within } from '../patience.mjs';
import { pause } from './app.mjs';
import { isReady } from './door.mjs';

/** How long a call takes at most when all is well. */
const NORMAL_MS = 500;
/** When an attempt is given up, to make another. */
const ATTEMPT_MS = 1500;
const TRY_EVERY_MS = 100;
/** When it is not to be hoped for any more. */
const HOPELESS_MS = 90_000;

async function succeed(who, name, payload) {
  const answer = await who.request(name, payload);
  if (!answer.success) throw new Error(`${name}: ${answer.error.code}`);
  return answer;
}

/** A whole call, once both phones are there. */
async function call(alice, bob) {
  const began = performance.now();
  const { callId } = await succeed(alice, 'call_initiate', { calleeId: bob.user, callType: 'audio' });
  await bob.take('incoming_call', (event) => event.callId === callId);
  await succeed(bob, 'call_accept', { callId });
  await alice.take('call_accept');
  await succeed(alice, 'sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
  await bob.take('sdp_offer');
  await succeed(bob, 'sdp_answer', { callId, to: alice.user, sdp: 'v=0' });
  await alice.take('sdp_answer');
  await succeed(alice, 'call_end', { callId });
  await bob.take('call_end');
  return performance.now() - began;
}

/** A call between two nodes by users nobody has seen before. */
async function freshCall(...nodes) {
  const phones = nodes.map((node, n) => new Phone(node.url, { user: unique(['alice', 'bob'][n]), device: 'probe' }));
  const whole = async () => {
    for (const phone of phones) await phone.connect();
    for (const phone of phones) await phone.register();
    return call(...phones);
  };
  const running = whole();
  running.catch(() => {});
  return within(running, 'a fresh call hangs', ATTEMPT_MS).finally(() => phones.forEach(({ socket }) => socket.disconnect()));
}

async function isWell(cluster) {
  const nodes = cluster.nodes.filter(({ isLeaving }) => !isLeaving);
  if (!(await Promise.all(nodes.map(isReady))).every(Boolean)) return false;
  const times = await Promise.all(nodes.map((node, n) => freshCall(node, nodes[(n + 1) % nodes.length])));
  return times.every((ms) => ms < NORMAL_MS);
}

/** How long it took from `since` until all is well; `undefined` if it takes too long. */
export async function timeToRecover(cluster, since) {
  while (performance.now() - since < HOPELESS_MS) {
    if (await isWell(cluster).catch(() => false)) return performance.now() - since;
    await pause(TRY_EVERY_MS);
  }
  return undefined;
}
