// What a fault run says: the table, the calls that went wrong, and what can be kept of them to find out why.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Most sentences about one fault beside the table. */
const MAX_SENTENCES = 12;

/** How late a ring time-out may come without a word about it. */
const LATE_MS = 250;

/** How long everything here may have stood still without a word about it. */
const HELD_UP_MS = 300;

const seconds = (ms) => (ms === undefined ? 'never' : `${(ms / 1000).toFixed(1)} s`);
const wrongCount = ({ wrong, strayed }) => wrong.length + strayed.length;

const COLUMNS = [
  ['fault', ({ fault }) => `${fault.what}${fault.excuse ? ' *' : ''}`],
  ['calls running', ({ running }) => running],
  ['calls lost', ({ lost }) => lost.length],
  ['wrong outcomes', wrongCount],
  ['refused', ({ refused }) => refused],
  ['all clients back', ({ backMs }) => seconds(backMs)],
  ['time to recover', ({ recoveryMs }) => seconds(recoveryMs)],
];

/** The table, as Markdown. */
export function table(results) {
  const rows = [COLUMNS.map(([title]) => title), ...results.map((result) => COLUMNS.map(([, value]) => String(value(result))))];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

/** Why calls may be lost by the faults with an asterisk. */
export function footer(results) {
  const excused = results.filter(({ fault }) => fault.excuse);
  return excused.map(({ fault }) => `* ${fault.what}: some loss may be unavoidable, for ${fault.excuse}`).join('\n');
}

/** Whether everything is as promised. */
export const isAsPromised = (result) =>
  result.recoveryMs !== undefined && (Boolean(result.fault.excuse) || result.lost.length + wrongCount(result) + result.sentAway.length === 0);

/** One fault in a few lines. */
export function sentences(result) {
  const { fault, calls, lost, wrong, strayed, sentAway, lateMs, repeats, hasties, heldUpMs } = result;
  const name = ({ number, callId }) => `call ${number} (${callId ?? 'never begun'})`;
  const bad = [
    ...lost.map((call) => `lost: ${name(call)}: ${call.lost}`),
    ...wrong.map(({ call, wrong }) => `wrong: ${name(call)}: ${wrong.join('; ')}`),
    ...strayed.map((what) => `wrong: ${what}`),
    ...sentAway,
  ];
  const more = bad.length > MAX_SENTENCES ? [`and ${bad.length - MAX_SENTENCES} more`] : [];
  const late = lateMs.filter((ms) => ms > LATE_MS);
  const notes = [
    `${calls} calls`,
    ...(late.length ? [`${late.length} of ${lateMs.length} time-outs came more than ${LATE_MS} ms late, at most ${Math.max(...late)} ms`] : []),
    ...(repeats ? [`${repeats} descriptions were asked for twice, and came twice`] : []),
    ...(hasties ? [`${hasties} times a description was put off, and candidates sent behind it came first`] : []),
    ...(heldUpMs > HELD_UP_MS ? [`this machine was busy: the apps themselves were held up for ${Math.round(heldUpMs)} ms at a time`] : []),
  ];
  const summary = `${fault.what}: ${notes.join('; ')}`;
  return [summary, ...[...bad.slice(0, MAX_SENTENCES), ...more].map((text) => `  ${text}`)].join('\n');
}

/** Writes the logs of the nodes, and the story of each call that went wrong, into a folder of `folder`. */
export function keepIn(folder) {
  return ({ fault, scene, result, began, since }) => {
    const own = path.join(folder, fault.name);
    mkdirSync(own, { recursive: true });
    for (const { port, output } of scene.cluster.nodes) writeFileSync(path.join(own, `node-${port}.log`), output.stdout + output.stderr);
    const bad = new Set([...result.lost, ...result.wrong.map(({ call }) => call)]);
    const clock = (at) => new Date(performance.timeOrigin + at).toISOString().slice(11, 23);
    const story = (call) => [
      `call ${call.number} ${call.callId ?? ''} ${call.caller.app.user} → ${call.callee.app.user} ${JSON.stringify(call.plan)}`,
      ...(call.lost ? [`lost: ${call.lost}`] : []),
      ...(result.wrong.find((one) => one.call === call)?.wrong ?? []).map((what) => `wrong: ${what}`),
      ...call.story.map(({ at, who, what }) => `${clock(at)} ${who.padEnd(6)} ${what}`),
    ].join('\n');
    const times = `the fault began at ${clock(began)}; its end counts from ${clock(since)}`;
    writeFileSync(path.join(own, 'calls.txt'), [times, sentences(result), ...[...bad].map(story), ''].join('\n\n'));
  };
}
