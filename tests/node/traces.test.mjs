// Traces: what a collector of OpenTelemetry is told of a call, by all nodes together, and what it is not told.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { startCollector, traceOf } from './collector.mjs';
import { total } from './metrics.mjs';
import { freePort } from './processes.mjs';
import { startPushServices } from './push-services.mjs';
import { NO_RATE_LIMITS, eventually, phone, ring, startCluster, startRedis, startServer, talk, unique } from './support.mjs';

const NODES = Number(process.env.SWITCHBOARD_NODES ?? 1);

/** A server that tells this collector, until the test ends. */
async function serverOf(t, env) {
  const server = await startServer({ ...NO_RATE_LIMITS, OTEL_TRACES_SAMPLER: 'always_on', ...env });
  t.after(() => server.stop());
  return server;
}

/** Two phones, on two nodes if there are two. */
const apart = (t, server) =>
  Promise.all([phone(t, server.nodes[0], { user: unique('alice') }), phone(t, server.nodes.at(-1), { user: unique('bob') })]);

const isWhole = (spans) => spans.some(({ name }) => name === 'call');
const named = (spans, name) => spans.filter((span) => span.name === name);
const one = (spans, name) => {
  const found = named(spans, name);
  assert.equal(found.length, 1, `${found.length} times ${name}`);
  return found[0];
};

/** Fails unless every parent is there, and is where it should be. */
function hangsTogether(spans) {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  assert.equal(byId.size, spans.length, 'every span has an id of its own');
  const roots = spans.filter(({ parentId }) => parentId === '');
  assert.deepEqual(roots.map(({ name }) => name), ['call'], 'one root');
  for (const span of spans.filter(({ parentId }) => parentId !== '')) {
    assert.ok(byId.has(span.parentId), `${span.name} has no parent`);
    const isAbout = span.attributes['call.id'];
    assert.equal(isAbout, roots[0].attributes['call.id'], span.name);
    assert.ok(span.start <= span.end, span.name);
    assert.equal(span.flags & 1, 1, "sampled");
  }
  const parentOf = (span) => byId.get(span.parentId);
  return { root: roots[0], parentOf };
}

test('one call is one trace, over all nodes', async (t) => {
  const collector = await startCollector(t);
  const headers = { OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hunter2%21', OTEL_RESOURCE_ATTRIBUTES: 'zone=a%2Cb', OTEL_SERVICE_NAME: 'rings' };
  const server = await serverOf(t, { ...collector.env, ...headers });
  const [alice, bob] = await apart(t, server);
  const marker = `marker-${randomBytes(6).toString('hex')}`;
  const before = BigInt(Date.now()) * 1_000_000n;
  const callId = await ring(alice, bob, { callerName: marker, callerAvatar: `https://a.example/${marker}` });
  assert.equal((await bob.request('call_accept', { callId })).success, true);
  await alice.take('call_accept');
  for (const [name, who, other] of [['sdp_offer', alice, bob], ['sdp_answer', bob, alice]]) {
    const answer = await who.request(name, { callId, to: other.user, sdp: { type: name.slice(4), sdp: `v=0\r\ns=${marker}\r\n` } });
    assert.equal(answer.success, true, JSON.stringify(answer));
    await other.take(name);
  }
  const candidate = { candidate: `candidate:1 1 udp 1 ${marker} 9 typ host`, sdpMid: '0' };
  await alice.request('ice_candidate', { callId, to: bob.user, candidate });
  await bob.take('ice_candidate');
  assert.equal((await bob.request('call_end', { callId, reason: marker })).success, true);
  await alice.take('call_end');
  const after = BigInt(Date.now()) * 1_000_000n;

  // Five requests with what was sent by each and where it arrived, and the whole.
  const isAll = (spans) => isWhole(spans) && spans.length >= 6 * 3 + 1;
  const spans = await collector.wait(() => collector.ofCall(callId), isAll, 'of the call there is');
  const { root, parentOf } = hangsTogether(spans);
  assert.deepEqual(
    spans.map(({ name }) => name).sort(),
    [
      'call', 'call_accept', 'call_end', 'call_initiate', 'commit', 'commit', 'commit', 'deliver call_accept', 'deliver call_end',
      'deliver ice_candidate', 'deliver incoming_call', 'deliver sdp_answer', 'deliver sdp_offer', 'ice_candidate', 'sdp_answer', 'sdp_offer',
      'send', 'send', 'send',
    ],
  );
  assert.equal(root.spanId, traceOf(callId).slice(0, 16));
  assert.deepEqual(root.attributes, {
    'call.id': callId, 'call.type': 'audio', 'call.caller': alice.user, 'call.callee': bob.user, 'call.end_reason': 'hung_up',
    'call.ring_ms': root.attributes['call.ring_ms'], 'call.talk_ms': root.attributes['call.talk_ms'],
  });
  assert.ok(before <= root.start && root.start <= one(spans, 'call_accept').start, 'the whole begins with the call');
  assert.ok(one(spans, 'sdp_answer').end <= root.end && root.end <= after + 1_000_000n, 'and ends with it');

  const nodes = new Set(spans.map(({ node }) => node['service.instance.id']));
  assert.equal(nodes.size, NODES);
  for (const { node } of spans) {
    assert.deepEqual([node['service.name'], node.zone], ['rings', 'a,b']);
    assert.match(node['service.version'], /^\d+\.\d+/);
  }
  assert.ok(spans.every(({ status }) => status === undefined), 'nothing has failed');
  const roads = [['call_initiate', 'incoming_call', bob], ['call_accept', 'call_accept', alice], ['sdp_offer', 'sdp_offer', bob],
    ['sdp_answer', 'sdp_answer', alice], ['ice_candidate', 'ice_candidate', bob], ['call_end', 'call_end', alice]];
  for (const [asked, told, whom] of roads) {
    const delivery = one(spans, `deliver ${told}`);
    const sending = parentOf(delivery);
    const request = parentOf(sending);
    assert.deepEqual([request.name, parentOf(request)], [asked, root], `${told} follows from ${asked}`);
    assert.deepEqual([delivery.kind, sending.kind, request.kind], ['consumer', 'producer', 'server']);
    assert.equal(request.attributes.answer, 'ok');
    assert.equal(delivery.attributes['session.id'], whom.socket.id);
    assert.equal(sending.node['service.instance.id'], request.node['service.instance.id']);
    assert.equal(delivery.node['service.instance.id'] === sending.node['service.instance.id'], NODES === 1, `${told} comes to the other node`);
  }

  assert.ok(!collector.bytes().includes(marker), 'nothing that was said is in there');
  for (const { headers: sent, path } of collector.requests) assert.deepEqual([sent['api-key'], path], ['hunter2!', '/v1/traces']);
  assert.ok(!`${server.output.stdout}${server.output.stderr}`.includes('hunter2'));
});

test('pushes, deadlines and absences are traces of their own that link to the call', async (t) => {
  const [collector, services] = [await startCollector(t), await startPushServices()];
  t.after(() => services.stop());
  const times = { CALL_RING_TIMEOUT: '700', CALL_AWAY_TIMEOUT: '300' };
  const server = await serverOf(t, { ...collector.env, ...services.fcmEnv, ...times });
  const [alice, bob] = await apart(t, server);
  const token = `fcm-${randomBytes(16).toString('hex')}`;
  const asleep = await phone(t, server.nodes[0], { register: false });
  await asleep.register({ platform: 'android', fcmToken: token });
  asleep.close();

  const { callId: missed } = await alice.request('call_initiate', { calleeId: asleep.user, callType: 'audio', callerName: 'Wonderland' });
  await alice.take('call_timeout');
  const linked = await collector.wait(
    () => collector.linkedTo(missed),
    (spans) => ['push ring', 'push stop', 'push missed', 'deadline'].every((name) => spans.some((span) => span.name === name)),
    'linked to the call is',
  );
  for (const span of linked) {
    assert.notEqual(span.traceId, traceOf(missed), span.name);
    assert.deepEqual(span.links, [{ traceId: traceOf(missed), spanId: traceOf(missed).slice(0, 16) }]);
  }
  for (const name of ['push ring', 'push stop', 'push missed']) {
    const { attributes, parentId } = one(linked, name);
    assert.deepEqual([parentId, attributes], ['', { 'call.id': missed, 'push.provider': 'fcm', 'push.outcome': 'sent' }]);
  }
  const deadline = one(linked, 'deadline');
  const ended = await collector.wait(
    (spans) => spans.filter(({ traceId }) => traceId === deadline.traceId),
    (spans) => spans.some(({ name }) => name === 'deliver call_timeout'),
    'with the deadline there is',
  );
  assert.equal(deadline.parentId, '');
  assert.equal(one(ended, 'commit').parentId, deadline.spanId);
  assert.equal(one(ended, 'deliver call_timeout').parentId, one(ended, 'commit').spanId);
  const whole = one(await collector.wait(() => collector.ofCall(missed), isWhole, 'of the call there is'), 'call');
  assert.equal(whole.attributes['call.end_reason'], 'no_answer');

  const lost = await talk(alice, bob);
  bob.cut();
  await alice.take('call_end');
  const names = (spans) => new Set(spans.map(({ name }) => name));
  await collector.wait(() => collector.linkedTo(lost), (spans) => names(spans).has('away') && names(spans).has('deadline'), 'linked to the call is');
  assert.ok(!collector.bytes().includes('Wonderland') && !collector.bytes().includes(token));
});

test('a part of the calls is traced as a whole, the others not at all', async (t) => {
  const collector = await startCollector(t);
  const server = await serverOf(t, { ...collector.env, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' });
  const [alice, bob] = await apart(t, server);
  const calls = [];
  for (let n = 0; n < 40; n++) {
    const callId = await talk(alice, bob);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    calls.push(callId);
  }
  // The last seven bytes of the id are what is random in it, and what collectors look at too.
  const [chosen, left] = [true, false].map((is) => calls.filter((callId) => (Number.parseInt(traceOf(callId).slice(18, 20), 16) >= 128) === is));
  const done = (callId) => (spans) => isWhole(spans) && spans.length === 10;
  for (const callId of chosen) hangsTogether(await collector.wait(() => collector.ofCall(callId), done(callId), 'of the call there is'));
  for (const callId of left) assert.deepEqual(collector.ofCall(callId), []);
  assert.equal(collector.spans.length, chosen.length * 10);
});

test('with a ratio of 0 nobody is told anything', async (t) => {
  const collector = await startCollector(t);
  const server = await serverOf(t, { ...collector.env, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' });
  const [alice, bob] = await apart(t, server);
  const callId = await talk(alice, bob);
  await alice.request('call_end', { callId });
  // When they end, nodes tell all that is left to tell.
  await server.stop();
  assert.deepEqual(collector.requests, []);
});

test('what is left is told when the node ends', async (t) => {
  const collector = await startCollector(t);
  const server = await serverOf(t, collector.env);
  const [alice, bob] = await apart(t, server);
  const callId = await talk(alice, bob);
  await alice.request('call_end', { callId });
  await bob.take('call_end');
  await server.stop();
  hangsTogether(collector.ofCall(callId));
  assert.equal(collector.ofCall(callId).length, 10);
});

test('without a collector calls go on, and what is dropped is counted and said once', async (t) => {
  const port = await freePort();
  const server = await serverOf(t, { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  const [alice, bob] = await apart(t, server);
  const count = (result) => total(server, 'switchboard_trace_spans_total', { result });
  const call = async () => {
    const callId = await talk(alice, bob);
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    return callId;
  };
  await call();
  // The call, and three requests with a commit and a delivery each.
  await eventually(async () => (await count('not_sent')) === 10, 'spans are not counted', 20_000);
  await call();
  await eventually(async () => (await count('not_sent')) === 20, 'spans are not counted', 20_000);
  const said = server.output.stdout.match(/the collector does not take traces/g) ?? [];
  assert.equal(said.length, NODES, server.output.stdout);

  const collector = await startCollector(t, { port });
  const third = await call();
  await collector.wait(() => collector.ofCall(third), (spans) => spans.length === 10, 'of the call there is');
  await eventually(async () => (await count('exported')) === 10, 'spans are not counted');
  await eventually(() => server.output.stdout.match(/the collector takes traces again/g)?.length === NODES, 'it is not said');
  // partial_success: 2 spans are rejected.
  collector.answer = { status: 200, body: Buffer.from([0x0a, 0x02, 0x08, 0x02]) };
  await call();
  await eventually(async () => (await count('rejected')) >= 2, 'spans are not counted');
  collector.answer = { status: 401, body: Buffer.from('hunter2') };
  await call();
  await eventually(async () => (await count('not_sent')) === 30, 'spans are not counted');
  await eventually(() => server.output.stdout.includes('it answers 401'), 'it is not said');
  assert.ok(!server.output.stdout.includes('hunter2'));
});

test('a node ends although nobody takes its last words', async (t) => {
  const deaf = createServer(() => {}).listen(0, '127.0.0.1');
  await once(deaf, 'listening');
  t.after(() => deaf.close());
  const redis = await startRedis(t);
  const timeouts = { DRAIN_TIMEOUT: '0', SHUTDOWN_TIMEOUT: '0', OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${deaf.address().port}` };
  const { nodes: [node] } = await startCluster({ nodes: 1, redis, env: { ...NO_RATE_LIMITS, ...timeouts } });
  t.after(() => node.stop('SIGKILL'));
  const [alice, bob] = [await phone(t, node), await phone(t, node)];
  await talk(alice, bob);
  redis.pause();
  assert.equal((await node.stop()).code, 0);
  assert.match(node.output.stdout, /did not take the last words of this node in time/);
});
