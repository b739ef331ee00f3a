// The two sounds of a telephone, made on the spot: the bell of an incoming call and the tone while the other side rings.

const TONES = {
  // Two warbling bursts, then a pause.
  incoming: {
    frequencies: [660, 880],
    bursts: [
      [0, 0.35],
      [0.5, 0.35],
    ],
    period: 3,
    volume: 0.12,
  },
  // The European ringing tone: 425 Hz, one second in five (ITU-T E.180).
  ringing: { frequencies: [425], bursts: [[0, 1]], period: 5, volume: 0.05 },
};

let context = null;
let playing = null;
let timer = null;

/** Plays `incoming` or `ringing` until told otherwise; null for silence. Silent until the page was touched once. */
export function playTone(name) {
  if (name === playing) return;
  playing = name;
  clearInterval(timer);
  context?.close();
  context = null;
  if (!name) return;
  const tone = TONES[name];
  context = new AudioContext();
  const start = () => playing === name && ring(tone);
  context.resume().then(start, () => {});
  timer = setInterval(start, tone.period * 1000);
}

function ring({ frequencies, bursts, volume }) {
  if (context.state !== 'running') return;
  for (const [start, length] of bursts) {
    const gain = context.createGain();
    const from = context.currentTime + start;
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(volume, from + 0.03);
    gain.gain.setValueAtTime(volume, from + length - 0.05);
    gain.gain.linearRampToValueAtTime(0, from + length);
    gain.connect(context.destination);
    for (const frequency of frequencies) {
      const oscillator = context.createOscillator();
      oscillator.frequency.value = frequency;
      oscillator.connect(gain);
      oscillator.start(from);
      oscillator.stop(from + length);
    }
  }
}
