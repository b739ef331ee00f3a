// Which events this device has handled: what `register` says so that nothing comes twice, and what is dropped when it does.
import { Recent } from './recent.js';

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
  readonly #ids = new Recent<number>(REMEMBERED_MAX);

  constructor(private readonly place: LastEvent = inMemory()) {}

  last(): number | undefined | Promise<number | undefined> {
    return this.place.load();
  }

  /** Whether this event is new; it counts as handled from now on. */
  isNew(eventId: number): boolean {
    if (!this.#ids.add(eventId)) return false;
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
