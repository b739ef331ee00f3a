// Two clients of the package and the real server: calls, refusals, devices, tokens, ICE servers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NO_RATE_LIMITS, seconds, startNode, tokenOf, unique, within, type Server } from '../../../tests/node/support.mjs';
import { App, app, refused, ring, talk } from './app.js';

let server: Server;
before(async () => {
  server = await startNode({
    ...NO_RATE_LIMITS,
    TURN_REGIONS: 'eu=turn:eu.example.org',
    TURN_SERVER_URL: 'turn:127.0.0.1:9',
    TURN_STATIC_SECRET: 'turn-secret',
    TURN_TTL: '6',
  });
});
after(() => server.stop());

describe('a call', () => {
  test('from initiate to end', async (t) => {
    const [alice, bob] = [await app(t, server), await app(t, server)];
    const call = { calleeId: bob.user, callType: 'video', callerName: 'Alice' } as const;
    const { callId, state, reachability } = await alice.client.initiate(call);
    assert.deepEqual([state, reachability], ['ringing', 'online']);
    const incoming = await bob.take('incoming_call');
    assert.deepEqual([incoming.callId, incoming.callerId, incoming.callerName], [callId, alice.user, 'Alice']);

    assert.equal((await bob.client.accept(callId)).state, 'accepted');
    assert.equal((await alice.take('call_accept')).calleeId, bob.user);
    await alice.client.sendOffer(callId, bob.user, { type: 'offer', sdp: 'v=0' });
    assert.deepEqual((await bob.take('sdp_offer')).sdp, { type: 'offer', sdp: 'v=0' });
    await bob.client.sendAnswer(callId, alice.user, { type: 'answer', sdp: 'v=0' });
    assert.equal((await alice.take('sdp_answer')).from, bob.user);
    await alice.client.sendCandidate(callId, bob.user, null);
    assert.equal((await bob.take('ice_candidate')).candidate, null);

    await alice.client.end(callId, 'user_ended');
    const { endedBy, reason } = await bob.take('call_end');
    assert.deepEqual([endedBy, reason], [alice.user, 'user_ended']);
    await alice.client.end(callId);
  });

  test('may be rejected', async (t) => {
    const [alice, bob] = [await app(t, server), await app(t, server)];
    await bob.client.reject(await ring(alice, bob), 'busy');
    assert.equal((await alice.take('call_reject')).reason, 'busy');
  });

  test('the answer to initiate is there before an event about the call', async (t) => {
    const [alice, bob, carol] = [await app(t, server), await app(t, server), await app(t, server)];
    await talk(bob, carol);
    for (let round = 0; round < 20; round += 1) {
      let known: string | undefined;
      const rejected = new Promise<boolean>((resolve) => {
        const hear = ({ callId }: { callId: string }) => {
          alice.client.off('call_reject', hear);
          resolve(callId === known);
        };
        alice.client.on('call_reject', hear);
      });
      const { callId } = await alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
      known = callId;
      assert.ok(await within(rejected, 'not busy'), 'the rejection has overtaken the answer');
    }
  });
});

describe('refusals', () => {
  test('are errors with a code', async (t) => {
    const [alice, bob] = [await app(t, server), await app(t, server)];
    await refused(alice.client.accept('no-such-call'), 'E101', 'Call not found or expired');
    await refused(alice.client.initiate({ calleeId: alice.user, callType: 'audio' }), 'E301', 'Cannot call yourself');
    await refused(alice.client.request('call_end', {} as never), 'E302', 'Missing callId');
    const callId = await ring(alice, bob);
    await refused(alice.client.sendOffer(callId, bob.user, {}), 'E102', 'Call is not active');
    await refused(alice.client.accept(callId), 'E203', 'You are not the callee of this call');
  });

  test('a connection that is refused says so, and comes back when asked to', async (t) => {
    let isForged = true;
    const userId = unique('alice');
    const alice = new App({ ...server, userId, token: async () => (isForged ? `${tokenOf(userId)}x` : tokenOf(userId)) });
    t.after(() => alice.client.close());
    await refused(alice.client.registered(), 'REFUSED', 'Invalid token');
    await refused(alice.client.accept('x'), 'REFUSED', 'Invalid token');
    assert.equal((await alice.becomes('refused')).error?.message, 'Invalid token');
    isForged = false;
    alice.client.reconnect();
    await within(alice.client.registered(), 'not registered');
  });

  test('a registration that is refused says so', async (t) => {
    const alice = new App({ ...server, token: async () => tokenOf('somebody else') });
    t.after(() => alice.client.close());
    await refused(alice.client.registered(), 'E203', 'You can only register yourself');
    assert.equal(alice.client.state, 'refused');
  });

  test('a closed client says so', async (t) => {
    const alice = await app(t, server);
    alice.client.close();
    await refused(alice.client.accept('x'), 'CLOSED', 'This client has been closed');
  });
});

describe('devices', () => {
  test('a newer connection of the same device displaces the older, which stays away', async (t) => {
    const same = { ...server, userId: unique('alice'), deviceId: 'phone' };
    const [older, bob] = [await app(t, same), await app(t, server)];
    const newer = await app(t, same);
    const { error } = await older.becomes('displaced');
    assert.deepEqual([error?.code, error?.message], ['E004', 'Replaced by a newer connection of this device']);
    assert.equal(older.client.socket.active, false);
    await ring(bob, newer);
    assert.equal(older.heard('incoming_call'), 0);
  });

  test('one that is signed out does not ring', async (t) => {
    const [alice, bob] = [await app(t, server), await app(t, server)];
    await bob.client.unregister();
    assert.equal(bob.client.state, 'closed');
    const { reachability } = await alice.client.initiate({ calleeId: bob.user, callType: 'audio' });
    assert.equal(reachability, 'none');
  });

  test('other push tokens are registered', async (t) => {
    const alice = await app(t, server);
    await alice.client.setPushTokens({ fcmToken: 'another' });
    await refused(alice.client.setPushTokens({ fcmToken: 'x'.repeat(5000) }), 'E301', 'Invalid fcmToken');
  });
});

describe('tokens', () => {
  test('one is renewed before it expires, and the connection stays', async (t) => {
    const userId = unique('alice');
    const lives = [4, 3600];
    const alice = await app(t, { ...server, userId, token: async () => tokenOf(userId, { exp: seconds() + (lives.shift() ?? 3600) }) });
    const { id } = alice.client.socket;
    // Of a device whose app hands out the same token again the connection ends at its expiry.
    const idle = unique('idle');
    const stale = tokenOf(idle, { exp: seconds() + 4 });
    const other = await app(t, { ...server, userId: idle, token: async () => stale });
    assert.equal((await other.take('error')).code, 'E005');
    assert.deepEqual(lives, []);
    assert.equal(alice.client.socket.id, id);
    assert.equal(alice.heard('error'), 0);
  });

  test('an app that has no token just now is asked again', async (t) => {
    const userId = unique('alice');
    let failures = 1;
    const alice = new App({
      ...server,
      userId,
      token: async () => {
        if (failures-- > 0) throw new Error('no network');
        return tokenOf(userId);
      },
    });
    t.after(() => alice.client.close());
    await within(alice.client.registered(), 'not registered');
    const { code, message } = await alice.take('token_error');
    assert.deepEqual([code, message], ['NO_TOKEN', 'no network']);
  });

  test('another user\'s is refused', async (t) => {
    const userId = unique('alice');
    const users = [userId, 'mallory'];
    const alice = await app(t, { ...server, userId, token: async () => tokenOf(users.shift() ?? userId) });
    await refused(alice.client.refreshToken(), 'E203', 'You can only register yourself');
  });
});

describe('ICE servers', () => {
  test('are handed out, by region', async (t) => {
    const alice = await app(t, server);
    for (const [region, urls] of [[undefined, 'turn:127.0.0.1:9'], ['eu', 'turn:eu.example.org']] as const) {
      const { iceServers, ttl } = await alice.client.getIceServers(region);
      assert.equal(ttl, 6);
      assert.equal(iceServers[1]?.urls, urls);
      assert.match(iceServers[1]?.username ?? '', new RegExp(`:${alice.user}$`));
    }
  });

  test('come by themselves during a call', async (t) => {
    const [alice, bob] = [await app(t, server), await app(t, server)];
    await talk(alice, bob);
    for (const each of [alice, bob]) {
      const event = await each.take('ice_servers');
      assert.deepEqual([event.ttl, event.iceServers.length], [6, 2]);
    }
  });
});
