// The dashboard of the chart: a real Prometheus that has scraped loaded nodes answers every panel. Those that say that they are empty
// while all is well may be.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startPrometheus } from './metrics.mjs';
import { startPushServices } from './push-services.mjs';
import { startReceiver } from './webhook-receiver.mjs';
import { NO_RATE_LIMITS, Phone, eventually, phone, ring, startCluster, startRedis, talk } from './support.mjs';

const DASHBOARD = JSON.parse(readFileSync(new URL('../../helm/switchboard/files/dashboard.json', import.meta.url), 'utf8'));
const PANELS = DASHBOARD.panels.filter(({ type }) => type !== 'row');
const QUIET = 'Empty while all is well.';
/** What Grafana puts in the place of variables; the interval holds all that this file does. */
const VARIABLES = { $__rate_interval: '5m', $namespace: '.*', $job: '.*', $instance: '.*' };
const NODES = 2;
const ROUNDS_MAX = 20;

const filledIn = (expr) => Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);

/** One of each thing that the panels are about. */
async function load(t, cluster) {
  const [alice, bob] = [await phone(t, cluster.nodes[0]), await phone(t, cluster.nodes[1])];
  const callId = await talk(alice, bob);
  await alice.request('sdp_offer', { callId, to: bob.user, sdp: 'v=0' });
  await bob.request('sdp_answer', { callId, to: alice.user, sdp: 'v=0' });
  await alice.request('call_end', { callId });
  await bob.take('call_end');
  const near = await phone(t, cluster.nodes[0]);
  await alice.request('call_end', { callId: await talk(alice, near) });
  await ring(alice, bob);
  await bob.take('call_timeout');
  await alice.request('call_accept', { callId: 'none' });
  const away = await phone(t, cluster.nodes[1], { register: false });
  const token = { fcmToken: `token-of-${away.user}`, platform: 'android' };
  await away.register(token);
  away.close();
  await alice.request('call_initiate', { calleeId: away.user, callType: 'audio' });
  const back = new Phone(cluster.nodes[1].url, { user: away.user, device: away.device });
  await back.comeBack(token);
  for (const one of [alice, bob, near, back]) one.close();
}

describe('the dashboard', () => {
  let redis, services, receiver, cluster;
  before(async () => {
    [redis, services, receiver] = await Promise.all([startRedis(), startPushServices(), startReceiver()]);
    const env = { ...NO_RATE_LIMITS, ...services.fcmEnv, ...receiver.env, CALL_RING_TIMEOUT: '600' };
    cluster = await startCluster({ nodes: NODES, redis, env });
  });
  after(async () => {
    await cluster.stop();
    await Promise.all([services.stop(), receiver.stop(), redis.stop()]);
  });

  test('has data in every panel', async (t) => {
    const prometheus = await startPrometheus(t, cluster.nodes);
    const scraped = async () => (await prometheus.query('sum(switchboard_ready)'))[0]?.value[1] === String(NODES);
    await eventually(scraped, 'nothing is scraped', 20_000);
    let empty = PANELS.filter(({ description }) => !description.includes(QUIET))
      .flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));
    assert.ok(empty.length > 25);
    // A rate takes two scrapes between which something has happened, so it happens until all have seen it.
    for (let round = 0; empty.length > 0; round++) {
      assert.ok(round < ROUNDS_MAX, `no data: ${JSON.stringify(empty, null, 1)}`);
      await load(t, cluster);
      const answers = await Promise.all(empty.map(({ expr }) => prometheus.query(filledIn(expr))));
      empty = empty.filter((_, n) => !answers[n].some(({ value }) => Number.isFinite(Number(value[1]))));
    }
  });

  test('asks what Prometheus understands, where all is well too', async (t) => {
    const prometheus = await startPrometheus(t, cluster.nodes);
    const quiet = PANELS.filter(({ description }) => description.includes(QUIET));
    assert.ok(quiet.length > 0 && quiet.length < PANELS.length / 4, 'most panels always show something');
    for (const { expr } of quiet.flatMap(({ targets }) => targets)) await prometheus.query(filledIn(expr));
    await assert.rejects(prometheus.query('sum('), 'a query that is wrong is refused');
  });
});

test('the dashboard says where to look, from top to bottom', () => {
  const rows = DASHBOARD.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
  assert.deepEqual(rows, ['Are calls working?', 'Who is affected?', 'Which part?', 'Which node?']);
  assert.equal(new Set(DASHBOARD.panels.map(({ id }) => id)).size, DASHBOARD.panels.length);
  const variables = new Set([...DASHBOARD.templating.list.map(({ name }) => `$${name}`), '$__rate_interval']);
  for (const { title, targets } of PANELS) {
    for (const { expr } of targets) {
      for (const [variable] of expr.matchAll(/\$\w+/g)) assert.ok(variables.has(variable), `${title}: ${variable}`);
    }
  }
  // Panels lie side by side, none on another.
  const taken = new Set();
  for (const { title, gridPos: { x, y, w, h } } of DASHBOARD.panels) {
    assert.ok(x + w <= 24, title);
    for (let n = 0; n < w * h; n++) {
      const cell = `${x + (n % w)},${y + Math.floor(n / w)}`;
      assert.ok(!taken.has(cell), `${title} lies on another panel`);
      taken.add(cell);
    }
  }
});
