// One switchboard: runs the real binary, to its end or as a server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { eventually, within } from './patience.mjs';
import { launch } from './processes.mjs';

/** Signs every token of these tests. */
export const SECRET = 'a-secret-for-the-tests-and-nothing-else';

/** Settings of every server of these tests; a test adds its own. */
const BASE = {
  DRAIN_TIMEOUT: '200',
  HOST: '127.0.0.1',
  JWT_SECRET: SECRET,
  METRICS_PORT: '0',
  NODE_ENV: 'development',
  PORT: '0',
  SHUTDOWN_TIMEOUT: '500',
  STUN_SERVER_URL: 'stun:127.0.0.1:9',
};

function binary() {
  const file = process.env.SWITCHBOARD_BIN;
  assert.ok(file, 'SWITCHBOARD_BIN names no server: run these tests with tests/run or `cargo test`');
  return path.resolve(file);
}

/** Runs `switchboard ARGS` to its end: `{code, stdout, stderr}`. */
export async function run(args, env = {}) {
  const { child, ended } = launch(binary(), args, { env });
  return within(ended, `switchboard ${args.join(' ')} does not end`).finally(() => child.kill('SIGKILL'));
}

/** Starts one node with `env` beside the settings all tests share, in `folder` or an empty one. It listens when this returns. */
export async function startNode(env = {}, { folder } = {}) {
  const { child, output, ended } = launch(binary(), [], { env: { ...BASE, ...env }, folder });
  const address = new Promise((resolve, reject) => {
    child.stdout.on('data', () => {
      const found = output.stdout.match(/\blistening\b.*\b127\.0\.0\.1:(\d+)/);
      if (found) resolve(Number(found[1]));
    });
    ended.then((end) => reject(new Error(`the server ended instead of listening: ${JSON.stringify(end)}`)));
  });
  const port = await within(address, 'the server does not say on its standard output where it is listening').catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  const node = {
    port,
    pid: child.pid,
    url: `${env.TLS_CERT ? 'https' : 'http'}://127.0.0.1:${port}`,
    output,
    ended,
    /** Whether it has been told to end, or has. */
    isLeaving: false,
    /** Resolves when the process is gone. */
    async stop(signal = 'SIGTERM') {
      node.isLeaving = true;
      child.kill(signal);
      return within(ended, 'the server does not end').finally(() => child.kill('SIGKILL'));
    },
    /** The process is gone, without a word to anybody. */
    kill9: () => node.stop('SIGKILL'),
    /** It does nothing any more; its connections stay. */
    pause: () => child.kill('SIGSTOP'),
    /** It goes on. */
    resume: () => child.kill('SIGCONT'),
    /** It is asked to read its configuration again. */
    hangUp: () => child.kill('SIGHUP'),
    /** What `path` answers: `{status, body}`. Over a connection of its own, which counts no longer when the answer is there. */
    async get(path) {
      const [answer] = await once(http.get(`${node.url}${path}`, { agent: false }), 'response');
      const text = (await answer.setEncoding('utf8').toArray()).join('');
      return { status: answer.statusCode, body: JSON.parse(text) };
    },
    /** Fails unless the server still answers. */
    async isAlive() {
      const { status, body } = await node.get('/health');
      assert.equal(status, 200);
      return body;
    },
    /** Resolves when the node says that it can do its work. */
    ready: () => eventually(async () => (await node.get('/readyz')).status === 200, `node ${port} is not ready`),
  };
  node.nodes = [node];
  ended.then(() => (node.isLeaving = true));
  return node;
}
