// Webhooks: what is told of calls, in which order, how often, and what follows from the answers of the receiver.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { metricsText, total } from './metrics.mjs';
import { NO_RATE_LIMITS, eventually, pair, phone, ring, run, startServer, talk } from './support.mjs';
import { Receiver, WEBHOOK_SECRET, startReceiver } from './webhook-receiver.mjs';
import { freePort, launch } from './processes.mjs';

/** An attempt without an answer is given up after 5 s, the next comes within the same time again. */
const HANGS_MS = 20_000;

const envOf = (receiver, more = {}) => ({ ...NO_RATE_LIMITS, ...receiver.env, LOG_LEVEL: 'debug', ...more });

let receiver;
let server;
before(async () => {
  receiver = await startReceiver();
  server = await startServer(envOf(receiver));
});
after(async () => {
  await server.stop();
  await receiver.stop();
  assert.deepEqual(receiver.faults, [], 'a real receiver would have refused this');
});

/** A receiver and a server for one test alone. */
async function house(t, { secrets, env } = {}) {
  const own = await startReceiver(t, { secrets });
  const its = await startServer(envOf(own, env));
  t.after(() => its.stop());
  return { receiver: own, server: its };
}

const end = (who, callId) => who.request('call_end', { callId });
const types = (events) => events.map(({ type }) => type);
const isIso = (text) => new Date(text).toISOString() === text;

describe('what is told', () => {
  test('a call is told from its beginning to its end, in order, once, by ids and times alone', async (t) => {
    const [alice, bob] = await pair(t, server);
    const marker = 'MARKER';
    const callId = await ring(alice, bob, { callerName: marker, callerAvatar: `https://example.org/${marker}`, callType: 'video' });
    await bob.request('call_accept', { callId });
    await alice.take('call_accept');
    await alice.request('sdp_offer', { callId, to: bob.user, sdp: { type: 'offer', sdp: marker } });
    await alice.request('ice_candidate', { callId, to: bob.user, candidate: { candidate: marker } });
    await alice.request('call_end', { callId, reason: marker });
    const told = await receiver.takes(callId, 3);
    assert.deepEqual(types(told), ['call.started', 'call.answered', 'call.ended']);
    assert.deepEqual(told.map(({ id }) => id), [0, 1, 2].map((place) => `${callId}:${place}`));
    assert.equal(receiver.of(callId).length, 3, 'each once');
    assert.ok(told.every(({ text }) => !text.includes(marker)), 'payloads have no place in it');
    const [started, answered, ended] = told.map(({ event }) => event);
    const caller = { userId: alice.user, deviceId: alice.device };
    const callee = { userId: bob.user, deviceId: bob.device };
    const { startedAt } = started.data;
    const { answeredAt } = answered.data;
    assert.deepEqual(started, {
      type: 'call.started', timestamp: startedAt, data: { callId, callType: 'video', caller, callee: { userId: bob.user }, startedAt },
    });
    assert.deepEqual(answered, {
      type: 'call.answered', timestamp: answeredAt, data: { callId, callType: 'video', caller, callee, startedAt, answeredAt },
    });
    const { endedAt, ringMs, durationMs } = ended.data;
    assert.deepEqual(ended, {
      type: 'call.ended',
      timestamp: endedAt,
      data: { callId, callType: 'video', caller, callee, startedAt, answeredAt, endedAt, reason: 'hung_up', endedBy: caller, ringMs, durationMs },
    });
    assert.ok([startedAt, answeredAt, endedAt].every(isIso));
    assert.equal(new Date(endedAt) - new Date(startedAt), ringMs + durationMs);
  });

  test('a call that nobody has answered is missed, one that was declined has ended', async (t) => {
    const [alice, bob] = await pair(t, server);
    const cancelled = await ring(alice, bob);
    await end(alice, cancelled);
    const declined = await ring(alice, bob);
    await bob.request('call_reject', { callId: declined });
    const carol = await phone(t, server);
    const running = await talk(alice, bob);
    const { callId: busy } = await carol.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
    const last = async (callId) => (await receiver.takes(callId, 2)).at(-1).event;
    const said = async (callId) => {
      const { type, data } = await last(callId);
      return [type, data.reason, data.endedBy?.userId, data.durationMs];
    };
    assert.deepEqual(await said(cancelled), ['call.missed', 'cancelled', alice.user, 0]);
    assert.deepEqual(await said(declined), ['call.ended', 'rejected', bob.user, 0]);
    assert.deepEqual(await said(busy), ['call.missed', 'busy', undefined, 0]);
    await end(bob, running);
    assert.deepEqual(types(await receiver.takes(running, 3)), ['call.started', 'call.answered', 'call.ended']);
  });

  test('a call that rings out is missed', async (t) => {
    const own = await house(t, { env: { CALL_RING_TIMEOUT: '500' } });
    const [alice, bob] = await pair(t, own.server);
    const callId = await ring(alice, bob);
    const { event } = (await own.receiver.takes(callId, 2)).at(-1);
    assert.deepEqual([event.type, event.data.reason, event.data.endedBy], ['call.missed', 'no_answer', undefined]);
    assert.ok(event.data.ringMs >= 500, `${event.data.ringMs} ms`);
  });

  test('events can be chosen', async (t) => {
    const own = await house(t, { env: { WEBHOOK_EVENTS: 'call.ended,call.missed' } });
    const [alice, bob] = await pair(t, own.server);
    const talked = await talk(alice, bob);
    await end(alice, talked);
    const missed = await ring(alice, bob);
    await end(alice, missed);
    for (const [callId, type, place] of [[talked, 'call.ended', 2], [missed, 'call.missed', 2]]) {
      assert.deepEqual((await own.receiver.takes(callId, 1)).map(({ id }) => id), [`${callId}:${place}`]);
      assert.deepEqual(types(own.receiver.of(callId)), [type]);
    }
  });

  test('two secrets sign, and each is enough', async (t) => {
    const secrets = ['a-plain-one-that-is-long-enough', WEBHOOK_SECRET];
    const own = await house(t, { secrets, env: { WEBHOOK_SECRET: secrets.join(' ') } });
    const [alice, bob] = await pair(t, own.server);
    await own.receiver.takes(await ring(alice, bob), 1);
  });

  test('many calls at once are told once each, in order', async (t) => {
    const pairs = await Promise.all(Array.from({ length: 10 }, () => pair(t, server)));
    const calls = await Promise.all(pairs.map(async ([alice, bob]) => {
      const callId = await talk(alice, bob);
      await end(alice, callId);
      return callId;
    }));
    for (const callId of calls) {
      await receiver.takes(callId, 3);
      assert.deepEqual(types(receiver.of(callId)), ['call.started', 'call.answered', 'call.ended']);
    }
  });
});

describe('a receiver in trouble', () => {
  test('an event that is not taken is tried again with the same id and body; the next of this call waits, other calls do not', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.answered', 500, 'close', 429);
    const [alice, bob] = await pair(t, own.server);
    const callId = await talk(alice, bob);
    await own.receiver.attempts('call.answered', 1);
    const others = await pair(t, own.server);
    const other = await ring(...others);
    await end(others[0], other);
    assert.deepEqual(types(await own.receiver.takes(other, 2)), ['call.started', 'call.missed']);
    await end(alice, callId);
    await own.receiver.takes(callId, 3);
    assert.deepEqual(types(own.receiver.of(callId)), ['call.started', ...Array(4).fill('call.answered'), 'call.ended']);
    const attempts = own.receiver.of(callId).filter(({ type }) => type === 'call.answered');
    assert.equal(new Set(attempts.map(({ id, text }) => id + text)).size, 1);
    assert.equal(await total(own.server, 'switchboard_webhook_retries_total', { event: 'call.answered' }), 3);
  });

  test('one that does not answer is not waited for, and tried again', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.started', 'hang');
    const [alice, bob] = await pair(t, own.server);
    const callId = await talk(alice, bob);
    const others = await pair(t, own.server);
    const other = await ring(...others);
    assert.deepEqual(types(await own.receiver.takes(other, 1)), ['call.started'], 'another call is told meanwhile');
    assert.equal(own.receiver.of(callId).length, 1);
    await own.receiver.takes(callId, 2, HANGS_MS);
    assert.deepEqual(types(own.receiver.of(callId)), ['call.started', 'call.started', 'call.answered']);
  });

  test('what happened while nobody listened is told when somebody does', async (t) => {
    const late = new Receiver(await freePort(), [WEBHOOK_SECRET]);
    const its = await startServer(envOf(late));
    t.after(() => its.stop());
    const [alice, bob] = await pair(t, its);
    const callId = await talk(alice, bob);
    await end(alice, callId);
    await eventually(async () => (await total(its, 'switchboard_webhook_retries_total', { event: 'call.started' })) > 1, 'it is not tried');
    await late.start();
    t.after(() => late.stop());
    assert.deepEqual(types(await late.takes(callId, 3)), ['call.started', 'call.answered', 'call.ended']);
    assert.deepEqual(late.faults, []);
  });

  test('one that says when to come back is left alone until then', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.started', { status: 503, headers: { 'retry-after': '3' } });
    const [alice, bob] = await pair(t, own.server);
    const callId = await ring(alice, bob);
    await own.receiver.takes(callId, 1);
    const [first, second] = own.receiver.of(callId);
    assert.ok(second.at - first.at >= 2900, `${second.at - first.at} ms`);
  });

  test('a refusal is doubted, and a redirection not followed', async (t) => {
    const own = await house(t);
    const elsewhere = await startReceiver(t);
    own.receiver.answer('call.started', 404, { status: 307, headers: { location: elsewhere.url } }, 401);
    const [alice, bob] = await pair(t, own.server);
    const callId = await ring(alice, bob);
    await own.receiver.takes(callId, 1);
    assert.equal(own.receiver.of(callId).length, 4);
    assert.deepEqual(elsewhere.requests, []);
  });

  test('one that is gone is believed; the next event is told all the same', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.started', 410);
    const [alice, bob] = await pair(t, own.server);
    const callId = await talk(alice, bob);
    await own.receiver.takes(callId, 1);
    assert.deepEqual(types(own.receiver.of(callId)), ['call.started', 'call.answered']);
    assert.equal(await total(own.server, 'switchboard_webhooks_total', { event: 'call.started', outcome: 'refused' }), 1);
    await eventually(() => /says that it is gone \(410\)/.test(own.server.output.stdout), 'nothing is said');
  });
});

describe('a server that tells', () => {
  test('counts what was taken, and what waits', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.started', ...Array(1000).fill(503));
    const [alice, bob] = await pair(t, own.server);
    const callId = await ring(alice, bob);
    for (const outcome of ['taken', 'refused', 'given_up']) {
      assert.ok((await metricsText(own.server.nodes[0])).includes(`event="call.missed",outcome="${outcome}"} 0`), 'each is there from the start');
    }
    const perNode = async (name) => (await total(own.server, name)) / own.server.nodes.length;
    await eventually(async () => (await perNode('switchboard_webhooks_waiting')) === 1, 'it is not seen to wait', HANGS_MS);
    await eventually(async () => (await perNode('switchboard_webhooks_oldest_seconds')) >= 1, 'nor for how long', HANGS_MS);
    own.receiver.answer('call.started');
    await own.receiver.takes(callId, 1, HANGS_MS);
    await eventually(async () => (await perNode('switchboard_webhooks_waiting')) === 0, 'it is seen to wait', HANGS_MS);
    const taken = { event: 'call.started', outcome: 'taken' };
    assert.equal(await total(own.server, 'switchboard_webhooks_total', taken), 1);
    assert.equal(await total(own.server, 'switchboard_webhook_delay_seconds_count'), 1);
    assert.equal(await perNode('switchboard_webhooks_oldest_seconds'), 0);
  });

  test('finishes what is under way when it is told to end', async (t) => {
    const own = await house(t, { env: { SHUTDOWN_TIMEOUT: '10000' } });
    let answer;
    own.receiver.answer('call.started', new Promise((resolve) => (answer = resolve)));
    const [alice, bob] = await pair(t, own.server);
    const callId = await ring(alice, bob);
    await own.receiver.attempts('call.started', 1);
    const stopped = own.server.stop();
    // Nobody is let in any more: from here on only what is under way is waited for.
    for (const node of own.server.nodes) {
      await eventually(() => fetch(`${node.url}/livez`).then(() => false, () => true), 'it does not stop');
    }
    answer(204);
    await stopped;
    assert.equal(own.receiver.of(callId).length, 1);
    assert.match(own.server.output.stdout, /a webhook.*Taken/);
  });

  test('shows its secret to nobody', async (t) => {
    const own = await house(t);
    own.receiver.answer('call.started', 500);
    const [alice, bob] = await pair(t, own.server);
    await own.receiver.takes(await ring(alice, bob), 1);
    const secret = WEBHOOK_SECRET.slice('whsec_'.length);
    const texts = await Promise.all(own.server.nodes.map(metricsText));
    const { stdout, stderr } = await run(['check-config'], { ...own.receiver.env });
    for (const text of [...texts, stdout, stderr, own.server.output.stdout, own.server.output.stderr]) assert.ok(!text.includes(secret));
    assert.ok(stdout.includes('WEBHOOK_SECRET'));
  });
});

test('the receiver of the README takes them, each once, and nobody else\'s', async (t) => {
  const port = await freePort();
  const env = { PORT: String(port), WEBHOOK_SECRET };
  const { child, output, ended } = launch(process.execPath, [new URL('webhooks/receiver.mjs', import.meta.url).pathname], { env });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await eventually(() => output.stdout.includes('listening'), () => JSON.stringify(output));
  const url = `http://127.0.0.1:${port}/`;
  const its = await startServer({ WEBHOOK_URL: url, WEBHOOK_SECRET });
  t.after(() => its.stop());
  const [alice, bob] = await pair(t, its);
  const callId = await ring(alice, bob);
  await end(alice, callId);
  await eventually(() => output.stdout.includes(`call.missed ${callId} cancelled`), () => JSON.stringify(output));
  const headers = { 'webhook-id': 'x', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)), 'webhook-signature': 'v1,AAAA' };
  assert.equal((await fetch(url, { method: 'POST', headers, body: '{}' })).status, 400);
});
