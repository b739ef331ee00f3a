// A node is cattle: whichever dies or leaves, calls go on, time-outs fire, and apps come back by themselves.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  NO_RATE_LIMITS, again, app, chaosProxy, eventually, fence, phone, refused, ring, startCluster, startRedis, talk, toldOf, unique,
} from './support.mjs';
import { WEBHOOK_SECRET, startReceiver } from './webhook-receiver.mjs';

/** Until the others have seen that a node is dead, and what depends on it has happened. */
const MOURNED_WITHIN_MS = 40_000;
/** How long a call rings where that matters. */
const RING_MS = 2500;

/** Nodes over a Redis of their own. */
async function group(t, { nodes = 2, config, env } = {}) {
  const redis = await startRedis(undefined, { config });
  const cluster = await startCluster({ nodes, redis, env: { ...NO_RATE_LIMITS, ...env } });
  t.after(async () => {
    await cluster.stop();
    await redis.stop();
  });
  return { redis, cluster };
}

/** The one address of a cluster, as a load balancer has it: connections go to the first node that takes them. */
const doorOf = (t, cluster) => chaosProxy(t, { get port() { return cluster.first.port; } });

const timedOut = ['call_timeout:No answer from callee', 'call_timeout:Call timeout'];

describe('ring time-outs', () => {
  const notifies = ['notify-keyspace-events Ex'];
  const redises = [
    { what: 'Redis as it comes' },
    { what: 'a Redis that says which timers have run out', config: notifies, elects: true },
    {
      what: 'a Redis whose notifications are turned off while calls ring', config: notifies,
      change: (redis) => redis.send('CONFIG', 'SET', 'notify-keyspace-events', ''),
    },
    { what: 'a Redis without CONFIG', config: ['rename-command CONFIG ""'] },
  ];
  for (const { what, config, change, elects } of redises) {
    /** Three nodes, and what their Redis says has expired. */
    async function scene(t) {
      const { redis, cluster } = await group(t, { nodes: 3, config, env: { CALL_RING_TIMEOUT: String(RING_MS) } });
      const expired = await redis.listen(t, '__keyevent@0__:expired');
      return { redis, cluster, expired };
    }

    /** Where Redis says so, the nodes have elected one of them for each call: what they do that by expires as well, and is told. */
    async function wereElected({ cluster, expired }, callIds) {
      if (!elects) return;
      const isElected = (callId) => expired.includes(`${cluster.prefix}elect:call:${callId}`);
      await eventually(() => callIds.every(isElected), 'no election was held');
    }

    test(`${what}: ten calls time out, each once for each party`, async (t) => {
      const { redis, cluster, expired } = await scene(t);
      const calls = await Promise.all(Array.from({ length: 10 }, async (_, n) => {
        const two = await Promise.all([n, n + 1].map((place) => phone(t, cluster.nodes[place % 3])));
        return { two, callId: await ring(...two) };
      }));
      await change?.(redis);
      for (const { two } of calls) await Promise.all(two.map((who) => who.take('call_timeout')));
      await wereElected({ cluster, expired }, calls.map(({ callId }) => callId));
      for (const { two, callId } of calls) {
        for (const who of two) await fence(t, cluster, who);
        assert.deepEqual(two.map((who) => toldOf(who, callId)), timedOut.map((told) => [told]));
      }
    });

    test(`${what}: the node that took the call dies, both are told once`, async (t) => {
      const { redis, cluster, expired } = await scene(t);
      const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
      const callId = await ring(alice, bob);
      await change?.(redis);
      await cluster.nodes[0].kill9();
      await alice.disconnected();
      const aliceAgain = await again(t, cluster.nodes[2], alice);
      await Promise.all([aliceAgain, bob].map((who) => who.take('call_timeout')));
      await wereElected({ cluster, expired }, [callId]);
      for (const who of [aliceAgain, bob]) await fence(t, cluster.nodes[1], who);
      assert.deepEqual([aliceAgain, bob].map((who) => toldOf(who, callId)), timedOut.map((told) => [told]));
      refused(await bob.request('call_accept', { callId }), 'E102', 'Call cannot be accepted in state: timeout');
    });
  }

  test('all nodes are dead at the deadline: the call times out when one is back, and both are told once', async (t) => {
    const { cluster } = await group(t, { env: { CALL_RING_TIMEOUT: String(RING_MS) } });
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const callId = await ring(alice, bob);
    const { timestamp } = bob.heard('incoming_call')[0];
    await cluster.stop('SIGKILL');
    await eventually(() => Date.now() > timestamp + RING_MS, 'time stands still');
    const node = await cluster.join();
    await node.ready();
    const back = [await again(t, node, alice), await again(t, node, bob)];
    await Promise.all(back.map((who) => who.take('call_timeout')));
    for (const who of back) await fence(t, node, who);
    assert.deepEqual(back.map((who) => toldOf(who, callId)), timedOut.map((told) => [told]));
  });
});

describe('a node dies', () => {
  test('an app comes back to another one by itself, and the call goes on', async (t) => {
    const { cluster } = await group(t);
    const door = await doorOf(t, cluster);
    const alice = await app(t, door);
    const bob = await phone(t, cluster.nodes[1]);
    const callId = await talk(alice, bob);
    await cluster.nodes[0].kill9();
    assert.equal((await bob.request('sdp_offer', { callId, to: alice.user, sdp: 'v=0' })).success, true);
    for (let n = 0; n < 20; n++) bob.socket.emit('ice_candidate', { callId, to: alice.user, candidate: { n } });
    await alice.disconnected();
    await alice.take('registered');
    await alice.take('ice_candidate', ({ candidate }) => candidate.n === 19);
    const heard = alice.events.filter(({ name }) => /^(sdp_|ice_)/.test(name)).map(({ name, payload }) => payload.candidate?.n ?? name);
    assert.deepEqual(heard, ['sdp_offer', ...Array(20).keys()]);
    assert.equal((await alice.request('sdp_answer', { callId, to: bob.user, sdp: 'v=0' })).success, true);
    await bob.take('sdp_answer');
    await Promise.all([alice, bob].map((who) => who.hasNot('call_end')));
  });

  test('a callee whose node dies while it rings is rung again, and may accept', async (t) => {
    const { cluster } = await group(t);
    const [alice, bob] = [await phone(t, cluster.nodes[1]), await phone(t, cluster.nodes[0])];
    const callId = await ring(alice, bob);
    await cluster.nodes[0].kill9();
    const bobAgain = await again(t, cluster.nodes[1], bob);
    assert.equal((await bobAgain.take('incoming_call')).callId, callId);
    assert.equal((await bobAgain.request('call_accept', { callId })).success, true);
    await alice.take('call_accept');
  });

  test('who never comes back: the other side of the call is told', async (t) => {
    const { cluster } = await group(t, { env: { CALL_AWAY_TIMEOUT: '1000', CALL_CALLER_AWAY_TIMEOUT: '1000' } });
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const [carol, dave] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const [erin, frank] = [await phone(t, cluster.nodes[0], { register: false }), await phone(t, cluster.nodes[1])];
    const calls = [await talk(alice, bob), await ring(carol, dave), await ring(erin, frank)];
    await cluster.nodes[0].kill9();
    const told = await Promise.all([bob, dave, frank].map((who) => who.take('call_end', undefined, MOURNED_WITHIN_MS)));
    assert.deepEqual(told.map(({ callId, reason }) => [callId, reason]), calls.map((callId) => [callId, 'connection_lost']));
  });

  test('its users do not count as present for long', async (t) => {
    const { redis, cluster } = await group(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const laptop = await phone(t, cluster.nodes[0], { user: bob.user });
    const get = (key) => redis.send('GET', `${cluster.prefix}${key}`);
    assert.equal(await get(`socket:user:${bob.user}`), laptop.socket.id);
    await cluster.nodes[0].kill9();
    await eventually(async () => (await get(`socket:user:${alice.user}`)) === null, 'the dead are present', MOURNED_WITHIN_MS);
    await eventually(async () => (await get(`socket:user:${bob.user}`)) === bob.socket.id, 'the dead device is the newest', MOURNED_WITHIN_MS);
    const answer = await bob.request('call_initiate', { calleeId: alice.user, callType: 'audio' });
    assert.notEqual(answer.reachability, 'online');
  });
});

describe('a node leaves', () => {
  const DRAIN_MS = 2000;

  test('SIGTERM: it says so, takes nobody in, and its apps come back to another node, spread out, in their calls', async (t) => {
    const { cluster } = await group(t, { env: { DRAIN_TIMEOUT: String(DRAIN_MS) } });
    const [leaving, staying] = cluster.nodes;
    const door = await doorOf(t, cluster);
    const calls = await Promise.all(Array.from({ length: 12 }, async (_, n) => {
      const alice = await app(t, door, { transports: n % 2 ? ['websocket'] : ['polling', 'websocket'] });
      const bob = await phone(t, staying);
      return { alice, bob, callId: await talk(alice, bob) };
    }));
    const poller = await phone(t, leaving, { transports: ['polling'] });
    const gone = calls.map(({ alice }) => alice.disconnected().then((reason) => ({ reason, at: performance.now() })));
    const inFlight = Promise.all(calls.map(({ alice, bob, callId }) => alice.request('ice_candidate', { callId, to: bob.user, candidate: null })));
    const ended = leaving.stop();
    const { body } = await eventually(async () => {
      const answer = await leaving.get('/readyz');
      return answer.status === 503 && answer;
    }, 'a node that leaves is ready');
    assert.deepEqual([body.status, body.reasons], ['not_ready', ['draining']]);
    assert.equal((await leaving.get('/livez')).status, 200);
    assert.equal((await fetch(`${leaving.url}/socket.io/?EIO=4&transport=polling`)).status, 503);
    for (const { success } of await inFlight) assert.equal(success, true);
    const ends = await Promise.all(gone);
    for (const { reason } of ends) assert.equal(reason, 'transport close');
    assert.match(await poller.disconnected(), /^transport (close|error)$/);
    const times = ends.map(({ at }) => at);
    assert.ok(Math.max(...times) - Math.min(...times) > DRAIN_MS / 4, 'they were sent away all at once');
    for (const { alice, bob, callId } of calls) {
      await alice.take('registered');
      assert.equal((await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' })).success, true);
      await bob.take('sdp_offer');
      assert.equal((await bob.request('sdp_answer', { callId, to: alice.user, sdp: 'v=0' })).success, true);
      await alice.take('sdp_answer');
      await Promise.all([alice, bob].map((who) => who.hasNot('call_end')));
    }
    const { code, signal } = await ended;
    assert.deepEqual([code, signal], [0, null]);
  });

  test('a call that is begun while the node leaves is answered, and rings on', async (t) => {
    const { cluster } = await group(t, { env: { DRAIN_TIMEOUT: '500' } });
    const door = await doorOf(t, cluster);
    const alice = await app(t, door);
    const bob = await phone(t, cluster.nodes[1]);
    const begun = alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
    const ended = cluster.nodes[0].stop();
    const { success, callId } = await begun;
    assert.equal(success, true);
    await bob.take('incoming_call');
    await alice.disconnected();
    await alice.take('registered');
    assert.equal((await bob.request('call_accept', { callId })).success, true);
    await alice.take('call_accept');
    assert.equal((await ended).code, 0);
  });

  test('a rolling restart: every node is replaced, and no call is lost', async (t) => {
    const { cluster } = await group(t, { env: { DRAIN_TIMEOUT: '500' } });
    const door = await doorOf(t, cluster);
    const calls = await Promise.all(Array.from({ length: 6 }, async () => {
      const two = [await app(t, door, { user: unique('alice') }), await app(t, door, { user: unique('bob') })];
      return { two, callId: await talk(...two) };
    }));
    let sent = 0;
    for (const old of [...cluster.nodes]) {
      await (await cluster.join()).ready();
      assert.equal((await old.stop()).code, 0);
      sent += 1;
      for (const { two, callId } of calls) {
        for (const who of two) {
          await who.disconnected();
          await who.take('registered');
        }
        for (const [n, who] of two.entries()) {
          const answer = await who.request('ice_candidate', { callId, to: two[1 - n].user, candidate: { sent } });
          assert.equal(answer.success, true, JSON.stringify(answer));
          await two[1 - n].take('ice_candidate', ({ candidate }) => candidate.sent === sent);
        }
      }
    }
    for (const { two } of calls) await Promise.all(two.map((who) => who.hasNot('call_end')));
  });
});

describe('webhooks', () => {
  test('what a node was telling when it died is told by another one, with the same id, and nothing is told out of turn', async (t) => {
    const receiver = await startReceiver(t);
    const { cluster } = await group(t, { nodes: 1, env: { WEBHOOK_SECRET, WEBHOOK_URL: receiver.url } });
    receiver.answer('call.started', 'hang');
    const door = await doorOf(t, cluster);
    const [alice, bob] = [await app(t, door), await app(t, door)];
    const callId = await talk(alice, bob);
    const untold = await receiver.attempts('call.started', 1);
    await (await cluster.join()).ready();
    await cluster.nodes[0].kill9();
    for (const who of [alice, bob]) {
      await who.disconnected();
      await who.take('registered');
    }
    await alice.request('call_end', { callId });
    await receiver.takes(callId, 3, MOURNED_WITHIN_MS);
    const all = receiver.of(callId);
    assert.deepEqual(all.map(({ type }) => type), ['call.started', 'call.started', 'call.answered', 'call.ended']);
    assert.equal(all[1].id, untold.id);
  });

  test('several nodes tell each event once, and what a node leaves is taken by the others', async (t) => {
    const receiver = await startReceiver(t);
    const { cluster } = await group(t, { nodes: 3, env: { DRAIN_TIMEOUT: '500', WEBHOOK_SECRET, WEBHOOK_URL: receiver.url } });
    const door = await doorOf(t, cluster);
    const calls = await Promise.all(Array.from({ length: 12 }, async () => {
      const two = [await app(t, door, { user: unique('alice') }), await app(t, door, { user: unique('bob') })];
      return { two, callId: await talk(...two) };
    }));
    for (const { callId } of calls) await receiver.takes(callId, 2);
    assert.equal((await cluster.nodes[0].stop()).code, 0);
    for (const { two, callId } of calls) {
      await eventually(() => two[0].request('call_end', { callId }).then(({ success, error }) => success || error.code === 'E102'), 'it does not end');
    }
    for (const { callId } of calls) {
      await receiver.takes(callId, 3);
      assert.deepEqual(receiver.of(callId).map(({ id }) => id), [0, 1, 2].map((place) => `${callId}:${place}`));
    }
  });

  test('Redis goes away while something is told: it is told, with the same id if again, and then what came after it', async (t) => {
    const receiver = await startReceiver(t);
    const { cluster, redis } = await group(t, { config: ['appendonly yes', 'appendfsync always'], env: { WEBHOOK_SECRET, WEBHOOK_URL: receiver.url } });
    let answer;
    receiver.answer('call.started', new Promise((resolve) => (answer = resolve)));
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const callId = await ring(alice, bob);
    await receiver.attempts('call.started', 1);
    await redis.kill9();
    answer(204);
    await receiver.takes(callId, 1);
    await redis.restart();
    await cluster.ready();
    await eventually(() => alice.request('call_end', { callId }).then(({ success }) => success), 'it does not end');
    await receiver.takes(callId, 2, MOURNED_WITHIN_MS);
    const all = receiver.of(callId);
    assert.deepEqual([...new Set(all.map(({ id }) => id))], [`${callId}:0`, `${callId}:2`]);
    assert.equal(all.at(-1).type, 'call.missed');
  });
});
