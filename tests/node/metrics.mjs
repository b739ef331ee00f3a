// The metrics of nodes as they are read, and a Prometheus that scrapes them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, within } from './patience.mjs';
import { freePort, launch, temporaryFolder } from './processes.mjs';

/** Where `node` answers the inside. */
export const insideOf = async (node) =>
  (await eventually(() => node.output.stdout.match(/(http:\/\/127\.0\.0\.1:\d+)\/metrics\b/), 'the node does not say where its metrics are'))[1];

/** The text of the metrics of one node. */
export async function metricsText(node) {
  const response = await fetch(`${await insideOf(node)}/metrics`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  return response.text();
}

const labelsOf = (text = '') => Object.fromEntries([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));

/** The sum of all series `name` with at least these labels, over all nodes. */
export async function total(server, name, labels = {}) {
  const texts = await Promise.all(server.nodes.filter(({ isLeaving }) => !isLeaving).map(metricsText));
  const wanted = Object.entries(labels);
  return texts
    .flatMap((text) => text.split('\n'))
    .map((line) => line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/))
    .filter((match) => match?.[1] === name && wanted.every(([label, value]) => labelsOf(match[2])[label] === value))
    .reduce((sum, match) => sum + Number(match[3]), 0);
}

/** Runs `promtool ARGS` with `input`, to its end; what it says. */
export async function promtool(args, input = '') {
  const child = spawn('promtool', args, { stdio: 'pipe' });
  const failed = new Promise((_, reject) => {
    child.on('error', (error) => reject(error.code === 'ENOENT' ? new Error('promtool is missing: tests/run installs it') : error));
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  child.stdin.on('error', () => {}).end(input);
  const [code] = await within(Promise.race([once(child, 'close'), failed]), 'promtool does not end').finally(() => child.kill('SIGKILL'));
  return { code, said };
}

/** Starts a Prometheus that scrapes `nodes` every second; it ends with the test. */
export async function startPrometheus(t, nodes) {
  const [port, folder] = [await freePort(), temporaryFolder()];
  const targets = (await Promise.all(nodes.map(insideOf))).map((url) => `'${new URL(url).host}'`);
  const config = [
    'global: { scrape_interval: 1s, scrape_timeout: 1s }',
    'scrape_configs:',
    '  - job_name: switchboard',
    `    static_configs: [{ targets: [${targets.join(', ')}] }]`,
    '',
  ];
  writeFileSync(path.join(folder.path, 'prometheus.yml'), config.join('\n'));
  const args = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${port}`];
  const { child, ended } = launch('prometheus', args, { folder: folder.path });
  const failed = ended.then((end) => assert.fail(`prometheus has ended: ${end.error ?? end.stderr}`));
  failed.catch(() => {});
  t.after(async () => {
    child.kill('SIGTERM');
    await within(ended, 'prometheus does not end').finally(() => child.kill('SIGKILL'));
    folder.remove();
  });
  const url = `http://127.0.0.1:${port}`;
  const isUp = eventually(async () => (await fetch(`${url}/-/ready`)).ok, 'prometheus is not ready', 30_000);
  await Promise.race([isUp, failed]);
  return {
    /** What Prometheus answers to a query: `[{metric, value}]`. */
    async query(query) {
      const answer = await (await fetch(`${url}/api/v1/query?${new URLSearchParams({ query })}`)).json();
      assert.equal(answer.status, 'success', JSON.stringify(answer));
      return answer.data.result;
    },
  };
}
