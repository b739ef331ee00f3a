// What happened to a call, as the command line tells it: who was told, woken and heard from, and why no phone rang.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { insideOf } from './metrics.mjs';
import { fcmError, startPushServices } from './push-services.mjs';
import { NO_RATE_LIMITS, eventually, pair, phone, ring, run, startServer, talk, unique } from './support.mjs';

let services;
let server;
before(async () => {
  services = await startPushServices();
  server = await startServer({ ...NO_RATE_LIMITS, ...services.fcmEnv });
});
after(async () => {
  await server.stop();
  await services.stop();
  assert.deepEqual(services.faults, []);
});

/** A server for one test alone. */
async function house(t, env) {
  const own = await startServer({ ...NO_RATE_LIMITS, ...env });
  t.after(() => own.stop());
  return own;
}

/** `switchboard call ARGS`, asked of any node. */
async function tell(where, ...args) {
  const nodes = where.nodes;
  const node = nodes[Math.floor(Math.random() * nodes.length)];
  return run(['call', ...args, '--node', await insideOf(node)]);
}

/** What is told of a call, once that `has` everything: patterns that have to match, in any order. */
async function told(where, callId, ...has) {
  let last;
  await eventually(async () => {
    last = await tell(where, callId);
    return last.code === 0 && has.every((pattern) => pattern.test(last.stdout));
  }, () => `${has} are not all in\n${last?.stdout}${last?.stderr}`);
  return last.stdout;
}

/** The last line: what it comes to. */
const verdictOf = (text) => text.trimEnd().split('\n').at(-1);

const call = async (caller, user, fields = {}) => {
  const answer = await caller.request('call_initiate', { calleeId: user, callType: 'video', ...fields });
  assert.equal(answer.success, true, JSON.stringify(answer));
  return answer.callId;
};

/** A device that registered with an FCM token and has gone. */
async function sleeper(t, where, token) {
  const made = await phone(t, where, { user: unique('bob'), register: false });
  await made.register({ platform: 'android', fcmToken: token });
  made.close();
  return made;
}

const fcmToken = () => `fcm-${randomBytes(16).toString('hex')}`;

describe('a call', () => {
  test('that is answered, from its beginning to its end', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    const [caller, callee] = [`${alice.user}/${alice.device}`, `${bob.user}/${bob.device}`];
    const text = await told(
      server, callId,
      new RegExp(`\\+0\\.000 s +[0-9a-f]{8} +${caller} +calls ${bob.user} \\(audio\\)`),
      new RegExp(`${callee} +is connected.*, no push token`),
      new RegExp(`${callee} +is sent incoming_call`),
      new RegExp(`${callee} +answers`),
      new RegExp(`${caller} +is sent call_accept`),
      new RegExp(`${caller} +over: hung up`),
      new RegExp(`${callee} +is sent call_end`),
    );
    assert.match(verdictOf(text), new RegExp(`^${callee} answered after \\d+\\.\\d s; over: hung up after \\d+\\.\\d s, by ${caller}\\.$`));
    const offsets = [...text.matchAll(/\+(\d+\.\d{3}) s/g)].map(([, seconds]) => Number(seconds));
    assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b), 'in order');
  });

  test('that rings is told of while it does', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await ring(alice, bob);
    // Whatever is heard a second after the ring says that it has arrived.
    const text = await eventually(async () => {
      await bob.request('ping', {});
      const { stdout } = await tell(server, callId);
      return /has the ring/.test(stdout) && stdout;
    }, 'the ring is not acknowledged');
    assert.match(verdictOf(text), new RegExp(`^It rang on ${bob.user}/${bob.device}, .* It has not ended\\.$`));
    const status = await fetch(`${server.url}/calls/${callId}/status`, { headers: { authorization: `Bearer ${bob.socket.auth.token}` } });
    assert.equal(status.status, 200);
    const more = await phone(t, server, { user: bob.user });
    await more.take('incoming_call');
    await told(
      server, callId,
      new RegExp(`${bob.user} asks over HTTP how it stands: ringing`),
      new RegExp(`${more.user}/${more.device} +registers`),
      new RegExp(`${more.user}/${more.device} +is sent incoming_call`),
    );
    await bob.request('call_reject', { callId });
    const declined = await told(server, callId, /over: declined/, new RegExp(`${more.device} +is sent call_cancelled`));
    assert.match(verdictOf(declined), new RegExp(`^It rang: ${bob.user}/${bob.device} declined`));
    const late = await more.request('call_accept', { callId });
    assert.equal(late.success, false);
    await told(server, callId, new RegExp(`${more.device} +asks for call_accept and is refused: `));
  });
});

describe('nobody\'s phone rang:', () => {
  test('there was no device', async (t) => {
    const alice = await phone(t, server);
    const bob = unique('bob');
    const callId = await call(alice, bob);
    await alice.request('call_end', { callId });
    const text = await told(server, callId, /has no device/, /over: hung up before/);
    assert.match(verdictOf(text), new RegExp(`^Nobody's phone is known to have rung: ${bob} has no device: .*\\. The caller hung up after`));
  });

  test('no device was connected and none has a push token', async (t) => {
    const [alice, bob] = await pair(t, server);
    bob.close();
    await eventually(async () => {
      const { reachability, callId } = await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
      await alice.request('call_end', { callId });
      if (reachability === 'online') return false;
      const text = await told(server, callId, new RegExp(`${bob.device} +is not connected for .*, no push token`), /over/);
      assert.match(verdictOf(text), /: no device of .* was connected and none has a push token\./);
      return true;
    }, 'the device does not go');
  });

  test('the push token was dead, or the push was taken and the app not heard from', async (t) => {
    const [dead, live] = [fcmToken(), fcmToken()];
    services.fcm.answer(dead, fcmError(404, { word: 'NOT_FOUND', code: 'UNREGISTERED' }));
    const alice = await phone(t, server);
    const bob = await sleeper(t, server, dead);
    const callId = await call(alice, bob.user);
    const text = await told(
      server, callId,
      new RegExp(`${bob.device} +is not connected for .*, can be woken \\(fcmToken\\)`),
      new RegExp(`${bob.device} +push of the ring: fcm says that the token is dead \\(UNREGISTERED\\)`),
    );
    assert.match(verdictOf(text), /[:;] fcm says that the push token of .* is dead: UNREGISTERED\. It has not ended\./);
    const carol = await sleeper(t, server, live);
    const other = await call(alice, carol.user);
    const taken = await told(server, other, new RegExp(`${carol.device} +push of the ring: fcm has taken it`));
    assert.match(verdictOf(taken), /[:;] fcm took the push for .*, whose app was not heard from\./);
  });

  test('a service was in trouble, and then took it', async (t) => {
    const token = fcmToken();
    services.fcm.answer(token, fcmError(503, { word: 'UNAVAILABLE' }));
    const alice = await phone(t, server);
    const bob = await sleeper(t, server, token);
    const callId = await call(alice, bob.user);
    await told(server, callId, /push of the ring: fcm fails \(the service is in trouble\), tried again/, /push of the ring: fcm has taken it/);
  });

  test('it was sent, and nothing was heard since', async (t) => {
    const [alice, bob] = await pair(t, server);
    const connection = bob.socket.io.engine.transport.ws._socket;
    connection.pause();
    const callId = await call(alice, bob.user);
    await told(server, callId, new RegExp(`${bob.device} +is sent incoming_call`));
    await alice.request('call_end', { callId });
    const text = await told(server, callId, /over: hung up before it was answered/);
    assert.match(verdictOf(text), new RegExp(`: it was sent to ${bob.user}/${bob.device} but never acknowledged: nothing was heard from it for`));
    connection.destroy();
    await told(server, callId, new RegExp(`${bob.device} +nothing was heard since the ring, and its connection is gone`));
  });

  test('the callee was busy', async (t) => {
    const [alice, bob] = await pair(t, server);
    await talk(alice, bob);
    const carol = await phone(t, server);
    const text = await told(server, await call(carol, bob.user), /over: the callee was busy/);
    assert.match(verdictOf(text), new RegExp(`^Nobody's phone rang: ${bob.user} was busy with another call\\.$`));
  });
});

describe('what is kept and shown', () => {
  test('no name, no picture, no reason, no token and no payload', async (t) => {
    const token = `secret-${randomBytes(16).toString('hex')}`;
    const [alice, bob] = await pair(t, server);
    const asleep = await phone(t, server, { user: bob.user, register: false });
    await asleep.register({ platform: 'android', fcmToken: token });
    asleep.close();
    const callId = await ring(alice, bob, { callerName: 'secret-name', callerAvatar: 'https://secret.example' });
    await bob.request('call_accept', { callId });
    await alice.take('call_accept');
    await alice.request('sdp_offer', { callId, calleeId: bob.user, sdp: { type: 'offer', sdp: 'secret-sdp' } });
    await alice.request('call_end', { callId, reason: 'secret-reason' });
    const pushed = /push of the ring: fcm has taken it|push of the ring: called off/;
    const text = await told(server, callId, /over: hung up/, pushed);
    const { stdout: json } = await tell(server, callId, '--json');
    for (const secret of ['secret', token, alice.socket.auth.token]) assert.ok(!(text + json).includes(secret), secret);
  });

  test('as JSON it is what the port for the inside answers', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await ring(alice, bob);
    await alice.request('call_end', { callId });
    await told(server, callId, new RegExp(`${bob.device} +is sent call_end`));
    const { stdout, code } = await tell(server, callId, '--json');
    const answer = await fetch(`${await insideOf(server.nodes[0])}/calls/${callId}/timeline`);
    assert.deepEqual([answer.status, answer.headers.get('cache-control'), code], [200, 'no-store', 0]);
    const account = await answer.json();
    assert.deepEqual(JSON.parse(stdout), account);
    assert.deepEqual(Object.keys(account), ['callId', 'verdict', 'entries']);
    const [begun] = account.entries;
    assert.deepEqual([begun.event, begun.user, begun.device, begun.callee, begun.callType], ['begun', alice.user, alice.device, bob.user, 'audio']);
    assert.deepEqual([begun.devices[0].device, begun.devices[0].connected], [bob.device, true]);
    assert.ok(account.entries.every(({ at, node, event }) => at > 0 && /^[0-9a-f]{16}$/.test(node) && event));
    const ended = account.entries.find(({ event }) => event === 'ended');
    assert.deepEqual([ended.how, ended.user, ended.device], ['cancelled', alice.user, alice.device]);
  });

  test('a call that nobody knows, and a node that is not there', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000';
    const { code, stdout, stderr } = await tell(server, unknown);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /No such call, or its timeline was let go/);
    const nobody = await run(['call', unknown, '--node', 'http://127.0.0.1:1']);
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /no node answers at http:\/\/127\.0\.0\.1:1\/: .*refused/i);
    const other = await run(['call', unknown, '--node', server.nodes[0].url]);
    assert.equal(other.code, 1, 'the public port has no timelines');
    for (const args of [['call'], ['call', 'x'], ['call', unknown, '--node', 'x']]) assert.equal((await run(args)).code, 2, args.join(' '));
    const off = await run(['call', unknown], { METRICS_PORT: 'off' });
    assert.equal(off.code, 2);
    assert.match(off.stderr, /--node/);
    assert.equal((await fetch(`${await insideOf(server.nodes[0])}/calls/x/timeline`)).status, 400);
  });

  test('not for longer than TIMELINE_TTL, and not of more than TIMELINE_CALLS', async (t) => {
    const own = await house(t, { TIMELINE_CALLS: '2', TIMELINE_TTL: '2500' });
    const [alice, bob] = await pair(t, own);
    const callIds = [];
    for (let count = 0; count < 3; count += 1) {
      callIds.push(await ring(alice, bob));
      await alice.request('call_end', { callId: callIds.at(-1) });
    }
    const codes = await Promise.all(callIds.map(async (callId) => (await tell(own, callId)).code));
    assert.deepEqual(codes, [1, 0, 0]);
    await eventually(async () => (await tell(own, callIds[2])).code === 1, 'the timeline stays');
  });

  test('nothing, where TIMELINE_TTL is 0', async (t) => {
    const own = await house(t, { TIMELINE_TTL: '0' });
    const [alice, bob] = await pair(t, own);
    const callId = await talk(alice, bob);
    const { code, stderr } = await tell(own, callId);
    assert.equal(code, 1);
    assert.match(stderr, /No timelines are kept: TIMELINE_TTL is 0/);
  });
});
