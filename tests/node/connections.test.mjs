// The ways to reach a Redis: by user and password, over TLS with certificates on both sides, by a Unix socket; and a Redis that is
// of no use.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { freePort, temporaryFolder } from './processes.mjs';
import { startRedis } from './redis.mjs';
import { eventually, pair, ring, startNode, talk } from './support.mjs';

/** Starts a node, and has two phones of it ring. */
async function rings(t, env) {
  const node = await startNode({ BACKPLANE: 'redis', ...env });
  t.after(() => node.stop());
  await node.ready();
  assert.equal((await node.get('/health')).body.redis, 'connected');
  await ring(...(await pair(t, node)));
  return node;
}

/** Starts a node that does not get ready; resolves when its log says `why`. It is alive all the same. */
async function isOfNoUse(t, env, why) {
  const node = await startNode({ BACKPLANE: 'redis', ...env });
  t.after(() => node.stop());
  await eventually(() => why.test(node.output.stdout), () => `the log does not say ${why}: ${node.output.stdout}`);
  assert.deepEqual(await node.get('/readyz'), { status: 503, body: { status: 'not_ready', reasons: ['redis'] } });
  assert.equal((await node.get('/livez')).status, 200);
  return node;
}

function openssl(folder, ...args) {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

/** A folder with an authority `ca`, and a certificate and key `of` each name, signed by it. */
function certificates(t, ...names) {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(folder.path, 'req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=authority', '-days', '2');
  writeFileSync(path.join(folder.path, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  for (const name of names) {
    openssl(folder.path, 'req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-days', '2'];
    openssl(folder.path, 'x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`);
  }
  return (file) => path.join(folder.path, file);
}

describe('by user and password', () => {
  const config = ['user app on >open-sesame ~* &* +@all'];

  test('given one by one, or in the URL', async (t) => {
    const redis = await startRedis(t, { config });
    const named = { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(redis.port), REDIS_DB: '3' };
    await rings(t, { ...named, REDIS_USERNAME: 'app', REDIS_PASSWORD: 'open-sesame' });
    await rings(t, { REDIS_URL: `redis://app:open-sesame@127.0.0.1:${redis.port}/4` });
    const { db3, db4, db0 } = await redis.info('keyspace');
    assert.ok(db3 && db4 && !db0, 'each in its database');
  });

  test('a wrong password is said to be one, and is not in the log', async (t) => {
    const redis = await startRedis(t, { config });
    const node = await isOfNoUse(t, { REDIS_URL: `redis://app:sesame-shut@127.0.0.1:${redis.port}` }, /Redis cannot be used.*wrong user or password/);
    assert.doesNotMatch(node.output.stdout + node.output.stderr, /sesame/);
  });
});

test('by a Unix socket', async (t) => {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const socket = path.join(folder.path, 'redis.sock');
  await startRedis(t, { config: [`unixsocket ${socket}`] });
  await rings(t, { REDIS_URL: `unix://${socket}?db=1` });
});

describe('over TLS', () => {
  async function secured(t) {
    const file = certificates(t, 'server', 'client');
    const port = await freePort();
    await startRedis(t, {
      config: [
        `tls-port ${port}`, `tls-cert-file ${file('server.crt')}`, `tls-key-file ${file('server.key')}`,
        `tls-ca-cert-file ${file('ca.crt')}`, 'tls-auth-clients yes',
      ],
    });
    const client = { REDIS_TLS_CERT: file('client.crt'), REDIS_TLS_KEY: file('client.key') };
    return { port, ca: { REDIS_TLS_CA: file('ca.crt') }, client };
  }

  test('with certificates on both sides', async (t) => {
    const { port, ca, client } = await secured(t);
    await rings(t, { REDIS_URL: `rediss://localhost:${port}`, ...ca, ...client });
    await rings(t, { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port), REDIS_TLS: 'true', ...ca, ...client });
  });

  test('not with a server nobody vouches for, and not without a certificate', async (t) => {
    const { port, ca, client } = await secured(t);
    await isOfNoUse(t, { REDIS_URL: `rediss://localhost:${port}`, ...client }, /Redis cannot be used/);
    await isOfNoUse(t, { REDIS_URL: `rediss://localhost:${port}`, ...ca }, /Redis cannot be used/);
  });
});

test('by a user who may do what the README says, and no more', async (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const rights = readme.match(/ACL SETUSER switchboard on >password ([^`]*)/)[1].trim().split(/\s+/).join(' ');
  const redis = await startRedis(t, { config: [`user switchboard on >password ${rights}`] });
  const env = { REDIS_URL: `redis://switchboard:password@127.0.0.1:${redis.port}`, REDIS_KEY_PREFIX: 'calls:' };
  const node = await rings(t, env);
  const [alice, bob] = await pair(t, node);
  const callId = await talk(alice, bob);
  await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
  await bob.take('sdp_offer');
  bob.cut();
  await bob.comeBack();
  await bob.request('call_end', { callId });
  await alice.take('call_end');
  await alice.request('unregister');
  assert.doesNotMatch(node.output.stdout, /NOPERM/);
  const denied = (await redis.send('ACL', 'LOG')).length;
  assert.equal(denied, 0, 'nothing was denied');
});

describe('a Redis that is of no use', () => {
  test('a replica', async (t) => {
    const primary = await startRedis(t);
    const replica = await startRedis(t, { config: [`replicaof 127.0.0.1 ${primary.port}`] });
    await isOfNoUse(t, replica.env, /Redis cannot be used.*replica/);
  });

  test('a cluster', async (t) => {
    const redis = await startRedis(t, { config: ['cluster-enabled yes', `cluster-port ${await freePort()}`] });
    await isOfNoUse(t, redis.env, /Redis cannot be used.*Cluster/);
  });

  test('one that throws things away is used, with a loud warning', async (t) => {
    const redis = await startRedis(t, { config: ['maxmemory 100mb', 'maxmemory-policy allkeys-lru'] });
    const node = await rings(t, redis.env);
    assert.match(node.output.stdout, /WARN.*REDIS MAY THROW AWAY CALLS/);
  });

  test('whether timers are told of is found out, and said', async (t) => {
    const telling = await startRedis(t, { config: ['notify-keyspace-events Ex'] });
    const quiet = await startRedis(t);
    const nodes = [await rings(t, telling.env), await rings(t, quiet.env)];
    const says = (node, what) => eventually(() => what.test(node.output.stdout), () => `no ${what} in ${node.output.stdout}`);
    await says(nodes[0], /Redis says when timers expire/);
    await says(nodes[1], /Redis does not say when timers expire/);
  });
});
