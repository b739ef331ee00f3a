// What is to be said of a call when all is over: whether it was lost, and what went wrong in it.

/** What no promise allows, as sentences. */
export function wrongs(call) {
  const found = [...call.overtaken];
  for (const side of call.sides) {
    const { role } = side;
    // Who asks for the same call again is told once more what has come of it.
    const most = role === 'caller' ? Math.max(1, call.attempts) : 1;
    const [answers, ends] = [side.heard('call_accept'), side.ends];
    if (answers.length > most) found.push(`${answers.length} answers at the ${role}`);
    if (ends.length > most) found.push(`${ends.length} ends at the ${role}: ${ends.map(({ name }) => name).join(', ')}`);
    if (new Set(ends.map(({ name }) => name)).size > 1) found.push(`ends of two kinds at the ${role}`);
    const again = side.events.filter(({ isOld }) => isOld);
    if (again.length) found.push(`${again.length} events again, or late, at the ${role}: ${[...new Set(again.map(({ name }) => name))].join(', ')}`);
    found.push(...misorders(side).map((what) => `${what} at the ${role}`));
  }
  const wasAnswered = call.isAnswered || call.caller.heard('call_accept').length > 0;
  if (wasAnswered && call.sides.some((side) => side.heard('call_timeout').length)) found.push('call_timeout for an answered call');
  const [one, other] = call.sides.map((side) => call.endAt(side));
  if (one && other && one !== other) found.push(`told apart: ${one} at the caller, ${other} at the callee`);
  if (call.isRefused && call.sides.some(({ events }) => events.length)) found.push('rings though it was refused');
  return found;
}

/** Signals that were delivered twice, or not in the order in which one connection had sent them. */
function misorders({ events }) {
  const found = [];
  const last = new Map();
  for (const { name, payload } of events) {
    const content = payload.sdp ?? payload.candidate;
    if (!content) continue;
    const before = last.get(content.connection) ?? 0;
    if (content.emission === before) found.push(`${name} ${content.n} twice`);
    else if (content.emission < before) found.push(`${name} ${content.n} out of order`);
    last.set(content.connection, Math.max(before, content.emission));
  }
  return found;
}

/** How much later than due the time-out of a call was heard, in milliseconds; `undefined` if there was none. */
export function lateness(call) {
  const [rung] = call.callee.heard('incoming_call');
  const ends = call.sides.flatMap((side) => side.heard('call_timeout'));
  if (!rung || ends.length === 0) return undefined;
  return Math.max(...ends.map(({ at }) => at)) - rung.payload.timestamp - call.ringMs;
}

/** Sides that were given candidates before the description they belong to, which had been put off and was sent again behind them. */
export const hasties = (call) => call.sides.filter(({ role, events }) => {
  const description = events.findIndex(({ name }) => name === (role === 'caller' ? 'sdp_answer' : 'sdp_offer'));
  const candidate = events.findIndex(({ name }) => name === 'ice_candidate');
  return candidate >= 0 && (description < 0 || candidate < description);
}).length;

/** Descriptions that were asked for twice, and arrived twice. */
export const repeats = (call) => call.sides.reduce((count, side) => {
  const descriptions = side.heard('sdp_offer', 'sdp_answer');
  return count + descriptions.length - new Set(descriptions.map(({ name }) => name)).size;
}, 0);
