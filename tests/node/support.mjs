// The only Node harness: starts the server under test, mints tokens, and hands out phones (stock clients that remember what they hear).
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { startCluster } from './cluster.mjs';
import { PATIENCE_MS, within } from './patience.mjs';
import { startRedis } from './redis.mjs';
import { SECRET, startNode } from './server.mjs';

export { chaosProxy } from './chaos.mjs';
export { startCluster } from './cluster.mjs';
export { PATIENCE_MS, eventually, within } from './patience.mjs';
export { startRedis, startSentinels } from './redis.mjs';
export { SECRET, run, startNode } from './server.mjs';

/** Settings that keep the rate limits out of the way of tests about something else. */
export const NO_RATE_LIMITS = {
  CALL_BURST: '1000000',
  CALL_RATE: '1000000',
  EVENT_BURST: '1000000',
  EVENT_BYTES_BURST: '1000000000',
  EVENT_BYTES_RATE: '1000000000',
  EVENT_RATE: '1000000',
  USER_EVENT_BURST: '1000000',
  USER_EVENT_RATE: '1000000',
};

/** Every transport a stock client may come by: one of the two, or the first and then the second. */
export const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];

// ---------------------------------------------------------------------------------------------------------------- server

/** Nodes that every server of these tests is made of: with more than one they share a Redis. */
const NODES = Number(process.env.SWITCHBOARD_NODES ?? 1);
let redis;

/**
 * Starts a server with `env` beside the settings all tests share. It listens when this returns. What is about one node (its limits, a
 * polling session) is asked of `server.nodes[0]`: of several nodes, `server.url` is another one at each look.
 */
export async function startServer(env = {}) {
  if (NODES === 1) return startNode(env);
  redis ??= startRedis();
  return startCluster({ nodes: NODES, redis: await redis, env });
}

// ---------------------------------------------------------------------------------------------------------------- tokens

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token with exactly these claims. */
export function sign(claims, { secret = SECRET, alg = 'HS256' } = {}) {
  const text = `${base64url({ alg, typ: 'JWT' })}.${base64url(claims)}`;
  if (alg === 'none') return `${text}.`;
  return `${text}.${createHmac(`sha${alg.slice(2)}`, secret).update(text).digest('base64url')}`;
}

/** Seconds since the epoch, as claims have them. */
export const seconds = () => Math.floor(Date.now() / 1000);

/** A token of `user` for an hour. */
export const tokenOf = (user, claims = {}) => sign({ userId: user, iat: seconds(), exp: seconds() + 3600, ...claims });

/** A user id nobody else has, so that tests that share a server do not meet. */
export const unique = (name) => `${name}-${randomBytes(4).toString('hex')}`;

// ---------------------------------------------------------------------------------------------------------------- phones

/** A stock client that remembers every event until a test takes it. */
export class Phone {
  constructor(url, { user, device, auth, transports = ['websocket'], ...options } = {}) {
    this.user = user;
    this.device = device;
    /** All events ever, in order: `{name, payload}`. */
    this.events = [];
    this.unread = [];
    this.waiting = [];
    this.ackIds = [];
    this.ended = [];
    this.socket = io(url, {
      auth: auth ?? (user === undefined ? undefined : { token: tokenOf(user) }),
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      transports,
      ...options,
    });
    this.socket.io.on('packet', (packet) => this.#notePacket(packet));
    this.socket.onAny((name, payload) => this.#hear({ name, payload }));
    this.socket.on('disconnect', (reason) => this.#hear({ name: '(disconnect)', payload: reason }));
  }

  #notePacket(packet) {
    if (packet.type === 3 || packet.type === 6) this.ackIds.push(packet.id);
  }

  #hear(event) {
    this.events.push(event);
    const index = this.waiting.findIndex((waiter) => waiter.matches(event));
    if (index < 0) this.unread.push(event);
    else this.waiting.splice(index, 1)[0].resolve(event.payload);
  }

  /** Connects, and waits for the upgrade where one is due. Fails as `connect_error` says. */
  async connect() {
    const { socket } = this;
    const connected = new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', reject);
    });
    const [first, second] = socket.io.opts.transports;
    socket.connect();
    const upgraded =
      first === 'polling' && second === 'websocket' && new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
    await within(Promise.all([connected, upgraded]), 'not connected');
    return this;
  }

  /** Registers; the ack must be a success. */
  async register(fields = {}) {
    const deviceId = this.device;
    const answer = await this.request('register', { userId: this.user, deviceId, platform: 'web', ...fields });
    assert.equal(answer.success, true, `register: ${JSON.stringify(answer)}`);
    await this.take('registered');
    return answer;
  }

  /** Emits with a callback and returns what the callback gets. */
  request(name, ...payload) {
    const answer = new Promise((resolve) => this.socket.emit(name, ...payload, resolve));
    return within(answer, `${name} is not answered`);
  }

  /** The next event of this name that no test has taken (and that `accepts` accepts); it may have come already. */
  take(name, accepts = () => true, patience = PATIENCE_MS) {
    const matches = (event) => event.name === name && accepts(event.payload);
    const index = this.unread.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.unread.splice(index, 1)[0].payload);
    const arrived = new Promise((resolve) => this.waiting.push({ matches, resolve }));
    return within(arrived, () => `no ${name} at ${this.user}; unread: ${JSON.stringify(this.unread).slice(0, 1000)}`, patience);
  }

  /** The reason of the disconnect, which must come. */
  disconnected() {
    return this.take('(disconnect)');
  }

  /** The payloads of all events of this name so far. */
  heard(name) {
    return this.events.filter((event) => event.name === name).map((event) => event.payload);
  }

  /** Fails if an event of one of these names has come by the time a request on this socket is answered: order is kept. */
  async hasNot(...names) {
    await this.request('ping', {});
    const unexpected = this.unread.filter((event) => names.includes(event.name));
    assert.deepEqual(unexpected, [], `${this.user} must not hear of it`);
  }

  /** The connection breaks; the client does nothing about it. */
  cut() {
    this.socket.io.engine.close();
  }

  /** A fresh connection of the same device, registered. */
  async comeBack(fields = {}) {
    await this.connect();
    return this.register(fields);
  }

  /** Writes a text to the engine as a message, past the client's own encoder. */
  write(text) {
    this.socket.io.engine.write(text);
  }

  /** Disconnects. No request may have been answered twice. */
  close() {
    this.socket.disconnect();
    assert.equal(new Set(this.ackIds).size, this.ackIds.length, `${this.user}: a request was answered twice`);
  }
}

/** A phone that is connected and registered, until the test ends. */
export async function phone(t, server, options = {}) {
  const { user = unique('user'), register = true, ...rest } = options;
  const made = new Phone(rest.url ?? server.url, { user, device: unique('device'), ...rest });
  t.after(() => made.close());
  await made.connect();
  if (register) await made.register();
  return made;
}

/** Another connection of the device of `old`, registered, until the test ends. */
export const again = (t, server, old, options = {}) => phone(t, server, { user: old.user, device: old.device, ...options });

/** A phone as an app has it: it comes back by itself when its connection breaks, and registers whenever it is connected. */
export async function app(t, server, options = {}) {
  const made = await phone(t, server, { register: false, reconnection: true, ...options });
  const register = () => made.socket.emit('register', { userId: made.user, deviceId: made.device, platform: 'web' });
  made.socket.on('connect', register);
  register();
  await made.take('registered');
  return made;
}

/** Two phones of two users. */
export async function pair(t, server, options = {}) {
  return Promise.all([phone(t, server, { user: unique('alice'), ...options }), phone(t, server, { user: unique('bob'), ...options })]);
}

/** `caller` calls the user of `callee`; returns the call id when `callee` rings. */
export async function ring(caller, callee, fields = {}) {
  const answer = await caller.request('call_initiate', { calleeId: callee.user, callType: 'audio', ...fields });
  assert.equal(answer.success, true, JSON.stringify(answer));
  await callee.take('incoming_call', (event) => event.callId === answer.callId);
  return answer.callId;
}

/** `caller` calls and `callee` accepts; returns the call id when both know. */
export async function talk(caller, callee) {
  const callId = await ring(caller, callee);
  const answer = await callee.request('call_accept', { callId });
  assert.equal(answer.success, true, JSON.stringify(answer));
  await caller.take('call_accept', (event) => event.callId === callId);
  return callId;
}

/** `caller` rings every one of `phones`, which are of one user. */
export async function ringAll(caller, phones) {
  const callId = await ring(caller, phones[0]);
  await Promise.all(phones.slice(1).map((other) => other.take('incoming_call', (event) => event.callId === callId)));
  return callId;
}

/** What may become of a call that rings. */
export const OVER = ['call_accept', 'call_reject', 'call_end', 'call_cancelled', 'call_timeout'];

/** Everything `who` heard about the end or the answer of this call, as `name` or `name:reason`. */
export const toldOf = (who, callId) =>
  who.events
    .filter(({ name, payload }) => OVER.includes(name) && payload.callId === callId)
    .map(({ name, payload }) => (payload.reason ? `${name}:${payload.reason}` : name));

/** Waits until `who`, who is in no call, has been rung by a stranger (who hangs up): whatever was on its way before has arrived. */
export async function fence(t, server, who) {
  const stranger = await phone(t, server);
  const callId = await ring(stranger, who);
  await stranger.request('call_end', { callId });
  await who.take('call_end', (event) => event.callId === callId);
}

/** Fails unless `answer` is a refusal with exactly this code and message. */
export function refused(answer, code, message) {
  assert.deepEqual(answer, { success: false, error: { code, message } });
}

/** Connects without registering and returns the refusal; a success fails. */
export async function refusal(t, server, options) {
  const made = new Phone(server.url, options);
  t.after(() => made.close());
  const error = await made.connect().then(
    () => assert.fail('the connection was accepted'),
    (reason) => reason,
  );
  assert.equal(made.socket.active, false, 'a refused client must not retry');
  return error;
}

/** Sends pings over a bare connection until it takes no more, while `other` goes on being answered: what is not read waits at the sender. */
export async function floodUnread(flood, other) {
  flood.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await once(flood, 'readable');
  const ping = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
  const million = Buffer.concat(Array(8000).fill(ping));
  for (let n = 0; n < 100; n++) flood.write(million);
  for (let left = -1; left !== flood.writableLength;) {
    left = flood.writableLength;
    for (let n = 0; n < 100; n++) await other.request('ping', {});
  }
  assert.ok(flood.writableLength > 50e6, `${flood.writableLength} bytes are still to be sent`);
}
