// The connection to the server: a fresh token for each connect, `register` after each connect, requests that are always
// answered or fail, and events handed on. It knows nothing about calls.

import { fetchToken } from '/demo/api.js';

const ACK_TIMEOUT_MS = 5000;
/** How long to wait before connecting again after a refusal, which the client library does not do by itself. */
const REFUSED_RETRY_MS = 5000;
const REPEATS_MAX = 5;
/** Renew the token when this share of its life is over; without it the server ends the connection at expiry. */
const TOKEN_RENEWAL_SHARE = 0.8;
/** Longest delay `setTimeout` can hold. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The server said no. `code` is one of its error codes. */
export class Refused extends Error {
  constructor(error) {
    super(error?.message ?? 'the server refused');
    this.code = error?.code;
  }

  /** E5xx is the server's own trouble and E303 the rate limit: both pass. */
  get passes() {
    return this.code === 'E303' || this.code?.startsWith('E5') === true;
  }
}

/** Nothing came back: not connected, or the connection or the answer was lost. The request may have been carried out. */
export class NoAnswer extends Error {
  passes = true;
}

/**
 * Fires `state` (detail: state name, text) and `event` (detail: name, payload).
 * States: connecting, online, reconnecting, refused, replaced, closed.
 */
export class Signaling extends EventTarget {
  #socket;
  #log;
  #registered = deferred();
  #lastEventId;
  #expiresInSeconds;
  #retryTimer;
  #renewalTimer;
  #replaced = false;

  constructor({ userId, deviceId, log }) {
    super();
    this.userId = userId;
    this.deviceId = deviceId;
    this.state = 'connecting';
    this.stateText = '';
    this.#log = log;
    this.#socket = window.io({
      // Websocket first; polling only where something on the way does not let websockets through.
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      autoConnect: false,
      forceNew: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 10000,
      // A function, so that every attempt carries a fresh token.
      auth: (answer) => this.#authenticate(answer),
    });
    this.#listen();
  }

  connect() {
    this.#replaced = false;
    this.#setState('connecting');
    this.#socket.connect();
  }

  close() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#renewalTimer);
    this.#setState('closed');
    this.#socket.disconnect();
  }

  /**
   * Asks the server once and returns its answer.
   * @throws {Refused | NoAnswer}
   */
  async request(event, payload) {
    await within(ACK_TIMEOUT_MS, this.#registered.promise);
    return this.#ask(event, payload);
  }

  /**
   * Like `request`, but survives a lost connection: it waits for the next registration and asks again. Only for
   * requests that do no harm when they arrive twice. Stops when `signal` aborts.
   * @throws {Refused | NoAnswer}
   */
  async deliver(event, payload, signal) {
    for (let attempt = 1; ; attempt += 1) {
      await this.#registered.promise;
      if (signal?.aborted) throw new NoAnswer(`${event}: no longer wanted`);
      try {
        return await this.#ask(event, payload);
      } catch (error) {
        if (!error.passes || attempt === REPEATS_MAX) throw error;
        if (error instanceof Refused) await pause(1000 * attempt);
      }
    }
  }

  /** Sends at once and hopes: for the moment in which the page goes away. */
  sendLast(event, payload) {
    if (!this.#socket.connected) return;
    this.#log.sent(event, payload);
    this.#socket.emit(event, payload);
  }

  async #ask(event, payload) {
    const start = performance.now();
    this.#log.sent(event, payload);
    let answer;
    try {
      answer = await this.#socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, payload);
    } catch {
      this.#log.note(`${event} unanswered`);
      throw new NoAnswer('the server did not answer');
    }
    this.#log.answered(event, answer, performance.now() - start);
    if (!answer?.success) throw new Refused(answer?.error);
    return answer;
  }

  #listen() {
    const socket = this.#socket;
    socket.on('connect', () => this.#register());
    socket.on('connect_error', (error) => this.#connectFailed(error));
    socket.on('disconnect', (reason) => this.#disconnected(reason));
    socket.on('error', (error) => {
      this.#replaced = error?.code === 'E004';
    });
    socket.onAny((event, payload) => {
      this.#log.received(event, payload);
      // Where this device stands in the stream of its user's events. The server resumes from here after a reconnect;
      // it is not used to drop repeats, because a restarted server counts from the beginning again.
      if (typeof payload?.eventId === 'number') this.#lastEventId = payload.eventId;
      this.dispatchEvent(new CustomEvent('event', { detail: { name: event, payload } }));
    });
  }

  async #authenticate(answer) {
    try {
      const { token, expiresIn } = await fetchToken(this.userId);
      this.#expiresInSeconds = expiresIn;
      answer({ token });
    } catch (error) {
      this.#log.note('no token', error.message);
      answer({}); // Refused by the server, and tried again later.
    }
  }

  async #register() {
    const socketId = this.#socket.id;
    const payload = { userId: this.userId, deviceId: this.deviceId, platform: 'web', lastEventId: this.#lastEventId };
    try {
      await this.#ask('register', payload);
    } catch (error) {
      if (this.#socket.id !== socketId) return; // Lost meanwhile: the next connect registers.
      this.#socket.disconnect();
      this.#refused(error.message);
      return;
    }
    if (this.#socket.id !== socketId) return;
    this.#setState('online');
    this.#registered.resolve();
    this.#renewTokenLater();
  }

  #connectFailed(error) {
    this.#log.note('connect failed', error.message);
    // `active` means that the library tries again by itself. After a refusal by the server it does not.
    if (this.#socket.active) this.#setState('reconnecting');
    else this.#refused(error.message);
  }

  #refused(text) {
    this.#setState('refused', text);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.connect(), REFUSED_RETRY_MS);
  }

  #disconnected(reason) {
    clearTimeout(this.#renewalTimer);
    if (this.#registered.settled) this.#registered = deferred();
    this.#log.note('disconnected', reason);
    if (this.state === 'closed') return;
    if (this.#replaced) this.#setState('replaced');
    else if (reason === 'io server disconnect') this.#refused('The server closed the connection');
    else if (reason !== 'io client disconnect') this.#setState('reconnecting');
  }

  #renewTokenLater() {
    clearTimeout(this.#renewalTimer);
    if (!this.#expiresInSeconds) return;
    const delay = Math.min(this.#expiresInSeconds * 1000 * TOKEN_RENEWAL_SHARE, TIMER_MAX_MS);
    this.#renewalTimer = setTimeout(() => this.#renewToken(), delay);
  }

  async #renewToken() {
    try {
      const { token, expiresIn } = await fetchToken(this.userId);
      await this.request('token_refresh', { token });
      this.#expiresInSeconds = expiresIn;
      this.#renewTokenLater();
    } catch (error) {
      // The server ends the connection at expiry and the library reconnects with a fresh token.
      this.#log.note('token not renewed', error.message);
    }
  }

  #setState(state, text = '') {
    this.state = state;
    this.stateText = text;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, text } }));
  }
}

function deferred() {
  const result = { settled: false };
  result.promise = new Promise((resolve) => {
    result.resolve = () => {
      result.settled = true;
      resolve();
    };
  });
  return result;
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer('not connected to the server')), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
