// The one address of a cluster, as a load balancer has it: it asks the nodes whether they are ready, and gives each new connection to one.
import { once } from 'node:events';
import net from 'node:net';
import { freePort } from '../processes.mjs';

const ASK_EVERY_MS = 250;
/** A node that does not say within this time that it is ready is not. */
const ANSWER_MS = 500;

/** Whether a node says that it is ready. */
export const isReady = (node) =>
  fetch(`${node.url}/readyz`, { signal: AbortSignal.timeout(ANSWER_MS) }).then(async (answer) => {
    await answer.arrayBuffer();
    return answer.status === 200;
  }, () => false);

/** Opens a door to the nodes of `cluster`. A connection lasts as long as its node and its client want. */
export async function openDoor(cluster, chance) {
  const ready = new Set();
  const sockets = new Set();
  let turn = 0;

  async function look(node) {
    if (await isReady(node)) ready.add(node);
    else ready.delete(node);
  }
  const looks = setInterval(() => cluster.nodes.filter(({ isLeaving }) => !isLeaving).forEach(look), ASK_EVERY_MS);

  /** The nodes to try: those that are ready in turn; then the others, for one may be so by now. */
  function candidates() {
    const open = cluster.nodes.filter(({ isLeaving }) => !isLeaving);
    const first = open.filter((node) => ready.has(node));
    const at = first.length ? turn++ % first.length : 0;
    return [...first.slice(at), ...first.slice(0, at), ...chance.shuffle(open.filter((node) => !ready.has(node)))];
  }

  async function connect(node) {
    const far = net.connect(node.port, '127.0.0.1').setNoDelay(true);
    return once(far, 'connect').then(() => far, () => undefined);
  }

  async function letIn(near) {
    sockets.add(near);
    near.setNoDelay(true).on('error', () => {}).on('close', () => sockets.delete(near));
    for (const node of candidates()) {
      const far = await connect(node);
      if (!far) continue;
      if (near.destroyed) return far.destroy();
      sockets.add(far);
      far.on('error', () => {}).on('close', () => (sockets.delete(far), near.destroy()));
      near.on('close', () => far.destroy());
      near.pipe(far).pipe(near);
      return;
    }
    near.destroy();
  }

  const port = await freePort();
  const listener = net.createServer({ pauseOnConnect: true }, letIn).listen(port, '127.0.0.1');
  await once(listener, 'listening');
  await Promise.all(cluster.nodes.map(look));
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      clearInterval(looks);
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
