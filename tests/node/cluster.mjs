// Several nodes behind one Redis, which can stand in for the one server of a test: its users land on the nodes in turn.
import { randomBytes } from 'node:crypto';
import { startNode } from './server.mjs';

/**
 * Starts nodes that share `redis` (anything with the `env` a node needs to reach it), and keys that no other cluster has unless `prefix`
 * says so. All are ready when this returns.
 */
export async function startCluster({ nodes: count = 2, redis, prefix = `test-${randomBytes(4).toString('hex')}:`, env = {} }) {
  const settings = { BACKPLANE: 'redis', ...redis.env, ...(prefix && { REDIS_KEY_PREFIX: prefix }), ...env };
  const nodes = [];
  let turn = 0;

  /** The nodes that have not been told to end; when all have, all of them, for an address is wanted. */
  function open() {
    const staying = nodes.filter(({ isLeaving }) => !isLeaving);
    return staying.length ? staying : nodes;
  }
  const next = () => open()[turn++ % open().length];

  const cluster = {
    nodes,
    prefix,
    /** The address of one node, at each look of the next. */
    get url() {
      return next().url;
    },
    get port() {
      return next().port;
    },
    /** A node that takes connections; the same at each look, as long as it does. */
    get first() {
      return open()[0];
    },
    get output() {
      return { stdout: nodes.map(({ output }) => output.stdout).join(''), stderr: nodes.map(({ output }) => output.stderr).join('') };
    },
    /** A further node; it listens when this returns. */
    async join(more = {}) {
      const node = await startNode({ ...settings, ...more });
      nodes.push(node);
      return node;
    },
    /** Resolves when all that run are ready. */
    ready: () => Promise.all(open().map((node) => node.ready())),
    /** Fails unless all still answer; what they say about their health. */
    isAlive: () => Promise.all(nodes.map((node) => node.isAlive())),
    /** Ends all that run; how they ended. */
    stop: (signal) => Promise.all(nodes.map((node) => (node.isLeaving ? node.ended : node.stop(signal)))),
  };

  const started = await Promise.allSettled(Array.from({ length: count }, () => cluster.join()));
  const failure = started.find(({ status }) => status === 'rejected')?.reason;
  try {
    if (failure) throw failure;
    await cluster.ready();
  } catch (error) {
    await cluster.stop('SIGKILL');
    throw error;
  }
  return cluster;
}
