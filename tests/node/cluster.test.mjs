// Several nodes and one Redis: one outcome, one order, one place for each device, and nothing sent where nobody needs it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  NO_RATE_LIMITS, again, chaosProxy, eventually, fence, phone, refused, ring, ringAll, startCluster, startRedis, talk, toldOf, unique,
} from './support.mjs';

let redis;
let cluster;
before(async () => {
  redis = await startRedis();
  cluster = await startCluster({ nodes: 3, redis, env: NO_RATE_LIMITS });
});
after(async () => {
  await cluster.stop();
  await redis.stop();
});

/** Emits candidates number `from` to `to` (not included) to the other party of the call. */
function sendCandidates(who, callId, to, [from, end]) {
  for (let n = from; n < end; n++) who.socket.emit('ice_candidate', { callId, to, candidate: { n } });
}

/** What `who` heard of this call's signaling, in order: names of descriptions, numbers of candidates. */
const signalsOf = (who, callId) =>
  who.events
    .filter(({ name, payload }) => /^(sdp_|ice_)/.test(name) && payload.callId === callId)
    .map(({ name, payload }) => payload.candidate?.n ?? name);

describe('one outcome, whoever races on whichever node', () => {
  for (const [what, places] of [['the caller is on a third', [2, 0, 1]], ['the caller is with one of them', [0, 0, 1]]]) {
    test(`two devices on two nodes accept at once, 100 times; ${what}`, async (t) => {
      const callee = unique('bob');
      const users = [unique('alice'), callee, callee];
      const [alice, bob, tablet] = await Promise.all(places.map((place, n) => phone(t, cluster.nodes[place], { user: users[n] })));
      const wins = [0, 0];
      for (let round = 0; round < 100; round++) {
        const callId = await ringAll(alice, [bob, tablet]);
        const answers = await Promise.all([bob, tablet].map((who) => who.request('call_accept', { callId })));
        const won = answers.findIndex(({ success }) => success);
        refused(answers[1 - won], 'E102', 'Call cannot be accepted in state: accepted');
        const [winner, loser] = won === 0 ? [bob, tablet] : [tablet, bob];
        assert.equal((await loser.take('call_cancelled', (event) => event.callId === callId)).reason, 'answered_elsewhere');
        await alice.take('call_accept', (event) => event.callId === callId);
        await alice.request('call_end', { callId });
        await winner.take('call_end', (event) => event.callId === callId);
        wins[won] += 1;
      }
      await fence(t, cluster, alice);
      assert.equal(alice.heard('call_accept').length, 100, 'the caller is told once for each call');
      assert.equal(bob.heard('call_cancelled').length + tablet.heard('call_cancelled').length, 100);
      t.diagnostic(`won by the first device ${wins[0]} times, by the second ${wins[1]}`);
    });
  }

  test('accept on one node, hang up on another at once, 60 times: all agree', async (t) => {
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const calls = [];
    for (let round = 0; round < 60; round++) {
      const callId = await ring(alice, bob);
      const [end, accept] = await Promise.all([alice.request('call_end', { callId }), bob.request('call_accept', { callId })]);
      assert.equal(end.success, true);
      if (!accept.success) refused(accept, 'E102', 'Call cannot be accepted in state: ended');
      await bob.take('call_end', (event) => event.callId === callId);
      calls.push({ callId, expected: accept.success ? ['call_accept'] : [] });
    }
    await fence(t, cluster, alice);
    for (const { callId, expected } of calls) {
      assert.deepEqual([toldOf(alice, callId), toldOf(bob, callId)], [expected, ['call_end:ended']]);
    }
  });
});

describe('order between nodes', () => {
  const CALLS = 100;
  const CANDIDATES = 50;
  for (const places of [[0, 1], [2, 0]]) {
    test(`${CALLS} calls from node ${places[0]} to node ${places[1]}: a description and ${CANDIDATES} candidates each way`, async (t) => {
      const two = await Promise.all(places.map((place) => phone(t, cluster.nodes[place])));
      for (let round = 0; round < CALLS; round++) {
        const callId = await talk(...two);
        for (const [n, who] of two.entries()) {
          const to = two[1 - n].user;
          who.socket.emit(n === 0 ? 'sdp_offer' : 'sdp_answer', { callId, to, sdp: { type: 'any', sdp: 'x'.repeat(2000) } });
          sendCandidates(who, callId, to, [0, CANDIDATES]);
        }
        await Promise.all(two.map((who) => who.take('ice_candidate', ({ candidate }) => candidate.n === CANDIDATES - 1)));
        const numbers = [...Array(CANDIDATES).keys()];
        assert.deepEqual(two.map((who) => signalsOf(who, callId)), [['sdp_answer', ...numbers], ['sdp_offer', ...numbers]]);
        await two[0].request('call_end', { callId });
        await two[1].take('call_end');
        for (const who of two) who.events.length = who.unread.length = 0;
      }
    });
  }
});

describe('a device has one place', () => {
  async function isDisplaced(old) {
    assert.deepEqual(await old.take('error'), { code: 'E004', message: 'Replaced by a newer connection of this device' });
    assert.equal(await old.disconnected(), 'io server disconnect');
  }

  test('a connection on another node displaces the old one, and only it', async (t) => {
    const alice = await phone(t, cluster.nodes[2]);
    const bob = await phone(t, cluster.nodes[0]);
    const tablet = await phone(t, cluster.nodes[0], { user: bob.user });
    const bobAgain = await again(t, cluster.nodes[1], bob);
    await isDisplaced(bob);
    await ringAll(alice, [bobAgain, tablet]);
    assert.deepEqual(bob.heard('incoming_call'), []);
    await tablet.hasNot('error', '(disconnect)');
  });

  test('20 times in the middle of a call: nothing is lost, no description comes twice', async (t) => {
    const alice = await phone(t, cluster.nodes[2]);
    for (let round = 0; round < 20; round++) {
      const bob = await phone(t, cluster.nodes[0]);
      const callId = await talk(alice, bob);
      await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
      await bob.take('sdp_offer');
      await bob.request('sdp_answer', { callId, to: alice.user, sdp: 'v=0' });
      let sent = 0;
      let isMoving = true;
      const talking = (async () => {
        while (isMoving || sent % 10 !== 0) {
          const answer = await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: sent } });
          assert.equal(answer.success, true, JSON.stringify(answer));
          sent += 1;
        }
      })();
      const bobAgain = await again(t, cluster.nodes[1], bob);
      await isDisplaced(bob);
      isMoving = false;
      await talking;
      await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: sent } });
      await bobAgain.take('ice_candidate', ({ candidate }) => candidate.n === sent);
      const [before, since] = [bob, bobAgain].map((who) => signalsOf(who, callId).filter((signal) => signal !== 'sdp_offer'));
      assert.deepEqual(before, [...before.keys()], 'the old connection: in order, from the first');
      assert.ok(since[0] <= before.length, `lost between ${before.at(-1)} and ${since[0]}`);
      assert.deepEqual(since, Array.from({ length: sent + 1 - since[0] }, (_, n) => n + since[0]), 'the new one: in order, to the last');
      assert.equal(bob.heard('sdp_offer').length + bobAgain.heard('sdp_offer').length, 1);
      assert.deepEqual(bobAgain.heard('incoming_call'), []);
      await alice.request('call_end', { callId });
      await bobAgain.take('call_end');
    }
  });

  test('what a device missed while away arrives on another node, in order and once', async (t) => {
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const callId = await talk(alice, bob);
    bob.cut();
    await bob.disconnected();
    // What is sent to a connection that is just closing counts as sent: a second description would break the call.
    const present = () => redis.send('GET', `${cluster.prefix}socket:user:${bob.user}`);
    await eventually(async () => (await present()) === null, 'the node does not notice that the connection is gone');
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
    sendCandidates(alice, callId, bob.user, [0, 20]);
    await alice.request('ping', {});
    const bobAgain = await again(t, cluster.nodes[2], bob);
    sendCandidates(alice, callId, bob.user, [20, 25]);
    await bobAgain.take('ice_candidate', ({ candidate }) => candidate.n === 24);
    assert.deepEqual(signalsOf(bobAgain, callId), ['sdp_offer', ...Array(25).keys()]);
    bobAgain.cut();
    await bobAgain.disconnected();
    await alice.request('call_end', { callId });
    const third = await again(t, cluster.nodes[0], bob);
    assert.equal((await third.take('call_end')).callId, callId);
    await fence(t, cluster, third);
    assert.deepEqual([toldOf(third, callId), signalsOf(third, callId)], [['call_end:ended'], []]);
  });

  test('a call that rings meanwhile rings on another node', async (t) => {
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    bob.cut();
    await bob.disconnected();
    const { callId } = await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
    const bobAgain = await again(t, cluster.nodes[2], bob);
    assert.equal((await bobAgain.take('incoming_call')).callId, callId);
    assert.equal((await bobAgain.request('call_accept', { callId })).success, true);
    await alice.take('call_accept');
  });
});

describe('documented keys, read by redis-cli while a call runs', () => {
  let documented;
  before(async () => {
    documented = await startCluster({ redis, prefix: '', env: NO_RATE_LIMITS });
  });
  after(() => documented.stop());

  const get = (key) => redis.cli('GET', key);
  const read = async (key) => JSON.parse(await get(key));
  const exists = async (key) => (await redis.cli('EXISTS', key)) === '1';

  /** The seconds `key` has left must be close below `most`. */
  async function livesFor(key, most) {
    const left = Number(await redis.cli('TTL', key));
    assert.ok(left > most * 0.9 && left <= most, `${key} has ${left} s left, not ${most}`);
  }

  /** The fields of a record as documented; there may be more. */
  function has(record, expected) {
    for (const [name, value] of Object.entries(expected)) {
      if (value === 'a moment') assert.ok(Number.isInteger(record[name]) && Math.abs(Date.now() - record[name]) < 60_000, `${name} ${record[name]}`);
      else assert.deepEqual(record[name], value, name);
    }
  }

  test('session:user, socket:user and user:socket', async (t) => {
    const bob = await phone(t, documented);
    const { id } = bob.socket;
    has(await read(`session:user:${bob.user}`), {
      userId: bob.user, socketId: id, deviceId: bob.device, platform: 'web', registeredAt: 'a moment',
    });
    assert.equal(await get(`socket:user:${bob.user}`), id);
    assert.equal(await get(`user:socket:${id}`), bob.user);
    for (const key of [`session:user:${bob.user}`, `socket:user:${bob.user}`, `user:socket:${id}`]) await livesFor(key, 86_400);
    await bob.request('unregister');
    for (const key of [`session:user:${bob.user}`, `socket:user:${bob.user}`, `user:socket:${id}`]) assert.equal(await exists(key), false, key);
  });

  test('they name the newest device, and another one when it leaves', async (t) => {
    const bob = await phone(t, documented);
    const tablet = await phone(t, documented, { user: bob.user });
    const names = async (who) => {
      const [session, socket] = [await read(`session:user:${bob.user}`), await get(`socket:user:${bob.user}`)];
      return session.socketId === who.socket.id && session.deviceId === who.device && socket === who.socket.id;
    };
    assert.ok(await names(tablet));
    const gone = tablet.socket.id;
    tablet.cut();
    await eventually(() => names(bob), 'the keys still name the device that left');
    assert.equal(await exists(`user:socket:${gone}`), false);
    assert.equal(await get(`user:socket:${bob.socket.id}`), bob.user);
    const watch = await phone(t, documented, { user: bob.user });
    assert.ok(await names(watch));
    await watch.request('unregister');
    assert.ok(await names(bob));
    const last = bob.socket.id;
    bob.cut();
    await eventually(async () => !(await exists(`socket:user:${bob.user}`)), 'the last device has left, and the user still has a socket');
    assert.equal(await exists(`user:socket:${last}`), false);
  });

  test('call: ringing, accepted, ended, rejected', async (t) => {
    const [alice, bob] = [await phone(t, documented), await phone(t, documented)];
    const callId = await ring(alice, bob);
    const key = `call:${callId}`;
    const fixed = { callId, callerId: alice.user, calleeId: bob.user, callType: 'audio', createdAt: 'a moment' };
    has(await read(key), { ...fixed, state: 'ringing', acceptedAt: null, endedAt: null });
    await livesFor(key, 60);
    await bob.request('call_accept', { callId });
    has(await read(key), { ...fixed, state: 'accepted', acceptedAt: 'a moment', endedAt: null });
    await livesFor(key, 7200);
    await alice.request('call_end', { callId });
    has(await read(key), { ...fixed, state: 'ended', acceptedAt: 'a moment', endedAt: 'a moment' });
    assert.ok(Number(await redis.cli('TTL', key)) <= 60);
    const second = await ring(alice, bob);
    await bob.request('call_reject', { callId: second });
    has(await read(`call:${second}`), { callId: second, state: 'rejected', acceptedAt: null });
  });
});

describe('a prefix keeps clusters apart', () => {
  test('every key and channel begins with it, and users of the same name do not meet', async (t) => {
    const own = await startRedis(t);
    const env = { ...NO_RATE_LIMITS, CALL_RING_TIMEOUT: '500' };
    const [one, two] = await Promise.all(['one:', 'two:'].map((prefix) => startCluster({ redis: own, prefix, env })));
    t.after(() => Promise.all([one.stop(), two.stop()]));
    const user = unique('bob');
    const [alice, bob] = [await phone(t, one), await phone(t, one, { user })];
    const namesake = await phone(t, two, { user });
    await ring(alice, bob);
    await Promise.all([alice.take('call_timeout'), bob.take('call_timeout')]);
    const callId = await talk(alice, bob);
    await alice.request('sdp_offer', { callId, to: user, sdp: 'v=0' });
    await fence(t, two, namesake);
    assert.equal(namesake.heard('incoming_call').length, 1);
    const isOurs = (name) => /^(one|two):/.test(name) || name.startsWith('__key');
    const [keys, channels] = [await own.keys(), await own.send('PUBSUB', 'CHANNELS')];
    assert.ok(keys.length > 0 && channels.length > 0);
    assert.deepEqual([...keys, ...channels].filter((name) => !isOurs(name)), []);
    for (const prefix of ['one:', 'two:']) assert.ok(keys.includes(`${prefix}session:user:${user}`), prefix);
  });
});

describe('a signal goes to the node of its recipient and to no other', () => {
  const SIGNALS = 200;
  const filler = 'x'.repeat(2000);
  const costs = [];

  for (const count of [1, 2, 4, 8]) {
    test(`${SIGNALS} candidates between two users of ${count}`, async (t) => {
      const group = await startCluster({ nodes: 0, redis, env: NO_RATE_LIMITS });
      t.after(() => group.stop());
      const roads = await Promise.all(Array.from({ length: count }, () => chaosProxy(t, redis)));
      for (const road of roads) await group.join({ REDIS_URL: `redis://127.0.0.1:${road.port}` });
      await group.ready();
      const [alice, bob] = [await phone(t, group.nodes[0]), await phone(t, group.nodes.at(-1))];
      const callId = await talk(alice, bob);
      const published = async () => (await redis.commandCounts()).publish ?? 0;
      const [publishedBefore, bytesBefore] = [await published(), roads.map(({ bytes }) => bytes.toClient)];
      for (let n = 0; n < SIGNALS; n++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n, filler } });
      await bob.take('ice_candidate', ({ candidate }) => candidate.n === SIGNALS - 1);
      const messages = (await published()) - publishedBefore;
      const bytes = roads.map((road, n) => road.bytes.toClient - bytesBefore[n]);
      const content = SIGNALS * filler.length;
      assert.ok(bytes.at(-1) >= content, `the node of the recipient got ${bytes.at(-1)} bytes`);
      for (const other of bytes.slice(0, -1)) assert.ok(other < content / 10, `bytes to each node: ${bytes}`);
      costs.push(messages / SIGNALS);
      t.diagnostic(`${messages / SIGNALS} messages a signal; bytes from Redis to each node: ${bytes.join(', ')}`);
    });
  }

  test('the number of messages does not grow with the nodes', () => {
    assert.equal(costs.length, 4);
    for (const cost of costs) assert.ok(cost <= costs[0] * 1.2 + 0.2, `messages a signal with 1, 2, 4 and 8 nodes: ${costs}`);
  });
});
