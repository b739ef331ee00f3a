// Redis is weather: while it is away nodes stay up, keep their clients and say so; when it is back everything goes on by itself.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  NO_RATE_LIMITS, again, chaosProxy, eventually, phone, ring, startCluster, startNode, startRedis, startSentinels, talk, unique, within,
} from './support.mjs';

/** A request is refused within a second; the rest is for slow machines. */
const REFUSED_WITHIN_MS = 1500;
/** Until nodes have seen a change of the weather: they look now and then, and wait a little between two attempts. */
const NOTICED_WITHIN_MS = 20_000;

/** How long a Redis puts everybody off: connections that stay silent for 5 s are given up meanwhile. */
const PAUSE_MS = 6000;

const RETRY = { success: false, error: { code: 'E501', message: 'Temporarily unavailable', retryable: true } };

/** A Redis, the road to it, and two nodes at the other end; `read` asks for what they have written. */
async function plainScene(t, config = []) {
  const redis = await startRedis(undefined, { config });
  const road = await chaosProxy(undefined, redis);
  const cluster = await startCluster({ redis: { env: { REDIS_URL: `redis://127.0.0.1:${road.port}` } }, env: NO_RATE_LIMITS });
  t.after(async () => {
    redis.resume();
    road.delay(0);
    await cluster.stop();
    road.stop();
    await redis.stop();
  });
  return { redis, road, cluster, read: (name, key, ...more) => redis.send(name, `${cluster.prefix}${key}`, ...more) };
}

/** Three sentinels, their pair, and two nodes that ask them. */
async function sentinelScene(t) {
  const group = await startSentinels();
  const cluster = await startCluster({ redis: group, env: NO_RATE_LIMITS });
  t.after(async () => {
    await cluster.stop();
    await group.stop();
  });
  return { group, cluster, read: async (name, key, ...more) => (await group.primary()).send(name, `${cluster.prefix}${key}`, ...more) };
}

/** A user on each node, and a third who is with the first, and can be woken by a push. */
async function trio(t, { nodes }) {
  const two = await Promise.all(['alice', 'bob'].map((name, n) => phone(t, nodes[n], { user: unique(name) })));
  const carol = await phone(t, nodes[0], { user: unique('carol'), register: false });
  carol.fcmToken = unique('fcm');
  await carol.register({ fcmToken: carol.fcmToken });
  return [...two, carol];
}

/** Asks until the answer is not "try again"; it must be a success then. */
async function insist(who, name, payload) {
  const answer = await eventually(async () => {
    const said = await who.request(name, payload);
    return !said.error?.retryable && said;
  }, `${name} of ${who.user} is still put off`, NOTICED_WITHIN_MS);
  assert.equal(answer.success, true, JSON.stringify(answer));
  return answer;
}

const refusedForNow = async (who, name, payload) =>
  assert.deepEqual(await within(who.request(name, payload), `${name} is not refused in time`, REFUSED_WITHIN_MS), RETRY);

/** Whoever asks for something is told at once to try again: two in a call, and a bystander. */
async function everythingIsRefused([alice, bob], bystander, callId) {
  await Promise.all([
    refusedForNow(bystander, 'call_initiate', { calleeId: unique('nobody'), callType: 'audio' }),
    refusedForNow(alice, 'sdp_offer', { callId, to: bob.user, sdp: 'v=0' }),
    refusedForNow(bob, 'ice_candidate', { callId, to: alice.user, candidate: null }),
  ]);
}

/** Every node lives, and says that Redis is away. */
async function areCutOff({ nodes }) {
  for (const node of nodes) {
    const { body } = await eventually(async () => {
      const answer = await node.get('/readyz');
      return answer.status === 503 && answer;
    }, 'a node is ready without Redis', NOTICED_WITHIN_MS);
    assert.deepEqual([body.status, body.reasons], ['not_ready', ['redis']]);
    assert.equal((await node.get('/livez')).status, 200);
    const health = await node.get('/health');
    assert.deepEqual([health.status, health.body.redis], [200, 'disconnected']);
  }
}

/** Every node is ready again, and says so. */
async function areBack({ nodes }) {
  for (const node of nodes) {
    await eventually(async () => (await node.get('/readyz')).status === 200, 'a node does not get ready again', NOTICED_WITHIN_MS);
    assert.equal((await node.get('/health')).body.redis, 'connected');
  }
}

/** Nobody had to reconnect, everybody is registered, rings and is rung, and nobody is stuck in the call there was. */
async function allIsWell({ read }, three, callId) {
  const [alice, bob, carol] = three;
  for (const who of three) {
    await eventually(async () => (await read('GET', `socket:user:${who.user}`)) === who.socket.id, `socket:user of ${who.user} is not written again`);
    const session = JSON.parse(await read('GET', `session:user:${who.user}`));
    assert.deepEqual([session.socketId, session.deviceId], [who.socket.id, who.device]);
  }
  assert.equal(await read('HGET', `devices:user:${carol.user}`, `push:${carol.device}`), carol.fcmToken, 'no push reaches who has a token');
  for (const who of [alice, bob]) assert.equal((await who.request('call_end', { callId })).success, true);
  for (const [n, caller] of three.entries()) {
    const callee = three[(n + 1) % 3];
    const next = await talk(caller, callee);
    assert.equal((await caller.request('ice_candidate', { callId: next, to: callee.user, candidate: { n } })).success, true);
    await callee.take('ice_candidate', (event) => event.callId === next);
    await caller.request('call_end', { callId: next });
    await callee.take('call_end', (event) => event.callId === next);
  }
  for (const who of three) assert.deepEqual(who.heard('(disconnect)'), [], `${who.user} was disconnected`);
}

describe('Redis goes away and comes back', () => {
  const kill = ({ redis }) => redis.kill9();
  const weather = [
    { what: 'it is killed and comes back empty', begin: kill, end: ({ redis }) => redis.restart({ empty: true }) },
    { what: 'it is killed and comes back with what it had', config: ['appendonly yes'], begin: kill, end: ({ redis }) => redis.restart() },
    { what: 'it is frozen for three seconds', lastsMs: 3000, begin: ({ redis }) => redis.pause(), end: ({ redis }) => redis.resume() },
    {
      what: 'it puts everybody off for six seconds (CLIENT PAUSE)',
      begin: ({ redis }) => redis.send('CLIENT', 'PAUSE', PAUSE_MS, 'ALL'),
      end: ({ redis }) => eventually(() => redis.send('PING'), 'the pause does not end'),
    },
    { what: 'the network swallows everything', begin: ({ road }) => road.blackhole(), end: ({ road }) => road.heal() },
    { what: 'connections are refused', begin: ({ road }) => road.refuse(), end: ({ road }) => road.accept() },
    {
      what: 'the primary dies and the sentinels name another',
      scene: sentinelScene,
      async begin(scene) {
        scene.heir = await scene.group.killPrimary();
      },
      end: ({ group, heir }) => group.takenOver(heir),
    },
    {
      what: 'the primary is frozen, the sentinels name another, and it wakes',
      scene: sentinelScene,
      async begin(scene) {
        scene.old = await scene.group.primary();
        scene.heir = await scene.group.freezePrimary();
      },
      async end({ group, cluster, old, heir }) {
        await group.takenOver(heir);
        await areBack(cluster);
        old.resume();
        await eventually(async () => (await old.info('replication')).role === 'slave', 'the old primary stays one', NOTICED_WITHIN_MS);
      },
    },
  ];
  for (const { what, config, lastsMs = 0, scene: makeScene = plainScene, begin, end } of weather) {
    test(what, async (t) => {
      const scene = await makeScene(t, config);
      const { cluster } = scene;
      const three = await trio(t, cluster);
      const bystander = await phone(t, cluster.nodes[1]);
      const callId = await talk(three[0], three[1]);
      const began = performance.now();
      await begin(scene);
      await everythingIsRefused(three, bystander, callId);
      await areCutOff(cluster);
      await everythingIsRefused(three, bystander, callId);
      three[0].socket.emit('ice_candidate', { callId, to: three[1].user, candidate: null });
      assert.deepEqual(await three[0].take('error'), RETRY.error, 'who waits for no answer is told, too');
      await eventually(() => performance.now() - began > lastsMs, 'time stands still');
      await end(scene);
      await areBack(cluster);
      await allIsWell(scene, three, callId);
    });
  }

  for (const [what, begin, end] of [
    ['is frozen', ({ redis }) => redis.pause(), ({ redis }) => redis.resume()],
    ['cannot be heard', ({ road }) => road.blackhole(), ({ road }) => road.heal()],
  ]) {
    test(`what is refused while it ${what} does not happen later`, async (t) => {
      const scene = await plainScene(t);
      const three = await trio(t, scene.cluster);
      const [alice, bob, carol] = three;
      await begin(scene);
      await refusedForNow(alice, 'call_initiate', { calleeId: bob.user, callType: 'audio' });
      await areCutOff(scene.cluster);
      await end(scene);
      await areBack(scene.cluster);
      const callId = await ring(carol, bob);
      assert.deepEqual(bob.heard('incoming_call').map((event) => event.callId), [callId], 'a phone rings for a call that was refused');
    });
  }

  test('three times in a row', async (t) => {
    const scene = await plainScene(t);
    const three = await trio(t, scene.cluster);
    for (let round = 0; round < 3; round++) {
      const callId = await talk(three[0], three[1]);
      await scene.redis.kill9();
      await areCutOff(scene.cluster);
      await scene.redis.restart({ empty: true });
      await areBack(scene.cluster);
      await allIsWell(scene, three, callId);
    }
  });
});

describe('who comes while Redis is away', () => {
  test('an app that connects and registers meanwhile is not turned away for good, and rings afterwards', async (t) => {
    const { redis, cluster } = await plainScene(t);
    const alice = await phone(t, cluster.nodes[0]);
    await redis.kill9();
    await areCutOff(cluster);
    const bob = await phone(t, cluster.nodes[1], { register: false });
    const answer = await within(bob.request('register', { userId: bob.user, deviceId: bob.device }), 'register is not answered', REFUSED_WITHIN_MS);
    if (!answer.success) assert.deepEqual(answer, RETRY);
    await redis.restart({ empty: true });
    await areBack(cluster);
    if (!answer.success) await bob.register();
    await ring(alice, bob);
  });

  test('who was cut off meanwhile comes back to the call, on another node', async (t) => {
    const { road, cluster } = await plainScene(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const callId = await talk(alice, bob);
    await road.refuse();
    await areCutOff(cluster);
    bob.cut();
    await bob.disconnected();
    await road.accept();
    await areBack(cluster);
    const bobAgain = await again(t, cluster.nodes[0], bob);
    assert.equal((await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' })).success, true);
    await bobAgain.take('sdp_offer');
    await alice.hasNot('call_end');
  });

  test('a node that starts without Redis listens, and gets ready when Redis is there', async (t) => {
    const redis = await startRedis(t);
    await redis.kill9();
    const node = await startNode({ ...redis.env, BACKPLANE: 'redis' });
    t.after(() => node.stop());
    await areCutOff(node);
    const early = await phone(t, node, { register: false });
    await redis.restart();
    await areBack(node);
    await early.register();
    await ring(await phone(t, node), early);
  });
});

describe('connections to Redis break', () => {
  for (const type of ['normal', 'pubsub']) {
    test(`CLIENT KILL TYPE ${type} in the middle of calls, 10 times: nothing is lost, order is kept`, async (t) => {
      const { redis, cluster } = await plainScene(t);
      const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
      const numbers = [...Array(20).keys()];
      for (let round = 0; round < 10; round++) {
        const { callId } = await insist(alice, 'call_initiate', { calleeId: bob.user, callType: 'audio' });
        await bob.take('incoming_call', (event) => event.callId === callId);
        await insist(bob, 'call_accept', { callId });
        await alice.take('call_accept', (event) => event.callId === callId);
        assert.ok((await redis.send('CLIENT', 'KILL', 'TYPE', type)) > 0, 'nodes have such connections');
        for (const n of numbers) await insist(alice, 'ice_candidate', { callId, to: bob.user, candidate: { n } });
        await bob.take('ice_candidate', (event) => event.callId === callId && event.candidate.n === numbers.at(-1));
        // One whose answer was lost is sent again, and may come twice.
        const heard = bob.heard('ice_candidate').filter((event) => event.callId === callId).map(({ candidate }) => candidate.n);
        assert.deepEqual([...new Set(heard)], numbers);
        await insist(alice, 'call_end', { callId });
        await bob.take('call_end', (event) => event.callId === callId);
      }
      for (const who of [alice, bob]) assert.deepEqual(who.heard('(disconnect)'), []);
    });
  }

  test('a call begun in the very moment subscriptions break rings', async (t) => {
    const { redis, cluster } = await plainScene(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    for (let round = 0; round < 10; round++) {
      const [{ callId }] = await Promise.all([
        insist(alice, 'call_initiate', { calleeId: bob.user, callType: 'audio' }),
        redis.send('CLIENT', 'KILL', 'TYPE', 'pubsub'),
      ]);
      await bob.take('incoming_call', (event) => event.callId === callId);
      await insist(alice, 'call_end', { callId });
      await bob.take('call_end', (event) => event.callId === callId);
    }
  });
});

describe('connections over which nodes listen fall silent while commands go on', () => {
  test('what is sent in the silence arrives when the nodes listen anew', async (t) => {
    const { road, cluster } = await plainScene(t);
    const [alice, bob, carol, dave] = await Promise.all([0, 1, 0, 1].map((place) => phone(t, cluster.nodes[place])));
    const callId = await talk(alice, bob);
    assert.equal(road.silenceListeners(), cluster.nodes.length, 'each node listens over one connection');
    // From the next sign of life that is missing to the end of the silence, the nodes refuse everything.
    const [signal, begun] = await Promise.all([
      alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 0 } }),
      carol.request('call_initiate', { calleeId: dave.user, callType: 'audio' }),
    ]);
    assert.deepEqual([signal.success, begun.success], [true, true], 'commands go on');
    await areCutOff(cluster);
    await bob.hasNot('ice_candidate');
    await dave.hasNot('incoming_call');
    await areBack(cluster);
    await bob.take('ice_candidate', undefined, NOTICED_WITHIN_MS);
    assert.equal((await dave.take('incoming_call')).callId, begun.callId);
    assert.equal((await dave.request('call_accept', { callId: begun.callId })).success, true);
    await carol.take('call_accept');
    for (const n of [1, 2]) assert.equal((await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } })).success, true);
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 2);
    assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [0, 1, 2]);
    assert.equal(dave.heard('incoming_call').length, 1);
    for (const who of [alice, bob, carol, dave]) assert.deepEqual(who.heard('(disconnect)'), []);
  });
});

describe('Redis is slow', () => {
  test('100 ms farther away, all work is done', async (t) => {
    const { road, cluster } = await plainScene(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    road.delay(50);
    for (let round = 0; round < 3; round++) {
      const callId = await talk(alice, bob);
      alice.socket.emit('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
      for (let n = 0; n < 20; n++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n } });
      await bob.take('ice_candidate', ({ candidate }) => candidate.n === 19);
      const heard = bob.events.filter(({ name, payload }) => /^(sdp_|ice_)/.test(name) && payload.callId === callId);
      assert.deepEqual(heard.map(({ name, payload }) => payload.candidate?.n ?? name), ['sdp_offer', ...Array(20).keys()]);
      assert.equal((await bob.request('call_end', { callId })).success, true);
      await alice.take('call_end');
    }
    for (const node of cluster.nodes) assert.equal((await node.get('/readyz')).status, 200);
    for (const who of [alice, bob]) await who.hasNot('error', '(disconnect)');
  });
});

describe('Redis loses what it knew', () => {
  async function scene(t) {
    const redis = await startRedis(t);
    const cluster = await startCluster({ redis, env: { ...NO_RATE_LIMITS, CALL_AWAY_TIMEOUT: '1000' } });
    t.after(() => cluster.stop());
    return { redis, cluster };
  }

  test('who left while it was away is missed all the same', async (t) => {
    const { redis, cluster } = await scene(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    await talk(alice, bob);
    await redis.kill9();
    await areCutOff(cluster);
    bob.cut();
    await bob.disconnected();
    await redis.restart({ empty: true });
    assert.equal((await alice.take('call_end', undefined, NOTICED_WITHIN_MS * 2)).reason, 'connection_lost');
  });

  test('everything at once, in the middle of calls, with its connections left as they are', async (t) => {
    const { redis, cluster } = await scene(t);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const callId = await talk(alice, bob);
    await redis.send('FLUSHALL');
    await eventually(
      async () => (await alice.request('ice_candidate', { callId, to: bob.user, candidate: null })).success,
      'the call is gone', NOTICED_WITHIN_MS,
    );
    await bob.take('ice_candidate');
    await bob.request('call_end', { callId });
    await alice.take('call_end');
    await ring(alice, bob);
  });
});
