// Waiting: for a promise under a time-out, and for what can only be asked about.

/** How long an answer or an event may take; generous, because test machines are slow. */
export const PATIENCE_MS = 8000;

/** The pause between two questions about the same thing. */
const ASK_EVERY_MS = 20;

/** Resolves as `promise` does, or fails with `what` when it takes too long. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${typeof what === 'function' ? what() : what} (waited ${ms} ms)`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks again and again, until the answer is neither a failure nor false, and returns it. */
export async function eventually(ask, what, ms = PATIENCE_MS) {
  let last;
  let over = false;
  const found = (async () => {
    while (!over) {
      try {
        const answer = await ask();
        if (answer) return answer;
        last = `it says ${JSON.stringify(answer)}`;
      } catch (error) {
        last = error.message;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  })();
  return within(found, () => `${typeof what === 'function' ? what() : what}: ${last}`, ms).finally(() => (over = true));
}
