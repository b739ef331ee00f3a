// The event log: what went over the wire and when. It keeps sizes of descriptions and candidates, never their contents.

const ENTRIES_MAX = 500;
/** Fields worth a place in one line, in this order. Everything else stays out, above all tokens and SDP. */
const FIELDS = [
  'state',
  'reachability',
  'callType',
  'userId',
  'calleeId',
  'callerId',
  'from',
  'to',
  'endedBy',
  'reason',
  'code',
  'message',
  'callId',
  'eventId',
  'lastEventId',
];

export class EventLog extends EventTarget {
  entries = [];

  /** A request or message that leaves this page. */
  sent(event, payload) {
    this.#add('out', event, summary(payload));
  }

  /** An event from the server. */
  received(event, payload) {
    this.#add('in', event, summary(payload));
  }

  /** The answer to a request, `ms` after it was sent. */
  answered(event, answer, ms) {
    const outcome = answer?.success ? 'ok' : 'refused';
    this.#add('in', `${event} ${outcome}`, `${summary(answer?.error ?? answer)} ${Math.round(ms)} ms`.trim(), outcome);
  }

  /** Something that happened on this page and is worth knowing beside the wire. */
  note(event, text = '') {
    this.#add('note', event, text);
  }

  #add(direction, event, text, outcome) {
    const entry = { time: new Date(), direction, event, text, outcome };
    this.entries.push(entry);
    if (this.entries.length > ENTRIES_MAX) this.entries.shift();
    this.dispatchEvent(new CustomEvent('entry', { detail: entry }));
  }
}

/** Shows `log` in the list `list`, newest at the bottom, following the end unless the reader has scrolled up. */
export function showLog(log, list) {
  log.addEventListener('entry', ({ detail }) => {
    const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(line(detail));
    while (list.childElementCount > ENTRIES_MAX) list.firstElementChild.remove();
    if (following) list.scrollTop = list.scrollHeight;
  });
}

/** The whole log as text, one entry a line. */
export function logAsText(log) {
  return log.entries
    .map(({ time, direction, event, text }) => `${clock(time)} ${ARROWS[direction].sign} ${event} ${text}`.trim())
    .join('\n');
}

const ARROWS = {
  out: { sign: '→', word: 'sent' },
  in: { sign: '←', word: 'received' },
  note: { sign: '•', word: 'note' },
};

function line({ time, direction, event, text, outcome }) {
  const item = document.createElement('li');
  item.dataset.direction = direction;
  item.dataset.event = event;
  if (outcome) item.dataset.outcome = outcome;
  const arrow = span('arrow', ARROWS[direction].sign);
  arrow.setAttribute('role', 'img');
  arrow.setAttribute('aria-label', ARROWS[direction].word);
  item.append(span('time', clock(time)), arrow, span('event', event), span('text', text));
  return item;
}

function span(className, text) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}

function clock(time) {
  return `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, '0')}`;
}

function summary(payload) {
  if (!payload || typeof payload !== 'object') return '';
  const parts = [];
  if (payload.sdp !== undefined) parts.push(`sdp ${size(payload.sdp)}`);
  if (payload.candidate !== undefined) parts.push(`candidate ${size(payload.candidate)}`);
  for (const field of FIELDS) {
    const value = payload[field];
    if (value === undefined || value === null || typeof value === 'object') continue;
    parts.push(`${field} ${field === 'callId' ? String(value).slice(0, 8) : String(value).slice(0, 60)}`);
  }
  return parts.join(' · ');
}

function size(value) {
  const bytes = new Blob([JSON.stringify(value)]).size;
  return bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`;
}
