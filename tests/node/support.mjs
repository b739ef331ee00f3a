// The only Node harness: starts the real binary, mints tokens, and hands out phones (stock clients that remember what they hear).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { io } from 'socket.io-client';

/** Signs every token of these tests. */
export const SECRET = 'a-secret-for-the-tests-and-nothing-else';

/** How long an answer or an event may take; generous, because test machines are slow. */
export const PATIENCE_MS = 8000;

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

/** Settings of every server of these tests; a test adds its own. */
const BASE = {
  HOST: '127.0.0.1',
  JWT_SECRET: SECRET,
  NODE_ENV: 'development',
  PORT: '0',
  SHUTDOWN_TIMEOUT: '500',
  STUN_SERVER_URL: 'stun:127.0.0.1:9',
};

/** Every transport a stock client may come by: one of the two, or the first and then the second. */
export const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];

// ---------------------------------------------------------------------------------------------------------------- server

function binary() {
  const file = process.env.SWITCHBOARD_BIN;
  assert.ok(file, 'SWITCHBOARD_BIN names no server: run these tests with tests/run or `cargo test`');
  return path.resolve(file);
}

/** Runs a command in an empty folder (no `.env` there) with nothing but the given environment. */
function launch(args, env) {
  const folder = mkdtempSync(path.join(tmpdir(), 'switchboard-'));
  const child = spawn(binary(), args, { cwd: folder, env: { PATH: process.env.PATH, ...env }, stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  child.stdin.end();
  const killOnExit = () => child.kill('SIGKILL');
  process.on('exit', killOnExit);
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ error }));
    child.on('close', (code, signal) => resolve({ code, signal }));
  }).then((end) => {
    process.off('exit', killOnExit);
    rmSync(folder, { recursive: true, force: true });
    return { ...end, ...output };
  });
  return { child, output, ended };
}

/** Runs `switchboard ARGS` to its end: `{code, stdout, stderr}`. */
export async function run(args, env = {}) {
  const { child, ended } = launch(args, env);
  return within(ended, `switchboard ${args.join(' ')} does not end`).finally(() => child.kill('SIGKILL'));
}

/** Starts a server with `env` beside the settings all tests share. It listens when this returns. */
export async function startServer(env = {}) {
  const { child, output, ended } = launch([], { ...BASE, ...env });
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
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    output,
    ended,
    /** Resolves when the process is gone. */
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return within(ended, 'the server does not end').finally(() => child.kill('SIGKILL'));
    },
    /** Fails unless the server still answers. */
    async isAlive() {
      const answer = await fetch(`http://127.0.0.1:${port}/health`);
      assert.equal(answer.status, 200);
      return answer.json();
    },
  };
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

/** Resolves as `promise` does, or fails with `what` when it takes too long. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${typeof what === 'function' ? what() : what} (waited ${ms} ms)`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

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
  take(name, accepts = () => true) {
    const matches = (event) => event.name === name && accepts(event.payload);
    const index = this.unread.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.unread.splice(index, 1)[0].payload);
    const arrived = new Promise((resolve) => this.waiting.push({ matches, resolve }));
    return within(arrived, () => `no ${name} at ${this.user}; unread: ${JSON.stringify(this.unread).slice(0, 1000)}`);
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

// ----------------------------------------------------------------------------------------------------------------- proxy

/** A TCP proxy whose connections can be made to swallow what they are given, as a network does when it goes away. */
export async function holeProxy(t, server) {
  const pairs = [];
  const listener = net.createServer((near) => {
    const far = net.connect(server.port, '127.0.0.1');
    near.pipe(far);
    far.pipe(near);
    for (const end of [near, far]) end.on('error', () => {}).on('close', () => (near.destroy(), far.destroy()));
    pairs.push({ near, far });
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const { near, far } of pairs) near.destroy(), far.destroy();
    listener.close();
  });
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** Nothing passes any more on the present connections, and nobody is told. */
    freeze() {
      for (const { near, far } of pairs) near.unpipe(far).pause(), far.unpipe(near).pause();
    },
    /** Nothing passes towards the client any more: it has stopped reading. */
    stopReading() {
      for (const { near, far } of pairs) far.unpipe(near).pause();
    },
    /** The client reads again. */
    readOn() {
      for (const { near, far } of pairs) far.pipe(near);
    },
  };
}
