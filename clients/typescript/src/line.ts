// Keeps the order in which the server spoke. An answer reaches the app through promises, some turns after it came; an event that came
// behind it must not overtake it, or the app would hear `call_accept` of a call whose id it has not been told.

export class Line {
  #last: Promise<void> | undefined;

  /** What comes later waits until `promise` has settled, and those who awaited it before have gone on. */
  hold(promise: Promise<unknown>): void {
    this.#append(() =>
      promise.then(
        () => {},
        () => {},
      ),
    );
  }

  /** Does `work` when it is its turn: at once, unless something is held. */
  pass(work: () => void): void {
    if (this.#last) this.#append(work);
    else work();
  }

  #append(step: () => void | Promise<void>): void {
    const last = (this.#last ?? Promise.resolve()).then(step).finally(() => {
      if (this.#last === last) this.#last = undefined;
    });
    this.#last = last;
  }
}
