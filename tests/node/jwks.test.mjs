// Tokens of an identity provider: its keys are fetched, change while the server runs, and cannot be had for a while.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { temporaryFolder } from './processes.mjs';
import { makeKey, startProvider } from './provider.mjs';
import { Phone, app, eventually, phone, refusal, ring, run, seconds, startNode, startServer, talk, tokenOf, unique } from './support.mjs';

const [RSA, EC, ED] = [makeKey('RS256', 'rsa-1'), makeKey('ES256', 'ec-1'), makeKey('EdDSA', 'ed-1')];

/** Settings of a server that has `provider` and no secret. */
const trusting = (provider, more = {}) => ({ JWT_SECRET: undefined, JWT_JWKS_URL: provider.url, ...more });

/** A server that is stopped with the test. */
async function serverOf(t, provider, more) {
  const server = await startServer(trusting(provider, more));
  t.after(() => server.stop());
  return server;
}

const as = (key, user, claims = {}) => ({ user, auth: { token: key.sign({ sub: user, ...claims }) } });

async function started(t, keys) {
  const provider = await startProvider(t, keys);
  await provider.start();
  return provider;
}

describe('tokens of a provider', () => {
  let server;
  let provider;
  const context = { after: () => {} };
  before(async () => {
    provider = await startProvider(context, [RSA, EC, ED]);
    await provider.start();
    server = await startServer(trusting(provider, { JWT_ISSUER: 'https://id.example.org/', JWT_AUDIENCE: 'app' }));
  });
  after(async () => {
    await server.stop();
    await provider.stop();
  });
  const ours = { iss: 'https://id.example.org/', aud: ['app', 'another'] };

  for (const transports of [['websocket'], ['polling']]) {
    test(`users with tokens of every kind talk to each other (${transports[0]})`, async (t) => {
      const [alice, bob, carol] = await Promise.all(
        [RSA, EC, ED].map((key) => phone(t, server, { transports, ...as(key, unique('user'), ours) })),
      );
      for (const [caller, callee] of [[alice, bob], [bob, carol], [carol, alice]]) {
        const callId = await talk(caller, callee);
        await caller.request('call_end', { callId });
        await callee.take('call_end');
      }
    });
  }

  const forged = (alg, secret) => {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${encode({ alg, typ: 'JWT', kid: RSA.kid })}.${encode({ sub: 'alice', exp: seconds() + 3600, ...ours })}`;
    return `${text}.${alg === 'none' ? '' : createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const stranger = makeKey('RS256', RSA.kid);
  const rows = [
    ['no token', undefined, 'Authentication required'],
    ['the public key as an HMAC secret', forged('HS256', RSA.pem), 'Invalid token'],
    ['an empty HMAC secret', forged('HS256', ''), 'Invalid token'],
    ['alg none', forged('none'), 'Invalid token'],
    ['HS256, which has no secret here', tokenOf('alice', ours), 'Invalid token'],
    ['another key under the same name', stranger.sign({ sub: 'alice', ...ours }), 'Invalid token'],
    ['a key that the token brings along', stranger.sign({ sub: 'alice', ...ours }, { jwk: stranger.jwk }), 'Invalid token'],
    ['the name of a key of another kind', RSA.sign({ sub: 'alice', ...ours }, { kid: EC.kid }), 'Invalid token'],
    ['an algorithm that is not allowed', RSA.sign({ sub: 'alice', ...ours }, { alg: 'RS512' }), 'Invalid token'],
    ['an unknown key', RSA.sign({ sub: 'alice', iat: seconds() - 600, ...ours }, { kid: 'unknown' }), 'Invalid token'],
    ['another issuer', RSA.sign({ sub: 'alice', ...ours, iss: 'https://id.example.org' }), 'Invalid token'],
    ['another audience', RSA.sign({ sub: 'alice', ...ours, aud: 'another' }), 'Invalid token'],
    ['no exp', RSA.sign({ sub: 'alice', ...ours, exp: undefined }), 'Invalid token'],
    ['nobody', RSA.sign({ ...ours }), 'Invalid token'],
    ['an expired token', RSA.sign({ sub: 'alice', ...ours, exp: seconds() - 2 }), 'Token expired'],
    ['nbf in the future', RSA.sign({ sub: 'alice', ...ours, nbf: seconds() + 600 }), 'Authentication failed'],
  ];
  for (const [what, token, message] of rows) {
    test(`${what}: ${message}`, async (t) => {
      const error = await refusal(t, server, { auth: token && { token } });
      assert.equal(error.message, message);
    });
  }

  test('token_refresh and /ice-servers take them too', async (t) => {
    const user = unique('alice');
    const alice = await phone(t, server, as(RSA, user, ours));
    const exp = seconds() + 7200;
    const fresh = ED.sign({ sub: user, ...ours, exp });
    assert.deepEqual(await alice.request('token_refresh', { token: fresh }), { success: true, expiresAt: exp * 1000 });
    assert.equal((await server.nodes[0].get(`/ice-servers?token=${fresh}`)).status, 200);
    assert.equal((await server.nodes[0].get(`/ice-servers?token=${forged('HS256', RSA.pem)}`)).status, 401);
  });

  test('a crowd with unknown keys has them fetched once', async (t) => {
    const before = provider.times;
    const strangers = Array.from({ length: 50 }, (_, n) => {
      const token = RSA.sign({ sub: 'alice', iat: seconds() - 600, ...ours }, { kid: `unknown-${n}` });
      return refusal(t, server, { auth: { token } });
    });
    for (const { message } of await Promise.all(strangers)) assert.equal(message, 'Invalid token');
    assert.ok(provider.times - before <= server.nodes.length, `asked ${provider.times - before} times`);
  });
});

test('the log of a node that is asked for it says why a token is refused, and shows nothing of it', async (t) => {
  const provider = await started(t, [RSA, EC]);
  const node = await startNode(trusting(provider, { JWT_AUDIENCE: 'app', JWT_ISSUER: 'https://id.example.org/', LOG_LEVEL: 'debug' }));
  t.after(() => node.stop());
  await node.ready();
  const ours = { sub: 'alice', iss: 'https://id.example.org/', aud: 'app' };
  const rows = [
    [RSA.sign({ ...ours, iss: 'https://id.example.org' }), 'its `iss` is not JWT_ISSUER'],
    [RSA.sign({ ...ours, aud: 'another' }), 'its `aud` is not JWT_AUDIENCE'],
    [RSA.sign({ ...ours, exp: undefined }), 'it has no `exp`'],
    [RSA.sign({ ...ours, sub: 7 }), 'neither `userId` nor `sub` is the id of a user'],
    [RSA.sign(ours, { kid: EC.kid }), 'the key it names is for something else'],
    [RSA.sign(ours, { alg: 'RS512' }), 'its algorithm is not one of JWT_ALGORITHMS'],
    [makeKey('RS256', RSA.kid).sign(ours), 'none of the keys has signed it'],
    [RSA.sign({ ...ours, iat: seconds() - 600 }, { kid: 'unknown' }), 'the identity provider has no such key'],
    [tokenOf('alice', ours), 'it is signed with a secret, and there is none'],
    ['opaque', 'it is no JWT'],
  ];
  for (const [token, why] of rows) {
    await refusal(t, node, { auth: { token } });
    await eventually(() => node.output.stdout.includes(`a token is refused why="${why}`), () => `not said: ${why}\n${node.output.stdout}`);
    assert.ok(!node.output.stdout.includes(token));
  }
});

test('an ID token of Firebase needs nothing but settings', async (t) => {
  const provider = await started(t, [RSA]);
  const server = await serverOf(t, provider, {
    JWT_ALGORITHMS: 'RS256', JWT_AUDIENCE: 'my-project', JWT_ISSUER: 'https://securetoken.google.com/my-project', NODE_ENV: 'production',
    ...(process.env.SWITCHBOARD_NODES !== '2' && { BACKPLANE: 'embedded' }),
  });
  const claims = (user, project) => ({
    iss: `https://securetoken.google.com/${project}`, aud: project, auth_time: seconds(), user_id: user,
    firebase: { identities: {}, sign_in_provider: 'anonymous' }, provider_id: 'anonymous',
  });
  const users = [unique('uid'), unique('uid')];
  const [alice, bob] = await Promise.all(users.map((user) => phone(t, server, as(RSA, user, claims(user, 'my-project')))));
  await ring(alice, bob);
  assert.equal(bob.heard('incoming_call')[0].callerId, alice.user);
  const error = await refusal(t, server, as(RSA, users[0], claims(users[0], 'another-project')));
  assert.equal(error.message, 'Invalid token');
});

test('keys change while the server runs', async (t) => {
  const provider = await started(t, [RSA]);
  const server = await serverOf(t, provider);
  const old = await phone(t, server, as(RSA, unique('alice')));
  const next = makeKey('ES256', 'ec-2');
  provider.keys = [RSA, next];
  for (const node of server.nodes) await phone(t, node, as(next, unique('bob')));
  const carol = await phone(t, server, as(RSA, unique('carol')));
  await ring(old, carol);
});

describe('while the key server is dead', { concurrency: true }, () => {
  const rows = [['websocket'], ['polling']];
  for (const transports of rows) test(`known keys are good, and who brings a new one comes back by itself (${transports[0]})`, async (t) => {
    const provider = await started(t, [RSA]);
    const server = await serverOf(t, provider);
    const [node] = server.nodes;
    const alice = await phone(t, node, as(RSA, unique('alice')));
    await provider.stop();
    const bob = await phone(t, node, as(RSA, unique('bob')));
    await ring(alice, bob);

    const next = makeKey('ES256', 'ec-2');
    const token = next.sign({ sub: alice.user });
    const [refused, answer] = [alice.request('token_refresh', { token }), node.get(`/ice-servers?token=${token}`)];
    const user = unique('carol');
    const carol = new Phone(node.url, { ...as(next, user), device: unique('device'), transports, reconnection: true });
    t.after(() => carol.close());
    const connected = new Promise((resolve) => carol.socket.once('connect', resolve));
    const errors = [];
    carol.socket.on('connect_error', (problem) => errors.push(problem.message));
    carol.socket.connect();
    const error = { code: 'E501', message: 'Temporarily unavailable', retryable: true };
    assert.deepEqual(await refused, { success: false, error });
    assert.deepEqual(await answer, { status: 503, body: { success: false, error: error.message } });
    assert.match(await carol.disconnected(), /^transport (close|error)$/);
    assert.equal(carol.socket.active, true);
    // A poll that finds its session gone is an error that the client gets over, unlike a refusal.
    assert.deepEqual(errors, transports[0] === 'polling' ? ['xhr poll error'] : []);
    provider.keys = [RSA, next];
    await provider.start();
    await connected;
    await carol.register();
    await ring(alice, carol);
    assert.match(node.output.stdout, /keys of the identity provider cannot be fetched/);
    assert.doesNotMatch(node.output.stdout, new RegExp(token));
  });
});

test('a node starts without its key server, says so, and lets in whoever waits when that is there', async (t) => {
  const provider = await startProvider(t, [RSA]);
  const node = await startNode(trusting(provider));
  t.after(() => node.stop());
  const warned = () => /keys of the identity provider cannot be fetched.*refused/.test(node.output.stdout);
  await eventually(warned, () => `no warning: ${node.output.stdout}`);
  assert.deepEqual(await node.get('/readyz'), { status: 503, body: { status: 'not_ready', reasons: ['keys'] } });
  await node.isAlive();
  const alice = app(t, node, as(RSA, unique('alice')));
  await provider.start();
  const [bob] = await Promise.all([app(t, node, as(RSA, unique('bob'))), node.ready()]);
  await ring(await alice, bob);
});

test('the keys come encrypted from whom the system trusts, and from nobody else', async (t) => {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder.path, name));
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  const about = ['-subj', '/CN=id.example.org', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'];
  execFileSync('openssl', [...args, ...about], { stdio: 'pipe' });
  const provider = await startProvider(t, [RSA], { key: readFileSync(key), cert: readFileSync(cert) });
  await provider.start();
  const trustful = await startNode(trusting(provider, { SSL_CERT_FILE: cert }));
  t.after(() => trustful.stop());
  await ring(await phone(t, trustful, as(RSA, unique('alice'))), await phone(t, trustful, as(RSA, unique('bob'))));

  const careful = await startNode(trusting(provider));
  t.after(() => careful.stop());
  const warned = () => /keys of the identity provider cannot be fetched.*certificate/.test(careful.output.stdout);
  await eventually(warned, () => `no warning: ${careful.output.stdout}`);
});

test('during a migration tokens of the secret and of the provider are both good', async (t) => {
  const provider = await started(t, [RSA]);
  const server = await startServer({ JWT_JWKS_URL: provider.url, JWT_ISSUER: 'https://id.example.org/' });
  t.after(() => server.stop());
  const alice = await phone(t, server, as(RSA, unique('alice'), { iss: 'https://id.example.org/' }));
  const bob = await phone(t, server);
  await ring(alice, bob);
});

test('a public key may come from a file; without a secret nobody is made a token', async (t) => {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const file = path.join(folder.path, 'keys.pem');
  writeFileSync(file, EC.pem + ED.pem);
  const env = { JWT_SECRET: undefined, JWT_PUBLIC_KEY_PATH: file };
  const server = await startServer(env);
  t.after(() => server.stop());
  const [alice, bob] = [await phone(t, server, as(EC, unique('alice'))), await phone(t, server, as(ED, unique('bob')))];
  await ring(alice, bob);

  const answer = await fetch(`${server.url}/demo/token`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"userId":"alice"}',
  });
  assert.equal(answer.status, 403);
  assert.match((await answer.json()).error, /JWT_SECRET/);
  const { code, stdout, stderr } = await run(['token', '--user', 'alice'], env);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /JWT_SECRET is not set: tokens come from/);
});
