// Connections that break, a server that is silent, and one that cannot do it now because its Redis is away.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chaosProxy, NO_RATE_LIMITS, startNode, startRedis, unique, within, type Server } from '../../../tests/node/support.mjs';
import { App, app, refused, ring, talk } from './app.js';

let server: Server;
before(async () => {
  server = await startNode(NO_RATE_LIMITS);
});
after(() => server.stop());

test('what was missed while the connection was away comes once, in order', async (t) => {
  const network = await chaosProxy(t, server);
  const [alice, bob] = [await app(t, server), await app(t, network)];
  const registrations: { lastEventId?: number }[] = [];
  bob.client.socket.onAnyOutgoing((name, payload) => void (name === 'register' && registrations.push(payload)));
  const callId = await talk(alice, bob);
  await alice.client.sendOffer(callId, bob.user, 'before');
  const { eventId } = await bob.take('sdp_offer');
  await network.refuse();
  await bob.becomes('away');
  await alice.client.sendOffer(callId, bob.user, 'missed');
  await alice.client.sendCandidate(callId, bob.user, 'missed too');
  await network.accept();
  assert.equal((await bob.take('sdp_offer')).sdp, 'missed');
  await bob.take('ice_candidate');
  assert.deepEqual(registrations.map(({ lastEventId }) => lastEventId), [eventId]);
  await bob.client.end(callId);
  assert.equal((await alice.take('call_end')).endedBy, bob.user);
  const names = bob.events.map(({ name }) => name).filter((name) => !['state', 'registered'].includes(name));
  assert.deepEqual(names, ['incoming_call', 'sdp_offer', 'sdp_offer', 'ice_candidate']);
});

test('an event that comes twice is heard once', async (t) => {
  const network = await chaosProxy(t, server);
  // Without the last event id the server announces a call that rings again.
  const lastEvent = { load: () => undefined, save: () => {} };
  const [alice, bob] = [await app(t, server), await app(t, { ...network, lastEvent })];
  const callId = await ring(alice, bob);
  let announced = 0;
  bob.client.socket.on('incoming_call', () => (announced += 1));
  network.cut();
  await bob.take('registered');
  await bob.take('registered');
  await alice.client.end(callId);
  await bob.take('call_end');
  assert.equal(announced, 1);
  assert.equal(bob.heard('incoming_call'), 1);
});

test('the app may keep the last event id', async (t) => {
  const saved: number[] = [];
  const lastEvent = { load: async () => saved.at(-1), save: (id: number) => void saved.push(id) };
  const [alice, bob] = [await app(t, server), await app(t, { ...server, lastEvent })];
  const callId = await ring(alice, bob);
  await alice.client.end(callId);
  const { eventId } = await bob.take('call_end');
  assert.equal(saved.length, 2);
  assert.equal(saved.at(-1), eventId);
});

test('a request waits for a connection that comes back', async (t) => {
  const network = await chaosProxy(t, server);
  const [alice, bob] = [await app(t, network), await app(t, server)];
  await network.refuse();
  await alice.becomes('away');
  const ringing = alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
  await network.accept();
  assert.equal((await ringing).callId, (await bob.take('incoming_call')).callId);
});

test('a request without an answer fails in time, and is repeated where that is safe', async (t) => {
  const network = await chaosProxy(t, server);
  const [alice, bob] = [await app(t, { ...network, answerTimeoutMs: 500 }), await app(t, server)];
  network.blackhole();
  await refused(alice.client.request('ping', {}), 'NO_ANSWER', 'ping has not been answered', true);
  await refused(alice.client.accept('x'), 'NO_ANSWER', 'call_accept has not been answered', true);
  const ringing = alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
  let attempts = 0;
  const attempted = new Promise<void>((resolve) => {
    alice.client.socket.onAnyOutgoing((name) => {
      if (name === 'call_initiate' && ++attempts === 2) resolve();
    });
  });
  await within(attempted, 'not asked again');
  network.heal();
  const { callId } = await within(ringing, 'it does not ring');
  assert.equal((await bob.take('incoming_call')).callId, callId);
  // Both attempts arrive, and are one call.
  await alice.client.end(callId);
  await bob.take('call_end');
  assert.equal(bob.heard('incoming_call'), 1);
});

test('when the answer to initiate is lost, what came of the call is heard once, and after the call id', async (t) => {
  const network = await chaosProxy(t, server);
  const [alice, bob] = [await app(t, network), await app(t, server)];
  const order: string[] = [];
  alice.client.on('call_accept', ({ callId }) => void order.push(`accepted ${callId}`));
  let sent = 0;
  alice.client.socket.on('call_accept', () => (sent += 1));
  network.stopReading();
  const ringing = alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
  const { callId } = await bob.take('incoming_call');
  await bob.client.accept(callId);
  network.cut();
  const answer = await within(ringing, 'not answered');
  order.push(`ringing ${answer.callId}`);
  await alice.take('call_accept');
  await alice.client.request('ping', {});
  assert.equal(sent, 2);
  assert.deepEqual(order, [`ringing ${callId}`, `accepted ${callId}`]);
});

test('what the server cannot do now is asked again: register, initiate and end, and nothing else', async (t) => {
  const redis = await startRedis(t);
  const node = await startNode({ ...NO_RATE_LIMITS, ...redis.env });
  t.after(() => node.stop());
  t.after(() => redis.resume());
  const [alice, bob, carol] = [await app(t, node), await app(t, node), await app(t, node)];
  const other = await ring(alice, carol);
  redis.pause();
  await refused(carol.client.accept(other), 'E501', 'Temporarily unavailable', true);
  const hopeless = alice.client.initiate({ calleeId: bob.user, callType: 'audio' }, { patienceMs: 500 });
  await refused(hopeless, 'E501', 'Temporarily unavailable', true);
  const late = new App(node);
  t.after(() => late.client.close());
  await late.take('registration_error', ({ code }) => code === 'E501');
  const ringing = alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
  redis.resume();
  await within(late.client.registered(), 'not registered');
  const { callId } = await within(ringing, 'it does not ring');
  assert.equal((await bob.take('incoming_call')).callId, callId);
  redis.pause();
  const ended = alice.client.end(callId);
  await refused(bob.client.request('call_end', { callId }), 'E501', 'Temporarily unavailable', true);
  redis.resume();
  await within(ended, 'it does not end');
  await bob.take('call_end');
});

test('a user who has given up is not kept waiting', async (t) => {
  const network = await chaosProxy(t, server);
  const alice = await app(t, { ...network, answerTimeoutMs: 200 });
  await network.refuse();
  await alice.becomes('away');
  const giveUp = new AbortController();
  const ringing = alice.client.initiate({ calleeId: unique('bob'), callType: 'audio' }, { signal: giveUp.signal });
  giveUp.abort();
  await refused(ringing, 'NO_ANSWER', 'call_initiate has not been answered', true);
});
