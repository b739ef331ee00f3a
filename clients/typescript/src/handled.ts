// Which events this device has handled: what `register` says so that nothing comes twice, and what is dropped when it does.

/**
 * Where the last event id is kept: in memory unless the app gives a place of its own. Not on a disk: an app that starts anew has
 * forgotten that it was ringing, and should be told again.
 */
export interface LastEvent {
  load(): number | undefined | Promise<number | undefined>;
  save(eventId: number): void;
}

/** As many as the server keeps for an absent device; older ones cannot come again. */
const REMEMBERED_MAX = 1024;

export class Handled {
  readonly #ids = new Set<number>();

  constructor(private readonly place: LastEvent = inMemory()) {}

  last(): number | undefined | Promise<number | undefined> {
    return this.place.load();
  }

  /** Whether this event is new; it counts as handled from now on. Ids of one user rise, so the first of the set is the oldest. */
  isNew(eventId: number): boolean {
    if (this.#ids.has(eventId)) return false;
    this.#ids.add(eventId);
    if (this.#ids.size > REMEMBERED_MAX) {
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    this.place.save(eventId);
    return true;
  }
}

function inMemory(): LastEvent {
  let last: number | undefined;
  return {
    load: () => last,
    save: (eventId) => {
      last = Math.max(last ?? 0, eventId);
    },
  };
}
