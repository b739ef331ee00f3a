// Several devices of one user, connections that come and go, and races: one outcome, known to all, and nothing lost.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  NO_RATE_LIMITS, OVER, Phone, chaosProxy, fence, pair, phone, refused, ring, ringAll, startServer, talk, toldOf, unique, within,
} from './support.mjs';

let server;
let hasty;
const RING_MS = 1500;
before(async () => {
  [server, hasty] = await Promise.all([
    startServer(NO_RATE_LIMITS),
    startServer({
      ...NO_RATE_LIMITS,
      CALL_AWAY_TIMEOUT: '1000',
      CALL_BUSY_WINDOW: '1',
      CALL_CALLER_AWAY_TIMEOUT: '900',
      CALL_RING_TIMEOUT: String(RING_MS),
    }),
  ]);
});
after(() => Promise.all([server.stop(), hasty.stop()]));

const named = (t, node, user, options = {}) => phone(t, node, { user, ...options });

/** A caller with one phone, a callee with two. */
async function trio(t, node = server) {
  const [alice, bob] = await pair(t, node);
  return [alice, bob, await named(t, node, bob.user)];
}

describe('several devices of one user', () => {
  test('all ring; one accepts, the other is told it was answered elsewhere', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    const callId = await ringAll(alice, [bob, tablet]);
    await bob.request('call_accept', { callId });
    const { timestamp, eventId, ...told } = await tablet.take('call_cancelled');
    assert.deepEqual(told, { callId, reason: 'answered_elsewhere' });
    assert.ok(timestamp > 0 && eventId > 0);
    await bob.hasNot('call_cancelled');
  });

  test('one rejects, the other is told it was declined elsewhere', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    const callId = await ringAll(alice, [bob, tablet]);
    await tablet.request('call_reject', { callId });
    assert.equal((await bob.take('call_cancelled')).reason, 'declined_elsewhere');
    await alice.take('call_reject');
    await fence(t, server, tablet);
    assert.deepEqual(toldOf(tablet, callId), []);
  });

  test('the caller hangs up: all are told; nobody answers: all are told', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    const callId = await ringAll(alice, [bob, tablet]);
    await alice.request('call_end', { callId });
    await Promise.all([bob.take('call_end'), tablet.take('call_end')]);
    const [carol, dave, watch] = await trio(t, hasty);
    await ringAll(carol, [dave, watch]);
    await Promise.all([carol, dave, watch].map((who) => who.take('call_timeout')));
  });

  test('signaling reaches only the two devices in the call, and only they may send it', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    const laptop = await named(t, server, alice.user);
    const callId = await ringAll(alice, [bob, tablet]);
    await bob.request('call_accept', { callId });
    const sdp = { type: 'offer' };
    await alice.request('sdp_offer', { callId, to: bob.user, sdp });
    await bob.request('sdp_answer', { callId, to: alice.user, sdp });
    await alice.request('ice_candidate', { callId, to: bob.user, candidate: null });
    await Promise.all([bob.take('sdp_offer'), bob.take('ice_candidate'), alice.take('sdp_answer')]);
    const message = 'You are not a participant of this call';
    refused(await tablet.request('sdp_answer', { callId, to: alice.user, sdp }), 'E203', message);
    refused(await laptop.request('ice_candidate', { callId, to: bob.user, candidate: null }), 'E203', message);
    await alice.request('call_end', { callId });
    await Promise.all([fence(t, server, tablet), fence(t, server, laptop)]);
    for (const who of [tablet, laptop]) {
      for (const name of ['sdp_offer', 'sdp_answer', 'ice_candidate']) assert.deepEqual(who.heard(name), [], `${name} at ${who.user}`);
    }
  });

  test('the disconnect or unregister of one leaves the other reachable', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    const unregistered = await named(t, server, bob.user, { register: false });
    const watch = await named(t, server, bob.user);
    unregistered.close();
    tablet.cut();
    await watch.request('unregister');
    await fence(t, server, bob);
    await ring(alice, bob);
    await watch.hasNot('incoming_call');
  });

  test('a new connection of the same device displaces the old one', async (t) => {
    const [alice, bob] = await pair(t, server);
    const again = await named(t, server, bob.user, { device: bob.device });
    assert.deepEqual(await bob.take('error'), { code: 'E004', message: 'Replaced by a newer connection of this device' });
    assert.equal(await bob.disconnected(), 'io server disconnect');
    await ring(alice, again);
    assert.deepEqual(bob.heard('incoming_call'), []);
  });

  test('a connection that is displaced in the middle of a sentence does not come back', async (t) => {
    const bob = await phone(t, server);
    for (let round = 0; round < 10; round++) {
      const old = await named(t, server, bob.user, { device: 'the only one' });
      const chatter = setInterval(() => old.socket.emit('ping', {}), 20);
      try {
        await named(t, server, bob.user, { device: 'the only one' });
        assert.equal(await old.disconnected(), 'io server disconnect');
      } finally {
        clearInterval(chatter);
      }
    }
  });

  test('a connection taken over by its own device takes the call along', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    const again = await named(t, server, bob.user, { device: bob.device });
    await bob.disconnected();
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
    await again.take('sdp_offer');
    assert.equal((await again.request('sdp_answer', { callId, to: alice.user, sdp: 'v=0' })).success, true);
    await alice.take('sdp_answer');
    await alice.hasNot('call_end');
  });
});

describe('races have one outcome', () => {
  test('two devices accept at once, 100 times', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    for (let round = 0; round < 100; round++) {
      const callId = await ringAll(alice, [bob, tablet]);
      const answers = await Promise.all([bob, tablet].map((who) => who.request('call_accept', { callId })));
      assert.equal(answers.filter(({ success }) => success).length, 1);
      refused(answers.find(({ success }) => !success), 'E102', 'Call cannot be accepted in state: accepted');
      await alice.take('call_accept');
      await alice.request('call_end', { callId });
      await (answers[0].success ? bob : tablet).take('call_end');
    }
    await fence(t, server, alice);
    assert.equal(alice.heard('call_accept').length, 100);
  });

  test('accept and reject at once on two devices, 60 times', async (t) => {
    const [alice, bob, tablet] = await trio(t);
    for (let round = 0; round < 60; round++) {
      const callId = await ringAll(alice, [bob, tablet]);
      const [accept, reject] = await Promise.all([
        bob.request('call_accept', { callId }),
        tablet.request('call_reject', { callId }),
      ]);
      assert.notEqual(accept.success, reject.success);
      if (accept.success) refused(reject, 'E102', 'Call cannot be rejected in state: accepted');
      else refused(accept, 'E102', 'Call cannot be accepted in state: rejected');
      await alice.take(accept.success ? 'call_accept' : 'call_reject');
      await alice.request('call_end', { callId });
      if (accept.success) await bob.take('call_end');
      assert.deepEqual(toldOf(alice, callId), [accept.success ? 'call_accept' : 'call_reject:declined']);
    }
    await fence(t, server, alice);
    assert.equal(alice.heard('call_accept').length + alice.heard('call_reject').length, 60);
  });

  test('accept and ring time-out at once', async (t) => {
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const [alice, bob] = await pair(t, hasty);
        const callId = await ring(alice, bob);
        const { timestamp } = bob.heard('incoming_call')[0];
        const wait = timestamp + RING_MS - Date.now() + (n - 20) / 2;
        const answer = await new Promise((resolve) => setTimeout(() => resolve(bob.request('call_accept', { callId })), wait));
        if (answer.success) {
          await alice.take('call_accept');
          await bob.request('call_end', { callId });
          await alice.take('call_end');
          assert.deepEqual(toldOf(bob, callId), []);
          assert.deepEqual(toldOf(alice, callId), ['call_accept', 'call_end:ended']);
        } else {
          refused(answer, 'E102', 'Call cannot be accepted in state: timeout');
          await Promise.all([alice.take('call_timeout'), bob.take('call_timeout')]);
          await alice.hasNot('call_accept', 'call_end');
        }
        return answer.success;
      }),
    );
    t.diagnostic(`${outcomes.filter(Boolean).length} of 40 calls were accepted, the others timed out`);
  });

  test('both hang up at once: one end, both acked', async (t) => {
    const [alice, bob] = await pair(t, server);
    const calls = [];
    for (let round = 0; round < 60; round++) {
      const callId = await talk(alice, bob);
      calls.push(callId);
      const ends = await Promise.all([alice, bob].map((who) => who.request('call_end', { callId })));
      assert.deepEqual(ends.map(({ success }) => success), [true, true]);
    }
    await fence(t, server, alice);
    await fence(t, server, bob);
    for (const callId of calls) {
      assert.deepEqual([...toldOf(alice, callId), ...toldOf(bob, callId)].sort(), ['call_accept', 'call_end:ended']);
    }
  });

  test('hang up and reject at once: one end', async (t) => {
    const [alice, bob] = await pair(t, server);
    const calls = [];
    for (let round = 0; round < 60; round++) {
      const callId = await ring(alice, bob);
      const [end, reject] = await Promise.all([alice.request('call_end', { callId }), bob.request('call_reject', { callId })]);
      assert.equal(end.success, true);
      if (!reject.success) refused(reject, 'E102', 'Call cannot be rejected in state: ended');
      calls.push({ callId, expected: reject.success ? [['call_reject:declined'], []] : [[], ['call_end:ended']] });
    }
    await fence(t, server, alice);
    await fence(t, server, bob);
    for (const { callId, expected } of calls) assert.deepEqual([toldOf(alice, callId), toldOf(bob, callId)], expected);
  });

  test('ending twice tells the other once; a call that is over takes no signaling', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    for (const who of [alice, alice, bob]) assert.equal((await who.request('call_end', { callId })).success, true);
    refused(await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' }), 'E102', 'Call is not active');
    await fence(t, server, alice);
    await fence(t, server, bob);
    assert.deepEqual([toldOf(alice, callId), toldOf(bob, callId)], [['call_accept'], ['call_end:ended']]);
    assert.deepEqual(bob.heard('sdp_offer'), []);
  });
});

describe('busy, glare and repeats', () => {
  async function isBusy(caller, callee) {
    const { success, state, callId } = await caller.request('call_initiate', { calleeId: callee.user, callType: 'audio' });
    assert.deepEqual([success, state], [true, 'ringing']);
    const { timestamp, eventId, ...told } = await caller.take('call_reject');
    assert.deepEqual(told, { callId, calleeId: callee.user, reason: 'busy' });
    assert.ok(timestamp > 0 && eventId > 0);
  }

  test('who talks, rings or dials is busy, and is not disturbed', async (t) => {
    const [alice, bob] = await pair(t, server);
    const carol = await phone(t, server);
    const callId = await ring(alice, bob);
    await isBusy(carol, bob);
    await isBusy(carol, alice);
    await bob.request('call_accept', { callId });
    await isBusy(carol, bob);
    await isBusy(carol, alice);
    await Promise.all([alice, bob].map((who) => who.hasNot('incoming_call', 'call_end', 'call_cancelled')));
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    await ring(carol, bob);
  });

  test('both call each other at once: one call rings, the other is busy', async (t) => {
    for (let round = 0; round < 20; round++) {
      const two = await pair(t, server);
      const answers = await Promise.all(
        two.map((who, n) => who.request('call_initiate', { calleeId: two[1 - n].user, callType: 'audio' })),
      );
      assert.ok(answers.every(({ success }) => success), JSON.stringify(answers));
      const rejected = two.map((who) => who.heard('call_reject').length > 0 || new Promise((resolve) => who.socket.once('call_reject', resolve)));
      const loser = await within(Promise.race(rejected.map(async (event, n) => (await event, n))), 'nobody is busy');
      const winner = 1 - loser;
      const { callId } = answers[winner];
      await two[loser].take('incoming_call', (event) => event.callId === callId);
      assert.equal((await two[loser].request('call_accept', { callId })).success, true);
      await two[winner].take('call_accept');
      await Promise.all(two.map((who) => who.hasNot('call_end', 'call_cancelled')));
      assert.deepEqual(two[winner].heard('incoming_call'), []);
      assert.deepEqual(two[winner].heard('call_reject'), []);
    }
  });

  test('calling the same person again while it rings is the same call', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await ring(alice, bob);
    const again = await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
    assert.deepEqual([again.success, again.callId, again.state], [true, callId, 'ringing']);
    await bob.hasNot('incoming_call', ...OVER);
    await alice.hasNot('call_reject');
  });

  test('calling somebody else ends the call the device is in', async (t) => {
    const [alice, bob] = await pair(t, server);
    const [carol, dave] = await pair(t, server);
    const dialled = await ring(alice, bob);
    const accepted = await talk(alice, carol);
    assert.equal((await bob.take('call_end', (event) => event.callId === dialled)).reason, 'replaced');
    await ring(alice, dave);
    assert.equal((await carol.take('call_end', (event) => event.callId === accepted)).reason, 'replaced');
  });

  test('past the busy window a second caller rings; accepting ends the first call', async (t) => {
    const [alice, bob] = await pair(t, hasty);
    const carol = await phone(t, hasty);
    const first = await talk(alice, bob);
    const began = performance.now();
    while (performance.now() - began < 20) await bob.request('ping', {});
    const second = await ring(carol, bob);
    assert.equal((await bob.request('call_accept', { callId: second })).success, true);
    const told = await alice.take('call_end');
    assert.deepEqual([told.callId, told.reason], [first, 'replaced']);
    await carol.take('call_accept');
  });

  test('a repeat of a request finds the result of the first, on any connection', async (t) => {
    const [alice, bob] = await pair(t, server);
    const request = { calleeId: bob.user, callType: 'audio', requestId: unique('request') };
    const first = await alice.request('call_initiate', request);
    const second = await alice.request('call_initiate', request);
    alice.cut();
    await alice.disconnected();
    await alice.comeBack();
    const third = await alice.request('call_initiate', request);
    assert.deepEqual([second.callId, third.callId], [first.callId, first.callId]);
    await bob.request('call_reject', { callId: first.callId });
    const fourth = await alice.request('call_initiate', request);
    assert.equal(fourth.callId, first.callId);
    await fence(t, server, bob);
    assert.equal(bob.heard('incoming_call').filter(({ callId }) => callId === first.callId).length, 1);
  });
});

describe('connections that come and go', () => {
  test('who registers while called rings; who was called too long ago does not', async (t) => {
    const alice = await phone(t, server);
    const bob = await phone(t, server, { register: false });
    const { callId } = await alice.request('call_initiate', { calleeId: bob.user, callType: 'video' });
    await bob.register();
    const { callId: told, callType, callerId } = await bob.take('incoming_call');
    assert.deepEqual([told, callType, callerId], [callId, 'video', alice.user]);
    await bob.request('call_accept', { callId });
    await alice.take('call_accept');

    const [carol, dave] = [await phone(t, hasty), await phone(t, hasty, { register: false })];
    await carol.request('call_initiate', { calleeId: dave.user, callType: 'audio' });
    await carol.take('call_timeout');
    await dave.register();
    await fence(t, hasty, dave);
    assert.equal(dave.heard('incoming_call').length, 1);
  });

  test('what is sent to a party that is away arrives when it is back, in order', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    bob.cut();
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
    for (let n = 0; n < 20; n++) await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } });
    await bob.disconnected();
    await bob.comeBack();
    await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 20 } });
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 20);
    const heard = bob.events.filter(({ name }) => ['sdp_offer', 'ice_candidate'].includes(name));
    assert.deepEqual(heard.map(({ name, payload }) => payload.candidate?.n ?? name), ['sdp_offer', ...Array(21).keys()]);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
  });

  test('a description that was answered does not come again', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: { type: 'offer', sdp: 'v=0' } });
    await bob.take('sdp_offer');
    await bob.request('sdp_answer', { callId, to: alice.user, sdp: { type: 'answer', sdp: 'v=0' } });
    await bob.request('ping', {});
    bob.cut();
    await bob.disconnected();
    const before = bob.heard('sdp_offer').length;
    await bob.comeBack();
    await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 1 } });
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 1);
    assert.equal(bob.heard('sdp_offer').length, before);
  });

  test('the caller is away while the callee answers', async (t) => {
    for (const [act, told] of [['call_accept', 'call_accept'], ['call_reject', 'call_reject'], ['call_end', 'call_end']]) {
      const [alice, bob] = await pair(t, server);
      const callId = await ring(alice, bob);
      alice.cut();
      await alice.disconnected();
      assert.equal((await bob.request(act, { callId })).success, true);
      await alice.comeBack();
      assert.equal((await alice.take(told)).callId, callId);
    }
  });

  test('of a call that is over, a party that was away hears only the end', async (t) => {
    const [alice, bob] = await pair(t, server);
    const first = await ring(alice, bob);
    bob.cut();
    await bob.disconnected();
    await alice.request('call_end', { callId: first });
    const second = (await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' })).callId;
    await alice.request('call_end', { callId: second });
    await bob.comeBack();
    await fence(t, server, bob);
    assert.deepEqual(toldOf(bob, first), ['call_end:ended']);
    assert.deepEqual(bob.heard('incoming_call').filter(({ callId }) => callId === second), []);
  });

  test('a phone that lost its network silently is told when it is back', async (t) => {
    const proxy = await chaosProxy(t, server);
    const alice = await phone(t, server);
    const bob = await phone(t, server, { url: proxy.url });
    const callId = await talk(alice, bob);
    proxy.blackhole();
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
    await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 0 } });
    const again = new Phone(server.url, { user: bob.user, device: bob.device });
    t.after(() => again.close());
    await again.comeBack();
    await again.take('sdp_offer');
    await again.take('ice_candidate');
    await alice.request('call_end', { callId });
    await again.take('call_end');
    assert.equal(again.heard('sdp_offer').length, 1);
    assert.deepEqual(again.heard('incoming_call'), [], 'an accepted call does not ring again');
  });

  test('lastEventId says what a device has: no less, no more is sent again', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await ring(alice, bob);
    const { eventId } = bob.heard('incoming_call')[0];
    const back = async (lastEventId) => {
      bob.cut();
      await bob.disconnected();
      bob.events.length = bob.unread.length = 0;
      await bob.comeBack({ lastEventId });
      await bob.request('ping', {});
      return bob.heard('incoming_call').length;
    };
    assert.equal(await back(eventId), 0);
    assert.equal(await back(eventId - 1), 1);
    await bob.request('call_accept', { callId });
    for (let n = 0; n < 10; n++) await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n } });
    const fourth = await bob.take('ice_candidate', ({ candidate }) => candidate.n === 4);
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 9);
    assert.equal(await back(fourth.eventId), 0);
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === 9);
    assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [5, 6, 7, 8, 9]);
  });
});

describe('parties that stay away', { concurrency: true }, () => {
  test('a caller who stays away while it rings: the callee is told', async (t) => {
    const [alice, bob] = await pair(t, hasty);
    const callId = await ring(alice, bob);
    alice.cut();
    assert.equal((await bob.take('call_end')).reason, 'connection_lost');
    refused(await bob.request('call_accept', { callId }), 'E102', 'Call cannot be accepted in state: ended');
    await alice.disconnected();
    await alice.comeBack();
    assert.equal((await alice.take('call_end')).callId, callId);
  });

  test('a caller who comes back in time: the call rings on', async (t) => {
    const [alice, bob] = await pair(t, hasty);
    const callId = await ring(alice, bob);
    alice.cut();
    await alice.disconnected();
    await alice.comeBack();
    await alice.take('call_timeout');
    await bob.take('call_timeout');
    assert.deepEqual(toldOf(bob, callId), ['call_timeout:Call timeout']);
  });

  test('a party that stays away from an accepted call: both are told', async (t) => {
    for (const lost of [0, 1]) {
      const two = await pair(t, hasty);
      const callId = await talk(...two);
      two[lost].cut();
      const told = await two[1 - lost].take('call_end');
      assert.deepEqual([told.callId, told.reason], [callId, 'connection_lost']);
      await two[lost].disconnected();
      await two[lost].comeBack();
      assert.equal((await two[lost].take('call_end')).callId, callId);
    }
  });

  test('a black hole counts as away', async (t) => {
    const watchful = await startServer({ CALL_AWAY_TIMEOUT: '500', SOCKET_PING_INTERVAL: '300', SOCKET_PING_TIMEOUT: '700' });
    t.after(() => watchful.stop());
    const proxy = await chaosProxy(t, watchful);
    const alice = await phone(t, watchful);
    const bob = await phone(t, watchful, { url: proxy.url });
    await talk(alice, bob);
    proxy.blackhole();
    assert.equal((await alice.take('call_end')).reason, 'connection_lost');
  });

  test('a call ends at its maximum duration, for both', async (t) => {
    const short = await startServer({ CALL_MAX_DURATION: '700' });
    t.after(() => short.stop());
    const [alice, bob] = await pair(t, short);
    await talk(alice, bob);
    const told = await Promise.all([alice.take('call_end'), bob.take('call_end')]);
    assert.deepEqual(told.map(({ reason }) => reason), ['max_duration', 'max_duration']);
  });
});
