// Calls the app has been told of. When the answer to `call_initiate` is lost, what comes of the call arrives before its id is known, and
// once more, as another event, when the repeated request has been answered: the app hears it once, after it knows the id.
import { Recent } from './recent.js';

const CALLS_MAX = 1024;
/** Beyond that events are heard at once. */
const EARLY_MAX = 1024;
/** What happens to a call once at most. */
const OUTCOMES = ['call_accept', 'call_reject', 'call_timeout', 'call_end'];

export class Calls {
  readonly #known = new Recent<string>(CALLS_MAX);
  readonly #outcomes = new Recent<string>(CALLS_MAX * OUTCOMES.length);
  #unanswered = 0;
  #early: (() => void)[] = [];

  /** A call is being made that has no id yet; `answered` has to follow. */
  begun(): void {
    this.#unanswered += 1;
  }

  /** With its id, or without one if it has failed. */
  answered(callId?: string): void {
    if (callId !== undefined) this.#known.add(callId);
    this.#unanswered -= 1;
    const early = this.#early;
    this.#early = [];
    // Those that still belong to none wait on if there is another call without an id.
    for (const hear of early) hear();
  }

  /** Calls `tell` with an event about a call when its time has come, or never if it has been told. */
  hear(name: string, callId: string, tell: () => void): void {
    if (name === 'incoming_call') this.#known.add(callId);
    if (this.#unanswered > 0 && !this.#known.has(callId) && this.#early.length < EARLY_MAX) {
      this.#early.push(() => this.hear(name, callId, tell));
    } else if (!OUTCOMES.includes(name) || this.#outcomes.add(`${name} ${callId}`)) {
      tell();
    }
  }
}
