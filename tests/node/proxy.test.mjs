// HAProxy and nginx in front of three nodes, configured as the README shows: every transport works, and a node that goes is skipped.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, launch, temporaryFolder } from './processes.mjs';
import { NO_RATE_LIMITS, TRANSPORTS, app, chaosProxy, eventually, phone, startCluster, startRedis, talk, unique, within } from './support.mjs';

/** What nginx needs around a file of conf.d to run in a folder of its own, as anybody. */
const NGINX = `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path temp-${name};`).join('\n    ')}
    include switchboard.conf;
}
`;

const KINDS = [
  { name: 'haproxy', template: 'haproxy.cfg', file: 'haproxy.cfg', args: ['-db', '-f', 'haproxy.cfg'], around: {} },
  {
    name: 'nginx',
    template: 'nginx.conf',
    file: 'switchboard.conf',
    args: ['-p', '.', '-e', 'stderr', '-c', 'nginx.conf'],
    around: { 'nginx.conf': NGINX },
  },
];

/** Starts a proxy as its template says, but on a free port and in front of these three. */
async function startProxy({ name, template, file, args, around }, targets) {
  const [port, folder] = [await freePort(), temporaryFolder()];
  const shown = readFileSync(fileURLToPath(new URL(`proxies/${template}`, import.meta.url)), 'utf8');
  const text = shown
    .replace(/\b(bind :|listen )8080\b/, (_, word) => `${word.replace(':', '127.0.0.1:').replace('listen ', 'listen 127.0.0.1:')}${port}`)
    .replace(/\bnode-(\d):3000\b/g, (_, number) => `127.0.0.1:${targets[number - 1].port}`);
  assert.doesNotMatch(text, /8080|:3000/, `${template}: an address was not replaced`);
  for (const [other, content] of Object.entries(around)) writeFileSync(path.join(folder.path, other), content);
  writeFileSync(path.join(folder.path, file), text);
  const { child, output, ended } = launch(name, args, { folder: folder.path });
  const failed = ended.then((end) => assert.fail(`${name} has ended: ${end.error ?? end.stdout + end.stderr}`));
  failed.catch(() => {});
  const url = `http://127.0.0.1:${port}`;
  const isUp = eventually(async () => (await fetch(`${url}/health`)).ok, () => `${name} does not answer`);
  const stop = async () => {
    child.kill('SIGTERM');
    await within(ended, `${name} does not end`).finally(() => child.kill('SIGKILL'));
    folder.remove();
  };
  await Promise.race([isUp, failed]).catch(async (error) => {
    await stop();
    throw error;
  });
  return { url, output, stop };
}

let redis;
before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

/** Three nodes, a proxy before them, and a road to each, which counts, unless the nodes are to be reached as they are. */
async function scene(kind, { env = {}, withRoads = false } = {}) {
  const cluster = await startCluster({ nodes: 3, redis, env: { ...NO_RATE_LIMITS, ...env } });
  const roads = withRoads ? await Promise.all(cluster.nodes.map((node) => chaosProxy(undefined, node))) : [];
  const stopNodes = async () => {
    await cluster.stop();
    for (const road of roads) road.stop();
  };
  const proxy = await startProxy(kind, withRoads ? roads : cluster.nodes).catch(async (error) => {
    await stopNodes();
    throw error;
  });
  const stop = async () => {
    await stopNodes();
    await proxy.stop();
  };
  return { cluster, roads, url: proxy.url, stop };
}

/** Two of them ring, talk, describe and hang up. */
async function callEachOther([alice, bob]) {
  const callId = await talk(alice, bob);
  for (const [from, to, name] of [[alice, bob, 'sdp_offer'], [bob, alice, 'sdp_answer']]) {
    assert.equal((await from.request(name, { callId, to: to.user, sdp: { type: 'any', sdp: 'x'.repeat(20_000) } })).success, true);
    await to.take(name);
  }
  assert.equal((await alice.request('call_end', { callId })).success, true);
  await bob.take('call_end');
}

for (const kind of KINDS) {
  describe(`${kind.name} in front of three nodes`, () => {
    let front;
    before(async () => {
      front = await scene(kind, { withRoads: true });
    });
    after(() => front.stop());

    /** Pairs of phones that come through the proxy, and use every node. */
    async function pairs(t, options) {
      const before = front.roads.map(({ bytes }) => bytes.toTarget);
      const couples = [];
      for (let n = 0; n < 16; n++) couples.push([await phone(t, front, options), await phone(t, front, options)]);
      const bytes = front.roads.map((road, n) => road.bytes.toTarget - before[n]);
      assert.ok(bytes.every((count) => count > 1000), `not every node was used: ${bytes} bytes`);
      return couples;
    }

    for (const transports of TRANSPORTS) {
      test(`with the cookie: ${transports.join(', then ')}`, async (t) => {
        for (const couple of await pairs(t, { transports, withCredentials: true })) await callEachOther(couple);
      });
    }

    test('without the cookie: websocket', async (t) => {
      for (const couple of await pairs(t, { transports: ['websocket'] })) await callEachOther(couple);
    });
  });

  describe(`a node behind ${kind.name} goes`, () => {
    /** Returns when it is going; `ended` resolves when it is gone. */
    async function leave(node) {
      const ended = node.stop();
      await eventually(async () => (await node.get('/readyz')).status === 503, 'a node that leaves is ready');
      return { ended };
    }
    const ways = [['leaves', leave], ['is killed', (node) => ({ ended: node.kill9() })]];
    for (const [what, go] of ways) {
      test(`it ${what}: who is there comes back by itself, who comes finds another one, at once`, async (t) => {
        const front = await scene(kind, { env: { DRAIN_TIMEOUT: '1500' } });
        t.after(() => front.stop());
        const withCredentials = true;
        const made = [];
        for (let n = 0; n < 9; n++) {
          const options = { transports: TRANSPORTS[n % 3], withCredentials };
          const two = [await app(t, front, { ...options, user: unique('alice') }), await app(t, front, { ...options, user: unique('bob') })];
          made.push({ two, callId: await talk(...two) });
        }
        const cookies = [];
        for (let n = 0; n < 12; n++) {
          const answer = await fetch(`${front.url}/socket.io/?EIO=4&transport=polling`);
          cookies.push(answer.headers.get('set-cookie').split(';')[0]);
        }

        const { ended } = await go(front.cluster.nodes[0]);
        for (const headers of [...cookies.map((Cookie) => ({ Cookie })), ...Array(12).fill({})]) {
          const answer = await fetch(`${front.url}/socket.io/?EIO=4&transport=polling`, { headers });
          assert.equal(answer.status, 200, await answer.text());
        }
        for (let n = 0; n < 12; n++) await phone(t, front, { transports: TRANSPORTS[n % 3], withCredentials });

        await ended;
        for (const { two, callId } of made) {
          for (const [n, who] of two.entries()) {
            await eventually(() => who.socket.connected && who.heard('registered').length > who.heard('(disconnect)').length, 'an app does not come back');
            assert.equal((await who.request('ice_candidate', { callId, to: two[1 - n].user, candidate: { n } })).success, true);
            await two[1 - n].take('ice_candidate', ({ candidate }) => candidate.n === n);
          }
          for (const who of two) await who.hasNot('call_end');
        }
      });
    }
  });
}
