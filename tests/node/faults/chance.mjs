// What is left to chance in a fault run: all of it follows from one seed, so that a run can be had again.

/** A source of random numbers that gives the same ones for the same seed (mulberry32). */
export function chanceOf(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end) => Math.floor(next() * end);
  return {
    /** True in that share of all cases. */
    is: (share) => next() < share,
    /** A number from `first` on, below `end`. */
    between: (first, end) => first + next() * (end - first),
    pick: (list) => list[below(list.length)],
    /** The same members in another order. */
    shuffle(list) {
      const left = [...list];
      return list.map(() => left.splice(below(left.length), 1)[0]);
    },
  };
}
