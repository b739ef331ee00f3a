// The wire contract, over every transport of the stock client: transport, registration, calls, signaling, heartbeat.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  NO_RATE_LIMITS, Phone, TRANSPORTS, pair, phone, refusal, refused, ring, startServer, talk, tokenOf, unique,
} from './support.mjs';

const NOWHERE = '67e55044-10b1-426f-9247-bb680e5fe0c8';
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const SDP = { type: 'offer', sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n' };
const CANDIDATE = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 };
const SIGNALS = { sdp_offer: { sdp: SDP }, sdp_answer: { sdp: SDP }, ice_candidate: { candidate: CANDIDATE } };

let server;
let hasty;
before(async () => {
  [server, hasty] = await Promise.all([startServer(NO_RATE_LIMITS), startServer({ CALL_RING_TIMEOUT: '1000' })]);
});
after(() => Promise.all([server.stop(), hasty.stop()]));

/** Checks names and types of all fields; the two every event carries are checked and left out of the result. */
function stamped({ timestamp, eventId, ...fields }) {
  assert.ok(Number.isInteger(timestamp) && Math.abs(Date.now() - timestamp) < 60_000, `timestamp ${timestamp}`);
  assert.ok(Number.isInteger(eventId), `eventId ${eventId}`);
  return fields;
}

describe('engine, by plain HTTP', () => {
  const engine = (query, options) => fetch(`${server.nodes[0].url}/socket.io/?${query}`, options);

  const errors = [
    ['EIO=4', {}, 0, 'Transport unknown'],
    ['EIO=4&transport=pigeon', {}, 0, 'Transport unknown'],
    ['EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA', {}, 1, 'Session ID unknown'],
    ['EIO=4&transport=polling', { method: 'POST', body: 'x' }, 2, 'Bad handshake method'],
    ['EIO=4&transport=websocket', {}, 3, 'Bad request'],
    ['EIO=3&transport=polling', {}, 5, 'Unsupported protocol version'],
  ];
  for (const [query, options, code, message] of errors) {
    test(`${options.method ?? 'GET'} ${query}: ${code} ${message}`, async () => {
      const answer = await engine(query, options);
      assert.equal(answer.status, 400);
      assert.match(answer.headers.get('content-type'), /^application\/json/);
      assert.deepEqual(await answer.json(), { code, message });
    });
  }

  test('the open packet names the settings, the CONNECT answer nothing but the sid', async () => {
    const open = await (await engine('EIO=4&transport=polling')).text();
    assert.equal(open[0], '0');
    const { sid, ...settings } = JSON.parse(open.slice(1));
    assert.match(sid, /^[\w-]{8,64}$/);
    assert.deepEqual(settings, { upgrades: ['websocket'], pingInterval: 25000, pingTimeout: 60000, maxPayload: 1000000 });
    const session = `EIO=4&transport=polling&sid=${sid}`;
    const body = `40${JSON.stringify({ token: tokenOf(unique('raw')) })}`;
    assert.equal((await engine(session, { method: 'POST', body })).status, 200);
    let packets = [];
    while (!packets.some((packet) => packet.startsWith('40'))) {
      packets = (await (await engine(session)).text()).split('\x1e');
    }
    const connected = JSON.parse(packets.find((packet) => packet.startsWith('40')).slice(2));
    assert.deepEqual(Object.keys(connected), ['sid']);
  });

  test('no compression is negotiated for a websocket', async () => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    };
    const request = http.get(`${server.url}/socket.io/?EIO=4&transport=websocket`, { headers });
    const [response, connection] = await new Promise((resolve, reject) => {
      request.on('upgrade', (...upgraded) => resolve(upgraded)).on('error', reject);
      request.on('response', ({ statusCode }) => reject(new Error(`not upgraded: ${statusCode}`)));
    });
    connection.destroy();
    assert.equal(response.statusCode, 101);
    assert.equal(response.headers['sec-websocket-extensions'], undefined);
  });

  for (const file of ['socket.io.js', 'socket.io.min.js']) {
    test(`the client bundle is served as ${file}`, async () => {
      const answer = await fetch(`${server.url}/socket.io/${file}`);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('content-type'), /javascript/);
      assert.match(await answer.text(), /Socket\.IO v4\./);
    });
  }

  test('ping settings come from the environment, and are kept', async (t) => {
    const quick = await startServer({ SOCKET_PING_INTERVAL: '150', SOCKET_PING_TIMEOUT: '4000' });
    t.after(() => quick.stop());
    const open = await (await fetch(`${quick.url}/socket.io/?EIO=4&transport=polling`)).text();
    const { pingInterval, pingTimeout } = JSON.parse(open.slice(1));
    assert.deepEqual({ pingInterval, pingTimeout }, { pingInterval: 150, pingTimeout: 4000 });
    const alice = await phone(t, quick);
    let pings = 0;
    await new Promise((resolve) => alice.socket.io.on('ping', () => ++pings === 4 && resolve()));
    await alice.hasNot('(disconnect)');
  });
});

for (const transports of TRANSPORTS) {
  const polling = transports.length === 1 && transports[0] === 'polling';
  const couple = (t) => pair(t, server, { transports });
  const single = (t, options) => phone(t, server, { transports, ...options });

  describe(`transport and heartbeat over ${transports.join(', then ')}`, () => {
    test('connects, by the transport asked for', async (t) => {
      const alice = await single(t);
      assert.equal(alice.socket.io.engine.transport.name, transports.at(-1));
    });

    test('another namespace is refused', async (t) => {
      const error = await refusal(t, { url: `${server.url}/other` }, { user: unique('eve'), transports });
      assert.equal(error.message, 'Invalid namespace');
    });

    test('a packet over 1 MB ends that connection and no other', async (t) => {
      const [alice, bob] = await couple(t);
      alice.socket.emit('ping', { filler: 'x'.repeat(1_000_001) });
      assert.equal(await alice.disconnected(), polling ? 'transport error' : 'transport close');
      await bob.hasNot('(disconnect)');
    });

    for (const packet of ['9garbage', '2["unfinished', '2{"not":"an array"}', '2["disconnect"]', '2["connect_error",{}]']) {
      test(`the packet ${packet} ends that connection and no other`, async (t) => {
        const [alice, bob] = await couple(t);
        alice.write(packet);
        const reason = await alice.disconnected();
        assert.ok(reason === 'transport close' || (polling && reason === 'transport error'), reason);
        await bob.hasNot('(disconnect)');
      });
    }

    test('an unknown event is refused if it has a callback, and ignored if not', async (t) => {
      const alice = await single(t);
      alice.socket.emit('call_teleport', {});
      refused(await alice.request('call_teleport', {}), 'E304', 'Unknown event');
      refused(await alice.request('call_teleport'), 'E304', 'Unknown event');
      await alice.hasNot('(disconnect)', 'error');
    });

    test('ping is answered by its callback, or by pong', async (t) => {
      const alice = await single(t);
      const check = ({ timestamp, serverTime, ...rest }) => {
        assert.deepEqual(rest, {});
        assert.ok(Math.abs(timestamp - Date.now()) < 60_000);
        assert.equal(serverTime, new Date(timestamp).toISOString());
      };
      check(await alice.request('ping', { timestamp: 1 }));
      check(await alice.request('ping'));
      alice.socket.emit('ping', {});
      check(await alice.take('pong'));
      alice.socket.emit('ping');
      check(await alice.take('pong'));
      alice.socket.emit('pong', {});
      await alice.hasNot('pong', 'error');
    });

    test('answers come in the order of the requests, also through an upgrade', async (t) => {
      const alice = new Phone(server.url, { user: unique('alice'), transports });
      t.after(() => alice.close());
      const connected = alice.connect();
      const answered = [];
      const all = Array.from({ length: 200 }, (_, n) => alice.request('ping', { n }).then(() => answered.push(n)));
      await Promise.all([connected, ...all]);
      assert.deepEqual(answered, Array.from({ length: 200 }, (_, n) => n));
    });

    test('binary attachments are relayed as binary', async (t) => {
      const [alice, bob] = await couple(t);
      const callId = await talk(alice, bob);
      const sdp = { type: 'offer', blob: Buffer.from([0, 1, 2, 254, 255]), more: [Buffer.from('second')] };
      const answer = await alice.request('sdp_offer', { callId, to: bob.user, sdp });
      assert.equal(answer.success, true, JSON.stringify(answer));
      const event = await bob.take('sdp_offer');
      assert.deepEqual(event.sdp, sdp);
      assert.equal(event.from, alice.user);
    });
  });

  describe(`registration over ${transports.join(', then ')}`, () => {
    test('registered names the session and the device', async (t) => {
      const alice = await single(t, { register: false });
      const answer = await alice.request('register', { userId: alice.user, deviceId: 'a-phone', platform: 'toaster', unknown: 1 });
      assert.deepEqual(answer, { success: true, sessionId: alice.socket.id, deviceId: 'a-phone' });
      assert.deepEqual(await alice.take('registered'), answer);
    });

    test('without a device id the device is called like the socket', async (t) => {
      const alice = await single(t, { register: false });
      alice.socket.emit('register', { userId: alice.user });
      const { id } = alice.socket;
      assert.deepEqual(await alice.take('registered'), { success: true, sessionId: id, deviceId: id });
    });

    test('a second register on the same socket says so', async (t) => {
      const alice = await single(t);
      const answer = await alice.request('register', { userId: alice.user, deviceId: alice.device });
      assert.equal(answer.success, true);
      const event = await alice.take('registered');
      assert.equal(event.success, true);
      assert.equal(event.message, 'Already registered');
      assert.equal(event.sessionId, undefined);
    });

    const bad = [
      ...[undefined, null].map((payload) => [payload, 'E001', 'Registration failed']),
      ...['text', 5, [], {}].map((payload) => [payload, 'E003', 'User ID is required']),
      ...['', null, 0, 5, true, {}, []].map((userId) => [{ userId }, 'E003', 'User ID is required']),
      ...['x'.repeat(5000), 'a\nb', '   '].map((userId) => [{ userId }, 'E003', 'Invalid user ID']),
    ];
    for (const [payload, code, message] of bad) {
      test(`register ${JSON.stringify(payload)?.slice(0, 40)} is refused: ${code} ${message}`, async (t) => {
        const alice = await single(t, { register: false });
        if (payload === undefined) alice.socket.emit('register');
        else alice.socket.emit('register', payload);
        assert.deepEqual(await alice.take('registration_error'), { code, message });
        const answer = await alice.request('register', ...(payload === undefined ? [] : [payload]));
        assert.equal(answer.success, false);
        assert.match(answer.error.code, /^E\d{3}$/);
      });
    }

    test('after unregister a user does not ring, and may register again', async (t) => {
      const [alice, bob] = await couple(t);
      assert.deepEqual(await bob.request('unregister'), { success: true });
      assert.deepEqual(await bob.request('unregister', {}), { success: true });
      const answer = await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
      assert.equal(answer.success, true);
      await bob.hasNot('incoming_call');
      await alice.request('call_end', { callId: answer.callId });
      await bob.register();
      await ring(alice, bob);
    });

    test('an unregistered socket may place and end calls, and hears nothing', async (t) => {
      const bob = await single(t);
      const alice = await single(t, { register: false });
      const callId = await ring(alice, bob);
      await bob.request('call_accept', { callId });
      assert.equal((await alice.request('call_end', { callId })).success, true);
      await bob.take('call_end');
      await alice.hasNot('call_accept');
    });
  });

  describe(`calls over ${transports.join(', then ')}`, () => {
    test('ring, accept, describe, hang up: every ack and event, field by field', async (t) => {
      const [alice, bob] = await couple(t);
      const answer = await alice.request('call_initiate', {
        calleeId: bob.user, callType: 'video', callerName: 'Alice', callerAvatar: 'https://example.org/a.png',
        callId: NOWHERE, callerId: 'mallory', from: 'mallory', state: 'accepted',
      });
      const { callId } = answer;
      assert.match(callId, UUID_V4);
      assert.notEqual(callId, NOWHERE);
      assert.deepEqual(answer, {
        success: true, callId, state: 'ringing', message: 'Call initiated successfully', callType: 'video', reachability: 'online',
      });
      assert.deepEqual(stamped(await bob.take('incoming_call')), {
        callId, callerId: alice.user, callerName: 'Alice', callerAvatar: 'https://example.org/a.png', callType: 'video',
      });
      assert.deepEqual(await bob.request('call_accept', { callId }), {
        success: true, callId, state: 'accepted', message: 'Call accepted',
      });
      assert.deepEqual(stamped(await alice.take('call_accept')), { callId, calleeId: bob.user });

      const exchange = async (name, from, to, message) => {
        const content = SIGNALS[name];
        const sent = await from.request(name, { callId, to: to.user, from: 'mallory', ...content });
        assert.deepEqual(sent, { success: true, message });
        const event = stamped(await to.take(name));
        assert.deepEqual(event, { callId, from: from.user, ...content });
        const [field] = Object.keys(content);
        assert.equal(JSON.stringify(event[field]), JSON.stringify(content[field]), 'the order of the keys is kept');
      };
      await exchange('sdp_offer', alice, bob, 'SDP offer sent');
      await exchange('sdp_answer', bob, alice, 'SDP answer sent');
      await exchange('ice_candidate', alice, bob, 'ICE candidate sent');
      await exchange('ice_candidate', bob, alice, 'ICE candidate sent');
      await exchange('sdp_offer', bob, alice, 'SDP offer sent');

      assert.deepEqual(await alice.request('call_end', { callId }), { success: true, callId, message: 'Call ended' });
      assert.deepEqual(stamped(await bob.take('call_end')), { callId, endedBy: alice.user, reason: 'ended' });
      const ids = bob.events.map(({ payload }) => payload.eventId).filter(Boolean);
      assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b), 'event ids rise');
      await alice.hasNot('call_end', 'error');
    });

    test('reject: the reason reaches the caller, "declined" if there is none', async (t) => {
      const [alice, bob] = await couple(t);
      for (const [reason, told] of [[undefined, 'declined'], ['in a meeting', 'in a meeting']]) {
        const callId = await ring(alice, bob);
        assert.deepEqual(await bob.request('call_reject', { callId, reason }), { success: true, callId, message: 'Call rejected' });
        assert.deepEqual(stamped(await alice.take('call_reject')), { callId, calleeId: bob.user, reason: told });
      }
    });

    test('either side may end a ringing call, with a reason', async (t) => {
      const [alice, bob] = await couple(t);
      for (const [ender, other] of [[alice, bob], [bob, alice]]) {
        const callId = await ring(alice, bob);
        assert.equal((await ender.request('call_end', { callId, reason: 'user_ended' })).success, true);
        assert.deepEqual(stamped(await other.take('call_end')), { callId, endedBy: ender.user, reason: 'user_ended' });
      }
    });

    test('a caller without a name is Unknown', async (t) => {
      const [alice, bob] = await couple(t);
      for (const callerName of [undefined, null, '']) {
        const { callId } = await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio', callerName });
        const { callerName: told, callerAvatar } = await bob.take('incoming_call');
        assert.deepEqual([told, callerAvatar], ['Unknown', null]);
        await alice.request('call_end', { callId });
        await bob.take('call_end');
      }
    });

    test('calling somebody who is not there rings all the same', async (t) => {
      const alice = await single(t);
      const answer = await alice.request('call_initiate', { calleeId: unique('nobody'), callType: 'audio' });
      assert.equal(answer.success, true);
      assert.deepEqual([answer.state, answer.reachability], ['ringing', 'none']);
    });

    test('call_initiate: every refusal', async (t) => {
      const [alice, bob] = await couple(t);
      const to = { calleeId: bob.user, callType: 'audio' };
      const rows = [
        ...[[], [null]].map((payload) => [payload, 'E301', 'Invalid payload']),
        ...['text', 5, true, [], {}].map((payload) => [[payload], 'E003', 'Invalid callee ID']),
        ...[undefined, null, '', 5, {}, [], '   ', 'a\u0000b', 'x'.repeat(5000)].map((calleeId) =>
          [[{ calleeId, callType: 'nonsense' }], 'E003', 'Invalid callee ID']),
        [[{ calleeId: alice.user, callType: 'nonsense' }], 'E301', 'Cannot call yourself'],
        ...[undefined, null, '', 'AUDIO', 'fax', 5, {}].map((callType) => [[{ ...to, callType }], 'E301', 'Invalid call type']),
        ...[5, {}, 'x'.repeat(5000)].map((callerName) => [[{ ...to, callerName }], 'E301', 'Invalid callerName']),
        ...[5, {}, 'x'.repeat(50_000)].map((callerAvatar) => [[{ ...to, callerAvatar }], 'E301', 'Invalid callerAvatar']),
        ...[5, {}, 'x'.repeat(5000)].map((requestId) => [[{ ...to, requestId }], 'E301', 'Invalid requestId']),
      ];
      for (const [payload, code, message] of rows) {
        refused(await alice.request('call_initiate', ...payload), code, message);
      }
      await bob.hasNot('incoming_call');
    });

    const noSuchCall = [undefined, null, '', 5, {}, 'not-a-uuid', NOWHERE].map((callId) => ({ callId }));
    for (const [name, word] of [['call_accept', 'accepted'], ['call_reject', 'rejected']]) {
      test(`${name}: every refusal`, async (t) => {
        const [alice, bob] = await couple(t);
        const eve = await single(t, { register: false });
        for (const payload of [[], [null]]) refused(await bob.request(name, ...payload), 'E301', 'Invalid payload');
        for (const payload of ['text', 5, true, [], {}, ...noSuchCall]) {
          refused(await bob.request(name, payload), 'E101', 'Call not found or expired');
        }
        const callId = await ring(alice, bob);
        for (const stranger of [alice, eve]) {
          refused(await stranger.request(name, { callId }), 'E203', 'You are not the callee of this call');
        }
        refused(await bob.request('call_reject', { callId, reason: 'x'.repeat(5000) }), 'E301', 'Invalid reason');
        const wrongState = async (id, state) =>
          refused(await bob.request(name, { callId: id }), 'E102', `Call cannot be ${word} in state: ${state}`);
        await bob.request('call_accept', { callId });
        await wrongState(callId, 'accepted');
        refused(await eve.request(name, { callId }), 'E203', 'You are not the callee of this call');
        await alice.request('call_end', { callId });
        await wrongState(callId, 'ended');
        const second = await ring(alice, bob);
        await bob.request('call_reject', { callId: second });
        await wrongState(second, 'rejected');
      });
    }

    test('call_end: every refusal, and what is not one', async (t) => {
      const [alice, bob] = await couple(t);
      const eve = await single(t);
      for (const payload of [[], [null]]) refused(await alice.request('call_end', ...payload), 'E301', 'Invalid payload');
      for (const payload of ['text', 5, true, [], {}, { callId: 5 }, { callId: null }]) {
        refused(await alice.request('call_end', payload), 'E302', 'Missing callId');
      }
      assert.deepEqual(await alice.request('call_end', { callId: NOWHERE }), { success: true, callId: NOWHERE, message: 'Call ended' });
      const callId = await ring(alice, bob);
      refused(await alice.request('call_end', { callId, reason: 'x'.repeat(5000) }), 'E301', 'Invalid reason');
      refused(await eve.request('call_end', { callId }), 'E203', 'You are not a participant of this call');
      await bob.request('call_reject', { callId });
      assert.equal((await alice.request('call_end', { callId })).success, true);
      await bob.hasNot('call_end');
    });

    test('a call nobody answers times out on both sides, on time', async (t) => {
      const [alice, bob] = await pair(t, hasty, { transports });
      const callId = await ring(alice, bob);
      const began = performance.now();
      const told = await Promise.all([alice.take('call_timeout'), bob.take('call_timeout')]);
      const waited = performance.now() - began;
      assert.ok(waited > 900 && waited < 2000, `${waited} ms`);
      assert.deepEqual(stamped(told[0]), { callId, reason: 'No answer from callee' });
      assert.deepEqual(stamped(told[1]), { callId, reason: 'Call timeout' });
      refused(await bob.request('call_accept', { callId }), 'E102', 'Call cannot be accepted in state: timeout');
      refused(await bob.request('call_reject', { callId }), 'E102', 'Call cannot be rejected in state: timeout');
      assert.equal((await alice.request('call_end', { callId })).success, true);
      await bob.hasNot('call_end');
    });
  });

  describe(`signaling over ${transports.join(', then ')}`, () => {
    for (const [name, content] of Object.entries(SIGNALS)) {
      test(`${name}: every refusal`, async (t) => {
        const [alice, bob] = await couple(t);
        const eve = await single(t);
        const callId = await ring(alice, bob);
        const whole = { callId, to: bob.user, ...content };
        refused(await alice.request(name, whole), 'E102', 'Call is not active');
        await bob.request('call_accept', { callId });
        const field = Object.keys(content)[0];
        const wrong = field === 'sdp' ? [null, 5, true, []] : [5, true, []];
        const rows = [
          ...[[], [null], ['text'], [5], [true]].map((payload) => [payload, 'E301', 'Invalid payload']),
          ...[[[]], [{}], [{ to: bob.user, ...content }], [{ ...whole, callId: '' }], [{ ...whole, callId: 5 }]].map((payload) => [payload, 'E302', 'Missing callId']),
          ...[undefined, null, ''].map((to) => [[{ ...whole, to }], 'E302', 'Missing recipient (to)']),
          ...[NOWHERE, 'not-a-uuid'].map((id) => [[{ ...whole, callId: id }], 'E101', 'Call not found']),
          ...[eve.user, alice.user, bob.socket.id].map((to) => [[{ ...whole, to }], 'E203', 'You are not a participant of this call']),
          [[{ ...whole, [field]: undefined }], 'E302', `Missing ${field}`],
          ...wrong.map((value) => [[{ ...whole, [field]: value }], 'E301', `Invalid ${field}`]),
        ];
        for (const [payload, code, message] of rows) refused(await alice.request(name, ...payload), code, message);
        for (const to of [[], [bob.user], {}, 5, true]) {
          const { success } = await alice.request(name, { ...whole, to });
          assert.equal(success, false, `to: ${JSON.stringify(to)}`);
        }
        refused(await eve.request(name, whole), 'E203', 'You are not a participant of this call');
        await alice.request('call_end', { callId });
        refused(await alice.request(name, whole), 'E102', 'Call is not active');
        await Promise.all([bob, alice, eve].map((who) => who.hasNot(name)));
      });
    }

    test('a candidate may be null, a description a text, both large', async (t) => {
      const [alice, bob] = await couple(t);
      const callId = await talk(alice, bob);
      for (const sdp of ['v=0', 'ü'.repeat(20_000), { type: 'offer', sdp: 'x'.repeat(100_000), list: [null, 1.5, -0.25, 'é'] }]) {
        assert.equal((await alice.request('sdp_offer', { callId, to: bob.user, sdp })).success, true);
        assert.deepEqual((await bob.take('sdp_offer')).sdp, sdp);
      }
      for (const candidate of [null, 'candidate:1', CANDIDATE, {}]) {
        assert.equal((await alice.request('ice_candidate', { callId, to: bob.user, candidate })).success, true);
        assert.deepEqual((await bob.take('ice_candidate')).candidate, candidate);
      }
    });

    test('signals without a callback are relayed too', async (t) => {
      const [alice, bob] = await couple(t);
      const callId = await talk(alice, bob);
      for (const [name, content] of Object.entries(SIGNALS)) {
        alice.socket.emit(name, { callId, to: bob.user, ...content });
        await bob.take(name);
      }
    });
  });
}
