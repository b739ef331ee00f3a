// docs/asyncapi.json and docs/openapi.json: they are what their specifications want, and the server speaks as they say.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { EVENTS, REQUESTS, answers, ask, asyncapi, couple, heard, listener, mayBeRefusedWith, mayConnectWith, maySend, openapi, payloadOf, resolved, unexpected } from './documents.mjs';
import { insideOf } from './metrics.mjs';
import { freePort } from './processes.mjs';
import { makeKey } from './provider.mjs';
import { NO_RATE_LIMITS, eventually, refusal, ring, seconds, startNode, startServer, talk, tokenOf, unique } from './support.mjs';

const require = createRequire(import.meta.url);
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const TURN = { TURN_SERVER_URL: 'turn:127.0.0.1:3478', TURN_STATIC_SECRET: 'turn-secret' };
const NOWHERE = '00000000-0000-4000-8000-000000000000';
/** What any request may be refused with. */
const ALWAYS = ['E303', 'E500', 'E501', 'E502'];

let server;
before(async () => (server = await startServer({ ...NO_RATE_LIMITS, ...TURN })));
after(() => server?.stop());

/** The codes with which the document has `name` refused. */
function codesOf(name) {
  const [, { properties }] = asyncapi.channels.acks.messages[`${name}.refused`].payload.allOf;
  return properties.error.properties.code.enum;
}

// ------------------------------------------------------------------------------------------------------------ the documents

describe('the documents', () => {
  test('AsyncAPI: the official schema has nothing against it', () => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const validate = ajv.compile(require('@asyncapi/specs/schemas/3.0.0-without-$id.json'));
    assert.ok(validate(asyncapi), JSON.stringify(validate.errors, null, 1));
    assert.equal(validate({ ...asyncapi, operations: { x: { action: 'dance' } } }), false, 'it does look');
  });

  test('AsyncAPI: operations name messages of their channels, and every message is of an operation', () => {
    const used = new Set();
    for (const { channel, messages, reply } of Object.values(asyncapi.operations)) {
      for (const [to, refs] of [[channel, messages], ...(reply ? [[reply.channel, reply.messages]] : [])]) {
        for (const { $ref } of refs) {
          assert.ok($ref.startsWith(`${to.$ref}/messages/`), $ref);
          used.add($ref);
        }
      }
    }
    const all = Object.entries(asyncapi.channels).flatMap(([name, { messages }]) => Object.keys(messages).map((key) => `#/channels/${name}/messages/${key}`));
    assert.deepEqual([...used].sort(), all.sort());
  });

  test('AsyncAPI: the examples are what they are examples of', () => {
    const ajv = new Ajv({ strict: false });
    addFormats.default(ajv);
    ajv.addFormat('uint64', true);
    for (const { messages } of Object.values(asyncapi.channels)) {
      for (const [key, { payload, examples = [] }] of Object.entries(messages)) {
        const validate = ajv.compile({ ...payload, components: asyncapi.components });
        for (const example of examples) assert.ok(validate(example.payload), `${key}: ${JSON.stringify(validate.errors)}`);
      }
    }
  });

  test('OpenAPI: the official schema has nothing against it', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(openapi));
    assert.ok(valid, JSON.stringify(errors, null, 1));
    const { valid: nonsense } = await new Validator().validate({ ...structuredClone(openapi), paths: { '/x': { get: 7 } } });
    assert.equal(nonsense, false, 'it does look');
  });

  test('the README has the same requests, codes and events', () => {
    const rows = (heading) =>
      readme.split(`\n${heading}\n`)[1].split(/\n#/)[0].split('\n').filter((line) => line.startsWith('| `')).map((line) => line.split(/(?<!\\)\|/));
    const names = (cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    const told = new Set(rows('### Events from the server').flatMap(([, cell]) => names(cell)));
    assert.deepEqual([...told].sort(), [...EVENTS].sort());
    const refusals = rows('### Answers');
    for (const name of REQUESTS.filter((request) => request !== 'pong')) {
      const row = refusals.find(([, cell]) => names(cell).includes(name));
      assert.ok(row, `the README has no answers to ${name}`);
      const same = row[3].match(/as `(\w+)`/)?.[1];
      const text = same ? refusals.find(([, cell]) => names(cell).includes(same))[3] : row[3];
      const written = new Set([...(text.match(/\bE\d{3}\b/g) ?? []), ...ALWAYS]);
      assert.deepEqual([...codesOf(name)].sort(), [...written].sort(), name);
    }
    const codes = new Set(readme.split('\n## Errors\n')[1].split(/\n## /)[0].match(/(?<=^\| )E\d{3}/gm));
    assert.deepEqual(asyncapi.components.schemas.Problem.properties.code.enum, [...codes].sort());
  });
});

// ------------------------------------------------------------------------------------------------------- what clients may say

/** For each request: a payload that is granted, made anew each time, and what undoes it. */
const GRANTED = {
  register: async (t) => {
    const me = await listener(t, server);
    return { me, payload: () => ({ userId: me.user, deviceId: me.device }) };
  },
  token_refresh: async (t) => {
    const me = await listener(t, server);
    return { me, payload: () => ({ token: tokenOf(me.user) }) };
  },
  get_ice_servers: async (t) => ({ me: await listener(t, server), payload: () => ({ region: 'eu' }) }),
  call_initiate: async (t) => {
    const me = await listener(t, server);
    const undo = ({ callId }) => me.request('call_end', { callId });
    return { me, payload: () => ({ calleeId: unique('bob'), callType: 'audio' }), undo };
  },
  call_accept: (t) => answering(t),
  call_reject: (t) => answering(t),
  call_end: async (t) => {
    const [me, bob] = await couple(t, server);
    let callId;
    const undo = async (answer) => {
      if (answer.callId !== callId) return;
      await bob.take('call_end');
      callId = undefined;
    };
    return { me, payload: async () => ({ callId: (callId ??= await ring(me, bob)) }), undo };
  },
  sdp_offer: (t) => signaling(t, { sdp: { type: 'offer', sdp: 'v=0' } }),
  sdp_answer: (t) => signaling(t, { sdp: { type: 'answer', sdp: 'v=0' } }),
  ice_candidate: (t) => signaling(t, { candidate: { candidate: 'candidate:1' } }),
};

async function answering(t) {
  const [alice, me] = await couple(t, server);
  let callId;
  // The one before rings no more: who calls anew is in one call.
  const payload = async () => {
    if (callId) await alice.request('call_end', { callId });
    callId = await ring(alice, me);
    return { callId };
  };
  return { me, payload };
}

async function signaling(t, media) {
  const [me, bob] = await couple(t, server);
  const callId = await talk(me, bob);
  return { me, payload: () => ({ callId, to: bob.user, ...media }) };
}

/** What a field may be sent as, beside what is right; `undefined` is left out. */
function valuesFor(name, schema) {
  const bound = schema.maxLength ?? 64;
  return [
    undefined, null, '', '   ', 5, -1, 1.5, 7000, true, false, [], ['a'], {}, { a: 1 }, 'x', 'a\u0000b', 'a\u009fb', 'a\nb', 'é🎧', 'AUDIO', 'video',
    'x'.repeat(bound), 'x'.repeat(bound + 1), '🎧'.repeat(bound), '🎧'.repeat(bound + 1), ' '.repeat(bound + 1), '67e5504410b1426f9247bb680e5fe0c8',
  ].filter((value) => name !== 'token' || typeof value !== 'string' || value.length > 20_000 || /^x*$/.test(value));
}

/** Whether the server has taken `answer` for what it was asked. Not yours, and not a good token, are no faults of form. */
const isTaken = (answer) => answer.success !== false || answer.error.code === 'E203';

describe('what the document refuses the server refuses, and the other way round', () => {
  for (const name of REQUESTS.filter((request) => GRANTED[request])) {
    test(name, async (t) => {
      const { me, payload, undo = () => {} } = await GRANTED[name](t);
      let [taken, refused] = [0, 0];
      const compare = async (sent) => {
        const answer = await me.request(name, ...sent);
        // JSON has no undefined.
        const said = maySend(name, sent.length === 0 ? null : JSON.parse(JSON.stringify(sent[0])));
        assert.equal(isTaken(answer), said, `${JSON.stringify(sent).slice(0, 300)}: ${JSON.stringify(answer)}`);
        if (answer.success) await undo(answer);
        if (said) taken += 1;
        else refused += 1;
      };
      await compare([await payload()]);
      for (const sent of [[], [null], ['text'], [5], [true], [[]]]) await compare(sent);
      for (const [field, schema] of Object.entries(payloadOf(name).properties)) {
        for (const value of valuesFor(field, schema)) await compare([{ ...(await payload()), [field]: value }]);
      }
      await compare([{ ...(await payload()), unknown: { field: [1] } }]);
      assert.ok(taken > 1 && refused > 3, `${taken} taken, ${refused} refused`);
    });
  }

  test('media is taken up to its bound', async (t) => {
    const [alice, bob] = await couple(t, server);
    const callId = await talk(alice, bob);
    const bounded = REQUESTS.filter((name) => asyncapi.channels.namespace.messages[`${name}.request`]['x-max-bytes']);
    assert.deepEqual(bounded.sort(), ['ice_candidate', 'sdp_answer', 'sdp_offer']);
    for (const name of bounded) {
      const [[field, bytes]] = Object.entries(asyncapi.channels.namespace.messages[`${name}.request`]['x-max-bytes']);
      const send = (length) => alice.request(name, { callId, to: bob.user, [field]: 'x'.repeat(length - 2) });
      assert.equal((await send(bytes)).success, true);
      assert.equal((await send(bytes + 1)).error.message, `Invalid ${field}`);
    }
  });
});

// ------------------------------------------------------------------------------------------------------- what the server says

describe('real traffic', () => {
  test('who may not come in', async (t) => {
    const strict = await startServer({ MAX_CONNECTIONS_PER_USER: '1' });
    t.after(() => strict.stop());
    const url = strict.nodes[0].url;
    const told = new Set();
    const meet = async (options, to = url) => {
      const error = await refusal(t, { url: to }, options);
      assert.ok(mayBeRefusedWith(error), error.message);
      told.add(error.message);
    };
    // What is no token is refused, and what the document has no place for is no token.
    for (const token of [7, true, {}, ['a'], 'x'.repeat(8193), 'x', '', null, undefined]) {
      assert.equal(mayConnectWith(JSON.parse(JSON.stringify({ token }))), token == null || (typeof token === 'string' && token.length <= 8192));
      await meet({ auth: { token } });
    }
    assert.ok(mayConnectWith(null) && !mayConnectWith('token') && !mayConnectWith(7));
    await meet({ auth: { token: tokenOf('alice', { exp: 1 }) } });
    await meet({ auth: { token: tokenOf('alice', { nbf: seconds() + 3600 }) } });
    await meet({ user: 'alice' }, `${url}/other`);
    const { user } = await listener(t, { url });
    await meet({ user });
    const known = asyncapi.channels.acks.messages.connect_error.payload.properties.message.enum;
    assert.deepEqual([...told].sort(), [...known].sort());
  });

  test('calls from their beginning to their end, and everything that is no call', async (t) => {
    const [alice, bob] = await couple(t, server);
    const other = await listener(t, server, { user: bob.user });
    const callId = await ring(alice, bob, { callerName: 'Alice', callerAvatar: 'https://example.org/a.png' });
    const stranger = await listener(t, server);
    for (const name of ['call_accept', 'call_reject', 'call_end']) await stranger.request(name, { callId });
    await bob.request('call_accept', { callId });
    await other.take('call_cancelled');
    for (const name of ['sdp_offer', 'sdp_answer', 'ice_candidate']) await alice.request(name, { callId, to: stranger.user, sdp: {}, candidate: {} });
    for (const [who, to, name, media] of [
      [alice, bob, 'sdp_offer', { sdp: { type: 'offer', sdp: 'v=0', raw: Buffer.from('x') } }],
      [bob, alice, 'sdp_answer', { sdp: 'v=0' }],
      [alice, bob, 'ice_candidate', { candidate: { candidate: 'candidate:1' } }],
      [bob, alice, 'ice_candidate', { candidate: null }],
    ]) {
      await who.request(name, { callId, to: to.user, ...media });
      await to.take(name);
    }
    for (const [name, field] of [['sdp_offer', 'sdp'], ['sdp_answer', 'sdp'], ['ice_candidate', 'candidate']]) {
      await alice.request(name, { callId: NOWHERE, to: bob.user, [field]: {} });
      await alice.request(name, {});
    }
    await alice.request('call_end', { callId, reason: 'user_ended' });
    await bob.take('call_end');
    for (const name of ['sdp_offer', 'sdp_answer', 'ice_candidate']) await alice.request(name, { callId, to: bob.user, sdp: 'v=0', candidate: '' });
    for (const name of ['call_accept', 'call_reject']) await bob.request(name, { callId });
    await bob.request('call_reject', { callId: await ring(alice, bob), reason: 'busy' });
    await alice.take('call_reject');
    for (const name of ['unregister', 'ping', 'pong']) await other.request(name);
    other.socket.emit('ping');
    await other.take('pong');
    assert.equal((await other.request('dance')).error.code, 'E304');
    await alice.request('register', { userId: bob.user });
    await alice.take('registration_error');
    const nobody = await listener(t, server, { register: false });
    await nobody.request('call_initiate', { calleeId: nobody.user, callType: 'audio' });
    await listener(t, server, { user: alice.user, device: alice.device });
    assert.equal((await alice.take('error')).code, 'E004');
  });

  test('nobody answers, and credentials expire', async (t) => {
    const hasty = await startServer({ ...TURN, CALL_RING_TIMEOUT: '1000', TURN_TTL: '5' });
    t.after(() => hasty.stop());
    const [alice, bob] = await couple(t, hasty);
    const [carol, dave] = await couple(t, hasty);
    await Promise.all([
      ring(alice, bob).then(() => Promise.all([alice.take('call_timeout'), bob.take('call_timeout')])),
      talk(carol, dave).then(() => Promise.all([carol.take('ice_servers'), dave.take('ice_servers')])),
    ]);
  });

  test('too much, and too late', async (t) => {
    const strict = await startServer({ CALL_BURST: '1', CALL_RATE: '1' });
    t.after(() => strict.stop());
    const token = (user) => tokenOf(user, { exp: seconds() + 2 });
    const user = unique('late');
    const [late, callee] = await Promise.all([listener(t, server, { user, auth: { token: token(user) } }), listener(t, server)]);
    await ring(late, callee);
    const again = () => late.request('call_initiate', { calleeId: callee.user, callType: 'audio' });
    assert.ok(await eventually(async () => (await again()).error?.code === 'E005', 'the token does not expire'));
    const eager = await listener(t, strict);
    await eager.request('call_initiate', { calleeId: callee.user, callType: 'audio' });
    assert.equal((await eager.request('call_initiate', { calleeId: callee.user, callType: 'audio' })).error.code, 'E303');
  });
});

describe('HTTP', () => {
  const json = (body) => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

  test('a node that is well', async (t) => {
    const [alice, bob] = await couple(t, server);
    const { url } = server.nodes[0];
    const inside = await insideOf(server.nodes[0]);
    for (const path of ['/health', '/livez', '/readyz', '/info', '/ice-servers', `/ice-servers?region=eu&token=${tokenOf('alice')}`]) await ask(url, path);
    for (const path of ['/metrics', '/livez', '/readyz']) await ask(inside, path);
    const callId = await ring(alice, bob);
    const status = async (id, token) => (await ask(url, `/calls/${id}/status`, bearer(token))).body.status;
    assert.equal(await status(callId, tokenOf(alice.user)), 'ringing');
    await bob.request('call_accept', { callId });
    assert.equal(await status(callId, tokenOf(bob.user)), 'accepted');
    await bob.request('call_end', { callId });
    assert.equal(await status(callId, tokenOf(bob.user)), 'ended');
    for (const id of [NOWHERE, 'nonsense']) await ask(inside, `/calls/${id}/timeline`);
    const timeline = await eventually(async () => (await ask(inside, `/calls/${callId}/timeline`)).body.entries, 'the call has no timeline');
    assert.ok(timeline.length > 2, JSON.stringify(timeline));
    await ask(url, `/calls/${NOWHERE}/status?token=${tokenOf('alice')}`);
    await ask(url, `/calls/${callId}/status`, bearer('nonsense'));
    await ask(url, `/calls/${callId}/status`);
    await ask(url, '/ice-servers', bearer(tokenOf('alice', { exp: 1 })));
    for (const path of ['/socket.io/socket.io.js', '/socket.io/socket.io.min.js']) {
      await ask(url, path);
      await ask(url, path, { headers: { 'if-none-match': '"4.8.4"' } });
    }
    for (const body of ['{"userId":"alice"}', '{}', '{', `"${'x'.repeat(200_000)}"`]) await ask(url, '/demo/token', json(body));
  });

  test('nodes that are not', async (t) => {
    const start = async (env) => {
      const node = await startNode(env);
      t.after(() => node.stop());
      return node;
    };
    const closed = String(await freePort());
    const [alone, keyless, generous] = await Promise.all([
      start({ BACKPLANE: 'redis', REDIS_HOST: '127.0.0.1', REDIS_PORT: closed }),
      start({ JWT_SECRET: undefined, JWT_JWKS_URL: `http://127.0.0.1:${closed}/keys`, JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' }),
      start({ ...TURN, ICE_SERVERS_PUBLIC: 'true' }),
    ]);
    for (const path of ['/health', '/info', '/readyz', `/calls/${NOWHERE}/status?token=${tokenOf('alice')}`]) await ask(alone.url, path);
    for (const path of ['/readyz', `/calls/${NOWHERE}/timeline`]) await ask(await insideOf(alone), path);
    const refused = await listener(t, alone, { register: false });
    for (const name of ['register', 'call_initiate']) {
      const { error } = await refused.request(name, { userId: refused.user, calleeId: 'bob', callType: 'audio' });
      assert.deepEqual([error.code, error.retryable], ['E501', true]);
    }
    assert.equal((await keyless.get('/readyz')).body.reasons[0], 'keys');
    const token = makeKey('RS256', 'unknown').sign({ sub: 'alice', iss: 'i', aud: 'a' });
    assert.equal((await ask(keyless.url, '/ice-servers', bearer(token))).status, 503);
    assert.equal((await ask(keyless.url, '/demo/token', json('{"userId":"alice"}'))).status, 403);
    assert.equal((await ask(generous.url, '/ice-servers?userId=%0A')).status, 400);
  });
});

describe('all of it', () => {
  test('nothing was heard that the document does not have', () => assert.deepEqual(unexpected, []));

  test('everything that the document has was heard', () => {
    assert.deepEqual([...heard.events].sort(), [...EVENTS].sort());
    for (const name of REQUESTS) {
      const wanted = ['ok', ...codesOf(name).filter((code) => !ALWAYS.includes(code))];
      const missing = wanted.filter((answer) => !heard.answers.get(name)?.has(answer));
      assert.deepEqual(missing, [], name);
    }
    const described = Object.entries(openapi.paths).flatMap(([path, item]) =>
      Object.entries(item).filter(([method]) => method !== 'servers').flatMap(([method, { responses }]) => Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`)));
    assert.deepEqual(described.filter((answer) => !answers.has(answer)), []);
  });
});
