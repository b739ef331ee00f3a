// What the connection is doing: `getStats` reduced to the numbers a person asks for, and the panel that shows them.

import { byteWords, rateWords } from '/demo/words.js';

/** How many seconds the rate chart shows. */
const CHART_SECONDS = 60;

/** Reduces one `RTCStatsReport`. Bytes are totals since the start of the call; absent things are null. */
export function reduceStats(report) {
  const all = [...report.values()];
  const transport = all.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  const pair = transport
    ? report.get(transport.selectedCandidatePairId)
    : all.find((entry) => entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded');
  return {
    at: all[0]?.timestamp ?? 0,
    path: pair ? path(report, pair) : null,
    roundTripMs: pair?.currentRoundTripTime !== undefined ? pair.currentRoundTripTime * 1000 : null,
    audio: medium(report, all, 'audio'),
    video: medium(report, all, 'video'),
  };
}

function path(report, pair) {
  const local = report.get(pair.localCandidateId);
  const remote = report.get(pair.remoteCandidateId);
  return {
    local: local?.candidateType,
    remote: remote?.candidateType,
    protocol: local?.relayProtocol ?? local?.protocol,
  };
}

function medium(report, all, kind) {
  const inbound = all.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind);
  const outbound = all.find((entry) => entry.type === 'outbound-rtp' && entry.kind === kind);
  if (!inbound && !outbound) return null;
  const codec = report.get(inbound?.codecId ?? outbound?.codecId);
  return {
    codec: codec?.mimeType.split('/')[1] ?? null,
    bytesIn: inbound?.bytesReceived ?? 0,
    bytesOut: outbound?.bytesSent ?? 0,
    packetsLost: inbound?.packetsLost ?? 0,
    width: inbound?.frameWidth ?? null,
    height: inbound?.frameHeight ?? null,
    framesPerSecond: inbound?.framesPerSecond ?? null,
  };
}

/** The panel beside a call. It carries the plain numbers as data attributes too, for tests and the curious. */
export class StatsPanel {
  #root;
  #last = null;
  #history = [];

  constructor(root) {
    this.#root = root;
  }

  /** Forgets the last call. */
  reset() {
    this.#last = null;
    this.#history = [];
    for (const key of Object.keys(this.#root.dataset)) delete this.#root.dataset[key];
    for (const cell of this.#root.querySelectorAll('[data-stat]')) cell.textContent = '–';
    this.#draw();
  }

  show(stats) {
    const rates = this.#rates(stats);
    const { path, audio, video } = stats;
    this.#set(
      'roundTrip',
      stats.roundTripMs === null ? '–' : `${stats.roundTripMs.toFixed(stats.roundTripMs < 10 ? 1 : 0)} ms`,
    );
    this.#set('path', path ? `${path.local} ↔ ${path.remote} · ${path.protocol}` : '–');
    this.#set('received', byteWords(total(stats, 'bytesIn')));
    this.#set('sent', byteWords(total(stats, 'bytesOut')));
    this.#set('rateIn', rates ? rateWords(rates.in) : '–');
    this.#set('rateOut', rates ? rateWords(rates.out) : '–');
    this.#set('audio', audio?.codec ?? '–');
    this.#set('video', video ? videoWords(video) : 'none');
    this.#set('lost', String((audio?.packetsLost ?? 0) + (video?.packetsLost ?? 0)));
    Object.assign(this.#root.dataset, {
      audioIn: audio?.bytesIn ?? 0,
      audioOut: audio?.bytesOut ?? 0,
      videoIn: video?.bytesIn ?? 0,
      videoOut: video?.bytesOut ?? 0,
      path: path ? `${path.local}/${path.remote}` : '',
    });
    if (rates) this.#history = [...this.#history, rates].slice(-CHART_SECONDS);
    this.#draw();
    this.#last = stats;
  }

  showIce(state) {
    this.#set('ice', state);
    this.#root.dataset.ice = state;
  }

  #rates(stats) {
    if (!this.#last || stats.at <= this.#last.at) return null;
    const seconds = (stats.at - this.#last.at) / 1000;
    const rate = (field) => Math.max(0, ((total(stats, field) - total(this.#last, field)) * 8) / seconds);
    return { in: rate('bytesIn'), out: rate('bytesOut') };
  }

  #set(name, text) {
    this.#root.querySelector(`[data-stat="${name}"]`).textContent = text;
  }

  #draw() {
    const highest = Math.max(1, ...this.#history.flatMap((rates) => [rates.in, rates.out]));
    for (const side of ['in', 'out']) {
      const points = this.#history.map((rates, second) => {
        const x = CHART_SECONDS - this.#history.length + second + 1;
        return `${x},${(30 - (rates[side] / highest) * 28).toFixed(2)}`;
      });
      this.#root.querySelector(`[data-line="${side}"]`).setAttribute('points', points.join(' '));
    }
  }
}

function total(stats, field) {
  return (stats.audio?.[field] ?? 0) + (stats.video?.[field] ?? 0);
}

function videoWords({ codec, width, height, framesPerSecond }) {
  const parts = [codec];
  if (width) parts.push(`${width}×${height}`);
  if (framesPerSecond) parts.push(`${Math.round(framesPerSecond)} fps`);
  return parts.filter(Boolean).join(' · ') || '–';
}
