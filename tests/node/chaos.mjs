// A TCP proxy whose connections can be cut, refused, delayed or made to swallow what they are given, as networks do.
import net from 'node:net';
import { Transform } from 'node:stream';
import { freePort } from './processes.mjs';

/** Passes what it is given, if `admits` it, each piece as late as `delay` says when it comes; order is kept. */
function wire(delay, admits) {
  let last = Promise.resolve();
  let waiting = 0;
  return new Transform({
    transform(piece, _, taken) {
      if (!admits(piece)) return taken();
      const ms = delay();
      if (ms === 0 && waiting === 0) return taken(null, piece);
      const due = new Promise((resolve) => setTimeout(resolve, ms));
      waiting += 1;
      last = last.then(() => due).then(() => {
        waiting -= 1;
        if (!this.destroyed) this.push(piece);
      });
      return taken();
    },
    flush(done) {
      last.then(() => done());
    },
  });
}

/** How a client of Redis says that it is going to listen to channels. */
const SUBSCRIBES = '\r\nSUBSCRIBE\r\n';

/** Whether such a command has passed, in whatever pieces, when the next one has. */
function watchForSubscribe() {
  let [last, isFound] = ['', false];
  return (piece) => {
    const text = isFound ? '' : last + piece.toString('latin1').toUpperCase();
    isFound ||= text.includes(SUBSCRIBES);
    last = text.slice(1 - SUBSCRIBES.length);
    return isFound;
  };
}

/** A proxy to `target.port` of 127.0.0.1, looked up for each connection. It ends with the test, or with `stop`. */
export async function chaosProxy(t, target) {
  const port = await freePort();
  const bytes = { toTarget: 0, toClient: 0 };
  const pairs = new Set();
  let delay = 0;
  let isHole = false;
  let listener;

  const stopReading = (end) => end.socket.unpipe(end.wire).pause();
  const readOn = (end) => end.socket.pipe(end.wire);

  function join(near) {
    const far = net.connect(target.port, '127.0.0.1');
    const pair = { isListening: false, isSilent: false };
    const subscribes = watchForSubscribe();
    const client = { socket: near, wire: wire(() => delay, (piece) => {
      bytes.toTarget += piece.length;
      pair.isListening = subscribes(piece);
      return true;
    }) };
    const server = { socket: far, wire: wire(() => delay, (piece) => {
      bytes.toClient += piece.length;
      return !pair.isSilent;
    }) };
    client.wire.pipe(far);
    server.wire.pipe(near);
    Object.assign(pair, { client, server });
    const close = () => {
      pairs.delete(pair);
      for (const { socket, wire } of [client, server]) socket.destroy(), wire.destroy();
    };
    for (const end of [near, far]) end.setNoDelay(true).on('error', () => {}).on('close', close);
    pair.close = close;
    pairs.add(pair);
    for (const end of [client, server]) isHole ? stopReading(end) : readOn(end);
  }

  const cut = () => {
    for (const { close } of [...pairs]) close();
  };
  const refuse = () => new Promise((resolve) => listener.close(() => resolve()));
  const accept = () => new Promise((resolve, reject) => {
    listener = net.createServer(join).once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  const stop = () => {
    if (listener.listening) listener.close();
    cut();
  };

  await accept();
  t?.after(stop);
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    /** What has passed so far. */
    bytes,
    stop,
    /** Closes the present connections. */
    cut,
    /** Closes the present connections, and takes no new ones. */
    async refuse() {
      const refused = refuse();
      cut();
      await refused;
    },
    /** Takes new connections again. */
    accept,
    /** Everything that comes from here on passes so many milliseconds later. */
    delay(ms) {
      delay = ms;
    },
    /** Nothing passes any more, in either direction, and nobody is told; new connections are made, and are as deaf. */
    blackhole() {
      isHole = true;
      for (const { client, server } of pairs) stopReading(client), stopReading(server);
    },
    /** Everything passes again, also what was held up. */
    heal() {
      isHole = false;
      for (const { client, server } of pairs) readOn(client), readOn(server);
    },
    /** Whatever comes back on the present connections over which a client listens to channels of Redis is lost, for good; how many they are. */
    silenceListeners() {
      const listening = [...pairs].filter(({ isListening }) => isListening);
      for (const pair of listening) pair.isSilent = true;
      return listening.length;
    },
    /** Nothing passes towards the clients any more: they have stopped reading. */
    stopReading() {
      for (const { server } of pairs) stopReading(server);
    },
    /** The clients read again. */
    readOn() {
      for (const { server } of pairs) readOn(server);
    },
  };
}
