// Metrics: every one of docs/metrics.md is seen to move, on one node and on two; a real Prometheus reads them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { authority } from './certificates.mjs';
import { startCollector } from './collector.mjs';
import { insideOf, metricsText, promtool, startPrometheus, total } from './metrics.mjs';
import { freePort } from './processes.mjs';
import { fcmError, startPushServices } from './push-services.mjs';
import {
  NO_RATE_LIMITS, Phone, again, chaosProxy, eventually, phone, refusal, ring, run, seconds, sign, startCluster, startNode, startRedis, talk, unique,
} from './support.mjs';
import { startReceiver } from './webhook-receiver.mjs';

const RING_TIMEOUT_MS = 600;
const DOCUMENT = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');

/** The metrics that a test has seen move. */
const seen = new Set();

/** Runs `act`, and waits until each of these series has moved by so much; an entry is `[name, by, labels]`. */
async function moves(server, entries, act) {
  const before = await Promise.all(entries.map(([name, , labels]) => total(server, name, labels)));
  const result = await act();
  for (const [n, [name, by, labels = {}]] of entries.entries()) {
    let moved;
    const hasMoved = async () => {
      moved = (await total(server, name, labels)) - before[n];
      return by === 'up' ? moved > 0 : moved === by;
    };
    await eventually(hasMoved, () => `${name} ${JSON.stringify(labels)} has moved by ${moved}, not ${by}`);
    if (by !== 0) seen.add(name.replace(/_(count|sum|bucket)$/, ''));
  }
  return result;
}

for (const count of [1, 2]) {
  describe(`calls on ${count === 1 ? 'one node' : 'two nodes'}`, () => {
    const env = { ...NO_RATE_LIMITS, CALL_RING_TIMEOUT: String(RING_TIMEOUT_MS), MAX_CONNECTIONS_PER_USER: '2' };
    let redis;
    let server;
    before(async () => {
      redis = count === 1 ? undefined : await startRedis();
      server = count === 1 ? await startNode(env) : await startCluster({ nodes: count, redis, env });
    });
    after(async () => {
      await server.stop();
      await redis?.stop();
    });
    const two = (t) => Promise.all([phone(t, server.nodes[0]), phone(t, server.nodes.at(-1))]);

    test('who is connected and registered', async (t) => {
      const user = unique('alice');
      const registered = [
        ['switchboard_connections', 2], ['switchboard_tcp_connections', 'up'],
        ['switchboard_registered_users', 1], ['switchboard_registered_devices', 2],
        ['switchboard_connects_total', 2, { result: 'accepted' }],
        ['switchboard_events_in_total', 2, { event: 'register', result: 'ok' }],
        ['switchboard_events_out_total', 2, { event: 'registered', result: 'sent' }],
        ['switchboard_backplane_request_seconds_count', redis ? 2 : 0, { operation: 'attach' }],
      ];
      const one = server.nodes[0];
      const phones = await moves(server, registered, async () => [await phone(t, one, { user }), await phone(t, one, { user })]);
      await moves(server, [['switchboard_connections', -2], ['switchboard_registered_users', -1], ['switchboard_registered_devices', -2],
        ['switchboard_disconnects_total', 2, { reason: 'client' }]], () => phones.forEach((made) => made.close()));
    });

    test('who is refused, and why', async (t) => {
      const cases = {
        token_missing: {},
        token_invalid: { auth: { token: 'x' } },
        token_expired: { auth: { token: sign({ userId: 'alice', exp: seconds() - 100 }) } },
        token_not_yet_valid: { auth: { token: sign({ userId: 'alice', nbf: seconds() + 1000, exp: seconds() + 2000 }) } },
      };
      for (const [result, options] of Object.entries(cases)) {
        await moves(server, [['switchboard_connects_total', 1, { result }]], () => refusal(t, server, options));
      }
      const user = unique('alice');
      const one = server.nodes[0];
      for (let n = 0; n < 2; n++) await phone(t, one, { user });
      await moves(server, [['switchboard_connects_total', 1, { result: 'user_has_too_many' }]],
        () => assert.rejects(phone(t, one, { user })));
    });

    test('what is asked for, and what it is answered', async (t) => {
      const [alice, bob] = await two(t);
      const asked = (event, result, by = 1) => ['switchboard_events_in_total', by, { event, result }];
      await moves(server, [asked('ping', 'ok', 2), asked('unread', 'E304'), asked('call_initiate', 'E003'), asked('call_accept', 'E101'),
        asked('ice_candidate', 'E302'), asked('register', 'E203'), asked('pong', 'ok')], async () => {
        await alice.request('ping', {});
        alice.socket.emit('ping', {});
        alice.socket.emit('pong', {});
        await alice.request('dance', {});
        await alice.request('call_initiate', { callType: 'audio' });
        await alice.request('call_accept', { callId: 'none' });
        await alice.request('ice_candidate', {});
        await alice.request('register', { userId: bob.user });
      });
      await moves(server, [asked('unread', 'closed')], async () => {
        alice.write('2["disconnect",{}]');
        await alice.disconnected();
      });
    });

    test('a call that is answered', async (t) => {
      const [alice, bob] = await two(t);
      const road = count === 1 ? 'local' : 'remote';
      const call = [
        ['switchboard_calls_begun_total', 1], ['switchboard_calls_answered_total', 1],
        ['switchboard_calls_ended_total', 1, { reason: 'hung_up' }],
        ['switchboard_call_ring_seconds_count', 1, { outcome: 'answered' }],
        ['switchboard_call_setup_seconds_count', 1], ['switchboard_call_duration_seconds_count', 1],
        ['switchboard_relay_seconds_count', 'up', { path: road }],
        ['switchboard_events_in_total', 1, { event: 'sdp_offer', result: 'ok' }],
        ['switchboard_events_out_total', 1, { event: 'ice_candidate', result: 'sent' }],
        ...(redis ? [['switchboard_bus_lag_seconds_count', 'up'], ['switchboard_backplane_request_seconds_count', 'up', { operation: 'send' }]] : []),
      ];
      await moves(server, call, async () => {
        const callId = await talk(alice, bob);
        await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
        for (let n = 0; n < 2; n++) await bob.request('sdp_answer', { callId, to: alice.user, sdp: 'v=0' });
        await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n: 0 } });
        await bob.take('ice_candidate');
        await alice.request('call_end', { callId });
        await bob.take('call_end');
      });
    });

    test('a message between two clients of one node', async (t) => {
      const [alice, bob] = [await phone(t, server.nodes[0]), await phone(t, server.nodes[0])];
      await moves(server, [['switchboard_relay_seconds_count', 'up', { path: 'local' }], ['switchboard_relay_seconds_count', 0, { path: 'remote' }]],
        async () => alice.request('call_end', { callId: await talk(alice, bob) }));
    });

    test('calls that are not answered, by how they end', async (t) => {
      const [alice, bob] = await two(t);
      const ended = (reason) => ['switchboard_calls_ended_total', 1, { reason }];
      const rang = ['switchboard_call_ring_seconds_count', 1, { outcome: 'unanswered' }];
      await moves(server, [ended('cancelled'), rang], async () => alice.request('call_end', { callId: await ring(alice, bob) }));
      await moves(server, [ended('rejected'), rang], async () => bob.request('call_reject', { callId: await ring(alice, bob) }));
      const late = ['switchboard_ring_timer_lateness_seconds_count', 1, { source: 'timer' }];
      await moves(server, [ended('no_answer'), rang, late], async () => {
        await ring(alice, bob);
        await bob.take('call_timeout');
      });
      await talk(alice, bob);
      const carol = await phone(t, server);
      await moves(server, [ended('busy'), ['switchboard_calls_answered_total', 0]], async () => {
        await carol.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
        await carol.take('call_reject');
      });
      await moves(server, [ended('replaced')], () => ring(alice, carol));
    });

    test('what comes again from the inbox, and a device that is displaced', async (t) => {
      const [alice, bob] = await two(t);
      bob.cut();
      await bob.disconnected();
      await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
      const here = server.nodes[0];
      const back = await moves(server, [['switchboard_inbox_replays_total', 'up']], () => again(t, here, bob));
      await moves(server, [['switchboard_clients_expelled_total', 1, { reason: 'displaced' }], ['switchboard_disconnects_total', 'up', { reason: 'server' }]],
        async () => {
          await again(t, here, bob);
          await back.disconnected();
        });
    });
  });
}

describe('limits', () => {
  test('events, calls, patience', async (t) => {
    const node = await startNode({ EVENT_RATE: '1', EVENT_BURST: '20', RATE_LIMIT_STRIKES: '5', CALL_BURST: '1', CALL_RATE: '1' });
    t.after(() => node.stop());
    const alice = await phone(t, node);
    const [limited, bob] = ['switchboard_rate_limited_total', unique('bob')];
    await moves(node, [[limited, 1, { limit: 'calls' }]], async () => {
      for (let n = 0; n < 2; n++) await alice.request('call_initiate', { calleeId: bob, callType: 'audio' });
    });
    const refusals = [[limited, 'up', { limit: 'events' }], [limited, 'up', { limit: 'patience' }],
      ['switchboard_events_in_total', 'up', { event: 'unread', result: 'E303' }],
      ['switchboard_clients_expelled_total', 1, { reason: 'rate_limited' }]];
    await moves(node, refusals, async () => {
      for (let n = 0; n < 30; n++) alice.socket.emit('ping', {});
      await alice.disconnected();
    });
  });

  test('a client that does not read', async (t) => {
    const node = await startNode({ ...NO_RATE_LIMITS, SEND_QUEUE: '16' });
    t.after(() => node.stop());
    const proxy = await chaosProxy(t, node);
    const [alice, bob] = [await phone(t, node), await phone(t, node, { url: proxy.url })];
    const callId = await talk(alice, bob);
    const filler = 'x'.repeat(8_000);
    await moves(node, [['switchboard_slow_consumers_total', 1, { of: 'events' }], ['switchboard_events_out_total', 'up', { result: 'queue_full' }]],
      async () => {
        proxy.stopReading();
        for (let n = 0; n < 3000; n++) await alice.request('ice_candidate', { callId, to: bob.user, candidate: { n, filler } });
        proxy.readOn();
        await bob.disconnected();
      });
  });

  test('a full node, and one that drains', async (t) => {
    const node = await startNode({ MAX_CONNECTIONS: '2', DRAIN_TIMEOUT: '20000' });
    t.after(() => node.stop('SIGKILL'));
    assert.equal(await total(node, 'switchboard_ready'), 1);
    await phone(t, node);
    await phone(t, node);
    await moves(node, [['switchboard_connects_total', 1, { result: 'full' }]], () => assert.rejects(phone(t, node)));
    // Ends by itself in 20 seconds, which nobody waits for.
    await moves(node, [['switchboard_draining', 1], ['switchboard_ready', -1]], () => process.kill(node.pid, 'SIGTERM'));
    await moves(node, [['switchboard_connects_total', 1, { result: 'draining' }]], () => assert.rejects(phone(t, node)));
  });
});

describe('Redis', () => {
  test('is gone, and is back', async (t) => {
    const redis = await startRedis(t);
    const cluster = await startCluster({ nodes: 1, redis, env: { ...NO_RATE_LIMITS, REDIS_TIMEOUT: '300' } });
    t.after(() => cluster.stop());
    const [alice, bob] = [await phone(t, cluster), await phone(t, cluster)];
    const gone = [['switchboard_backplane_up', -1], ['switchboard_ready', -1], ['switchboard_backplane_failures_total', 'up', { operation: 'prospect' }],
      ['switchboard_events_in_total', 'up', { event: 'call_initiate', result: 'E501' }]];
    await moves(cluster, gone, async () => {
      await redis.kill9();
      await alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' });
    });
    await moves(cluster, [['switchboard_queue_depth', 1, { queue: 'departures' }]], () => bob.cut());
    const back = [['switchboard_backplane_up', 1], ['switchboard_redis_reconnects_total', 1], ['switchboard_redis_outage_seconds_count', 1],
      ['switchboard_redis_resubscription_seconds_count', 'up'], ['switchboard_queue_depth', -1, { queue: 'departures' }]];
    await moves(cluster, back, () => redis.restart());
  });

  test('a deadline is found by another node', async (t) => {
    const redis = await startRedis(t);
    const cluster = await startCluster({ nodes: 2, redis, env: { ...NO_RATE_LIMITS, CALL_RING_TIMEOUT: '1500' } });
    t.after(() => cluster.stop());
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const late = (source) => [['switchboard_ring_timer_lateness_seconds_count', 1, { source }]];
    await moves({ nodes: [cluster.nodes[1]] }, late('sweep'), async () => {
      await ring(alice, bob);
      await cluster.nodes[0].kill9();
      await bob.take('call_timeout');
    });
  });
});

test('what is in no timeline, because that was let go', async (t) => {
  const server = await startNode({ ...NO_RATE_LIMITS, TIMELINE_CALLS: '1' });
  t.after(() => server.stop());
  const [alice, bob, carol, dave] = await Promise.all(['alice', 'bob', 'carol', 'dave'].map((user) => phone(t, server, { user })));
  const callId = await ring(alice, bob);
  await ring(carol, dave);
  await moves(server, [['switchboard_timeline_entries_dropped_total', 'up']], () => alice.request('call_end', { callId }));
});

describe('push', () => {
  test('what is sent, tried again and answered', async (t) => {
    const services = await startPushServices();
    const node = await startNode({ ...NO_RATE_LIMITS, ...services.fcmEnv });
    t.after(async () => {
      await node.stop();
      await services.stop();
    });
    const bob = await phone(t, node, { register: false });
    await bob.register({ fcmToken: 'bobs-token', platform: 'android' });
    bob.close();
    const alice = await phone(t, node);
    const pushes = ['switchboard_pushes_total', 1, { provider: 'fcm', kind: 'ring', outcome: 'sent' }];
    const retries = ['switchboard_push_retries_total', 1, { provider: 'fcm', kind: 'ring' }];
    services.fcm.answer('bobs-token', fcmError(503, { word: 'UNAVAILABLE', code: 'UNAVAILABLE' }));
    await moves(node, [pushes, retries], () => alice.request('call_initiate', { calleeId: bob.user, callType: 'audio' }));
    const back = new Phone(node.url, { user: bob.user, device: bob.device });
    t.after(() => back.close());
    await moves(node, [['switchboard_push_to_connect_seconds_count', 1]], () => back.comeBack({ fcmToken: 'bobs-token' }));
    const [carol, dave] = [await phone(t, node), await phone(t, node, { register: false })];
    await dave.register({ fcmToken: 'daves-token', platform: 'android' });
    services.fcm.answer('daves-token', 'hang');
    await moves(node, [['switchboard_queue_depth', 1, { queue: 'push_services' }]],
      () => carol.request('call_initiate', { calleeId: dave.user, callType: 'audio' }));
  });
});

test('what becomes of traces', async (t) => {
  const collector = await startCollector(t);
  const node = await startNode({ ...NO_RATE_LIMITS, ...collector.env });
  t.after(() => node.stop());
  const [alice, bob] = [await phone(t, node), await phone(t, node)];
  // Two requests with a commit and a delivery each, and the whole call.
  await moves(node, [['switchboard_trace_spans_total', 7, { result: 'exported' }]], async () => {
    const callId = await ring(alice, bob);
    await alice.request('call_end', { callId });
  });
});

describe('the port for the inside', () => {
  test('has metrics and probes; the public one has metrics only if told so', async (t) => {
    const [node, open] = [await startNode(), await startNode({ METRICS_PUBLIC: 'true' })];
    t.after(() => Promise.all([node.stop(), open.stop()]));
    const inside = await insideOf(node);
    for (const [path, status] of [['/livez', 200], ['/readyz', 200], ['/metrics', 200], ['/health', 404], ['/socket.io/', 404]]) {
      assert.equal((await fetch(inside + path)).status, status, path);
    }
    assert.equal((await fetch(`${node.url}/metrics`)).status, 404);
    assert.match(await (await fetch(`${open.url}/metrics`)).text(), /^switchboard_connections 0$/m);
    const text = await metricsText(node);
    assert.match(text, /^switchboard_build_info\{version="\d+\.\d+\.\d+"\} 1$/m);
    assert.match(text, /^process_resident_memory_bytes [1-9]/m);
    seen.add('switchboard_build_info');
  });

  test('is not there if it is off, and is named where it is taken', async (t) => {
    const node = await startNode({ METRICS_PORT: 'off' });
    t.after(() => node.stop());
    await node.isAlive();
    assert.doesNotMatch(node.output.stdout, /\/metrics/);
    const port = String(await freePort());
    const first = await startNode({ METRICS_PORT: port });
    t.after(() => first.stop());
    const second = await run([], { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: port });
    assert.equal(second.code, 1);
    assert.match(second.stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}, which METRICS_PORT is for: `));
    const bad = await run(['check-config'], { METRICS_PORT: 'none' });
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /METRICS_PORT: got "none", wants a port number from 0 to 65535, or off/);
  });
});

describe('Prometheus', () => {
  test('names are as promtool wants them', async (t) => {
    const node = await startNode();
    t.after(() => node.stop());
    await phone(t, node);
    const { code, said } = await promtool(['check', 'metrics'], await metricsText(node));
    assert.deepEqual({ code, said }, { code: 0, said: '' });
    const bad = await promtool(['check', 'metrics'], '# TYPE calls counter\ncalls 1\n');
    assert.notEqual(bad.code, 0, 'promtool looks at what it is given');
  });

  test('a real one scrapes nodes that have work', async (t) => {
    const redis = await startRedis(t);
    const cluster = await startCluster({ nodes: 2, redis, env: NO_RATE_LIMITS });
    t.after(() => cluster.stop());
    const prometheus = await startPrometheus(t, cluster.nodes);
    const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
    const CALLS = 50;
    for (let n = 0; n < CALLS; n++) {
      const callId = await talk(alice, bob);
      for (let c = 0; c < 10; c++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n: c } });
      await alice.request('call_end', { callId });
      await bob.take('call_end');
    }
    const value = async (query) => Number((await prometheus.query(query))[0]?.value[1]);
    const says = (query, expected) => eventually(async () => (await value(query)) === expected, () => query, 20_000);
    await says('sum(up{job="switchboard"})', 2);
    await says('sum(switchboard_calls_begun_total)', CALLS);
    await says('sum(switchboard_calls_ended_total{reason="hung_up"})', CALLS);
    await says('sum(switchboard_events_in_total{event="ice_candidate",result="ok"})', 10 * CALLS);
    await says('sum(switchboard_connections)', 2);
    const quantile = await value('histogram_quantile(0.5, sum by (le) (switchboard_relay_seconds_bucket{path="remote"}))');
    assert.ok(quantile > 0 && quantile < 1, `half of the messages took up to ${quantile} s`);
  });
});

test('webhooks, those that were taken and those that wait', async (t) => {
  const receiver = await startReceiver(t);
  const server = await startNode({ ...NO_RATE_LIMITS, ...receiver.env });
  t.after(() => server.stop());
  const [alice, bob] = [await phone(t, server), await phone(t, server)];
  receiver.answer('call.started', ...Array(1000).fill(503));
  const waits = [
    ['switchboard_webhook_retries_total', 'up', { event: 'call.started' }],
    ['switchboard_webhooks_waiting', 1], ['switchboard_webhooks_oldest_seconds', 'up'],
  ];
  await moves(server, waits, () => ring(alice, bob));
  const taken = [['switchboard_webhooks_total', 1, { event: 'call.started', outcome: 'taken' }], ['switchboard_webhook_delay_seconds_count', 1]];
  await moves(server, taken, () => receiver.answer('call.started'));
});

test('a configuration that is read again, and a certificate', async (t) => {
  const issuer = await authority(t);
  const node = await startNode(issuer.env);
  t.after(() => node.stop());
  await moves(node, [['switchboard_tls_handshake_failures_total', 1, { reason: 'failed' }]],
    () => connect(node.port, '127.0.0.1').on('error', () => {}).end('GET / HTTP/1.1\r\n\r\n'));
  await issuer.issue({ days: 3 });
  const read = 'switchboard_config_last_read_timestamp_seconds';
  const before = await total(node, read);
  // It may have started in this very second, so it is asked until the next.
  const isReadLater = async () => {
    node.hangUp();
    return (await total(node, read)) > before;
  };
  const moved = [['switchboard_config_reloads_total', 'up', { outcome: 'applied' }], [read, 'up'], ['switchboard_tls_certificate_expiry_timestamp_seconds', 'up']];
  await moves(node, moved, () => eventually(isReadLater, 'it is not read again'));
});

test('every metric was seen to move', () => {
  // Seen in src/app/inside.rs: it takes a Redis that takes a call and then does not say which devices there are. The other is seen in
  // src/webhooks/tests.rs: it takes more calls than the feed keeps.
  const elsewhere = ['switchboard_pushes_not_tried_total', 'switchboard_webhooks_dropped'];
  const all = [...DOCUMENT.matchAll(/^\| `(switchboard_\w+)` \| (?:counter|gauge|histogram) /gm)].map(([, name]) => name);
  assert.ok(all.length > 30);
  assert.deepEqual(all.filter((name) => !seen.has(name) && !elsewhere.includes(name)), []);
});
