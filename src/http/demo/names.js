// Friendly names for people who have not chosen one.

const COLOURS = [
  'amber',
  'blue',
  'copper',
  'coral',
  'golden',
  'green',
  'indigo',
  'ivory',
  'purple',
  'red',
  'silver',
  'teal',
];
const ANIMALS = ['badger', 'crane', 'fox', 'hare', 'heron', 'lynx', 'otter', 'owl', 'raven', 'robin', 'seal', 'wren'];

/** A name such as `blue-otter`. */
export function friendlyName() {
  return `${pick(COLOURS)}-${pick(ANIMALS)}`;
}

function pick(words) {
  return words[crypto.getRandomValues(new Uint32Array(1))[0] % words.length];
}
