// Typed listeners. One that throws does not keep the others from hearing.

export class Listeners<Heard extends object> {
  readonly #all = new Map<keyof Heard, Set<(payload: never) => void>>();

  on<Name extends keyof Heard>(name: Name, listener: (payload: Heard[Name]) => void): void {
    const listeners = this.#all.get(name) ?? new Set();
    this.#all.set(name, listeners.add(listener));
  }

  off<Name extends keyof Heard>(name: Name, listener: (payload: Heard[Name]) => void): void {
    this.#all.get(name)?.delete(listener);
  }

  tell<Name extends keyof Heard>(name: Name, payload: Heard[Name]): void {
    for (const listener of [...(this.#all.get(name) ?? [])]) {
      try {
        (listener as (payload: Heard[Name]) => void)(payload);
      } catch (error) {
        // The app's own mistake: reported as one that nobody caught.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }
}
