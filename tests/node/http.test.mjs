// HTTP and the command line: health, info, ICE servers, CORS, errors, what production refuses, and the three commands.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { Agent, get } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Phone, SECRET, phone, run, seconds, sign, startServer, talk, tokenOf, unique } from './support.mjs';

const STUN = 'stun:127.0.0.1:9';
const TURN_SECRET = 'shared-with-coturn';
const TURN_URLS = ['turn:turn.example.org:3478', 'turns:turn.example.org:5349'];

let server;
let relayed;
let production;
before(async () => {
  [server, relayed, production] = await Promise.all([
    startServer(),
    startServer({ TURN_SERVER_URL: TURN_URLS.join(','), TURN_STATIC_SECRET: TURN_SECRET, TURN_TTL: '600' }),
    startServer({ NODE_ENV: 'production', BACKPLANE: 'embedded', CORS_ORIGIN: 'https://a.example,https://b.example' }),
  ]);
});
after(() => Promise.all([server, relayed, production].map((one) => one.stop())));

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

async function json(answer, status = 200) {
  assert.equal(answer.status, status, await answer.clone().text());
  assert.match(answer.headers.get('content-type'), /^application\/json/);
  return answer.json();
}

describe('documented endpoints', () => {
  test('/health', async () => {
    const { timestamp, uptime, ...rest } = await json(await fetch(`${server.url}/health`));
    assert.equal(new Date(timestamp).toISOString(), timestamp);
    assert.ok(uptime >= 0 && uptime < 600);
    assert.equal(rest.status, 'ok');
    assert.equal(typeof rest.redis, 'string');
    assert.equal(rest.fcm, 'not_initialized');
  });

  test('/info', async () => {
    const { name, version, env, features } = await json(await fetch(`${server.url}/info`));
    assert.ok(name.length > 0);
    assert.match(version, /^\d+\.\d+\.\d+/);
    assert.equal(env, 'development');
    assert.deepEqual(features, { socketio: true, redis: false, fcm: false, turn: false });
    assert.equal((await json(await fetch(`${relayed.url}/info`))).features.turn, true);
    assert.equal((await json(await fetch(`${production.url}/info`))).env, 'production');
  });

  test('HEAD answers as GET does, without a body', async () => {
    for (const path of ['/health', '/info']) {
      const answer = await fetch(`${server.url}${path}`, { method: 'HEAD' });
      assert.equal(answer.status, 200);
      assert.equal(await answer.text(), '');
    }
  });

  test('anything else is a JSON 404', async () => {
    for (const [path, options] of [['/nothing'], ['/health', { method: 'POST' }], ['/ice-servers', { method: 'DELETE' }], ['/engine.io/?EIO=4']]) {
      const answer = await fetch(`${server.url}${path}`, options);
      assert.deepEqual(await json(answer, 404), { success: false, error: 'Endpoint not found' });
    }
  });

  test('a body that is not JSON is a 400, a large one a 413', async () => {
    const post = (body) =>
      fetch(`${server.url}/demo/token`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    for (const body of ['{"userId":', 'nonsense', '[]', '{}', '{"userId":5}', '{"userId":""}']) {
      const { success, error } = await json(await post(body), 400);
      assert.equal(success, false);
      assert.ok(error.length > 0);
    }
    assert.equal((await json(await post(JSON.stringify({ userId: 'x'.repeat(200_000) })), 413)).success, false);
    await server.isAlive();
  });
});

describe('ICE servers', () => {
  const ask = (node, query = '', options) => fetch(`${node.url}/ice-servers${query}`, options);

  test('only STUN, when there is no TURN', async () => {
    const token = tokenOf('alice');
    const { success, iceServers, ttl } = await json(await ask(server, '?userId=alice', bearer(token)));
    assert.equal(success, true);
    assert.deepEqual(iceServers, [{ urls: STUN }]);
    assert.equal(ttl, 86400);
  });

  test('credentials for the user of the token, that coturn would compute too', async () => {
    for (const options of [['?userId=mallory', bearer(tokenOf('alice'))], [`?token=${tokenOf('alice')}`]]) {
      const { iceServers, ttl } = await json(await ask(relayed, ...options));
      assert.deepEqual(iceServers[0], { urls: STUN });
      assert.deepEqual(iceServers.slice(1).flatMap(({ urls }) => urls), TURN_URLS);
      assert.equal(ttl, 600);
      for (const { username, credential } of iceServers.slice(1)) {
        const [until, user] = username.split(':');
        assert.equal(user, 'alice');
        assert.ok(Math.abs(Number(until) - seconds() - 600) < 10, until);
        assert.equal(credential, createHmac('sha1', TURN_SECRET).update(username).digest('base64'));
      }
    }
  });

  test('no credentials for strangers', async () => {
    const tokens = [undefined, 'garbage', sign({ userId: 'alice' }, { secret: 'wrong' }), tokenOf('alice', { exp: seconds() - 5 })];
    for (const token of tokens) {
      const answer = await ask(relayed, '?userId=alice', token && bearer(token));
      const text = await answer.text();
      assert.ok(answer.status === 401 || !/credential/.test(text), `${answer.status} ${text}`);
      assert.doesNotMatch(text, /credential"/);
    }
  });

  test('ICE_SERVERS_PUBLIC=true gives them to anybody; a fixed pair is handed out as it is', async (t) => {
    const pub = await startServer({
      ICE_SERVERS_PUBLIC: 'true', TURN_SERVER_URL: TURN_URLS[0], TURN_USERNAME: 'u', TURN_CREDENTIAL: 'c',
    });
    t.after(() => pub.stop());
    const { iceServers } = await json(await ask(pub, '?userId=alice'));
    assert.deepEqual(iceServers, [{ urls: STUN }, { urls: TURN_URLS[0], username: 'u', credential: 'c' }]);
  });
});

describe('CORS', () => {
  const asking = (node, origin, path = '/info') => fetch(`${node.url}${path}`, { headers: { Origin: origin } });
  const POLLING = '/socket.io/?EIO=4&transport=polling';

  test('"*" is never combined with credentials', async () => {
    for (const path of ['/info', POLLING]) {
      const { headers } = await asking(server, 'https://a.example', path);
      assert.equal(headers.get('access-control-allow-origin'), '*');
      assert.equal(headers.get('access-control-allow-credentials'), null);
    }
  });

  test('of a list, the origin that asks is allowed, with credentials', async () => {
    for (const path of ['/info', POLLING]) {
      for (const origin of ['https://a.example', 'https://b.example']) {
        const { headers } = await asking(production, origin, path);
        assert.equal(headers.get('access-control-allow-origin'), origin);
        assert.equal(headers.get('access-control-allow-credentials'), 'true');
        assert.match(headers.get('vary') ?? '', /origin/i);
      }
      const { headers } = await asking(production, 'https://evil.example', path);
      assert.equal(headers.get('access-control-allow-origin'), null);
    }
  });

  test('preflights are answered', async () => {
    for (const [path, method] of [['/ice-servers', 'GET'], [POLLING, 'POST']]) {
      const headers = { Origin: 'https://a.example', 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'authorization' };
      const answer = await fetch(`${production.url}${path}`, { method: 'OPTIONS', headers });
      assert.ok([200, 204].includes(answer.status), String(answer.status));
      assert.equal(answer.headers.get('access-control-allow-origin'), 'https://a.example');
      assert.match(answer.headers.get('access-control-allow-methods'), new RegExp(method));
      assert.match(answer.headers.get('access-control-allow-headers'), /authorization/i);
    }
  });
});

describe('development and production', () => {
  test('development has a page and makes tokens for it', async (t) => {
    const page = await fetch(`${server.url}/`);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type'), /^text\/html/);
    const users = [unique('alice'), unique('bob')];
    const phones = [];
    for (const userId of users) {
      const options = { method: 'POST', body: JSON.stringify({ userId }), headers: { 'Content-Type': 'application/json' } };
      const { token, expiresIn, ...rest } = await json(await fetch(`${server.url}/demo/token`, options));
      assert.deepEqual(rest, { success: true, userId });
      assert.equal(expiresIn, 7 * 24 * 3600);
      phones.push(await phone(t, server, { user: userId, auth: { token } }));
    }
    await talk(...phones);
  });

  test('production has neither', async () => {
    const post = { method: 'POST', body: '{"userId":"alice"}', headers: { 'Content-Type': 'application/json' } };
    for (const [path, options] of [['/'], ['/demo/token', post], ['/demo/'], ['/demo/api.js']]) {
      assert.deepEqual(await json(await fetch(`${production.url}${path}`, options), 404), { success: false, error: 'Endpoint not found' });
    }
  });

  test('a refused start lists every problem at once', async () => {
    const { code, stdout, stderr } = await run([], {
      NODE_ENV: 'production', PORT: 'many', CALL_RING_TIMEOUT: '-1', AUTH_REQUIRED: 'perhaps', LOG_FORMAT: 'xml',
    });
    assert.notEqual(code, 0);
    for (const name of ['JWT_SECRET', 'BACKPLANE', 'PORT', 'CALL_RING_TIMEOUT', 'AUTH_REQUIRED', 'LOG_FORMAT']) {
      assert.match(stderr, new RegExp(`\\b${name}\\b`), stderr);
    }
    assert.equal(stdout, '');
  });

  test('a refusal names no secret', async () => {
    const { code, stdout, stderr } = await run([], { NODE_ENV: 'production', BACKPLANE: 'embedded', JWT_SECRET: 'shrt', PORT: 'x' });
    assert.notEqual(code, 0);
    assert.doesNotMatch(stdout + stderr, /shrt/);
  });

  test('a Redis that is nowhere, or in two places, is refused in plain words', async () => {
    const nowhere = await run([], { BACKPLANE: 'redis' });
    assert.notEqual(nowhere.code, 0);
    assert.match(nowhere.stderr, /set REDIS_URL, REDIS_HOST or REDIS_SENTINELS/);
    const twice = await run([], { REDIS_URL: 'redis://:hunter2@localhost', REDIS_HOST: 'localhost' });
    assert.notEqual(twice.code, 0);
    assert.match(twice.stderr, /REDIS_HOST: is set beside REDIS_URL/);
    assert.doesNotMatch(twice.stdout + twice.stderr, /hunter2/);
  });

  test('without a single variable it starts, and says what it made up', async (t) => {
    const bare = await startServer({ DRAIN_TIMEOUT: undefined, JWT_SECRET: undefined, NODE_ENV: undefined, STUN_SERVER_URL: undefined, SHUTDOWN_TIMEOUT: undefined });
    t.after(() => bare.stop());
    await bare.isAlive();
    assert.match(bare.output.stdout + bare.output.stderr, /JWT_SECRET/);
  });
});

describe('commands', () => {
  test('--help and --version', async () => {
    const help = await run(['--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /token/);
    assert.match(help.stdout, /check-config/);
    const version = await run(['--version']);
    assert.equal(version.code, 0);
    assert.match(version.stdout, /^switchboard \d+\.\d+\.\d+/);
  });

  test('token prints a token that the server takes', async (t) => {
    const user = unique('alice');
    const { code, stdout } = await run(['token', '--user', user], { JWT_SECRET: SECRET, JWT_EXPIRY: '12h' });
    assert.equal(code, 0);
    const token = stdout.trim();
    const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
    assert.ok(Math.abs(claims.exp - seconds() - 12 * 3600) < 10);
    const alice = await phone(t, server, { user, auth: { token } });
    assert.ok(alice.socket.connected);
  });

  test('token refuses without a secret, or for nobody', async () => {
    for (const [args, env] of [[['token', '--user', 'alice'], {}], [['token'], { JWT_SECRET: SECRET }], [['token', '--user', '  '], { JWT_SECRET: SECRET }]]) {
      const { code, stdout, stderr } = await run(args, env);
      assert.notEqual(code, 0, `${args}`);
      assert.equal(stdout, '');
      assert.ok(stderr.length > 0);
    }
  });

  test('check-config says whether the server would start', async () => {
    const good = await run(['check-config'], { NODE_ENV: 'production', BACKPLANE: 'embedded', JWT_SECRET: SECRET });
    assert.equal(good.code, 0, good.stderr);
    assert.doesNotMatch(good.stdout + good.stderr, new RegExp(SECRET));
    const bad = await run(['check-config'], { PORT: '70000', SEND_QUEUE: '0' });
    assert.notEqual(bad.code, 0);
    for (const name of ['PORT', 'SEND_QUEUE']) assert.match(bad.stderr, new RegExp(name));
  });

  test('an unknown command is refused', async () => {
    const { code, stderr } = await run(['frobnicate']);
    assert.notEqual(code, 0);
    assert.match(stderr, /frobnicate/);
  });

  test('a server that ends takes nobody in over connections that are open, and does not wait for them', async (t) => {
    const server = await startServer({ SHUTDOWN_TIMEOUT: '30000' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const handshake = () => new Promise((resolve, reject) => {
      const request = get(`${server.url}/socket.io/?EIO=4&transport=polling`, { agent }, (response) => {
        response.resume().once('end', () => resolve({ status: response.statusCode, isReused: request.reusedSocket }));
      }).once('error', reject);
    });
    assert.equal((await handshake()).status, 200);
    const alice = await phone(t, server);
    const stopped = server.stop();
    assert.equal(await alice.disconnected(), 'transport close');
    assert.deepEqual(await handshake(), { status: 503, isReused: true });
    assert.equal((await stopped).code, 0);
  });

  test('SIGTERM ends the server in good order: clients see a transport close and come back by themselves', async (t) => {
    const ending = await startServer();
    t.after(() => ending.stop('SIGKILL'));
    const alice = new Phone(ending.url, { user: unique('alice') });
    t.after(() => alice.close());
    await alice.connect();
    const { code, signal } = await ending.stop();
    assert.deepEqual([code, signal], [0, null]);
    assert.equal(await alice.disconnected(), 'transport close');
  });
});
