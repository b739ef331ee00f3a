// A set that forgets what was put in first when it is full.

export class Recent<T> {
  readonly #all = new Set<T>();

  constructor(private readonly max: number) {}

  has(item: T): boolean {
    return this.#all.has(item);
  }

  /** Whether it was not in there. */
  add(item: T): boolean {
    if (this.#all.has(item)) return false;
    this.#all.add(item);
    for (const oldest of this.#all) {
      if (this.#all.size <= this.max) break;
      this.#all.delete(oldest);
    }
    return true;
  }
}
