// Child processes of these tests: each has a folder of its own, and ends at the latest with the process that started it.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Where programs are; users of Debian do not have the last two in theirs, and proxies live there. */
const PATH = `${process.env.PATH}:/usr/local/sbin:/usr/sbin`;

/** What is still to be undone when this process exits. */
const leftovers = new Set();
process.on('exit', () => {
  for (const undo of leftovers) undo();
});

/** An empty folder, until `remove` is called or this process exits. */
export function temporaryFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'switchboard-'));
  const remove = () => {
    leftovers.delete(remove);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  leftovers.add(remove);
  return { path: folder, remove };
}

/**
 * Runs a command with nothing but the given environment, in `folder` or an empty one (where no `.env` is).
 * One in the background does not keep this process from ending.
 */
export function launch(command, args, { env = {}, folder, isInBackground = false } = {}) {
  const own = folder === undefined ? temporaryFolder() : { path: folder, remove: () => {} };
  const child = spawn(command, args, { cwd: own.path, env: { PATH, ...env }, stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  child.stdin.on('error', () => {}).end();
  if (isInBackground) for (const part of [child, child.stdout, child.stderr]) part.unref();
  const kill = () => child.kill('SIGKILL');
  leftovers.add(kill);
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ error: error.code === 'ENOENT' ? `${command} is missing: tests/run installs it` : error }));
    child.on('close', (code, signal) => resolve({ code, signal }));
  }).then((end) => {
    leftovers.delete(kill);
    own.remove();
    return { ...end, ...output };
  });
  return { child, output, ended };
}

/** The range ports are drawn from: below those a system gives to outgoing connections, so that nobody takes one while its owner is down. */
const PORTS = { first: 15_000, count: 15_000 };

/** A port of 127.0.0.1 nobody listens on. */
export async function freePort() {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const isFree = await new Promise((resolve) => {
      const listener = net.createServer().once('error', () => resolve(false));
      listener.listen(port, '127.0.0.1', () => listener.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** A key and a certificate for this machine, which has signed itself, as files in `folder` and as what Node's servers take. */
export function certificate(folder) {
  const [key, cert] = ['tls.key', 'tls.crt'].map((name) => path.join(folder, name));
  const about = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE', '-days', '2'];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...args, ...about], { stdio: 'pipe' });
  return { cert, key, options: { key: readFileSync(key), cert: readFileSync(cert) } };
}
