// Who a connection is: the token alone says it. Refusals at connect, register, tokens that end while connected.
import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  NO_RATE_LIMITS, Phone, SECRET, pair, phone, refusal, refused, ring, seconds, sign, startServer, talk, tokenOf, unique,
} from './support.mjs';

let server;
before(async () => {
  server = await startServer(NO_RATE_LIMITS);
});
after(() => server.stop());

const good = (claims = {}) => ({ exp: seconds() + 3600, ...claims });

function signedWithRs256(claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`;
}

function withChangedPayload() {
  const [header, , signature] = tokenOf('alice').split('.');
  return [header, Buffer.from(JSON.stringify({ userId: 'bob' })).toString('base64url'), signature].join('.');
}

describe('refusals at connect', () => {
  const rows = [
    ['no auth at all', undefined, 'Authentication required'],
    ['an empty auth', {}, 'Authentication required'],
    ['an empty token', { token: '' }, 'Authentication required'],
    ['a null token', { token: null }, 'Authentication required'],
    ['a malformed token', { token: 'garbage' }, 'Invalid token'],
    ['three parts of garbage', { token: 'a.b.c' }, 'Invalid token'],
    ['a Bearer prefix', { token: `Bearer ${tokenOf('alice')}` }, 'Invalid token'],
    ['a number', { token: 5 }, 'Invalid token'],
    ['true', { token: true }, 'Invalid token'],
    ['an object', { token: { a: 1 } }, 'Invalid token'],
    ['an array', { token: [tokenOf('alice')] }, 'Invalid token'],
    ['a huge token', { token: 'x'.repeat(100_000) }, 'Invalid token'],
    ['a wrong signature', { token: sign(good({ userId: 'alice' }), { secret: 'another secret' }) }, 'Invalid token'],
    ['a changed payload', { token: withChangedPayload() }, 'Invalid token'],
    ['alg none', { token: sign(good({ userId: 'alice' }), { alg: 'none' }) }, 'Invalid token'],
    ['RS256', { token: signedWithRs256(good({ userId: 'alice' })) }, 'Invalid token'],
    ['an expired token', { token: tokenOf('alice', { exp: seconds() - 2 }) }, 'Token expired'],
    ['nbf in the future', { token: tokenOf('alice', { nbf: seconds() + 600 }) }, 'Authentication failed'],
    ['a token that names nobody', { token: sign(good()) }, 'Invalid token'],
    ['a token with only an id', { token: sign(good({ id: 'alice' })) }, 'Invalid token'],
    ['a token that is a string', { token: sign('"alice"') }, 'Invalid token'],
    ['a userId that is a number', { token: sign(good({ userId: 5 })) }, 'Invalid token'],
    ['a userId that is an object', { token: sign(good({ userId: {} })) }, 'Invalid token'],
    ['a blank userId', { token: sign(good({ userId: '   ' })) }, 'Invalid token'],
    ['a userId of 5000 characters', { token: sign(good({ userId: 'x'.repeat(5000) })) }, 'Invalid token'],
    ['userId and sub both empty', { token: sign(good({ userId: '', sub: '' })) }, 'Invalid token'],
  ];
  for (const transports of [['websocket'], ['polling']]) {
    for (const [what, auth, message] of rows) {
      test(`${what}: ${message} (${transports[0]})`, async (t) => {
        const error = await refusal(t, server, { auth, transports });
        assert.equal(error.message, message);
        assert.equal(error.data, undefined);
      });
    }
  }

  test('a bad token in auth is not mended by a good one in the query', async (t) => {
    const error = await refusal(t, server, { auth: { token: 'bad' }, query: { token: tokenOf('alice') } });
    assert.equal(error.message, 'Invalid token');
  });

  test('an Authorization header is not looked at', async (t) => {
    const extraHeaders = { Authorization: `Bearer ${tokenOf('alice')}` };
    const error = await refusal(t, server, { extraHeaders });
    assert.equal(error.message, 'Authentication required');
  });
});

describe('accepted tokens name the user', () => {
  const claims = (fields, options) => ({ auth: { token: sign(good(fields), options) } });
  const rows = [
    ['HS256', (user) => claims({ userId: user })],
    ['HS384', (user) => claims({ userId: user }, { alg: 'HS384' })],
    ['HS512', (user) => claims({ userId: user }, { alg: 'HS512' })],
    ['no exp', (user) => ({ auth: { token: sign({ userId: user }) } })],
    ['iat in the future', (user) => claims({ userId: user, iat: seconds() + 600 })],
    ['only sub', (user) => claims({ sub: user })],
    ['an empty userId and a sub', (user) => claims({ userId: '', sub: user })],
    ['userId before sub', (user) => claims({ userId: user, sub: 'somebody else' })],
    ['aud and iss of whatever kind', (user) => claims({ userId: user, aud: 'app', iss: 'shop', roles: ['x'] })],
    ['the query only', (user) => ({ query: { token: tokenOf(user) } })],
    ['the query, with an empty auth', (user) => ({ auth: { token: '' }, query: { token: tokenOf(user) } })],
    ['auth before a bad query', (user) => ({ auth: { token: tokenOf(user) }, query: { token: 'bad' } })],
    ['a name with spaces, accents and an emoji', (user) => claims({ userId: user }), 'Zoë 🎧'],
  ];
  for (const [what, options, name = 'alice'] of rows) {
    test(what, async (t) => {
      const user = unique(name);
      const alice = await phone(t, server, { user, ...options(user) });
      const bob = await phone(t, server);
      await ring(alice, bob);
      assert.equal(bob.heard('incoming_call')[0].callerId, user);
    });
  }
});

describe('register', () => {
  test('a user can register nobody else', async (t) => {
    const victim = await phone(t, server);
    const caller = await phone(t, server);
    const mallory = await phone(t, server, { register: false });
    const error = { code: 'E203', message: 'You can only register yourself' };
    assert.deepEqual(await mallory.request('register', { userId: victim.user, deviceId: victim.device }), { success: false, error });
    assert.deepEqual(await mallory.take('registration_error'), error);
    const callId = await ring(caller, victim);
    refused(await mallory.request('call_accept', { callId }), 'E203', 'You are not the callee of this call');
    await mallory.hasNot('incoming_call', 'registered');
    await mallory.register();
  });

  test('a registered socket stays who it is', async (t) => {
    const [alice, bob] = await pair(t, server);
    alice.socket.emit('register', { userId: bob.user });
    assert.equal((await alice.take('registration_error')).code, 'E203');
    await ring(bob, alice);
  });

  test('requests before register work, by the token', async (t) => {
    const bob = await phone(t, server);
    const alice = await phone(t, server, { register: false });
    const callId = await ring(alice, bob);
    assert.equal(bob.heard('incoming_call')[0].callerId, alice.user);
    assert.equal((await alice.request('call_end', { callId })).success, true);
    await bob.take('call_end');
  });

  test('requests right behind register work', async (t) => {
    for (let round = 0; round < 30; round++) {
      const alice = await phone(t, server, { register: false });
      const bob = await phone(t, server, { register: false });
      const early = await phone(t, server);
      const waiting = (await early.request('call_initiate', { calleeId: bob.user, callType: 'audio' })).callId;
      bob.socket.emit('register', { userId: bob.user, deviceId: bob.device });
      assert.equal((await bob.request('call_accept', { callId: waiting })).success, true);
      alice.socket.emit('register', { userId: alice.user, deviceId: alice.device });
      assert.equal((await alice.request('call_initiate', { calleeId: unique('carol'), callType: 'audio' })).success, true);
    }
  });

  test('what the client buffered goes out before register, and counts', async (t) => {
    const [alice, bob] = await pair(t, server);
    const callId = await talk(alice, bob);
    alice.cut();
    await alice.disconnected();
    for (let n = 0; n < 5; n++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n } });
    const ended = alice.request('call_end', { callId, reason: 'user_ended' });
    await alice.connect();
    alice.socket.emit('register', { userId: alice.user, deviceId: alice.device });
    assert.equal((await ended).success, true);
    assert.equal((await bob.take('call_end')).endedBy, alice.user);
    const candidates = bob.heard('ice_candidate');
    assert.deepEqual(candidates.map(({ candidate, from }) => [candidate.n, from]), [0, 1, 2, 3, 4].map((n) => [n, alice.user]));
  });
});

describe('tokens that end while connected', { concurrency: true }, () => {
  const shortly = (user) => ({ token: tokenOf(user, { exp: seconds() + 3 }) });

  for (const transports of [['websocket'], ['polling']]) {
    test(`an idle connection is told E005 and closed so that the client comes back (${transports[0]})`, async (t) => {
      const user = unique('alice');
      const alice = await phone(t, server, { user, auth: shortly(user), transports });
      assert.deepEqual(await alice.take('error'), { code: 'E005', message: 'Token expired' });
      const reason = await alice.disconnected();
      assert.ok(reason === 'transport close' || (transports[0] === 'polling' && reason === 'transport error'), reason);
      const error = await alice.connect().catch((refused) => refused);
      assert.equal(error.message, 'Token expired');
    });
  }

  test('a second websocket with the same sid saves nobody', async (t) => {
    const user = unique('alice');
    const [node] = server.nodes;
    const alice = await phone(t, node, { user, auth: shortly(user) });
    const again = new WebSocket(`${node.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid=${alice.socket.io.engine.id}`);
    await new Promise((resolve) => again.once('close', resolve).once('error', resolve));
    assert.equal((await alice.take('error')).code, 'E005');
    assert.equal(await alice.disconnected(), 'transport close');
  });

  test('never in the middle of a call', async (t) => {
    const user = unique('alice');
    const watch = unique('watch');
    const bob = await phone(t, server);
    const alice = await phone(t, server, { user, auth: shortly(user) });
    const callId = await talk(alice, bob);
    const idle = await phone(t, server, { user: watch, auth: shortly(watch) });
    await idle.take('error');
    await idle.disconnected();
    assert.equal((await alice.request('ice_candidate', { callId, to: bob.user, candidate: null })).success, true);
    await bob.take('ice_candidate');
    assert.equal((await bob.request('call_end', { callId })).success, true);
    await alice.take('call_end');
    assert.equal((await alice.take('error')).code, 'E005');
    assert.equal(await alice.disconnected(), 'transport close');
  });

  test('token_refresh keeps the connection', async (t) => {
    const [user, watch] = [unique('alice'), unique('watch')];
    const alice = await phone(t, server, { user, auth: shortly(user) });
    const exp = seconds() + 3600;
    assert.deepEqual(await alice.request('token_refresh', { token: tokenOf(user, { exp }) }), { success: true, expiresAt: exp * 1000 });
    const idle = await phone(t, server, { user: watch, auth: shortly(watch) });
    await idle.disconnected();
    await alice.hasNot('error', '(disconnect)');
  });

  test('token_refresh refuses what connect would refuse, and another user; the old token stays', async (t) => {
    const alice = await phone(t, server);
    const tokens = [
      undefined, null, '', 5, {}, 'garbage', sign(good({ userId: alice.user }), { secret: 'wrong' }), sign(good()),
      tokenOf(alice.user, { exp: seconds() - 10 }), tokenOf('somebody else'),
    ];
    for (const payload of [undefined, null, 'text', 5, [], ...tokens.map((token) => ({ token }))]) {
      const answer = await alice.request('token_refresh', ...(payload === undefined ? [] : [payload]));
      assert.equal(answer.success, false, JSON.stringify(payload));
      assert.match(answer.error.code, /^E\d{3}$/);
      assert.equal(typeof answer.error.message, 'string');
    }
    alice.socket.emit('token_refresh', { token: 'garbage' });
    await alice.hasNot('(disconnect)');
  });
});

describe('AUTH_REQUIRED=false', () => {
  let open;
  before(async () => {
    open = await startServer({ AUTH_REQUIRED: 'false' });
  });
  after(() => open.stop());
  const stranger = (t, options) => phone(t, open, { auth: {}, ...options });

  test('an app without tokens registers, rings and talks', async (t) => {
    const [alice, bob] = [await stranger(t), await stranger(t)];
    const callId = await talk(alice, bob);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
  });

  test('before register a tokenless socket is nobody', async (t) => {
    const bob = await stranger(t);
    const alice = await stranger(t, { register: false });
    refused(await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' }), 'E003', 'Invalid caller ID');
    alice.socket.emit('register', { userId: alice.user });
    assert.equal((await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' })).success, true);
    await bob.take('incoming_call');
  });

  test('a tokenless socket may register as somebody else only after unregister', async (t) => {
    const [alice, carol] = [await stranger(t), unique('carol')];
    const bob = await stranger(t);
    alice.socket.emit('register', { userId: carol });
    const callId = await ring(bob, alice);
    await bob.request('call_end', { callId });
    await alice.take('call_end');
    await alice.request('unregister');
    alice.user = carol;
    await alice.register();
    await ring(bob, alice);
  });

  test('a token that is sent still counts', async (t) => {
    const alice = await phone(t, open);
    refused(await alice.request('register', { userId: unique('bob') }), 'E203', 'You can only register yourself');
    const bad = new Phone(open.url, { auth: { token: sign({ userId: 'alice' }, { secret: `${SECRET}?` }) } });
    t.after(() => bad.close());
    await assert.rejects(bad.connect(), { message: 'Invalid token' });
  });

  test('the log says loudly that nobody is asked for a token', () => {
    assert.match(open.output.stdout + open.output.stderr, /AUTH_REQUIRED/);
  });
});
