// A receiver of webhooks: verifies each with the verifier that receivers use, remembers it, and answers as a test wants it to.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { Webhook } from 'standardwebhooks';
import { eventually, within } from './patience.mjs';
import { freePort } from './processes.mjs';

/** The secret of all receivers that are told no other. */
export const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

export class Receiver {
  /** All that came, in order: `{id, callId, type, event, text, at, status}`; `status` once it was answered. */
  requests = [];
  /** What no real receiver would take. */
  faults = [];
  #scripts = new Map();
  #verifiers;
  #server;
  #sockets = new Set();

  constructor(port, secrets) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}/calls?from=switchboard`;
    this.#verifiers = secrets.map((secret) => (secret.startsWith('whsec_') ? new Webhook(secret) : new Webhook(secret, { format: 'raw' })));
  }

  get env() {
    return { WEBHOOK_URL: this.url, WEBHOOK_SECRET };
  }

  /** Listens; nobody is taken before. */
  async start() {
    this.#server = http.createServer((request, response) => this.#take(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  /** Whoever comes is refused from here on; requests under way break. */
  async stop() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  /**
   * How the next attempts to tell `type` are answered, one after the other: a status, an object `{status, headers}`, a promise of either,
   * `'hang'` for none, `'close'` for a connection that breaks. Everything else is answered 204.
   */
  answer(type, ...answers) {
    this.#scripts.set(type, answers);
  }

  async #take(request, response) {
    const text = Buffer.concat(await request.toArray()).toString();
    const event = this.#verified(request, text);
    const id = request.headers['webhook-id'];
    const entry = { id, callId: event?.data.callId, type: event?.type, event, text, at: Date.now() };
    this.requests.push(entry);
    const answer = (await this.#scripts.get(entry.type)?.shift()) ?? 204;
    if (answer === 'hang') return;
    if (answer === 'close') {
      request.socket.destroy();
      return;
    }
    const { status, headers } = typeof answer === 'number' ? { status: answer } : answer;
    entry.status = status;
    response.writeHead(status, headers).end();
  }

  #verified(request, text) {
    try {
      assert.equal(request.method, 'POST');
      assert.equal(request.url, new URL(this.url).pathname + new URL(this.url).search);
      assert.equal(request.headers['content-type'], 'application/json');
      assert.match(request.headers['user-agent'], /^switchboard\//);
      const [event] = this.#verifiers.map((verifier) => verifier.verify(text, request.headers));
      assert.equal(request.headers['webhook-signature'].split(' ').length, this.#verifiers.length);
      return event;
    } catch (error) {
      this.faults.push(error.message);
      return undefined;
    }
  }

  /** What came of this call, in order. */
  of(callId) {
    return this.requests.filter((request) => request.callId === callId);
  }

  /** The events of this call that were taken, each at its first, in order. */
  taken(callId) {
    const taken = this.of(callId).filter(({ status }) => status >= 200 && status < 300);
    return [...new Map(taken.map((request) => [request.id, request])).values()];
  }

  /** Waits until so many events of this call were taken; they. */
  async takes(callId, count, patience) {
    const said = () => `only ${this.of(callId).map(({ type, status }) => `${type} ${status}`)} of ${callId}`;
    await eventually(() => this.taken(callId).length >= count, said, patience);
    return this.taken(callId);
  }

  /** Waits until so many attempts to tell `type` of any call have come; the last. */
  async attempts(type, count, patience) {
    const all = () => this.requests.filter((request) => request.type === type);
    await eventually(() => all().length >= count, () => `${all().length} attempts of ${type}`, patience);
    return all()[count - 1];
  }
}

/** A receiver that listens until the end of `t`, if one is given, and has found no fault then. */
export async function startReceiver(t, { secrets = [WEBHOOK_SECRET], port } = {}) {
  const receiver = new Receiver(port ?? (await freePort()), secrets);
  await receiver.start();
  t?.after(async () => {
    await within(receiver.stop(), 'the receiver does not end');
    assert.deepEqual(receiver.faults, []);
  });
  return receiver;
}
