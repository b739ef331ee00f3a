// The judge of the fault run: it finds everything that can go wrong in a call, and nothing in one that went well.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Call } from './faults/call.mjs';
import { hasties, lateness, repeats, wrongs } from './faults/verdict.mjs';

const CALL = 'call-1';
const ends = (endedBy, reason = 'said-goodbye') => ({ name: 'call_end', endedBy, reason });
const accepts = { name: 'call_accept', calleeId: 'bob' };
const rings = { name: 'incoming_call', callerId: 'alice', timestamp: 1000 };
const timesOut = { name: 'call_timeout', reason: 'Call timeout' };
const signal = (name, n, emission, connection = 1) => ({ name, [name === 'ice_candidate' ? 'candidate' : 'sdp']: { n, emission, connection } });
const offers = [signal('sdp_offer', 0, 1), signal('ice_candidate', 0, 2), signal('ice_candidate', 1, 3)];

/** A call that was told these events, at the caller and at the callee. */
function callOf({ caller = [], callee = [], isAnswered = true, hungUp }) {
  const apps = ['alice', 'bob'].map((user) => ({ user, moment: 0 }));
  const call = new Call(0, apps, { isAnswered }, 500);
  call.mayEndBy = ['call_end', 'call_timeout', 'call_reject', 'call_cancelled'];
  call.attempts = 1;
  call.isAnswered = isAnswered;
  let id = 0;
  for (const [side, events] of [[call.caller, caller], [call.callee, callee]]) {
    for (const { name, isOld = false, ...payload } of events) side.hear(name, { callId: CALL, eventId: ++id, ...payload }, isOld);
  }
  if (hungUp) call[hungUp].hasHungUp = true;
  return call;
}

const well = { caller: [accepts, signal('sdp_answer', 0, 1), ends('bob')], callee: [rings, ...offers], hungUp: 'callee' };
const unanswered = { isAnswered: false, caller: [timesOut], callee: [rings, timesOut] };

test('a call that went well', () => {
  assert.deepEqual(wrongs(callOf(well)), []);
  assert.deepEqual(wrongs(callOf(unanswered)), []);
});

const faulty = [
  ['two answers', { ...well, caller: [accepts, accepts, ends('bob')] }, ['2 answers at the caller']],
  ['two ends', { ...unanswered, callee: [rings, timesOut, timesOut] }, ['2 ends at the callee: call_timeout, call_timeout']],
  [
    'ends of two kinds', { ...well, caller: [accepts, ends('bob'), { name: 'call_reject', calleeId: 'bob', reason: 'busy' }] },
    ['2 ends at the caller: call_end, call_reject', 'ends of two kinds at the caller'],
  ],
  [
    'a time-out for an answered call', { caller: [accepts, timesOut], callee: [rings, timesOut] },
    ['call_timeout for an answered call'],
  ],
  [
    'an end and a time-out', { ...unanswered, caller: [ends('bob', 'connection_lost')] },
    ['told apart: call_end by bob: connection_lost at the caller, call_timeout at the callee'],
  ],
  [
    'other reasons', { ...well, caller: [accepts, ends('bob', 'connection_lost')] },
    ['told apart: call_end by bob: connection_lost at the caller, call_end by bob: said-goodbye at the callee'],
  ],
  ['a description twice', { ...well, callee: [rings, offers[0], ...offers] }, ['sdp_offer 0 twice at the callee']],
  ['candidates out of order', { ...well, callee: [rings, offers[0], offers[2], offers[1]] }, ['ice_candidate 0 out of order at the callee']],
  ['a candidate before its description', { ...well, callee: [rings, offers[1], offers[0]] }, ['sdp_offer 0 out of order at the callee']],
  ['an event again', { ...well, callee: [rings, { ...rings, isOld: true }, ...offers] }, ['1 events again, or late, at the callee: incoming_call']],
];
for (const [what, told, expected] of faulty) {
  test(what, () => assert.deepEqual(wrongs(callOf(told)), expected));
}

test('a call that was refused and rings', () => {
  const call = callOf({ callee: [rings] });
  call.isRefused = true;
  assert.deepEqual(wrongs(call), ['rings though it was refused']);
});

test('an answer that came too late', () => {
  const call = callOf(well);
  call.overtaken.push('sdp_offer before call_accept was answered');
  assert.deepEqual(wrongs(call), ['sdp_offer before call_accept was answered']);
});

test('what was asked for twice may come twice', () => {
  const told = callOf({ ...well, callee: [rings, offers[0], signal('sdp_offer', 0, 4, 2)] });
  assert.deepEqual([wrongs(told), repeats(told), hasties(told)], [[], 1, 0]);
  const again = callOf({ ...well, caller: [accepts, accepts, signal('sdp_answer', 0, 1), ends('bob')] });
  again.attempts = 2;
  assert.deepEqual(wrongs(again), []);
});

test('a description that was put off is noted', () => {
  const call = callOf({ ...well, callee: [rings, offers[1], signal('sdp_offer', 0, 4)] });
  assert.deepEqual([wrongs(call), hasties(call)], [[], 1]);
});

test('a time-out that was late is noted', () => {
  const call = callOf(unanswered);
  call.callee.events[1].at = 1000 + 500 + 70;
  call.caller.events[0].at = 1000 + 500 + 90;
  assert.equal(lateness(call), 90);
});
