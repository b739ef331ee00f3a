// A coturn for these tests, configured as the README shows, and a client that sends data through it.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import dgram from 'node:dgram';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, within } from './patience.mjs';
import { certificate, freePort, launch, temporaryFolder } from './processes.mjs';

/** turnutils_uclient takes its time: some seconds for a few messages. */
const RELAY_MS = 60_000;

/** The password of a time-limited user name. */
export const sign = (secret, username) => createHmac('sha1', secret).update(username).digest('base64');

/** A port of 127.0.0.1 nobody listens on, whatever the transport. */
async function freeUdpPort() {
  for (;;) {
    const port = await freePort();
    const isFree = await new Promise((resolve) => {
      const socket = dgram.createSocket('udp4').once('error', () => resolve(false));
      socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

const answers = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });

/** Runs a program of coturn's to its end. */
async function run(command, args, folder) {
  const { child, ended } = launch(command, args, { folder });
  const end = await within(ended, `${command} does not end`, RELAY_MS).finally(() => child.kill('SIGKILL'));
  assert.equal(end.error, undefined, String(end.error));
  return end;
}

/**
 * Starts a coturn that accepts what is signed with any of `secrets`, which are in its database, or in its configuration if `inFile`
 * says so; over TLS, too, if it is to be encrypted. `config` are further lines of its configuration. It ends with the test, or with `stop`.
 */
export async function startCoturn(t, { secrets = [], inFile = false, isEncrypted = false, config = [] } = {}) {
  const [port, tlsPort, folder] = [await freeUdpPort(), await freeUdpPort(), temporaryFolder()];
  const database = path.join(folder.path, 'turndb');
  const shown = readFileSync(fileURLToPath(new URL('turn/turnserver.conf', import.meta.url)), 'utf8');
  const realm = shown.match(/^realm=(.*)$/m)[1];
  const here = ['listening-ip=127.0.0.1', 'relay-ip=127.0.0.1', 'allow-loopback-peers', 'no-dtls', 'pidfile=turnserver.pid'];
  const tls = isEncrypted ? certificate(folder.path) : undefined;
  here.push(...(tls ? [`tls-listening-port=${tlsPort}`, `cert=${tls.cert}`, `pkey=${tls.key}`] : ['no-tls']));
  const text = shown.replace('listening-port=3478', `listening-port=${port}`).replace('/var/lib/turn/turndb', database);
  assert.ok(text.includes(`port=${port}`) && text.includes(database), 'turnserver.conf: a line was not replaced');
  const fixed = inFile ? secrets.map((secret) => `static-auth-secret=${secret}`) : [];
  writeFileSync(path.join(folder.path, 'turnserver.conf'), [text, ...here, ...config, ...fixed, ''].join('\n'));

  /** Runs `turnadmin`, which leaves a log wherever it may write one. */
  async function administer(...args) {
    const end = await run('turnadmin', [...args, '-r', realm, '-b', database], folder.path);
    const log = (end.stdout + end.stderr).match(/log file opened: (\S+)/)?.[1];
    if (log) rmSync(log, { force: true });
    assert.equal(end.code, 0, end.stdout + end.stderr);
  }

  const coturn = {
    port,
    /** What a node hands out to reach it by UDP and by TCP. */
    urls: [`turn:127.0.0.1:${port}?transport=udp`, `turn:127.0.0.1:${port}?transport=tcp`],
    /** What reaches it by TLS. */
    encryptedUrl: `turns:127.0.0.1:${tlsPort}?transport=tcp`,
    /** What makes a server trust it; nothing where there is no TLS. */
    trustEnv: tls ? { SSL_CERT_FILE: tls.cert } : {},
    /** Accepts what this secret has signed, from here on. */
    accept: (secret) => administer('-s', secret),
    /** Accepts no more what this secret has signed. */
    refuse: (secret) => administer('-X', secret),
    /** Sends messages from one relay to another: whether all arrived (`true`), or the server let nobody in (`false`). */
    async relays({ username, credential }, transport = 'udp') {
      const way = transport === 'tcp' ? ['-t'] : [];
      const args = ['-y', '-m', '1', '-n', '5', ...way, '-p', port, '-u', username, '-w', credential, '127.0.0.1'].map(String);
      const { code, stdout, stderr } = await run('turnutils_uclient', args, folder.path);
      const said = stdout + stderr;
      if (code === 0 && /Total lost packets 0 /.test(said)) return true;
      assert.ok(code !== 0 && said.includes('Cannot complete Allocation'), `turnutils_uclient: ${code}\n${said}`);
      return false;
    },
    async stop() {
      child.kill('SIGTERM');
      await within(ended, 'turnserver does not end').finally(() => child.kill('SIGKILL'));
      folder.remove();
    },
  };

  for (const secret of inFile ? [] : secrets) await coturn.accept(secret);
  const { child, output, ended } = launch('turnserver', ['-c', 'turnserver.conf'], { folder: folder.path });
  const failed = ended.then((end) => assert.fail(`turnserver has ended: ${end.error ?? end.stdout + end.stderr}`));
  failed.catch(() => {});
  coturn.output = output;
  await Promise.race([eventually(() => answers(port), 'turnserver does not answer'), failed]).catch(async (error) => {
    await coturn.stop();
    throw error;
  });
  t?.after(() => coturn.stop());
  return coturn;
}
