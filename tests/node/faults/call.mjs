// One call of a fault run: what is planned for it, what both sides do for that, and what they hear.
import { said } from './app.mjs';

const candidates = (first, end) => Array.from({ length: end - first }, (_, index) => ({ name: 'ice_candidate', field: 'candidate', n: first + index }));

/** What is said in a call: descriptions, candidates each way behind them, and more of those before the end. */
const OFFER = { name: 'sdp_offer', field: 'sdp', n: 0 };
const ANSWER = { name: 'sdp_answer', field: 'sdp', n: 0 };
const EARLY = candidates(0, 8);
const LATE = candidates(8, 12);
/** How long somebody who is put off goes on trying to begin a call. */
const GIVE_UP_MS = 10_000;
/** How long a call may take beyond what is planned for it. */
const GENEROUS_MS = 60_000;
const REASON = 'said-goodbye';

/** What ends a call that rings, or is answered. */
const ENDS = ['call_reject', 'call_end', 'call_cancelled', 'call_timeout'];

/** One of the two apps in a call. */
class Side {
  constructor(call, role, app) {
    Object.assign(this, { call, role, app });
    /** Known to a caller by the answer, to a callee by the event. */
    this.callId = undefined;
    /** What it was told about this call, in order: `{at, moment, name, payload, isOld}`. */
    this.events = [];
    /** Whether it has hung up, and knows it. */
    this.hasHungUp = false;
    app.side = this;
  }

  get other() {
    return this.call.caller === this ? this.call.callee : this.call.caller;
  }

  get isOver() {
    return this.call.isOver;
  }

  note(what) {
    this.call.story.push({ at: performance.now(), who: this.role, what });
  }

  /** Whether a call by this user is this one. */
  isRungBy(user) {
    return this.role === 'callee' && user === this.other.app.user;
  }

  heard(...names) {
    return this.events.filter(({ name }) => names.includes(name));
  }

  get ends() {
    return this.heard(...ENDS);
  }

  /** The event of this name about something with this number. */
  hasHeard({ name, field, n }) {
    return this.events.some((event) => event.name === name && event.payload[field].n === n);
  }

  hear(name, payload, isOld) {
    const number = payload.candidate?.n ?? payload.sdp?.n ?? payload.reason ?? '';
    this.note(`hears ${name} ${number} (${payload.eventId}${isOld ? ', again' : ''})`);
    this.events.push({ at: Date.now(), moment: this.app.moment, name, payload, isOld });
    if (ENDS.includes(name) && !this.call.mayEndBy.includes(name)) this.call.fail(`${this.role} is told ${name} ${payload.reason ?? ''}`);
    this.call.look();
  }

  ask(name, payload, giveUp) {
    return this.app.ask(this, name, payload, giveUp);
  }

  say(signals) {
    return this.app.say(this, signals);
  }
}

export class Call {
  #waiting = [];

  /** `plan`: `{isAnswered, ringsMs, holdMs, endedBy}`; calls that nobody answers ring for `ringMs`. */
  constructor(number, [caller, callee], plan, ringMs) {
    Object.assign(this, { number, plan, ringMs });
    this.story = [];
    this.caller = new Side(this, 'caller', caller);
    this.callee = new Side(this, 'callee', callee);
    this.mayEndBy = plan.isAnswered ? [] : ['call_timeout'];
    this.beganAt = performance.now();
    this.endedAt = undefined;
    /** How often it was asked for. */
    this.attempts = 0;
    /** Whether nobody took it on for as long as somebody tried. */
    this.isRefused = false;
    /** Whether the callee knows that the call is answered. */
    this.isAnswered = false;
    /** Answers that came after what they had to come before. */
    this.overtaken = [];
    /** Why it did not come to its planned end. */
    this.lost = undefined;
  }

  get isOver() {
    return this.endedAt !== undefined;
  }

  get sides() {
    return [this.caller, this.callee];
  }

  get callId() {
    return this.caller.callId ?? this.callee.callId;
  }

  fail(why) {
    if (this.isOver) return;
    this.lost = why;
    this.#end();
  }

  #end() {
    this.endedAt ??= performance.now();
    this.look();
  }

  /** Looks whether what is waited for has come. */
  look() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (waiter.hasCome()) waiter.resolve();
      else if (this.isOver) waiter.reject(new Error(waiter.what));
      else this.#waiting.push(waiter);
    }
  }

  /** Resolves when something has come; fails when the call is over without it. */
  #until(hasCome, what) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ hasCome, what, resolve, reject });
      this.look();
    });
  }

  #pause(ms) {
    let isLongEnough = false;
    const timer = setTimeout(() => {
      isLongEnough = true;
      this.look();
    }, ms);
    return this.#until(() => isLongEnough, 'the call was over too early').finally(() => clearTimeout(timer));
  }

  /** Goes through the call as planned. Never fails: the call knows what became of it. */
  async run() {
    const { isAnswered, ringsMs, holdMs } = this.plan;
    const limit = (isAnswered ? ringsMs + holdMs : this.ringMs) + GENEROUS_MS;
    let missing = [];
    const timer = setTimeout(() => {
      missing = this.#waiting.map(({ what }) => what);
      this.fail('takes too long');
    }, limit);
    try {
      await Promise.all([this.#place(), this.#answer()]);
      if (isAnswered) await this.#talk();
      this.#end();
    } catch (error) {
      this.fail(error.message);
    }
    if (missing.length) this.lost += `: ${missing.join(', ')}`;
    clearTimeout(timer);
  }

  async #place() {
    const { caller, callee, plan } = this;
    const payload = { calleeId: callee.app.user, callType: 'audio', requestId: `request-${this.number}` };
    const hasHadEnough = (answers) => performance.now() - this.beganAt > GIVE_UP_MS && answers.every(({ error }) => !error.isUnknown);
    const answer = await caller.ask('call_initiate', payload, hasHadEnough);
    this.attempts = answer.attempts;
    if (answer.hasGivenUp) {
      this.isRefused = !this.isOver && !this.callId;
      return this.isRefused ? this.#end() : this.fail('call_initiate came to nothing, and it rings');
    }
    if (!answer.success) throw new Error(`call_initiate is refused: ${said(answer)}`);
    if ((this.callId ?? answer.callId) !== answer.callId) throw new Error('call_initiate made a second call');
    caller.callId = answer.callId;
    caller.app.sides.set(answer.callId, caller);
    if (!plan.isAnswered) return this.#until(() => this.sides.every((side) => side.ends.length), 'call_timeout at both sides');
    await this.#until(() => caller.heard('call_accept').length, 'call_accept at the caller');
    if (answer.attempts === 1 && caller.heard('call_accept')[0].moment < answer.moment) this.overtaken.push('call_accept before call_initiate was answered');
    return caller.say([OFFER, ...EARLY]);
  }

  async #answer() {
    const { callee, plan } = this;
    await this.#until(() => this.isRefused || callee.heard('incoming_call').length, 'incoming_call');
    if (this.isRefused || !plan.isAnswered) return;
    await this.#pause(plan.ringsMs);
    const answer = await callee.ask('call_accept', { callId: callee.callId });
    if (answer.hasGivenUp) throw new Error('call_accept is put off for too long');
    // An answer that was lost before says so.
    this.isAnswered = answer.success || (answer.attempts > 1 && answer.error.message === 'Call cannot be accepted in state: accepted');
    if (!this.isAnswered) throw new Error(`call_accept is refused: ${said(answer)}`);
    await this.#until(() => callee.hasHeard(OFFER), 'sdp_offer');
    if (answer.attempts === 1 && callee.heard('sdp_offer')[0].moment < answer.moment) this.overtaken.push('sdp_offer before call_accept was answered');
    await callee.say([ANSWER, ...EARLY]);
  }

  async #talk() {
    if (this.isRefused) return;
    const { caller, callee, plan } = this;
    await this.#allHeard([[callee, [OFFER, ...EARLY]], [caller, [ANSWER, ...EARLY]]]);
    await this.#pause(plan.holdMs);
    await Promise.all([caller.say(LATE), callee.say(LATE), this.#allHeard([[callee, LATE], [caller, LATE]])]);
    const leaving = this[plan.endedBy];
    this.mayEndBy = ['call_end'];
    const hungUp = leaving.ask('call_end', { callId: this.callId, reason: REASON }).then((answer) => {
      leaving.hasHungUp = answer.success;
      if (!answer.success) throw new Error(answer.hasGivenUp ? 'call_end is put off for too long' : `call_end is refused: ${said(answer)}`);
    });
    await Promise.all([hungUp, this.#until(() => leaving.other.ends.length, `call_end at the ${leaving.other.role}`)]);
  }

  #allHeard(expected) {
    return Promise.all(expected.map(([side, signals]) => {
      const missing = () => signals.filter((signal) => !side.hasHeard(signal)).map(({ name, n }) => `${name} ${n}`);
      return this.#until(() => missing().length === 0, `${side.role} lacks ${signals[0].name} ${signals[0].n} to ${signals.at(-1).n}`);
    }));
  }

  /** What a side takes the end of the call to be. */
  endAt(side) {
    const [end] = side.ends;
    if (end) return end.name === 'call_timeout' ? end.name : `${end.name} by ${end.payload.endedBy ?? end.payload.calleeId}: ${end.payload.reason}`;
    return side.hasHungUp ? `call_end by ${side.app.user}: ${REASON}` : undefined;
  }
}
