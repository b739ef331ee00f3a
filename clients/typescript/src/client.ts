// One connection of one device: registers whenever it is made, asks, asks again where that is safe, and hands on each event once.
// What an app has to do about a call it does itself; there is no WebRTC in here.
import { io, type Socket } from 'socket.io-client';
import { again, pause } from './again.js';
import { Calls } from './calls.js';
import { SwitchboardError } from './error.js';
import { expiryOf, refreshAfter } from './expiry.js';
import { Handled } from './handled.js';
import { Line } from './line.js';
import { Listeners } from './listeners.js';
import type { LocalEvents, Options, Patience, State } from './options.js';
import type { Answers, CallEvent, Candidate, Description, Events, IceServers, PushTokens, Refusal, Requests } from './types.js';

const ANSWER_TIMEOUT_MS = 5000;
/** About as long as a call rings. */
const PATIENCE_MS = 45_000;
/** A server that was sent too much is left alone for so long. */
const AFTER_TOO_MUCH_MS = 5000;

type Heard = Events & LocalEvents;
/** Has to be called when the answer that settles the request is there. */
type Answered = () => void;

/** Connects and registers, now and after every interruption. */
export function connect(options: Options): Switchboard {
  return new Switchboard(options);
}

export class Switchboard {
  /** The stock client, for what is not in here. */
  readonly socket: Socket;
  readonly #options: Options;
  readonly #handled: Handled;
  readonly #calls = new Calls();
  readonly #listeners = new Listeners<Heard>();
  readonly #line = new Line();
  #state: State = 'away';
  #error: SwitchboardError | undefined;
  #pushTokens: PushTokens;
  /** When the token expires, by the server's clock. */
  #expiresAt: number | undefined;
  /** The code of the last event `error` of this connection. */
  #lastWord: Refusal | undefined;
  /** Aborted when the app closes. */
  #life = new AbortController();
  /** Aborted when the connection is gone. */
  #connection = new AbortController();
  readonly #waiting = new Set<() => void>();

  constructor(options: Options) {
    this.#options = options;
    this.#pushTokens = options.pushTokens ?? {};
    this.#handled = new Handled(options.lastEvent);
    this.socket = io(options.url, {
      transports: ['websocket'],
      forceNew: true,
      ...options.socket,
      auth: (send) => void this.#authenticate(send),
    });
    this.socket.on('connect', () => void this.#register());
    this.socket.on('connect_error', (error) => this.#notConnected(error));
    this.socket.on('disconnect', (reason) => this.#disconnected(reason));
    this.socket.on('error', (refusal: Refusal) => (this.#lastWord = refusal));
    this.socket.onAny((name: keyof Events, payload) => this.#line.pass(() => this.#hear(name, payload)));
  }

  get state(): State {
    return this.#state;
  }

  on<Name extends keyof Heard>(name: Name, listener: (payload: Heard[Name]) => void): this {
    this.#listeners.on(name, listener);
    return this;
  }

  off<Name extends keyof Heard>(name: Name, listener: (payload: Heard[Name]) => void): this {
    this.#listeners.off(name, listener);
    return this;
  }

  /** Resolves when this device is registered, at once if it is; fails if it is refused, displaced or closed. */
  async registered(): Promise<void> {
    while (this.#state === 'away') await new Promise<void>((changed) => this.#waiting.add(changed));
    if (this.#state !== 'registered') throw this.#error ?? new SwitchboardError('CLOSED', 'This client has been closed');
  }

  /** Asks once, when this device is registered, and fails with a `SwitchboardError`. */
  request<Name extends keyof Requests>(name: Name, payload: Requests[Name]): Promise<Answers[Name]> {
    return this.#inOrder((answered) => this.#ask(name, payload, answered));
  }

  /** Calls somebody. Asked again while the server cannot do it now; it is one call all the same, by its `requestId`. */
  initiate(call: Requests['call_initiate'], patience?: Patience): Promise<Answers['call_initiate']> {
    this.#calls.begun();
    const answer = this.#untilDone('call_initiate', { ...call, requestId: call.requestId ?? randomId() }, patience);
    // Behind what is held for the answer: so after the app has it.
    const done = (callId?: string) => this.#line.pass(() => this.#calls.answered(callId));
    answer.then(
      ({ callId }) => done(callId),
      () => done(),
    );
    return answer;
  }

  accept(callId: string): Promise<Answers['call_accept']> {
    return this.request('call_accept', { callId });
  }

  reject(callId: string, reason: string | null = null): Promise<Answers['call_reject']> {
    return this.request('call_reject', { callId, reason });
  }

  /** Hangs up. Asked again while the server cannot do it now. */
  end(callId: string, reason: string | null = null, patience?: Patience): Promise<Answers['call_end']> {
    return this.#untilDone('call_end', { callId, reason }, patience);
  }

  sendOffer(callId: string, to: string, sdp: Description): Promise<Answers['sdp_offer']> {
    return this.request('sdp_offer', { callId, to, sdp });
  }

  sendAnswer(callId: string, to: string, sdp: Description): Promise<Answers['sdp_answer']> {
    return this.request('sdp_answer', { callId, to, sdp });
  }

  sendCandidate(callId: string, to: string, candidate: Candidate): Promise<Answers['ice_candidate']> {
    return this.request('ice_candidate', { callId, to, candidate });
  }

  /** For the start of each call; the event `ice_servers` has those for a long one. */
  async getIceServers(region: string | null = null): Promise<IceServers> {
    const { iceServers, ttl } = await this.request('get_ice_servers', { region });
    return { iceServers, ttl };
  }

  /** Gives the server a fresh token; done by itself before the last one expires. */
  async refreshToken(): Promise<void> {
    const token = await this.#token();
    const { expiresAt } = await this.request('token_refresh', { token });
    this.#expiresAt = expiresAt ?? undefined;
  }

  /** Other push tokens, now and at every `register` from here on. */
  async setPushTokens(pushTokens: PushTokens): Promise<void> {
    this.#pushTokens = pushTokens;
    if (this.#state === 'registered') await this.#untilDone('register', await this.#registration());
  }

  /** Signs this device out, so that it does not ring any more, and closes. */
  async unregister(): Promise<void> {
    try {
      await this.request('unregister', {});
    } finally {
      this.close();
    }
  }

  /** Comes back after `displaced`, `refused` or `closed`: only when the user asks for it, or two windows displace each other for ever. */
  reconnect(): void {
    if (this.#state === 'away' || this.#state === 'registered') return;
    if (this.#life.signal.aborted) this.#life = new AbortController();
    this.#become('away');
    this.socket.disconnect().connect();
  }

  /** Ends the connection. The device still rings by push, and what it misses is kept; `unregister` is for signing out. */
  close(): void {
    this.#life.abort();
    this.socket.disconnect();
    this.#become('closed');
  }

  // ------------------------------------------------------------------------------------------------------------- connection

  async #authenticate(send: (auth: object) => void): Promise<void> {
    const { engine } = this.socket.io;
    const isStillHere = () => this.socket.io.engine === engine;
    try {
      const token = await this.#token();
      if (!isStillHere()) return;
      this.#expiresAt = expiryOf(token);
      send({ token });
    } catch (error) {
      this.#listeners.tell('token_error', error as SwitchboardError);
      // The stock client then comes back after a pause, and asks for a token again.
      if (isStillHere()) engine.close();
    }
  }

  async #token(): Promise<string> {
    try {
      return await this.#options.token();
    } catch (error) {
      throw new SwitchboardError('NO_TOKEN', error instanceof Error ? error.message : String(error), true);
    }
  }

  async #registration(): Promise<Requests['register']> {
    const { userId, deviceId, platform } = this.#options;
    return { userId, deviceId, platform, ...this.#pushTokens, lastEventId: (await this.#handled.last()) ?? null };
  }

  async #register(): Promise<void> {
    this.#lastWord = undefined;
    this.#connection = new AbortController();
    const { signal } = this.#connection;
    // A socket that has not registered hears nothing: so asked for as long as it is connected, also when too much was sent before.
    const isWorthIt = ({ retryable, code }: SwitchboardError) => retryable || code === 'E303' || code === 'E500';
    try {
      const ask = async () => this.#send('register', await this.#registration());
      await again(ask, { patienceMs: Infinity, signals: [signal], isWorthIt });
      if (signal.aborted) return;
      this.#become('registered');
      await this.#keepToken(signal);
    } catch (error) {
      if (!signal.aborted && this.#state === 'away') this.#become('refused', error as SwitchboardError);
    }
  }

  /** Renews the token for as long as the connection lasts. */
  async #keepToken(signal: AbortSignal): Promise<void> {
    if (this.#expiresAt === undefined) return;
    const aheadMs = await this.#send('ping', {}).then(
      ({ timestamp }) => Date.now() - timestamp,
      // Then this device's clock has to do.
      () => 0,
    );
    while (this.#expiresAt !== undefined && !signal.aborted) {
      await pause(refreshAfter(this.#expiresAt - (Date.now() - aheadMs)), [signal]);
      if (signal.aborted) return;
      await this.refreshToken().catch((error) => {
        if (!signal.aborted) this.#listeners.tell('token_error', error);
      });
    }
  }

  #notConnected(error: Error): void {
    if (!this.socket.active) this.#become('refused', new SwitchboardError('REFUSED', error.message));
  }

  #disconnected(reason: string): void {
    this.#connection.abort();
    if (reason === 'io client disconnect') return;
    if (reason !== 'io server disconnect') return this.#become('away');
    const why = this.#lastWord && SwitchboardError.from(this.#lastWord);
    if (why?.code === 'E004') return this.#become('displaced', why);
    this.#become('away', why);
    const { signal } = this.#life;
    void pause(AFTER_TOO_MUCH_MS, [signal]).then(() => {
      if (!signal.aborted && this.#state === 'away') this.socket.connect();
    });
  }

  #become(state: State, error?: SwitchboardError): void {
    if (state === this.#state && error === undefined) return;
    this.#state = state;
    this.#error = error;
    for (const changed of this.#waiting) changed();
    this.#waiting.clear();
    this.#listeners.tell('state', error ? { state, error } : { state });
  }

  #hear<Name extends keyof Events>(name: Name, payload: Heard[Name]): void {
    const { eventId, callId } = (payload ?? {}) as Partial<CallEvent>;
    const tell = () => this.#listeners.tell(name, payload);
    if (eventId === undefined || callId === undefined) return tell();
    if (this.#handled.isNew(eventId)) this.#calls.hear(name, callId, tell);
  }

  // --------------------------------------------------------------------------------------------------------------- requests

  /** What came behind the answer is heard after the app has it. */
  #inOrder<T>(work: (answered: Answered) => Promise<T>): Promise<T> {
    const all: Promise<T> = work(() => this.#line.hold(all));
    return all;
  }

  /** For requests that are safe to repeat. */
  #untilDone<Name extends keyof Requests>(name: Name, payload: Requests[Name], patience: Patience = {}): Promise<Answers[Name]> {
    const { patienceMs = PATIENCE_MS, signal } = patience;
    const signals = signal ? [this.#life.signal, signal] : [this.#life.signal];
    return this.#inOrder((answered) =>
      again(() => this.#ask(name, payload, answered), { patienceMs, signals, isWorthIt: ({ retryable }) => retryable }),
    );
  }

  /** Waits for the registration no longer than for an answer: a request must not go out long after it was made. */
  async #ask<Name extends keyof Requests>(name: Name, payload: Requests[Name], answered: Answered): Promise<Answers[Name]> {
    if (this.#state !== 'registered') await this.#soonRegistered(name);
    return this.#send(name, payload, answered);
  }

  #soonRegistered(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(noAnswer(name)), this.#answerTimeoutMs);
      this.registered()
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  }

  #send<Name extends keyof Requests>(name: Name, payload: Requests[Name], answered: Answered = () => {}): Promise<Answers[Name]> {
    return new Promise((resolve, reject) => {
      this.socket.timeout(this.#answerTimeoutMs).emit(name, payload, (silence: Error | null, answer: Answers[Name] | Refused) => {
        if (silence) return reject(noAnswer(name));
        if ('error' in answer) return reject(SwitchboardError.from(answer.error));
        resolve(answer);
        answered();
      });
    });
  }

  get #answerTimeoutMs(): number {
    return this.#options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
  }
}

interface Refused {
  success: false;
  error: Refusal;
}

const noAnswer = (name: string) => new SwitchboardError('NO_ANSWER', `${name} has not been answered`, true);

/** Unlikely enough to come twice from one user; not a secret. */
function randomId(): string {
  const part = () => Math.random().toString(36).slice(2);
  return `${Date.now().toString(36)}-${part()}${part()}`;
}
