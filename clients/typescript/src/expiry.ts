// When a token expires, and when to ask for the next one.

/** Milliseconds since the epoch; `undefined` if it never expires, or cannot be read here (that is for the server to do). */
export function expiryOf(token: string): number | undefined {
  try {
    const claims = atob((token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/'));
    const { exp } = JSON.parse(claims) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

const SOONEST_MS = 1000;
const AFTER_EXPIRY_MS = 30_000;
/** Timers cannot be set for longer. */
const LATEST_MS = 2 ** 31 - 1;

/** How long to wait with a token that is good for another `leftMs`: three quarters of that. One that has expired is tried anew now and then. */
export function refreshAfter(leftMs: number): number {
  if (leftMs <= 0) return AFTER_EXPIRY_MS;
  return Math.min(Math.max(leftMs * 0.75, SOONEST_MS), LATEST_MS);
}
