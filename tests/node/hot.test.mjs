// What changes while a node runs: its configuration at SIGHUP, and the files of its secrets when they change.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { total } from './metrics.mjs';
import { launch, temporaryFolder } from './processes.mjs';
import {
  Phone, eventually, pair, phone, refusal, refused, seconds, sign, startNode, startRedis, talk, unique, within,
} from './support.mjs';

const LIMITED = ['E303', 'Rate limit exceeded'];

const said = (server) => server.output.stdout + server.output.stderr;

/** How often the configuration was read again, with this outcome. */
const reloads = (server, outcome) => total(server, 'switchboard_config_reloads_total', { outcome });

/** The lines of a file of settings. */
const lines = (vars) => Object.entries(vars).map(([name, value]) => `${name}=${value}\n`).join('');

/** A folder with these settings in `.env`, and a node in it, until the test ends. */
async function configured(t, settings, env = {}) {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const write = (vars) => writeFileSync(path.join(folder.path, '.env'), lines(vars));
  write(settings);
  const server = await startNode(env, { folder: folder.path });
  t.after(() => server.stop());
  return { server, write };
}

/** Reads these settings at SIGHUP; resolves when the outcome is as expected once more. */
async function reload({ server, write }, settings, outcome = 'applied') {
  const before = await reloads(server, outcome);
  write(settings);
  server.hangUp();
  await eventually(async () => (await reloads(server, outcome)) > before, `the outcome is not ${outcome}`);
}

/** Sends so many requests at once; how many are answered with success. */
async function flood(who, requests) {
  const answers = await Promise.all(Array.from({ length: requests }, () => who.request('ping', {})));
  for (const answer of answers.filter(({ success }) => success === false)) refused(answer, ...LIMITED);
  return answers.filter(({ success }) => success !== false).length;
}

/** A folder whose files all change at one moment, as Kubernetes mounts Secrets. */
function mounted(t, files) {
  const folder = temporaryFolder();
  t.after(folder.remove);
  const at = (name) => path.join(folder.path, name);
  let version = 0;
  const swap = (contents) => {
    version += 1;
    mkdirSync(at(`..${version}`));
    for (const [name, text] of Object.entries(contents)) writeFileSync(path.join(at(`..${version}`), name), text);
    symlinkSync(`..${version}`, at('..next'));
    renameSync(at('..next'), at('..data'));
  };
  swap(files);
  for (const name of Object.keys(files)) symlinkSync(path.join('..data', name), at(name));
  return { at, swap };
}

describe('at SIGHUP', { concurrency: true }, () => {
  test('limits and the log level change, for those who are connected, too', async (t) => {
    const scene = await configured(t, { LOG_LEVEL: 'info' });
    const { server } = scene;
    const alice = await phone(t, server);
    const bob = await phone(t, server, { register: false });
    assert.equal(await flood(alice, 300), 300);
    assert.doesNotMatch(said(server), /DEBUG/);

    const limits = { EVENT_BURST: '20', EVENT_RATE: '1', MAX_CONNECTIONS_PER_USER: '1', RATE_LIMIT_STRIKES: '1000' };
    await reload(scene, { LOG_LEVEL: 'debug', ...limits });
    const passed = await flood(alice, 300);
    assert.ok(passed >= 15 && passed <= 25, `${passed} passed`);
    assert.match((await refusal(t, server, { user: alice.user })).message, /Too many connections/);
    await refusal(t, server, { auth: { token: 'x' } });
    await eventually(() => said(server).includes('DEBUG'), 'nothing is logged in detail');
    assert.match(said(server), /LOG_LEVEL: info -> debug/);
    assert.match(said(server), /EVENT_BURST: 1000 -> 20/);

    await reload(scene, { LOG_LEVEL: 'error', MAX_CONNECTIONS: '2' });
    await eventually(() => said(server).includes('LOG_LEVEL: debug -> error'), 'it is hidden from then on, and so is that');
    assert.equal(await flood(bob, 300), 300);
    await assert.rejects(new Phone(server.url, { user: unique('carol'), device: 'x' }).connect(), 'two are connected');
    await reload(scene, { LOG_LEVEL: 'error' });
    await phone(t, server);
    const at = await total(server, 'switchboard_config_last_read_timestamp_seconds');
    assert.ok(Math.abs(at - seconds()) < 30, String(at));
  });

  test('a configuration that is not valid changes nothing, and all that is wrong with it is told', async (t) => {
    const scene = await configured(t, { EVENT_BURST: '20', EVENT_RATE: '1', RATE_LIMIT_STRIKES: '1000' });
    const { server } = scene;
    const alice = await phone(t, server);
    await reload(scene, { EVENT_BURST: '1000', CALL_RATE: 'many', SEND_QUEUE: 'x', CALL_RING_TIMOUT: '1' }, 'invalid');
    for (const problem of ['CALL_RATE: got', 'SEND_QUEUE: got', 'unknown variable CALL_RING_TIMOUT']) {
      await eventually(() => said(server).includes(problem), problem);
    }
    assert.ok((await flood(alice, 100)) <= 21);
    await server.isAlive();
  });

  test('what needs a restart is named, and what stands in the environment wins', async (t) => {
    const scene = await configured(t, {}, { EVENT_BURST: '1000' });
    const { server } = scene;
    await reload(scene, { EVENT_BURST: '5', PORT: '1', SEND_QUEUE: '7' }, 'unchanged');
    const told = () => said(server).split('\n').filter((line) => line.includes('needs a restart'));
    await eventually(() => told().length === 1, 'it is not told');
    assert.match(told()[0], /SEND_QUEUE: 2048 -> 7/);
    assert.doesNotMatch(told()[0], /PORT|EVENT_BURST/);
    await reload(scene, {}, 'unchanged');
    assert.equal((await server.stop()).code, 0);
    assert.equal(told().length, 1, 'it is as it was at the start');
  });

  test('secrets are never told', async (t) => {
    const [before, after] = ['a-secret-of-the-file', 'another-secret-of-the-file'];
    const scene = await configured(t, { JWT_SECRET: before }, { JWT_SECRET: undefined });
    const { server } = scene;
    const tokenBy = (secret) => sign({ userId: unique('alice'), exp: seconds() + 60 }, { secret });
    await phone(t, server, { auth: { token: tokenBy(before) }, register: false });
    await reload(scene, { JWT_SECRET: after });
    for (const secret of [before, after]) {
      await phone(t, server, { auth: { token: tokenBy(secret) }, register: false });
      assert.ok(!said(server).includes(secret), 'a secret was logged');
    }
  });

  test('nothing comes to harm at the start, at the end, and when it is asked again and again', async (t) => {
    const { child, output, ended } = launch(path.resolve(process.env.SWITCHBOARD_BIN), [], {
      env: { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0' },
    });
    t.after(() => child.kill('SIGKILL'));
    const catches = () => BigInt(`0x${readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/SigCgt:\s*(\w+)/)[1]}`) & 1n;
    await eventually(catches, 'it does not listen for SIGHUP');
    const storm = setInterval(() => child.kill('SIGHUP'), 1);
    t.after(() => clearInterval(storm));
    await eventually(() => /\blistening\b/.test(output.stdout), 'it does not start');
    await eventually(() => output.stdout.split('the configuration was read again').length > 5, 'it does not listen');
    child.kill('SIGTERM');
    assert.equal((await within(ended, 'it does not end')).code, 0);
  });
});

describe('a file of settings that was named', { concurrency: true }, () => {
  test('is read again when it changes, and one that cannot be read changes nothing', async (t) => {
    const mount = mounted(t, { settings: lines({ EVENT_BURST: '1000' }) });
    const server = await startNode({ CONFIG_FILE: mount.at('settings') });
    t.after(() => server.stop());
    const alice = await phone(t, server);
    const strict = { EVENT_BURST: '20', EVENT_RATE: '1', RATE_LIMIT_STRIKES: '1000' };
    mount.swap({ settings: lines(strict) });
    await eventually(() => reloads(server, 'applied'), 'it is not read');
    assert.ok((await flood(alice, 100)) <= 21);
    mount.swap({ settings: lines({ ...strict, EVENT_BURST: 'x' }) });
    await eventually(() => reloads(server, 'invalid'), 'it is not read');
    await eventually(() => said(server).includes('EVENT_BURST: got'), 'it is not told');
    mount.swap({});
    await eventually(() => said(server).includes('CONFIG_FILE: cannot be read'), 'it is not told');
    assert.ok((await flood(alice, 100)) <= 21);
    for (const text of ['', '# EVENT_BURST=20\n']) {
      const told = said(server).split('CONFIG_FILE: ').length;
      mount.swap({ settings: text });
      await eventually(() => said(server).includes('CONFIG_FILE: names a file without any setting'), 'it is not told');
      server.hangUp();
      await eventually(() => said(server).split('CONFIG_FILE: ').length > told, 'it is not told to who has asked');
      assert.ok((await flood(alice, 100)) <= 21);
    }
    mount.swap({ settings: lines({ EVENT_BURST: '2000' }) });
    await eventually(async () => (await reloads(server, 'applied')) === 2, 'it is not read');
    assert.equal(await flood(alice, 100), 100);
    assert.equal(await reloads(server, 'invalid'), 1, 'told once');
  });
});

describe('a secret in a file', { concurrency: true }, () => {
  test('of tokens: the next one counts beside the last, and a file that gives none changes nothing', async (t) => {
    const [one, two, three] = ['one', 'two', 'three'].map((name) => `the-secret-number-${name}-of-a-file`);
    const mount = mounted(t, { jwt: `${one}\n` });
    const server = await startNode({ JWT_SECRET: '', JWT_SECRET_FILE: mount.at('jwt') });
    t.after(() => server.stop());
    const tokenBy = (secret) => ({ token: sign({ userId: unique('alice'), exp: seconds() + 60 }, { secret }) });
    const isGood = (secret) => new Phone(server.url, { auth: tokenBy(secret) }).connect().then((made) => made.close() ?? true);
    const rotated = (secret) => eventually(() => isGood(secret), 'the new secret is not taken');

    assert.ok(await isGood(one));
    assert.match((await refusal(t, server, { auth: tokenBy(two) })).message, /Invalid token/);
    mount.swap({ jwt: two });
    await rotated(two);
    assert.ok(await isGood(one), 'whoever makes tokens may not know the new one yet');

    mount.swap({ jwt: ' \n' });
    await eventually(() => said(server).includes('JWT_SECRET_FILE: names an empty file'), 'it is not told');
    assert.ok((await isGood(one)) && (await isGood(two)));
    mount.swap({});
    await eventually(() => said(server).includes('JWT_SECRET_FILE: cannot be read'), 'it is not told');
    mount.swap({ jwt: three });
    await rotated(three);
    assert.equal(said(server).split('JWT_SECRET_FILE: names an empty file').length, 2, 'told once');
    for (const secret of [one, two, three]) assert.ok(!said(server).includes(secret), 'a secret was logged');
  });

  test('that cannot be read at SIGHUP holds up nothing else', async (t) => {
    const mount = mounted(t, { jwt: 'a-secret-that-goes' });
    const scene = await configured(t, {}, { JWT_SECRET: '', JWT_SECRET_FILE: mount.at('jwt') });
    const { server } = scene;
    mount.swap({});
    await reload(scene, { EVENT_BURST: '20', EVENT_RATE: '1', RATE_LIMIT_STRIKES: '1000' });
    await eventually(() => said(server).includes('JWT_SECRET_FILE: cannot be read'), 'it is not told');
    const auth = { token: sign({ userId: 'alice', exp: seconds() + 60 }, { secret: 'a-secret-that-goes' }) };
    const alice = await phone(t, server, { user: 'alice', auth });
    assert.ok((await flood(alice, 100)) <= 21);
    assert.equal(await reloads(server, 'invalid'), 0);
  });

  test('of Redis: the next connection shows the new password', async (t) => {
    const [before, after] = ['the-first-password', 'the-second-password'];
    const redis = await startRedis(t, { config: [`requirepass ${before}`] });
    t.after(() => redis.stop());
    const asked = (password, ...args) => redis.cli('--no-auth-warning', '-a', password, ...args);
    const mount = mounted(t, { password: before });
    const server = await startNode({ ...redis.env, REDIS_PASSWORD_FILE: mount.at('password') });
    t.after(() => server.stop());
    await server.ready();
    const [alice, bob] = await pair(t, server);
    await talk(alice, bob);

    await asked(before, 'CONFIG', 'SET', 'requirepass', after);
    mount.swap({ password: after });
    await eventually(() => reloads(server, 'applied'), 'the new password is not taken');
    const cut = async (type) => Number(await asked(after, 'CLIENT', 'KILL', 'TYPE', type));
    assert.ok((await cut('normal')) + (await cut('pubsub')) >= 2);
    await eventually(() => total(server, 'switchboard_redis_reconnects_total'), 'it does not connect again');
    await talk(...(await pair(t, server)));

    // The password is wrong first and right later: nothing but the file changes.
    await asked(after, 'CONFIG', 'SET', 'requirepass', before);
    await asked(before, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await eventually(async () => (await server.get('/readyz')).status === 503, 'it comes in with the wrong password');
    mount.swap({ password: before });
    await server.ready();
    assert.ok(!said(server).includes(before) && !said(server).includes(after), 'a password was logged');
  });

  test('that needs a restart says so', async (t) => {
    const mount = mounted(t, { credential: 'one' });
    const env = { TURN_SERVER_URL: 'turn:127.0.0.1:9', TURN_USERNAME: 'x', TURN_CREDENTIAL_FILE: mount.at('credential') };
    const server = await startNode(env);
    t.after(() => server.stop());
    mount.swap({ credential: 'two' });
    await eventually(() => /needs a restart.*TURN_CREDENTIAL: another one/.test(said(server)), 'it is not told');
  });
});
