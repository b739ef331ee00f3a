// The one error that this package throws: a refusal of the server, or that there was no answer.
import type { ErrorCode, Refusal } from './types.js';

/**
 * Beside the server's codes: `NO_ANSWER`, the request may or may not have been carried out; `REFUSED`, the connection was refused for
 * good, with a message that README.md of switchboard lists; `NO_TOKEN`, the app's `token` failed; `CLOSED`, this client has been closed.
 */
export type LocalCode = 'NO_ANSWER' | 'REFUSED' | 'NO_TOKEN' | 'CLOSED';

export class SwitchboardError extends Error {
  override readonly name = 'SwitchboardError';

  constructor(
    readonly code: ErrorCode | LocalCode,
    message: string,
    /** Whether to ask again. With `NO_ANSWER` only what is safe to repeat. */
    readonly retryable: boolean = false,
  ) {
    super(message);
  }

  /** What the server said. */
  static from({ code, message, retryable }: Refusal): SwitchboardError {
    return new SwitchboardError(code, message, retryable === true);
  }
}
