// Redis for these tests: a server of one's own, with the weather it may make, or three sentinels over a pair of them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@redis/client';
import { eventually, within } from './patience.mjs';
import { freePort, launch, temporaryFolder } from './processes.mjs';

const runToEnd = promisify(execFile);

/** The lines of an answer to INFO, as an object. */
const fieldsOf = (text) => Object.fromEntries(text.split(/\r?\n/).filter((line) => /^\w[^:]*:/.test(line)).map((line) => {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1)];
}));

/** A connection to what listens at `port`. It keeps no process from ending. */
async function connectTo(port, forget = () => {}) {
  const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } });
  const end = () => {
    if (client.isOpen) client.destroy();
    forget();
  };
  client.on('error', end).on('end', end);
  await client.connect();
  client.unref();
  return client;
}

/** A connection that is made when it is first needed, and again when it has broken. */
function caller(port) {
  let connecting;
  const forget = () => (connecting = undefined);
  return {
    async send(...args) {
      connecting ??= connectTo(port, forget);
      const client = await within(connecting, 'Redis takes no connection').catch((error) => {
        connecting = undefined;
        throw error;
      });
      return within(client.sendCommand(args.map(String)), `Redis does not answer ${args[0]}`);
    },
    async close() {
      const client = await connecting?.catch(() => undefined);
      connecting = undefined;
      if (client?.isOpen) client.destroy();
    },
  };
}

/**
 * Starts a Redis of its own on a free port. It keeps nothing on disk unless `config`, lines of a redis.conf, says so. It ends with
 * the test, with `stop`, or with this process, which it does not keep from ending.
 */
export async function startRedis(t, { config = [] } = {}) {
  const port = await freePort();
  const folder = temporaryFolder();
  const data = path.join(folder.path, 'data');
  const calls = caller(port);
  let running;

  const base = [`port ${port}`, 'bind 127.0.0.1', 'protected-mode no', `dir ${data}`, 'save ""', 'loglevel notice'];
  writeFileSync(path.join(folder.path, 'redis.conf'), [...base, ...config, ''].join('\n'));

  async function start() {
    mkdirSync(data, { recursive: true });
    running = launch('redis-server', ['redis.conf'], { folder: folder.path, isInBackground: true });
    const { output, ended } = running;
    const failed = ended.then((end) => assert.fail(`redis-server has ended: ${end.error ?? end.stdout + end.stderr}`));
    const isUp = eventually(() => output.stdout.includes('Ready to accept connections'), 'redis-server does not come up');
    await Promise.race([isUp, failed]);
    failed.catch(() => {});
  }

  async function end(signal) {
    await calls.close();
    running.child.kill('SIGCONT');
    running.child.kill(signal);
    return within(running.ended, 'redis-server does not end').finally(() => running.child.kill('SIGKILL'));
  }

  const redis = {
    port,
    url: `redis://127.0.0.1:${port}`,
    /** What a node needs to reach it. */
    env: { REDIS_URL: `redis://127.0.0.1:${port}` },
    /** Ends it and takes its folder away. */
    async stop() {
      await end('SIGTERM').finally(folder.remove);
    },
    /** It is gone, without a word to anybody. */
    kill9: () => end('SIGKILL'),
    /** It is there again after `kill9`, with what it had on disk unless it is to be empty. */
    async restart({ empty = false } = {}) {
      if (empty) rmSync(data, { recursive: true, force: true });
      await start();
    },
    /** It does nothing any more; its connections stay. */
    pause: () => running.child.kill('SIGSTOP'),
    /** It goes on. */
    resume: () => running.child.kill('SIGCONT'),
    /** What `redis-cli ARGS` prints. */
    async cli(...args) {
      const { stdout } = await runToEnd('redis-cli', ['-p', String(port), ...args.map(String)]).catch((error) => {
        throw error.code === 'ENOENT' ? new Error('redis-cli is missing: tests/run installs it') : error;
      });
      return stdout.trimEnd();
    },
    /** The answer to one command. */
    send: calls.send,
    /** Everything that is published on `channel` from here on, in order; the list grows until the test ends. */
    async listen(t, channel) {
      const [heard, client] = [[], await connectTo(port)];
      t.after(() => client.isOpen && client.destroy());
      await client.subscribe(channel, (message) => heard.push(message));
      return heard;
    },
    /** A section of INFO, as an object. */
    info: async (section) => fieldsOf(await calls.send('INFO', section)),
    /** How often each command has been called, as `{get: 2, 'client|list': 1}`. */
    async commandCounts() {
      const stats = await redis.info('commandstats');
      return Object.fromEntries(Object.entries(stats).map(([name, text]) => [name.slice('cmdstat_'.length), Number(text.match(/calls=(\d+)/)[1])]));
    },
    /** Bytes that came in and went out since it was started. */
    async netBytes() {
      const stats = await redis.info('stats');
      return { in: Number(stats.total_net_input_bytes), out: Number(stats.total_net_output_bytes) };
    },
    /** All keys that begin so. */
    keys: async (prefix = '') => (await calls.send('KEYS', `${prefix.replace(/[*?[\]\\^]/g, '\\$&')}*`)).sort(),
  };
  await start();
  t?.after(() => redis.stop());
  return redis;
}

/** The name the sentinels know the pair by. */
const PAIR = 'calls';
/** How long a primary is silent before the sentinels take it for dead: shorter, and a busy machine makes them wrong. */
const DOWN_AFTER_MS = 3000;
/** Longest time for a fail-over: the silence, the vote, the new role. */
const FAILOVER_MS = 40_000;

/** Starts a primary, its replica, and three sentinels that watch them. They end with the test, or with `stop`. */
export async function startSentinels(t) {
  const primary = await startRedis();
  const replica = await startRedis(undefined, { config: [`replicaof 127.0.0.1 ${primary.port}`] });
  const servers = [primary, replica];
  const sentinels = await Promise.all(Array.from({ length: 3 }, async () => {
    const [port, folder] = [await freePort(), temporaryFolder()];
    const config = [
      `port ${port}`, 'bind 127.0.0.1', 'protected-mode no', `dir ${folder.path}`,
      `sentinel monitor ${PAIR} 127.0.0.1 ${primary.port} 2`,
      `sentinel down-after-milliseconds ${PAIR} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${PAIR} 10000`,
    ];
    writeFileSync(path.join(folder.path, 'sentinel.conf'), [...config, ''].join('\n'));
    const { child, ended } = launch('redis-sentinel', ['sentinel.conf'], { folder: folder.path, isInBackground: true });
    const calls = caller(port);
    const stop = async () => {
      await calls.close();
      child.kill('SIGKILL');
      await ended;
      folder.remove();
    };
    return { port, calls, stop };
  }));

  const knowAll = async ({ calls }) => /status=ok,.*,slaves=1,sentinels=3/.test(await calls.send('INFO', 'sentinel'));
  const toldBy = async ({ calls }) => Number((await calls.send('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', PAIR))[1]);
  for (const sentinel of sentinels) await eventually(() => knowAll(sentinel), 'a sentinel does not find the others', FAILOVER_MS);

  const group = {
    servers,
    env: { REDIS_SENTINELS: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(','), REDIS_SENTINEL_MASTER: PAIR },
    /** The port of the primary, as the sentinels have it. */
    primaryPort: () => toldBy(sentinels[0]),
    /** The primary, as the sentinels have it. */
    primary: async () => {
      const port = await group.primaryPort();
      return servers.find((server) => server.port === port);
    },
    /** Kills the primary; returns the other one, which has not taken over yet. */
    async killPrimary() {
      const old = await group.primary();
      await old.kill9();
      return servers.find((server) => server !== old);
    },
    /** Freezes the primary, which goes on with `resume`; returns the other one, which has not taken over yet. */
    async freezePrimary() {
      const old = await group.primary();
      old.pause();
      return servers.find((server) => server !== old);
    },
    /** Returns when `heir` has the role of the primary, and all sentinels say so. */
    async takenOver(heir) {
      for (const sentinel of sentinels) {
        await eventually(async () => (await toldBy(sentinel)) === heir.port, 'no fail-over', FAILOVER_MS);
      }
      await eventually(async () => (await heir.info('replication')).role === 'master', 'the replica has not taken over');
    },
    /** Kills the primary, and returns when the other one has taken over. */
    failover: async () => group.takenOver(await group.killPrimary()),
    stop: () => Promise.all([...sentinels, ...servers].map((one) => one.stop())),
  };
  t?.after(group.stop);
  return group;
}
