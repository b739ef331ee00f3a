// Asking again: after a second, then every few seconds, until the answer is final, the patience ends or somebody aborts.
import { SwitchboardError } from './error.js';

/** What is needed of an `AbortSignal`; spelled out because not every platform's types have one. */
export interface Abort {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

const FIRST_PAUSE_MS = 1000;
const PAUSE_MS = 3000;

/** The answer of `ask`, or its last failure. Failures that are not `isWorthIt` are final; so is one after `patienceMs`. */
export async function again<T>(
  ask: () => Promise<T>,
  { patienceMs, signals, isWorthIt }: { patienceMs: number; signals: Abort[]; isWorthIt: (error: SwitchboardError) => boolean },
): Promise<T> {
  const giveUpAt = performance.now() + patienceMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = PAUSE_MS) {
    try {
      return await ask();
    } catch (error) {
      const isFinal = !(error instanceof SwitchboardError) || !isWorthIt(error);
      if (isFinal || isAborted(signals) || performance.now() + pauseMs > giveUpAt) throw error;
      await pause(pauseMs, signals);
      if (isAborted(signals)) throw error;
    }
  }
}

const isAborted = (signals: Abort[]) => signals.some(({ aborted }) => aborted);

/** Resolves after `ms`, or at once when one of `signals` aborts. */
export function pause(ms: number, signals: Abort[]): Promise<void> {
  if (isAborted(signals)) return Promise.resolve();
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    for (const signal of signals) signal.addEventListener('abort', over);
  });
}
