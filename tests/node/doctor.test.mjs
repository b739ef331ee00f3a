// `switchboard doctor`: the real binary looks at real servers, good ones and ones that are wrong in one way each.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { startCoturn } from './coturn.mjs';
import { certificate, freePort, temporaryFolder } from './processes.mjs';
import { makeKey, startProvider } from './provider.mjs';
import { apnsError, fcmError, startPushServices } from './push-services.mjs';
import { SECRET, eventually, run, startNode, startRedis, startSentinels } from './support.mjs';

/** What is in no output, whatever is looked at. */
const SECRETS = [SECRET, 'a-password-of-redis', 'a-secret-of-coturn', 'another-secret-of-coturn', 'a-secret-of-webhooks'];

/** Settings of all doctors of these tests: nothing outside of this machine is asked. */
const BASE = { HOST: '127.0.0.1', JWT_SECRET: SECRET, METRICS_PORT: '0', NODE_ENV: 'production', PORT: '0', STUN_SERVER_URL: 'stun:127.0.0.1:9' };
const EMBEDDED = { BACKPLANE: 'embedded' };

/** Runs the doctor: its exit code, what it says, and the findings, each as `mark subject: found -> change`. */
async function examine(env) {
  const { code, stdout, stderr } = await run(['doctor', '--json'], { ...BASE, ...env });
  assert.equal(stderr, '');
  for (const secret of SECRETS) assert.ok(!stdout.includes(secret), `a secret is shown: ${stdout}`);
  const { problems, warnings, findings } = JSON.parse(stdout);
  const lines = findings.map(({ mark, subject, found, change }) => `${mark} ${subject}: ${found} -> ${change}`);
  return {
    code, problems, warnings, findings, lines,
    /** Fails unless one finding fits, and returns it. */
    has(pattern) {
      const line = lines.find((one) => pattern.test(one));
      assert.ok(line, `no finding fits ${pattern}:\n${lines.join('\n')}`);
      return line;
    },
  };
}

/** Fails unless exactly one thing is wrong, and fits. */
async function hasProblem(env, ...patterns) {
  const report = await examine(env);
  for (const pattern of patterns) report.has(pattern);
  const problems = report.lines.filter((line) => line.startsWith('problem'));
  assert.equal(problems.length, patterns.length, problems.join('\n'));
  assert.equal(report.code, 1);
  return report;
}

/** Runs the doctor over something good. */
async function isGood(env) {
  const report = await examine(env);
  assert.deepEqual([report.code, report.problems], [0, 0], report.lines.join('\n'));
  return report;
}

test('people read what is not there and what follows from it, and nothing is broken', async () => {
  const { code, stdout } = await run(['doctor'], { ...BASE, ...EMBEDDED });
  assert.equal(code, 0, stdout);
  for (const line of [
    /^configuration$/m,
    /^ {2}ok {7}settings: valid; production, calls in the memory of one node$/m,
    /^ {2}- {8}Redis: not used: .*a restart of it forgets calls/m,
    /^ {2}- {8}FCM: not configured: phones that sleep are not woken$/m,
    /^ {2}- {8}TURN: not configured: /m,
    /^0 problems, \d warnings?\.$/m,
  ]) assert.match(stdout, line);
  const help = await run(['--help']);
  assert.match(help.stdout, /^ {2}doctor {2,}Check Redis, push services, TURN/m);
});

test('a configuration that does not load is told as check-config tells it', async () => {
  const env = { ...BASE, ...EMBEDDED, CALL_RING_TIMOUT: '5', PORT: 'x' };
  const [doctor, check] = [await run(['doctor'], env), await run(['check-config'], env)];
  assert.deepEqual([doctor.code, doctor.stdout], [2, '']);
  assert.match(doctor.stderr, /CALL_RING_TIMOUT[^]*CALL_RING_TIMEOUT/);
  assert.equal(doctor.stderr, check.stderr);
});

test('settings that somebody may be sorry for are warned of', async () => {
  const report = await isGood({ ...EMBEDDED, AUTH_REQUIRED: 'false', DRAIN_TIMEOUT: '20000', NODE_ENV: 'development', HOST: '0.0.0.0', LOG_FILE: 'x' });
  report.has(/^warning NODE_ENV: development, open to the network .* -> Set NODE_ENV=production/);
  report.has(/^warning settings: AUTH_REQUIRED=false: ANYBODY .* -> Take AUTH_REQUIRED=false away/);
  report.has(/^warning settings: LOG_FILE is ignored.* -> Take LOG_FILE/);
  report.has(/^ok DRAIN_TIMEOUT: a node ends within 32 s \(DRAIN_TIMEOUT 20 s, SHUTDOWN_TIMEOUT 10 s, 2 s for its last words\)/);
});

// ------------------------------------------------------------------------------------------------------------------- Redis

test('a good Redis is good, with all rights and with those of the README', async (t) => {
  const redis = await startRedis(t, { config: ['appendonly yes'] });
  const all = await isGood(redis.env);
  all.has(/^ok 127\.0\.0\.1:\d+: connected without TLS/);
  all.has(/^ok server: (redis|valkey) [\d.]+, a primary with 0 replicas/);
  all.has(/^ok permissions: the user default may run every command/);
  all.has(/^ok notify-keyspace-events: off/);
  all.has(/^ok client-output-buffer-limit: pubsub: 32 MiB/);
  all.has(/^absent nodes: none gives signs of life/);
  assert.ok(!all.lines.some((line) => line.startsWith('warning') && !/open files|stun:/.test(line)), all.lines.join('\n'));

  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const rights = readme.match(/ACL SETUSER switchboard on >password ([^`]*)/)[1].trim().split(/\s+/);
  await redis.send('ACL', 'SETUSER', 'switchboard', 'on', '>a-password-of-redis', ...rights);
  const own = { REDIS_URL: `redis://switchboard:a-password-of-redis@127.0.0.1:${redis.port}`, REDIS_KEY_PREFIX: 'calls:' };
  const least = await isGood(own);
  least.has(/^ok permissions: the user switchboard may run every command/);
  least.has(/^absent notify-keyspace-events: not looked at: this user may not run CONFIG GET/);
  assert.deepEqual(await redis.keys(), [], 'nothing is left in Redis');

  const node = await startNode({ ...own });
  t.after(() => node.stop());
  await node.ready();
  (await isGood({ ...own, PORT: String(node.port) })).has(/^ok nodes: 1 gives signs of life/);
});

test('each thing that is wrong with a Redis is told with what mends it', async (t) => {
  const redis = await startRedis(t, { config: ['appendonly yes'] });
  await redis.send('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await redis.send('CONFIG', 'SET', 'notify-keyspace-events', 'Ex');
  await redis.send('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 1mb 10');
  const report = await hasProblem(redis.env, /^problem maxmemory-policy: allkeys-lru: .*phones do not ring -> Set maxmemory-policy noeviction in redis\.conf/);
  report.has(/^warning notify-keyspace-events: xE: every node hears/);
  report.has(/^warning client-output-buffer-limit: pubsub: 1 MiB .*-> Set client-output-buffer-limit pubsub 32mb 8mb 60/);
  await redis.send('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  await redis.send('CONFIG', 'SET', 'appendonly', 'no');
  (await isGood(redis.env)).has(/^warning appendonl[y]: no: .* -> Set appendonly yes in redis\.conf/);
  await redis.send('CONFIG', 'SET', 'maxmemory', '1kb');
  await hasProblem(redis.env, /^problem maxmemory: .*-> Raise maxmemory/, /^problem writes: refused: OOM .*-> Raise maxmemory/);
  await redis.send('CONFIG', 'SET', 'maxmemory', '0');

  const replica = await startRedis(t, { config: [`replicaof 127.0.0.1 ${redis.port}`] });
  const primary = new RegExp(`^problem server: it is a replica of 127\\.0\\.0\\.1:${redis.port}.* -> Set REDIS_URL`);
  await hasProblem(replica.env, primary, /^problem writes: refused: .*-> Point at the primary/);
});

test('who may not come in, or may not do what is needed, is told so', async (t) => {
  const redis = await startRedis(t);
  const as = (user, password = 'a-password-of-redis') => ({ REDIS_URL: `redis://${user}:${password}@127.0.0.1:${redis.port}`, REDIS_KEY_PREFIX: 'calls:' });
  const allow = (user, ...rights) => redis.send('ACL', 'SETUSER', user, 'on', '>a-password-of-redis', ...rights);
  await allow('scriptless', 'allkeys', 'allchannels', '+@all', '-evalsha');
  await hasProblem(as('scriptless'), /^problem permissions: the user scriptless may not run EVALSHA -> Run ACL SETUSER scriptless \+evalsha$/);
  await allow('hashless', 'allkeys', 'allchannels', '+@all', '-hset', '-xinfo', '-subscribe');
  await hasProblem(as('hashless'), /^problem permissions: the user hashless may not run HSET, XINFO\|STREAM, SUBSCRIBE, UNSUBSCRIBE -> Run ACL SETUSER hashless \+hset \+xinfo\|stream \+subscribe \+unsubscribe$/);
  await allow('keeper', 'allkeys', 'allchannels', '+@all', '-del');
  await hasProblem(as('keeper'), /^problem permissions: the user keeper may not run DEL/);
  for (const key of await redis.keys()) assert.ok((await redis.send('TTL', key)) > 0, `${key} stays`);
  await allow('elsewhere', '~other:*', 'resetchannels', '+@all');
  await hasProblem(as('elsewhere'), / may not touch keys that begin with "calls:".* -> .* ~calls:\*$/, / may not use the channels .* -> .* &calls:\* &__keyevent@0__:expired$/);
  await hasProblem(as('scriptless', 'wrong'), /^problem 127\.0\.0\.1:\d+: .*WRONGPASS.* -> Set REDIS_USERNAME and REDIS_PASSWORD/);
  await redis.send('CONFIG', 'SET', 'requirepass', 'a-password-of-redis');
  await hasProblem(redis.env, /^problem 127\.0\.0\.1:\d+: .*password.* -> Set REDIS_PASSWORD/);
});

test('a Redis that is not there is told with where it was looked for', async (t) => {
  const port = await freePort();
  await hasProblem({ REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port) }, new RegExp(`^problem 127\\.0\\.0\\.1:${port}: .*refused.* -> Start Redis, or correct REDIS_URL, or REDIS_HOST and REDIS_PORT`));
  const redis = await startRedis(t);
  redis.pause();
  await hasProblem(redis.env, /^problem 127\.0\.0\.1:\d+: .*no answer in time -> Check that REDIS_URL.* is right, that no firewall/);
  const sentinel = { REDIS_SENTINELS: `127.0.0.1:${port}`, REDIS_SENTINEL_MASTER: 'calls' };
  await hasProblem(sentinel, new RegExp(`^problem Sentinel 127\\.0\\.0\\.1:${port}: no answer: .* -> Start that Sentinel`));
});

test('TLS that does not come about is told by its side', async (t) => {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const { cert, key } = certificate(folder.path);
  const port = await freePort();
  const files = [`tls-port ${port}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`, 'tls-auth-clients no'];
  const redis = await startRedis(t, { config: files });
  (await isGood({ REDIS_URL: `rediss://127.0.0.1:${port}`, REDIS_TLS_CA: cert })).has(/^ok 127\.0\.0\.1:\d+: connected with TLS/);
  await hasProblem({ REDIS_URL: `rediss://127.0.0.1:${port}` }, /^problem 127\.0\.0\.1:\d+: .*certificate.* -> Set REDIS_TLS_CA to the authority/);
  await hasProblem({ REDIS_URL: `redis://127.0.0.1:${port}` }, /^problem 127\.0\.0\.1:\d+: .* REDIS_TLS=true/);
  await hasProblem({ REDIS_URL: `rediss://127.0.0.1:${redis.port}` }, /^problem 127\.0\.0\.1:\d+: .* that Redis speaks TLS there/);
});

test('each Sentinel is asked for the primary', async (t) => {
  const group = await startSentinels(t);
  const report = await isGood(group.env);
  const primary = `the primary is 127.0.0.1:${await group.primaryPort()}`;
  assert.equal(report.lines.filter((line) => line.startsWith('ok Sentinel') && line.includes(primary)).length, 3);
  report.has(/^ok server: .* a primary with 1 replica/);
  await hasProblem({ ...group.env, REDIS_SENTINEL_MASTER: 'others' }, ...Array(3).fill(/^problem Sentinel .*no primary by the name of others -> Set REDIS_SENTINEL_MASTER/));
});

// --------------------------------------------------------------------------------------------------------------- push, TURN

test('push services that take the keys are good, and what they refuse is told in words', async (t) => {
  const push = await startPushServices();
  t.after(() => push.stop());
  const env = { ...EMBEDDED, ...push.fcmEnv, ...push.apnsEnv };
  const answered = (fcm, apns) => Object.assign(push.fcm, { otherwise: fcm }) && Object.assign(push.apns, { otherwise: apns });
  const badToken = fcmError(400, { word: 'INVALID_ARGUMENT', code: 'INVALID_ARGUMENT' });
  answered(badToken, apnsError(400, 'BadDeviceToken'));
  const good = await isGood(env);
  good.has(/^ok FCM: the service account may send for the project an-app/);
  good.has(/^ok APNs: Apple takes the key, for org\.example\.app\.voip/);
  assert.ok(push.fcm.requests.every(({ wrong, validateOnly }) => wrong === undefined && validateOnly === true));
  assert.deepEqual(push.faults, []);

  for (const [fcm, apns, ...patterns] of [
    [fcmError(404, { word: 'NOT_FOUND', code: 'UNREGISTERED' }), apnsError(403, 'InvalidProviderToken'), /^problem APNs: .*InvalidProviderToken.* -> Set APNS_KEY_ID and APNS_TEAM_ID/],
    [fcmError(403, { word: 'PERMISSION_DENIED' }), apnsError(410, 'Unregistered'), /^problem FCM: .*may not send.* -> Give the service account the role/],
    [fcmError(403, { word: 'PERMISSION_DENIED', code: 'SENDER_ID_MISMATCH' }), apnsError(400, 'TopicDisallowed'), /^problem FCM: .*SENDER_ID_MISMATCH.* -> Set FIREBASE_PROJECT_ID/, /^problem APNs: .*TopicDisallowed.* -> Set APNS_TOPIC/],
  ]) {
    answered(fcm, apns);
    await hasProblem(env, ...patterns);
  }
  answered(fcmError(503, { word: 'UNAVAILABLE' }), apnsError(400, 'BadDeviceToken'));
  (await isGood(env)).has(/^warning FCM: the service is in trouble -> Look again/);
  answered(badToken, apnsError(400, 'BadDeviceToken'));
  await hasProblem({ ...env, FIREBASE_PROJECT_ID: 'another-app' }, /^problem FCM: there is no such project.* -> Set FIREBASE_PROJECT_ID/);
  const away = `http://127.0.0.1:${await freePort()}`;
  await hasProblem({ ...env, APNS_ENDPOINT: away }, /^problem APNs: 127\.0\.0\.1: no connection -> Let this machine reach 127\.0\.0\.1/);
});

test('a TURN server gives a relay to who has the right secret, over UDP, TCP and TLS', async (t) => {
  const coturn = await startCoturn(t, { secrets: ['a-secret-of-coturn'], isEncrypted: true });
  const urls = [...coturn.urls, coturn.encryptedUrl];
  const turn = (secret) => ({ ...EMBEDDED, ...coturn.trustEnv, STUN_SERVER_URL: `stun:127.0.0.1:${coturn.port}`, TURN_SERVER_URL: urls[0], TURN_REGIONS: `eu=${urls.slice(1)}`, TURN_STATIC_SECRET: secret });
  const good = await isGood(turn('a-secret-of-coturn'));
  good.has(/^ok stun:127\.0\.0\.1:\d+: answers in .*, and sees this machine at 127\.0\.0\.1/);
  const relays = good.lines.filter((line) => / gives a relay at 127\.0\.0\.1, in .*private address.* -> Name the server by its public address/.test(line));
  assert.equal(relays.length, 3, good.lines.join('\n'));
  assert.ok(relays.every((line, index) => line.startsWith(`warning ${index ? 'eu ' : ''}${urls[index]}: `)), relays.join('\n'));

  const wrong = /^problem .*turns?:.*: the secret does not match \(401\) -> Give the TURN server the secret that nodes sign with/;
  await hasProblem(turn('another-secret-of-coturn'), wrong, wrong, wrong);
  const untrusted = { ...turn('a-secret-of-coturn'), SSL_CERT_FILE: '/dev/null' };
  await hasProblem(untrusted, /^problem eu turns:.*: no TLS connection: .* -> Give the TURN server a certificate/);
});

test('a relay is given back', async (t) => {
  const coturn = await startCoturn(t, { secrets: ['a-secret-of-coturn'], config: ['verbose'] });
  await isGood({ ...EMBEDDED, TURN_SERVER_URL: coturn.urls[0], TURN_STATIC_SECRET: 'a-secret-of-coturn' });
  await eventually(() => /refreshed, .*username=<\d+:doctor>, lifetime=0/.test(coturn.output.stdout), 'it is kept');
});

test('a TURN server that is not there, or is something else, is told with its port', async (t) => {
  const port = await freePort();
  const redis = await startRedis(t);
  const urls = [`turn:127.0.0.1:${port}?transport=udp`, `turn:127.0.0.1:${port}?transport=tcp`, `turn:127.0.0.1:${redis.port}?transport=tcp`];
  const report = await examine({ ...EMBEDDED, TURN_SERVER_URL: urls.join(), TURN_USERNAME: 'u', TURN_CREDENTIAL: 'a-secret-of-coturn' });
  assert.equal(report.problems, 3, report.lines.join('\n'));
  report.has(new RegExp(`^problem turn:127\\.0\\.0\\.1:${port}\\?transport=udp: .* -> Open port ${port} for UDP in the firewalls of 127\\.0\\.0\\.1`));
  report.has(new RegExp(`^problem turn:127\\.0\\.0\\.1:${port}\\?transport=tcp: .*refused.* -> Open port ${port} for TCP`));
  report.has(new RegExp(`^problem turn:127\\.0\\.0\\.1:${redis.port}\\?transport=tcp: `));
});

// ------------------------------------------------------------------------------------------------------ identity provider, ports

test('the keys of an identity provider are counted, and it is said what follows where there are none', async (t) => {
  const provider = await startProvider(t, [makeKey('RS256', 'a'), makeKey('ES256', 'b')]);
  await provider.start();
  const env = { ...EMBEDDED, JWT_SECRET: '', JWT_JWKS_URL: provider.url, JWT_ISSUER: 'https://id.example.org', JWT_AUDIENCE: 'app' };
  const good = await isGood(env);
  good.has(/^ok JWT_JWKS_URL: 2 keys of https:\/\/id\.example\.org can be used, for RS256, ES256, good for 60 min/);
  good.has(/^ok clock: within 1 s of this machine/);
  provider.keys.length = 0;
  await hasProblem(env, /^problem JWT_JWKS_URL: .*no key for the algorithms.* -> Set JWT_JWKS_URL to the provider's JSON Web Key Set/);
  await provider.stop();
  await hasProblem(env, /^problem JWT_JWKS_URL: .*refused.*one that starts is not ready.* -> Let this machine reach/);
});

test('a port that a node has is told from one that somebody else has; a receiver of webhooks is there or not', async (t) => {
  const node = await startNode();
  t.after(() => node.stop());
  (await isGood({ ...EMBEDDED, PORT: String(node.port) })).has(/^ok PORT: 127\.0\.0\.1:\d+ is in use by a node that runs already, and is ready/);
  const stranger = http.createServer(({ url }, answer) => answer.writeHead(Number(url.split('/')[2] ?? 200)).end('hello')).listen(0, '127.0.0.1');
  t.after(() => stranger.close());
  await new Promise((resolve) => stranger.once('listening', resolve));
  const { port } = stranger.address();
  const webhooks = { ...EMBEDDED, WEBHOOK_SECRET: 'a-secret-of-webhooks-0123456789abcdef', WEBHOOK_URL: `http://127.0.0.1:${port}/calls` };
  (await isGood(webhooks)).has(/^ok WEBHOOK_URL: 127\.0\.0\.1 answers \(200\); nothing was told/);
  const answers = (status) => isGood({ ...webhooks, WEBHOOK_URL: `${webhooks.WEBHOOK_URL}/${status}` });
  (await answers(405)).has(/^ok WEBHOOK_URL: 127\.0\.0\.1 answers \(405\)/);
  (await answers(410)).has(/^warning WEBHOOK_URL: 127\.0\.0\.1 says that it is gone \(410\).* -> Unset WEBHOOK_URL/);
  (await answers(503)).has(/^warning WEBHOOK_URL: 127\.0\.0\.1 answers 503: .* -> Look into the log of the receiver/);
  await hasProblem({ ...webhooks, WEBHOOK_URL: `http://127.0.0.1:${await freePort()}/calls` }, /^problem WEBHOOK_URL: 127\.0\.0\.1: .*refused.* -> Start the receiver/);
  await hasProblem({ ...EMBEDDED, METRICS_PORT: String(port) }, /^problem METRICS_PORT: .* is in use, and not by a switchboard .* -> Set METRICS_PORT to another port/);
});
