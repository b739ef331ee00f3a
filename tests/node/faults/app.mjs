// An app as its users have it: a stock client that comes back by itself, registers at every connect, and asks again for what was put off.
import { io } from 'socket.io-client';
import { tokenOf } from '../support.mjs';

/** How long a request may take before an app gives its answer up. */
const REQUEST_MS = 5000;
/** The pause before something is asked again. */
const AGAIN_MS = [200, 600];

/** Not before it is: resolves so much later. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Something to wait for, until it is given. */
function signal() {
  let give;
  const given = new Promise((resolve) => (give = resolve));
  return { given, give };
}

/** Whether the same request may do better a moment later: it was put off, or nobody knows what came of it. */
const isWorthRepeating = ({ success, error }) => !success && (error.isUnknown || error.retryable === true);

export class App {
  #chance;
  #registered = signal();
  #lastEventId;

  /** An app of `user`, who has no other. `strays` gets every event that no call here can have caused. */
  constructor(url, user, { chance, strays }) {
    this.#chance = chance;
    this.user = user;
    this.strays = strays;
    /** The sides of calls this app has been, by call id. */
    this.sides = new Map();
    /** The side of the call it is in. */
    this.side = undefined;
    /** How often it has been connected, how many signals it has sent, and how much it has been told. */
    this.connections = 0;
    this.emissions = 0;
    this.moment = 0;
    this.isRegistered = false;
    /** When it was last registered. */
    this.registeredAt = undefined;
    /** Why it will not come back, if so. */
    this.sentAway = undefined;
    this.socket = io(url, { auth: { token: tokenOf(user) }, forceNew: true, transports: ['websocket'] });
    this.socket.onAny((name, payload) => this.#hear(name, payload));
    this.socket.on('connect', () => this.#register());
    this.socket.on('disconnect', (reason) => this.#lose(reason));
    this.socket.on('connect_error', (error) => this.socket.active || this.#lose(`refused: ${error.message}`));
  }

  #note(what) {
    this.side?.note(what);
  }

  #lose(reason) {
    this.#note(`connection lost: ${reason}`);
    if (this.isRegistered) this.#registered = signal();
    this.isRegistered = false;
    if (!this.socket.active && reason !== 'io client disconnect') this.sentAway = reason;
  }

  async #register() {
    this.connections += 1;
    const { id } = this.socket;
    this.#note(`connected as ${id}`);
    while (this.socket.id === id) {
      const before = this.#lastEventId;
      const answer = await this.emit('register', { userId: this.user, deviceId: `${this.user}-phone`, platform: 'web', lastEventId: before });
      this.#note(`register after ${before}: ${said(answer)}`);
      if (this.socket.id !== id) return;
      if (answer.success) {
        this.isRegistered = true;
        this.registeredAt = performance.now();
        return this.#registered.give();
      }
      await this.breathe();
    }
  }

  #hear(name, payload) {
    if (name === 'registered' || name === 'registration_error') return;
    this.moment += 1;
    if (name === 'error') return this.#note(`told: error ${payload.code} ${payload.message}`);
    const last = this.#lastEventId;
    if (payload.eventId !== undefined) this.#lastEventId = Math.max(last ?? 0, payload.eventId);
    const side = this.sides.get(payload.callId) ?? this.#adopt(name, payload);
    if (side) side.hear(name, payload, last !== undefined && payload.eventId <= last);
    else this.strays.push({ app: this, name, payload });
  }

  /** The side that a call with a new id belongs to. */
  #adopt(name, { callId, callerId }) {
    const { side } = this;
    const isOurs = side && !side.callId && (name === 'incoming_call' ? side.isRungBy(callerId) : side.other.callId === callId);
    if (!isOurs) return undefined;
    side.callId = callId;
    this.sides.set(callId, side);
    return side;
  }

  /** Resolves when the app is registered, or there is no need for it any more. */
  async registered(side) {
    while (!this.isRegistered && !side?.isOver) await Promise.race([this.#registered.given, this.breathe()]);
  }

  /** A little while. */
  breathe() {
    return pause(this.#chance.between(...AGAIN_MS));
  }

  /** Emits once. The answer is what the server says, or an error with `isUnknown`; `moment` is its place among all the app is told. */
  emit(name, payload) {
    return new Promise((resolve) => {
      this.socket.timeout(REQUEST_MS).emit(name, payload, (error, answer) => {
        const said = error ? { success: false, error: { code: error.message, isUnknown: true } } : answer;
        resolve({ ...said, moment: ++this.moment });
      });
    });
  }

  /**
   * Asks for `side` until there is an answer that asking again would not better, and says how often it was asked. When `giveUp` says so
   * of the answers so far, or the call is over, the app does without.
   */
  async ask(side, name, payload, giveUp = () => false) {
    const answers = [];
    while (!side.isOver && !giveUp(answers)) {
      if (this.isRegistered) {
        const answer = await this.emit(name, payload);
        this.#note(`${name}: ${said(answer)}`);
        answers.push(answer);
        if (!isWorthRepeating(answer)) return { ...answer, attempts: answers.length };
      }
      await this.breathe();
    }
    return { success: false, attempts: answers.length, hasGivenUp: true };
  }

  /** Sends signals in this order, all at once; those that were put off or lost once more, in this order, until none is left. */
  async say(side, signals) {
    const [callId, to] = [side.callId, side.other.app.user];
    for (let left = signals; left.length;) {
      await this.registered(side);
      if (side.isOver) return;
      const answers = await Promise.all(left.map(({ name, field, n }) => {
        this.emissions += 1;
        const content = { n, connection: this.connections, emission: this.emissions, ...filler(field) };
        return this.emit(name, { callId, to, [field]: content });
      }));
      for (const [index, answer] of answers.entries()) {
        if (!answer.success) this.#note(`${left[index].name} ${left[index].n}: ${said(answer)}`);
      }
      const refused = answers.findIndex((answer) => !answer.success && !isWorthRepeating(answer));
      if (refused >= 0) throw new Error(`${left[refused].name} is refused: ${said(answers[refused])}`);
      left = left.filter((_, index) => !answers[index].success);
      if (left.length) await this.breathe();
    }
  }

  close() {
    this.socket.disconnect();
  }
}

/** An answer, for people. */
export const said = ({ success, error }) => (success ? 'success' : `${error.code} ${error.message ?? ''}`.trim());

/** What makes descriptions and candidates as long as they are. */
const filler = (field) => (field === 'sdp' ? { type: 'offer', sdp: 'v=0\r\n'.padEnd(2000, 'a=x\r\n') } : { candidate: 'candidate:'.padEnd(120, '0') });
