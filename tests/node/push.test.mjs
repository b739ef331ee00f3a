// Push: who is woken, by what, how often, and what follows from the answers of the services; with a stand-in for those.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { apnsError, fcmError, html, startPushServices } from './push-services.mjs';
import { NO_RATE_LIMITS, SECRET, eventually, phone, run, startNode, startServer, tokenOf, unique } from './support.mjs';

const RING_TIMEOUT_MS = 45_000;

let services;
let server;
before(async () => {
  services = await startPushServices();
  server = await startServer(envOf(services));
});
after(async () => {
  await server.stop();
  await services.stop();
  assert.deepEqual(services.faults, [], 'real services would have refused this');
});

/** The settings of a server that pushes by `theirs`. */
const envOf = (theirs, more = {}) => ({ ...NO_RATE_LIMITS, ...theirs.fcmEnv, ...theirs.apnsEnv, LOG_LEVEL: 'debug', ...more });

/** Services and a server for one test alone. */
async function house(t, more = {}) {
  const theirs = await startPushServices();
  const own = await startServer(envOf(theirs, more));
  t.after(async () => {
    await own.stop();
    await theirs.stop();
    assert.deepEqual(theirs.faults, []);
  });
  return { services: theirs, server: own };
}

const fcmToken = () => `fcm-${randomBytes(16).toString('hex')}`;
const voipToken = () => randomBytes(32).toString('hex');

/** A device that registered with `tokens` and has gone. */
async function sleeper(t, where, { user = unique('bob'), ...tokens } = {}) {
  const made = await phone(t, where, { user, register: false });
  await made.register({ platform: tokens.apnsVoipToken ? 'ios' : 'android', ...tokens });
  made.close();
  return { user, device: made.device, ...tokens };
}

/** `caller` calls `user`; the ack. */
async function call(caller, user, fields = {}) {
  const answer = await caller.request('call_initiate', { calleeId: user, callType: 'video', ...fields });
  assert.equal(answer.success, true, JSON.stringify(answer));
  return answer;
}

/** How `user` can be reached, by a call that is ended at once. */
async function reachability(caller, user) {
  const answer = await call(caller, user);
  await caller.request('call_end', { callId: answer.callId });
  return answer.reachability;
}

const says = (where, pattern) => eventually(() => pattern.test(where.output.stdout), () => `no log line ${pattern}`);

/** Waits until a message about a call has come to this end. */
const ends = (where, callId, fate) => says(where, new RegExp(`call_id.{0,20}${callId}.{0,80}${fate}`));

describe('what is sent', () => {
  test('a ring says what the app needs, and ends with the call', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    const before = Date.now();
    const { callId } = await call(alice, bob.user, { callerName: 'Alice', callerAvatar: 'https://example.org/a.png' });
    const { fields, message, at } = await services.fcm.message(bob.fcmToken);
    const { timestamp, expiresAt, statusToken, ...rest } = fields;
    assert.deepEqual(rest, {
      type: 'incoming_call', callId, callerId: alice.user, callerName: 'Alice', callerAvatar: 'https://example.org/a.png', callType: 'video',
    });
    assert.ok(Math.abs(Number(timestamp) - before) < 5000, timestamp);
    assert.equal(Number(expiresAt) - Number(timestamp), RING_TIMEOUT_MS);
    assert.equal(message.android.priority, 'HIGH');
    const ttl = Number.parseInt(message.android.ttl, 10);
    assert.ok(ttl >= 1 && ttl * 1000 <= Number(expiresAt) - at + 1000, `a TTL of ${ttl} s`);
    assert.deepEqual(message.apns, {
      headers: { 'apns-priority': '10', 'apns-expiration': String(Math.floor(Number(expiresAt) / 1000)) },
      payload: { aps: { 'content-available': 1, sound: 'default' } },
    });
    const status = await fetch(`${server.url}/calls/${callId}/status`, { headers: { authorization: `Bearer ${statusToken}` } });
    assert.equal((await status.json()).status, 'ringing');
  });

  test('a caller without a name is Unknown; a large message is cut', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    await call(alice, bob.user);
    const { fields } = await services.fcm.message(bob.fcmToken);
    assert.deepEqual([fields.callerName, fields.callerAvatar], ['Unknown', '']);
    const carol = await sleeper(t, server, { fcmToken: fcmToken() });
    await call(alice, carol.user, { callerName: 'Ä'.repeat(256), callerAvatar: '😀'.repeat(2048) });
    const large = await services.fcm.message(carol.fcmToken);
    assert.deepEqual([large.fields.callerName, large.fields.callerAvatar], ['Ä'.repeat(256), '']);
  });

  test('an iPhone is rung by PushKit alone, and hears of the end by FCM', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken(), apnsVoipToken: voipToken() });
    const tablet = await sleeper(t, server, { user: bob.user, fcmToken: fcmToken() });
    const alice = await phone(t, server);
    const { callId } = await call(alice, bob.user, { callerName: 'Alice' });
    const { fields, headers } = await services.apns.message(bob.apnsVoipToken);
    const viaFcm = await services.fcm.message(tablet.fcmToken);
    assert.deepEqual(fields, viaFcm.fields, 'both say the same');
    assert.deepEqual([headers['apns-expiration'], headers['apns-collapse-id']], ['0', callId]);
    await alice.request('call_end', { callId });
    for (const { fcmToken: token } of [bob, tablet]) {
      const stop = await services.fcm.message(token, 'call_cancelled');
      assert.deepEqual([stop.fields.callId, stop.fields.reason], [callId, 'cancelled']);
      assert.deepEqual(stop.message.android, { priority: 'HIGH', ttl: '45s' });
      assert.equal(stop.message.apns.headers['apns-push-type'], 'background');
      const missed = await services.fcm.message(token, 'call_missed');
      assert.deepEqual(missed.message.android, { priority: 'NORMAL', ttl: '86400s' });
      const { timestamp, missedAt, ...rest } = missed.fields;
      assert.deepEqual(rest, { type: 'call_missed', callId, callerId: alice.user, callerName: 'Alice', callType: 'video' });
      assert.ok(Number(missedAt) >= Number(timestamp) && missedAt === stop.fields.timestamp);
    }
    assert.equal(services.fcm.messages(bob.fcmToken).length, 0, 'not rung twice');
    assert.deepEqual(services.apns.requests.filter(({ token }) => token === bob.apnsVoipToken).map((it) => it.fields.type), ['incoming_call']);
  });

  for (const [answer, reason] of [['call_accept', 'answered_elsewhere'], ['call_reject', 'declined_elsewhere']]) {
    test(`${answer} on one device stops the others, and nobody has missed anything`, async (t) => {
      const mobile = await phone(t, server, { user: unique('bob'), register: false });
      const own = fcmToken();
      await mobile.register({ fcmToken: own });
      const tablet = await sleeper(t, server, { user: mobile.user, fcmToken: fcmToken() });
      const alice = await phone(t, server);
      const { callId, reachability: reached } = await call(alice, mobile.user);
      assert.equal(reached, 'online');
      await Promise.all([own, tablet.fcmToken].map((token) => services.fcm.message(token)));
      await mobile.request(answer, { callId });
      const stop = await services.fcm.message(tablet.fcmToken, 'call_cancelled');
      assert.equal(stop.fields.reason, reason);
      await alice.request('call_end', { callId });
      // Whatever else there was to say has been said when the next call is over.
      const next = await call(alice, mobile.user);
      await alice.request('call_end', { callId: next.callId });
      await Promise.all([own, tablet.fcmToken].map((token) => services.fcm.message(token, 'call_missed')));
      const told = (token) => services.fcm.requests.filter((it) => it.token === token && it.fields.callId === callId).map((it) => it.fields.type);
      assert.deepEqual([told(own), told(tablet.fcmToken)], [['incoming_call'], ['incoming_call', 'call_cancelled']]);
    });
  }

  test('a call that nobody answers stops and is missed', async (t) => {
    const { services: theirs, server: own } = await house(t, { CALL_RING_TIMEOUT: '700' });
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    const alice = await phone(t, own);
    const { callId } = await call(alice, bob.user);
    const ringing = await theirs.fcm.message(bob.fcmToken);
    assert.equal(ringing.message.android.ttl, '1s');
    await alice.take('call_timeout');
    const stop = await theirs.fcm.message(bob.fcmToken, 'call_cancelled');
    assert.deepEqual([stop.fields.callId, stop.fields.reason], [callId, 'timeout']);
    await theirs.fcm.message(bob.fcmToken, 'call_missed');
  });

  test('connected devices are left out where that is wanted', async (t) => {
    const { services: theirs, server: own } = await house(t, { PUSH_SKIP_ONLINE: 'true' });
    const bob = await phone(t, own, { register: false });
    const token = fcmToken();
    await bob.register({ fcmToken: token });
    const tablet = await sleeper(t, own, { user: bob.user, fcmToken: fcmToken() });
    const alice = await phone(t, own);
    await eventually(async () => {
      const { callId } = await call(alice, bob.user);
      await alice.request('call_end', { callId });
      return theirs.fcm.messages(tablet.fcmToken).length > 0;
    }, 'the device that is gone is never pushed');
    assert.deepEqual(theirs.fcm.requests.filter((it) => it.token === token), []);
  });
});

describe('a cold start', () => {
  test('the push wakes the app, which registers, rings and answers', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    await eventually(async () => (await reachability(alice, bob.user)) === 'push', 'the device is not seen to be away');
    const { callId, reachability: reached } = await call(alice, bob.user);
    assert.equal(reached, 'push');
    await services.fcm.take((it) => it.token === bob.fcmToken && it.fields.type === 'incoming_call' && it.fields.callId === callId);
    const woken = await phone(t, server, { user: bob.user, device: bob.device });
    await woken.take('incoming_call', (event) => event.callId === callId);
    assert.equal((await woken.request('call_accept', { callId })).success, true);
    await alice.take('call_accept', (event) => event.callId === callId);
  });

  test('a token that another user registers leaves the first', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const carol = await sleeper(t, server, { user: unique('carol'), fcmToken: bob.fcmToken });
    const alice = await phone(t, server);
    assert.equal(await reachability(alice, bob.user), 'none');
    const { callId } = await call(alice, carol.user);
    await services.fcm.take((it) => it.token === bob.fcmToken && it.fields.callId === callId);
    assert.ok(services.fcm.messages(bob.fcmToken).every(({ fields }) => fields.callId === callId));
  });
});

describe('whose tokens are used', () => {
  /** What has come for `token`, of whichever type. */
  const told = (token) => [...services.fcm.requests, ...services.apns.requests].filter((it) => it.token === token);

  test('unregister forgets the tokens of its device, and those alone', async (t) => {
    const bob = await phone(t, server, { user: unique('bob'), register: false });
    const own = { fcmToken: fcmToken(), apnsVoipToken: voipToken() };
    await bob.register({ platform: 'ios', ...own });
    const tablet = await sleeper(t, server, { user: bob.user, fcmToken: fcmToken() });
    const iphone = await sleeper(t, server, { user: bob.user, apnsVoipToken: voipToken() });
    const alice = await phone(t, server);
    assert.equal((await bob.request('unregister')).success, true);
    // What there was to say of the first call has been said when the second one is over.
    for (let round = 0; round < 2; round++) {
      const { callId } = await call(alice, bob.user);
      const isIt = ({ fields }) => fields.callId === callId && fields.type === 'incoming_call';
      await services.fcm.take((it) => it.token === tablet.fcmToken && isIt(it));
      await services.apns.take((it) => it.token === iphone.apnsVoipToken && isIt(it));
      await alice.request('call_end', { callId });
      for (const type of ['call_cancelled', 'call_missed']) await services.fcm.message(tablet.fcmToken, type);
    }
    for (const token of Object.values(own)) assert.deepEqual(told(token), []);
    await bob.hasNot('incoming_call');
  });

  test('a socket that registers again with another token is pushed by that, and no more by the first', async (t) => {
    const bob = await phone(t, server, { user: unique('bob'), register: false });
    const [first, second] = [0, 1].map(() => ({ fcmToken: fcmToken(), apnsVoipToken: voipToken() }));
    const alice = await phone(t, server);
    const rung = async ({ fcmToken: viaFcm, apnsVoipToken }) => {
      const { callId } = await call(alice, bob.user);
      assert.equal((await services.apns.message(apnsVoipToken)).fields.callId, callId);
      await alice.request('call_end', { callId });
      for (const type of ['call_cancelled', 'call_missed']) assert.equal((await services.fcm.message(viaFcm, type)).fields.callId, callId);
    };
    await bob.register({ platform: 'ios', ...first });
    await rung(first);
    const before = Object.values(first).map((token) => told(token).length);
    await bob.register({ platform: 'ios', apnsVoipToken: second.apnsVoipToken });
    await rung({ ...first, apnsVoipToken: second.apnsVoipToken });
    await bob.register({ platform: 'ios', fcmToken: second.fcmToken });
    for (let round = 0; round < 2; round++) await rung(second);
    // By the first FCM token the end of one more call was told, before this was replaced, too.
    assert.deepEqual(Object.values(first).map((token) => told(token).length), [before[0] + 2, before[1]]);
  });
});

describe('how a call stands', () => {
  /** What asking about a call answers, with this token. */
  async function asked(node, callId, token) {
    const answer = await fetch(`${node.url}/calls/${callId}/status`, { headers: { authorization: `Bearer ${token}` } });
    return { code: answer.status, ...(await answer.json()) };
  }

  /** A call from Alice to Bob, and who may ask about it: both, and who got the push. */
  async function calling(t, { services: theirs, server: own }) {
    const bob = await phone(t, own, { user: unique('bob'), register: false });
    const token = fcmToken();
    await bob.register({ fcmToken: token });
    const alice = await phone(t, own);
    const { callId } = await call(alice, bob.user);
    await bob.take('incoming_call', (event) => event.callId === callId);
    const { fields } = await theirs.fcm.message(token);
    return { alice, bob, callId, fields, tokens: [fields.statusToken, tokenOf(bob.user), tokenOf(alice.user)] };
  }

  const BECAME = [
    ['accepted', 'is accepted', ({ bob, callId }) => bob.request('call_accept', { callId })],
    ['rejected', 'is rejected', ({ bob, callId }) => bob.request('call_reject', { callId })],
    ['timeout', 'is answered by nobody', ({ alice, callId }) => alice.take('call_timeout', (event) => event.callId === callId)],
    ['ended', 'is given up by the caller', ({ alice, callId }) => alice.request('call_end', { callId })],
    [
      'ended',
      'was accepted and is over',
      async ({ alice, bob, callId }) => {
        await bob.request('call_accept', { callId });
        await alice.request('call_end', { callId });
      },
    ],
  ];
  for (const [status, name, act] of BECAME) {
    test(`${status}, once it ${name}: to both parties and to who got the push, from every node`, async (t) => {
      const here = status === 'timeout' ? await house(t, { CALL_RING_TIMEOUT: '1500' }) : { services, server };
      const its = await calling(t, here);
      const { alice, bob, callId, fields, tokens } = its;
      const all = () => Promise.all(here.server.nodes.flatMap((node) => tokens.map((token) => asked(node, callId, token))));
      const stands = { code: 200, success: true, callId, status, callType: 'video', callerId: alice.user, calleeId: bob.user };
      const ringing = { ...stands, status: 'ringing', expiresAt: Number(fields.expiresAt) };
      for (const answer of await all()) assert.deepEqual(answer, ringing);
      await act(its);
      for (const answer of await all()) assert.deepEqual(answer, stands);
    });
  }

  test('strangers, and the token of another push, learn nothing', async (t) => {
    const here = { services, server };
    const [one, other] = [await calling(t, here), await calling(t, here)];
    for (const node of server.nodes) {
      const stranger = await asked(node, one.callId, tokenOf(other.alice.user));
      assert.deepEqual(stranger, { code: 404, success: false, error: 'Call not found' });
      assert.equal((await asked(node, one.callId, other.fields.statusToken)).code, 401);
    }
  });
});

describe('services that answer too late', { concurrency: true }, () => {
  /** How long the server waits for one answer. */
  const REQUEST_TIMEOUT_MS = 5000;
  const LONG_MS = REQUEST_TIMEOUT_MS + 8000;
  /** Timers of two processes are not of one mind about a millisecond. */
  const waited = (first, second) => assert.ok(second.at - first.at >= REQUEST_TIMEOUT_MS - 50, `asked again after ${second.at - first.at} ms`);

  for (const [by, kind, made] of [['fcm', 'fcmToken', fcmToken], ['apns', 'apnsVoipToken', voipToken]]) {
    test(`${by} hangs once: the ring is tried again, others do not wait for it`, async (t) => {
      const service = services[by];
      const [bob, carol] = [await sleeper(t, server, { [kind]: made() }), await sleeper(t, server, { [kind]: made() })];
      const alice = await phone(t, server);
      service.answer(bob[kind], 'hang');
      const { callId } = await call(alice, bob.user);
      const first = await service.message(bob[kind]);
      await call(await phone(t, server), carol.user);
      const others = await service.message(carol[kind]);
      const second = await service.message(bob[kind], 'incoming_call', LONG_MS);
      waited(first, second);
      assert.ok(others.at < second.at, 'somebody else has waited for it');
      assert.deepEqual([second.fields.callId, second.answered], [callId, 200]);
      await ends(server, callId, 'Sent');
      assert.equal(service.messages(bob[kind]).length, 2);
    });
  }

  test('the token endpoint hangs once: it is asked again, and the call still rings', async (t) => {
    const { services: theirs, server: own } = await house(t);
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    theirs.access.answer(undefined, 'hang');
    await call(await phone(t, own), bob.user);
    const first = await theirs.access.take(() => true);
    const second = await theirs.access.take(() => true, LONG_MS);
    waited(first, second);
    assert.equal((await theirs.fcm.message(bob.fcmToken)).answered, 200);
  });
});

describe('services that are slow or gone', () => {
  test('the ack of call_initiate and the callee who is connected wait for no service', async (t) => {
    const { services: theirs, server: own } = await house(t);
    theirs.fcm.otherwise = 'hang';
    theirs.access.otherwise = 'hang';
    const bob = await phone(t, own, { register: false });
    await bob.register({ fcmToken: fcmToken() });
    const alice = await phone(t, own);
    const times = [];
    for (let round = 0; round < 20; round++) {
      const started = performance.now();
      const { callId } = await call(alice, bob.user);
      await bob.take('incoming_call', (event) => event.callId === callId);
      const took = performance.now() - started;
      assert.ok(took < 1000, `${took} ms`);
      times.push(took);
      await alice.request('call_end', { callId });
    }
    t.diagnostic(`answered and rung within ${Math.max(...times).toFixed(1)} ms while the services hang`);
    await theirs.access.take(() => true);
    assert.equal(theirs.fcm.requests.length, 0, 'there is no access token yet');
  });

  test('a ring that fails is tried while the call rings, and not afterwards', async (t) => {
    const { services: theirs, server: own } = await house(t, { CALL_RING_TIMEOUT: '2500' });
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    const alice = await phone(t, own);
    const down = fcmError(503, { word: 'UNAVAILABLE', code: 'UNAVAILABLE' });
    theirs.fcm.answer(bob.fcmToken, down, down, down, down, down, down, down, down);
    const { callId } = await call(alice, bob.user);
    await alice.take('call_timeout', ({ callId: id }) => id === callId);
    const rings = () => theirs.fcm.messages(bob.fcmToken).filter(({ fields }) => fields.callId === callId);
    assert.ok(rings().length >= 3, `${rings().length} attempts`);
    for (const { at, fields } of rings()) assert.ok(at <= Number(fields.expiresAt) + 100, 'after it stopped ringing');
    theirs.fcm.scripts.delete(bob.fcmToken);
    await theirs.fcm.message(bob.fcmToken, 'call_missed');
    const count = rings().length;
    const other = await call(alice, bob.user);
    await alice.take('call_timeout', ({ callId: id }) => id === other.callId);
    assert.equal(rings().length, count, 'the first call was rung after its end');
  });

  test('a ring that fails is not tried again once the caller has hung up, on whichever node', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    const down = fcmError(503, { word: 'UNAVAILABLE', code: 'UNAVAILABLE', retryAfter: 1 });
    services.fcm.answer(bob.fcmToken, down);
    const { callId } = await call(alice, bob.user);
    await services.fcm.message(bob.fcmToken);
    // By another connection, which may be to another node.
    const desk = await phone(t, server, { user: alice.user });
    await desk.request('call_end', { callId });
    await services.fcm.message(bob.fcmToken, 'call_missed');
    await ends(server, callId, 'CalledOff');
    assert.equal(services.fcm.messages(bob.fcmToken).length, 1);
  });

  test('a ring that is tried again does not reach who has the token by then, or a device that signed out', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const carol = await phone(t, server, { user: unique('carol'), register: false });
    const own = fcmToken();
    await carol.register({ fcmToken: own });
    const alice = await phone(t, server);
    const down = fcmError(503, { word: 'UNAVAILABLE', code: 'UNAVAILABLE', retryAfter: 1 });
    for (const token of [bob.fcmToken, own]) services.fcm.answer(token, down);
    const ids = [];
    for (const [user, token] of [[bob.user, bob.fcmToken], [carol.user, own]]) {
      ids.push((await call(alice, user)).callId);
      await services.fcm.message(token);
    }
    await sleeper(t, server, { user: unique('dave'), fcmToken: bob.fcmToken });
    await carol.request('unregister');
    for (const callId of ids) await ends(server, callId, 'CalledOff');
    for (const token of [bob.fcmToken, own]) assert.equal(services.fcm.messages(token).length, 1);
  });

  test('a phone that rings is stopped while another one of the user is still being rung', async (t) => {
    const { services: theirs, server: own } = await house(t, {});
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    const iphone = await sleeper(t, own, { user: bob.user, apnsVoipToken: voipToken() });
    const alice = await phone(t, own);
    theirs.apns.answer(iphone.apnsVoipToken, 'hang');
    const { callId } = await call(alice, bob.user);
    await Promise.all([theirs.fcm.message(bob.fcmToken), theirs.apns.message(iphone.apnsVoipToken)]);
    await alice.request('call_end', { callId });
    await theirs.fcm.message(bob.fcmToken, 'call_cancelled', 3000);
  });

  test('a stop follows the ring that is still on its way', async (t) => {
    const { services: theirs, server: own } = await house(t, {});
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    const alice = await phone(t, own);
    theirs.fcm.answer(bob.fcmToken, 'hang');
    const { callId } = await call(alice, bob.user);
    await theirs.fcm.message(bob.fcmToken);
    await alice.request('call_end', { callId });
    const other = await sleeper(t, own, { fcmToken: fcmToken() });
    const next = await call(alice, other.user);
    await theirs.fcm.message(other.fcmToken);
    await alice.request('call_end', { callId: next.callId });
    await theirs.fcm.message(other.fcmToken, 'call_missed');
    assert.equal(theirs.fcm.messages(bob.fcmToken, 'call_cancelled').length, 0, 'the stop overtook the ring');
    theirs.fcm.release();
    await theirs.fcm.message(bob.fcmToken, 'call_cancelled');
  });

  test('a service that is down is left alone, and asked again when it is back', async (t) => {
    const { services: theirs, server: own } = await house(t);
    theirs.fcm.otherwise = html(502);
    const bobs = await Promise.all(Array.from({ length: 24 }, () => sleeper(t, own, { fcmToken: fcmToken() })));
    const callers = await Promise.all(bobs.map(() => phone(t, own)));
    await Promise.all(bobs.map((bob, n) => call(callers[n], bob.user)));
    await says(own, /a push service is left alone/);
    theirs.fcm.otherwise = undefined;
    await says(own, /a push service answers again/);
    const isRung = ({ fcmToken: token }) => theirs.fcm.messages(token).some(({ answered }) => answered === 200);
    await eventually(() => bobs.every(isRung), 'not all are rung when the service is back', 20_000);
  });

  for (const how of ['drop', 'close']) {
    test(`a request that is lost (${how}) is made again`, async (t) => {
      const bob = await sleeper(t, server, { fcmToken: fcmToken(), apnsVoipToken: voipToken() });
      const carol = await sleeper(t, server, { fcmToken: fcmToken() });
      const alice = await phone(t, server);
      services.apns.answer(bob.apnsVoipToken, how);
      services.fcm.answer(carol.fcmToken, how);
      await call(alice, bob.user);
      for (let attempt = 0; attempt < 2; attempt++) await services.apns.message(bob.apnsVoipToken);
      await call(alice, carol.user);
      for (let attempt = 0; attempt < 2; attempt++) await services.fcm.message(carol.fcmToken);
    });
  }
});

describe('encrypted services', () => {
  test('are spoken to by HTTP/2 over TLS, in production, and not when nobody vouches for them', async (t) => {
    const theirs = await startPushServices({ isEncrypted: true });
    t.after(() => theirs.stop());
    const production = { NODE_ENV: 'production', BACKPLANE: 'embedded', LOG_FORMAT: 'text' };
    const trustful = await startNode(envOf(theirs, { ...production, ...theirs.trustEnv }));
    t.after(() => trustful.stop());
    const bob = await sleeper(t, trustful, { fcmToken: fcmToken() });
    const carol = await sleeper(t, trustful, { apnsVoipToken: voipToken() });
    await call(await phone(t, trustful), bob.user);
    await call(await phone(t, trustful), carol.user);
    await Promise.all([theirs.fcm.message(bob.fcmToken), theirs.apns.message(carol.apnsVoipToken)]);
    assert.deepEqual(theirs.faults, []);
    const wary = await startNode(envOf(theirs, production));
    t.after(() => wary.stop());
    const dave = await sleeper(t, wary, { fcmToken: fcmToken() });
    await call(await phone(t, wary), dave.user);
    await says(wary, /a push does not go through.*is its certificate trusted/);
    assert.equal(theirs.fcm.messages(dave.fcmToken).length, 0);
  });

  test('unencrypted ones elsewhere, and keys that are none, stop the start without a word of them', async () => {
    const secret = { JWT_SECRET: SECRET, NODE_ENV: 'production', BACKPLANE: 'embedded' };
    const elsewhere = { ...services.fcmEnv, ...services.apnsEnv, FCM_ENDPOINT: 'http://push.example.org', APNS_ENDPOINT: 'http://192.0.2.1' };
    const refused = await run(['check-config'], { ...secret, ...elsewhere });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^FCM_ENDPOINT: got/m);
    assert.match(refused.stderr, /^APNS_ENDPOINT: got/m);
    const swapped = { FIREBASE_PRIVATE_KEY_PATH: services.apnsEnv.APNS_KEY_PATH, APNS_KEY_PATH: services.fcmEnv.FIREBASE_PRIVATE_KEY_PATH };
    const { code, stderr } = await run(['check-config'], { ...secret, ...services.apnsEnv, ...swapped });
    assert.equal(code, 2);
    assert.match(stderr, /^FIREBASE_PRIVATE_KEY_PATH: the file is no JSON$/m);
    assert.match(stderr, /^APNS_KEY_PATH: the file holds no P-256 key in PKCS #8$/m);
    for (const word of services.secrets()) assert.ok(!stderr.includes(word));
  });
});

describe('access tokens and connections', () => {
  const CALLS = 50;

  test(`${CALLS} calls at once fetch one, and one more when it is revoked`, async (t) => {
    const { services: theirs, server: own } = await house(t);
    const bobs = await Promise.all(Array.from({ length: CALLS }, () => sleeper(t, own, { fcmToken: fcmToken() })));
    const callers = await Promise.all(bobs.map(() => phone(t, own)));
    const nodes = own.nodes.length;
    const ringAll = async () => {
      const answers = await Promise.all(bobs.map((bob, n) => call(callers[n], bob.user)));
      await Promise.all(bobs.map((bob, n) => theirs.fcm.take((it) => it.isKnown && it.token === bob.fcmToken && it.fields.callId === answers[n].callId)));
      return answers;
    };
    const answers = await ringAll();
    assert.ok(theirs.access.requests.length <= nodes, `${theirs.access.requests.length} access tokens for ${nodes} nodes`);
    await Promise.all(answers.map(({ callId }, n) => callers[n].request('call_end', { callId })));
    await Promise.all(bobs.map((bob) => theirs.fcm.message(bob.fcmToken, 'call_missed')));
    theirs.revoke();
    await ringAll();
    assert.ok(theirs.access.requests.length <= 2 * nodes, `${theirs.access.requests.length} access tokens for ${nodes} nodes`);
    assert.ok(theirs.fcm.requests.some(({ isKnown }) => !isKnown), 'the revoked one was tried');
    for (const service of [theirs.access, theirs.fcm]) {
      assert.ok(service.connections() <= nodes, `${service.requests.length} requests over ${service.connections()} connections`);
    }
  });

  test(`${CALLS} iPhones that ring at once, twice, need one connection of each node`, async (t) => {
    const { services: theirs, server: own } = await house(t);
    const bobs = await Promise.all(Array.from({ length: CALLS }, () => sleeper(t, own, { apnsVoipToken: voipToken() })));
    const callers = await Promise.all(bobs.map(() => phone(t, own)));
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(bobs.map((bob, n) => call(callers[n], bob.user)));
      await Promise.all(bobs.map((bob) => theirs.apns.message(bob.apnsVoipToken)));
      await Promise.all(answers.map(({ callId }, n) => callers[n].request('call_end', { callId })));
    }
    assert.ok(theirs.apns.connections() <= own.nodes.length, `${theirs.apns.connections()} connections`);
    const tokens = new Set(theirs.apns.requests.map(({ headers }) => headers.authorization));
    assert.ok(tokens.size <= own.nodes.length, `${tokens.size} provider tokens`);
  });

  test('one is kept while it is good, and renewed before it runs out: no message is refused', async (t) => {
    // So that it is used for four seconds: what has ten left may run out on its way.
    const [LIFE_S, KEPT_MS] = [14, 3000];
    const { services: theirs, server: own } = await house(t);
    theirs.settings.expiresIn = LIFE_S;
    const renewals = own.nodes.map(async (node) => {
      const bob = await sleeper(t, own, { fcmToken: fcmToken() });
      const alice = await phone(t, own, { url: node.url });
      const ringing = async () => {
        const { callId } = await call(alice, bob.user);
        const isIt = ({ token, fields }) => token === bob.fcmToken && fields.type === 'incoming_call' && fields.callId === callId;
        const request = await theirs.fcm.take(isIt);
        await alice.request('call_end', { callId });
        return request;
      };
      const first = await ringing();
      const renewed = async () => {
        const request = await ringing();
        return request.authorization !== first.authorization && request;
      };
      return { first, second: await eventually(renewed, 'it is never renewed', LIFE_S * 1000) };
    });
    for (const { first, second } of await Promise.all(renewals)) {
      const age = second.at - first.at;
      assert.ok(age >= KEPT_MS && age < LIFE_S * 1000, `renewed after ${age} ms`);
    }
    assert.equal(theirs.access.requests.length, 2 * own.nodes.length);
    assert.ok(theirs.fcm.requests.every(({ isKnown }) => isKnown), 'one was refused');
  });

  test('an account that is refused is for an operator, a token endpoint in trouble is asked again', async (t) => {
    const { services: theirs, server: own } = await house(t);
    const bob = await sleeper(t, own, { fcmToken: fcmToken() });
    const alice = await phone(t, own);
    theirs.access.answer(undefined, { status: 503, headers: {}, body: '' }, 'drop');
    await call(alice, bob.user);
    await theirs.fcm.message(bob.fcmToken, 'incoming_call', 15_000);
    theirs.revoke();
    const invalid = { status: 400, headers: {}, body: { error: 'invalid_grant' } };
    theirs.access.answer(undefined, invalid, invalid, invalid, invalid);
    await reachability(alice, bob.user);
    await says(own, /ERROR.*the service account is refused/);
  });
});

describe('what the answers of FCM mean', () => {
  const invalid = { word: 'INVALID_ARGUMENT', code: 'INVALID_ARGUMENT' };
  const FORGOTTEN = [
    ['UNREGISTERED', fcmError(404, { word: 'NOT_FOUND', code: 'UNREGISTERED' })],
    ['INVALID_ARGUMENT about the token', fcmError(400, { ...invalid, field: 'message.token' })],
    ['SENDER_ID_MISMATCH', fcmError(403, { word: 'PERMISSION_DENIED', code: 'SENDER_ID_MISMATCH' })],
  ];
  for (const [name, answer] of FORGOTTEN) {
    test(`${name}: the token is forgotten, the other device is rung`, async (t) => {
      const bob = await sleeper(t, server, { fcmToken: fcmToken() });
      const tablet = await sleeper(t, server, { user: bob.user, fcmToken: fcmToken() });
      const alice = await phone(t, server);
      services.fcm.answer(bob.fcmToken, answer);
      const { callId } = await call(alice, bob.user);
      await Promise.all([bob, tablet].map((it) => services.fcm.message(it.fcmToken)));
      await says(server, new RegExp(`a dead push token is forgotten.*${bob.device}`));
      await alice.request('call_end', { callId });
      const next = await call(alice, bob.user);
      await services.fcm.take((it) => it.token === tablet.fcmToken && it.fields.type === 'incoming_call' && it.fields.callId === next.callId);
      assert.equal(services.fcm.messages(bob.fcmToken).length, 1);
    });
  }

  const KEPT = [
    ['INVALID_ARGUMENT about something else', fcmError(400, { ...invalid, field: 'message.data[0]' }), /does not understand a message/],
    ['PERMISSION_DENIED', fcmError(403, { word: 'PERMISSION_DENIED' }), /may not send messages for this project/],
    ['no such project', fcmError(404, { word: 'NOT_FOUND' }), /no such project/],
    ['THIRD_PARTY_AUTH_ERROR', fcmError(401, { word: 'UNAUTHENTICATED', code: 'THIRD_PARTY_AUTH_ERROR' }), /in the Firebase console is wrong/],
  ];
  for (const [name, answer, line] of KEPT) {
    test(`${name}: it is said, and the token stays`, async (t) => {
      const bob = await sleeper(t, server, { fcmToken: fcmToken() });
      const alice = await phone(t, server);
      services.fcm.answer(bob.fcmToken, answer);
      const { callId } = await call(alice, bob.user);
      await services.fcm.message(bob.fcmToken);
      await says(server, new RegExp(`ERROR.*${line.source}`));
      await alice.request('call_end', { callId });
      await call(alice, bob.user);
      await services.fcm.message(bob.fcmToken);
    });
  }

  test('401 twice: the access token is renewed once, then it is said', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    services.fcm.answer(bob.fcmToken, fcmError(401, { word: 'UNAUTHENTICATED' }), fcmError(401, { word: 'UNAUTHENTICATED' }));
    const fetched = services.access.requests.length;
    await call(alice, bob.user);
    await says(server, /ERROR.*takes no access token of this service account/);
    assert.equal(services.access.requests.length, fetched + 1);
    assert.equal(services.fcm.messages(bob.fcmToken).length, 2);
  });

  const RETRIED = [
    ['UNAVAILABLE', fcmError(503, { word: 'UNAVAILABLE', code: 'UNAVAILABLE' })],
    ['INTERNAL', fcmError(500, { word: 'INTERNAL', code: 'INTERNAL' })],
    ['HTML 502', html(502)],
    ['QUOTA_EXCEEDED with Retry-After', fcmError(429, { word: 'RESOURCE_EXHAUSTED', code: 'QUOTA_EXCEEDED', retryAfter: 1 })],
  ];
  for (const [name, answer] of RETRIED) {
    test(`${name}: the ring is tried again`, async (t) => {
      const bob = await sleeper(t, server, { fcmToken: fcmToken() });
      const alice = await phone(t, server);
      services.fcm.answer(bob.fcmToken, answer);
      await call(alice, bob.user);
      const [first, second] = [await services.fcm.message(bob.fcmToken), await services.fcm.message(bob.fcmToken)];
      assert.equal(first.fields.callId, second.fields.callId);
      const asked = Number(answer.headers['retry-after'] ?? 0) * 1000;
      assert.ok(second.at - first.at >= Math.max(asked, 150), `tried again after ${second.at - first.at} ms`);
    });
  }

  test('Retry-After of no time is no leave to hurry, one of all time ends the efforts', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const carol = await sleeper(t, server, { apnsVoipToken: voipToken() });
    const alice = await phone(t, server);
    const asks = (headers) => ({ status: 503, headers, body: '' });
    services.fcm.answer(bob.fcmToken, asks({ 'retry-after': '0' }), asks({ 'retry-after': 'Tue, 14 Nov 2023 22:13:50 GMT' }));
    await call(alice, bob.user);
    const rings = [];
    for (let attempt = 0; attempt < 3; attempt++) rings.push((await services.fcm.message(bob.fcmToken)).at);
    assert.ok(rings[1] - rings[0] >= 150 && rings[2] - rings[1] >= 300, `tried at ${rings.map((at) => at - rings[0])} ms`);
    services.apns.answer(carol.apnsVoipToken, asks({ 'retry-after': '18446744073709551615' }));
    const { callId } = await call(alice, carol.user);
    await ends(server, callId, 'GivenUp');
    assert.doesNotMatch(server.output.stderr, /panicked/);
  });

  test('QUOTA_EXCEEDED without a word when to come back: longer than a call rings', async (t) => {
    const bob = await sleeper(t, server, { fcmToken: fcmToken() });
    const alice = await phone(t, server);
    services.fcm.answer(bob.fcmToken, fcmError(429, { word: 'RESOURCE_EXHAUSTED', code: 'QUOTA_EXCEEDED' }));
    const { callId } = await call(alice, bob.user);
    await ends(server, callId, 'GivenUp');
    assert.equal(services.fcm.messages(bob.fcmToken).length, 1);
  });

  test('many SENDER_ID_MISMATCH are for an operator', async (t) => {
    const { services: theirs, server: own } = await house(t);
    theirs.fcm.otherwise = fcmError(403, { word: 'PERMISSION_DENIED', code: 'SENDER_ID_MISMATCH' });
    const user = unique('bob');
    for (let n = 0; n < 12; n++) await sleeper(t, own, { user, fcmToken: fcmToken() });
    await call(await phone(t, own), user);
    await says(own, /ERROR.*another Firebase project/);
  });
});

describe('what the answers of Apple mean', () => {
  const FORGOTTEN = [
    ['BadDeviceToken', apnsError(400, 'BadDeviceToken')],
    ['DeviceTokenNotForTopic', apnsError(400, 'DeviceTokenNotForTopic')],
    ['Unregistered', apnsError(410, 'Unregistered', { timestamp: 9_999_999_999_999 })],
    ['ExpiredToken', apnsError(410, 'ExpiredToken', { timestamp: 9_999_999_999_999 })],
  ];
  for (const [name, answer] of FORGOTTEN) {
    test(`${name}: the token is forgotten, and FCM rings instead`, async (t) => {
      const bob = await sleeper(t, server, { fcmToken: fcmToken(), apnsVoipToken: voipToken() });
      const alice = await phone(t, server);
      services.apns.answer(bob.apnsVoipToken, answer);
      const { callId } = await call(alice, bob.user);
      await services.fcm.message(bob.fcmToken);
      await alice.request('call_end', { callId });
      await call(alice, bob.user);
      await services.fcm.message(bob.fcmToken);
      assert.equal(services.apns.messages(bob.apnsVoipToken).length, 1);
    });
  }

  test('a token that died before its device registered stays', async (t) => {
    const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
    const alice = await phone(t, server);
    services.apns.answer(bob.apnsVoipToken, apnsError(410, 'Unregistered', { timestamp: Date.now() - 3_600_000 }));
    const { callId } = await call(alice, bob.user);
    await services.apns.message(bob.apnsVoipToken);
    await ends(server, callId, 'TokenDead');
    await alice.request('call_end', { callId });
    await call(alice, bob.user);
    await services.apns.message(bob.apnsVoipToken);
  });

  const SAID = [
    ['TopicDisallowed', 400, /may not send to APNS_TOPIC/],
    ...['BadTopic', 'MissingTopic'].map((reason) => [reason, 400, /APNS_TOPIC is no topic/]),
    ...[
      'BadCollapseId', 'BadExpirationDate', 'BadMessageId', 'BadPriority', 'DuplicateHeaders', 'InvalidPushType', 'MissingDeviceToken',
      'PayloadEmpty', 'AReasonOfTheFuture',
    ].map((reason) => [reason, 400, /does not understand a message/]),
    ['InvalidProviderToken', 403, /are APNS_KEY_ID and APNS_TEAM_ID right/],
    ...[
      'BadCertificate', 'BadCertificateEnvironment', 'Forbidden', 'MissingProviderToken',
    ].map((reason) => [reason, 403, /good for this environment/]),
    ['BadPath', 404, /there is no push service at APNS_ENDPOINT/],
    ['MethodNotAllowed', 405, /there is no push service at APNS_ENDPOINT/],
  ];
  for (const [name, status, line] of SAID) {
    test(`${name}: it is said, and the token stays`, async (t) => {
      const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
      const alice = await phone(t, server);
      services.apns.answer(bob.apnsVoipToken, apnsError(status, name));
      const { callId } = await call(alice, bob.user);
      await services.apns.message(bob.apnsVoipToken);
      await ends(server, callId, 'Refused');
      await says(server, new RegExp(`ERROR.*apns.*${line.source}|ERROR.*${line.source}.*apns`));
      await alice.request('call_end', { callId });
      const next = await call(alice, bob.user);
      assert.equal((await services.apns.message(bob.apnsVoipToken)).fields.callId, next.callId, 'the first call was rung twice');
    });
  }

  test('ExpiredProviderToken: a new one, once', async (t) => {
    const { services: theirs, server: own } = await house(t);
    const expired = apnsError(403, 'ExpiredProviderToken');
    for (const node of own.nodes) {
      const bob = await sleeper(t, own, { apnsVoipToken: voipToken() });
      const alice = await phone(t, own, { url: node.url });
      theirs.apns.answer(bob.apnsVoipToken, undefined, expired, undefined, expired);
      const ringing = async () => {
        const { callId } = await call(alice, bob.user);
        const request = await theirs.apns.message(bob.apnsVoipToken);
        await alice.request('call_end', { callId });
        return request;
      };
      const { at } = await ringing();
      // Two that are made within a second are the same: they say when in seconds.
      await eventually(() => Math.floor(Date.now() / 1000) > Math.floor(at / 1000), 'time stands still');
      const first = await ringing();
      const second = await theirs.apns.message(bob.apnsVoipToken);
      assert.equal(second.fields.callId, first.fields.callId);
      assert.notEqual(second.headers.authorization, first.headers.authorization);
      assert.doesNotMatch(node.output.stdout, /is the clock right/);
      await ringing();
      await says(node, /ERROR.*is the clock right/);
      assert.equal(theirs.apns.messages(bob.apnsVoipToken).length, 4);
    }
  });

  test('TooManyProviderTokenUpdates: no further token, and later; longer than a call rings unless it says when', async (t) => {
    const [bob, carol] = [await sleeper(t, server, { apnsVoipToken: voipToken() }), await sleeper(t, server, { apnsVoipToken: voipToken() })];
    const alice = await phone(t, server);
    const tooMany = apnsError(429, 'TooManyProviderTokenUpdates');
    services.apns.answer(bob.apnsVoipToken, tooMany);
    services.apns.answer(carol.apnsVoipToken, { ...tooMany, headers: { 'retry-after': '1' } });
    const { callId } = await call(alice, bob.user);
    await ends(server, callId, 'GivenUp');
    assert.equal(services.apns.messages(bob.apnsVoipToken).length, 1);
    await alice.request('call_end', { callId });
    await call(alice, carol.user);
    const [first, second] = [await services.apns.message(carol.apnsVoipToken), await services.apns.message(carol.apnsVoipToken)];
    assert.ok(second.at - first.at >= 1000, `tried again after ${second.at - first.at} ms`);
    assert.equal(second.headers.authorization, first.headers.authorization);
    const next = await call(await phone(t, server), bob.user);
    await services.apns.take((it) => it.token === bob.apnsVoipToken && it.fields.callId === next.callId);
  });

  test('IdleTimeout: again', async (t) => {
    const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
    services.apns.answer(bob.apnsVoipToken, apnsError(400, 'IdleTimeout'));
    const { callId } = await call(await phone(t, server), bob.user);
    for (let attempt = 0; attempt < 2; attempt++) assert.equal((await services.apns.message(bob.apnsVoipToken)).fields.callId, callId);
  });

  test('PayloadTooLarge: a smaller one', async (t) => {
    const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
    const alice = await phone(t, server);
    services.apns.answer(bob.apnsVoipToken, apnsError(413, 'PayloadTooLarge'));
    await call(alice, bob.user, { callerName: 'A'.repeat(200), callerAvatar: 'x'.repeat(2000) });
    const [first, second] = [await services.apns.message(bob.apnsVoipToken), await services.apns.message(bob.apnsVoipToken)];
    assert.deepEqual([first.fields.callerName.length, second.fields.callerName.length, second.fields.callerAvatar], [200, 32, '']);
  });

  test('TooManyRequests: later', async (t) => {
    const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
    services.apns.answer(bob.apnsVoipToken, apnsError(429, 'TooManyRequests'));
    await call(await phone(t, server), bob.user);
    for (let attempt = 0; attempt < 2; attempt++) await services.apns.message(bob.apnsVoipToken);
  });

  for (const [name, answer] of [
    ['InternalServerError', apnsError(500, 'InternalServerError')],
    ['ServiceUnavailable', apnsError(503, 'ServiceUnavailable')],
    ['Shutdown, with a GOAWAY', { ...apnsError(503, 'Shutdown'), goaway: true }],
  ]) {
    test(`${name}: again, over a new connection`, async (t) => {
      const bob = await sleeper(t, server, { apnsVoipToken: voipToken() });
      services.apns.answer(bob.apnsVoipToken, answer);
      await call(await phone(t, server), bob.user);
      const [first, second] = [await services.apns.message(bob.apnsVoipToken), await services.apns.message(bob.apnsVoipToken)];
      assert.notEqual(first.session, second.session);
    });
  }
});

describe('what is told of it', () => {
  test('/health and /info', async () => {
    const [{ body: health }, { body: info }] = await Promise.all(['/health', '/info'].map((path) => server.nodes[0].get(path)));
    assert.deepEqual([health.fcm, info.features.fcm], ['initialized', true]);
  });

  test('no token, key or content of a message is in the logs', () => {
    const { stdout, stderr } = server.output;
    const tokens = [...services.fcm.requests, ...services.apns.requests].map(({ token }) => token);
    const statusTokens = services.fcm.requests.map(({ fields }) => fields?.statusToken).filter(Boolean);
    assert.ok(tokens.length > 50 && statusTokens.length > 20 && /a push/.test(stdout), 'there was something to log');
    for (const secret of new Set([...services.secrets(), ...tokens, ...statusTokens, 'Alice', 'ÄÄÄ'])) {
      assert.ok(!stdout.includes(secret) && !stderr.includes(secret), `${secret.slice(0, 12)}… is in the logs`);
    }
  });
});
