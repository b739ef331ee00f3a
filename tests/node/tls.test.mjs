// TLS in the node itself: the stock client over it, certificates that are renewed, and those who speak something else.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { authority } from './certificates.mjs';
import { total } from './metrics.mjs';
import { NO_RATE_LIMITS, TRANSPORTS, chaosProxy, eventually, floodUnread, pair, phone, run, startNode, talk, within } from './support.mjs';

/** How long a node waits for a handshake, and some. */
const HANDSHAKE_MS = 15_000;

/** A node that shows the certificate of `issuer`, until the test ends. */
async function start(t, issuer, env = {}) {
  const server = await startNode({ ...issuer.env, ...env });
  t.after(() => server.stop());
  return server;
}

/** A handshake with `server`; the serial number of what it shows, and the protocol inside. */
async function handshake(server, { ca, ...options }) {
  const socket = connectTls({ host: '127.0.0.1', port: server.port, ca, ...options });
  try {
    await within(once(socket, 'secureConnect'), 'no TLS comes about');
    const { serialNumber } = socket.getPeerCertificate();
    return { serial: serialNumber.padStart(4, '0'), protocol: socket.getProtocol(), alpn: socket.alpnProtocol };
  } finally {
    socket.destroy();
  }
}

/** A raw connection that has said `text`; resolves with what it was sent when the other side has closed it. */
async function raw(server, text) {
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  if (text) socket.write(text);
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  await within(once(socket, 'close'), 'the connection is not closed', HANDSHAKE_MS);
  return Buffer.concat(parts);
}

const said = (server) => server.output.stdout + server.output.stderr;

describe('a node with a certificate', { concurrency: true }, () => {
  for (const transports of TRANSPORTS) {
    test(`serves the stock client over ${transports.join(', then ')}`, async (t) => {
      const issuer = await authority(t);
      const server = await start(t, issuer);
      const [alice, bob] = await pair(t, server, { transports, ca: issuer.ca });
      const callId = await talk(alice, bob);
      const sdp = { type: 'offer', sdp: 'x'.repeat(100_000) };
      alice.socket.emit('sdp_offer', { callId, to: bob.user, sdp });
      assert.deepEqual((await bob.take('sdp_offer')).sdp, sdp);
      for (let n = 0; n < 200; n++) alice.socket.emit('ice_candidate', { callId, to: bob.user, candidate: { n } });
      await bob.take('ice_candidate', ({ candidate }) => candidate.n === 199);
      const stranger = phone(t, server, { transports });
      await assert.rejects(stranger, 'an authority that is not known is not believed');
    });
  }

  test('speaks HTTP/1.1 in TLS 1.3 and 1.2, and nothing older', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const known = { ca: issuer.ca, ALPNProtocols: ['h2', 'http/1.1'] };
    for (const version of ['TLSv1.3', 'TLSv1.2']) {
      const { protocol, alpn } = await handshake(server, { ...known, minVersion: version, maxVersion: version });
      assert.deepEqual([protocol, alpn], [version, 'http/1.1']);
    }
    await assert.rejects(handshake(server, { ...known, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
    await assert.rejects(handshake(server, { ca: issuer.ca, ALPNProtocols: ['h2'] }));
  });

  test('shows a renewed one to whoever connects from then on; who is connected stays', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const [alice, bob] = await pair(t, server, { ca: issuer.ca });
    const callId = await talk(alice, bob);
    const { serial: before } = await handshake(server, issuer);
    const serial = await issuer.issue();
    assert.notEqual(before, serial);
    await eventually(async () => (await handshake(server, issuer)).serial === serial, 'the old one is shown');
    const expiry = await total(server, 'switchboard_tls_certificate_expiry_timestamp_seconds');
    assert.ok(Math.abs(expiry - Date.now() / 1000 - 2 * 86_400) < 3600, String(expiry));
    const carol = await phone(t, server, { ca: issuer.ca });
    await carol.hasNot('(disconnect)');
    await alice.request('call_end', { callId });
    await bob.take('call_end');
    assert.deepEqual([...alice.heard('(disconnect)'), ...bob.heard('(disconnect)')], []);
  });

  test('shows a renewed one at once when it is asked to', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const serial = await issuer.issue();
    server.hangUp();
    await eventually(() => total(server, 'switchboard_config_reloads_total', { outcome: 'applied' }), 'it is not taken over');
    assert.equal((await handshake(server, issuer)).serial, serial);
  });

  test('goes on with the old one while the new one is of no use, and says so once', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const { serial } = await handshake(server, issuer);
    issuer.spoil('no certificate');
    const told = /TLS_CERT: names a file without a certificate in PEM/g;
    await eventually(() => said(server).match(told), 'it does not say so');
    server.hangUp();
    await eventually(() => total(server, 'switchboard_config_reloads_total', { outcome: 'unchanged' }), 'it is not looked at');
    assert.equal((await handshake(server, issuer)).serial, serial);
    const next = await issuer.issue();
    await eventually(async () => (await handshake(server, issuer)).serial === next, 'the good one is not shown');
    assert.equal(said(server).match(told).length, 2, 'once by itself, once because it was asked');
  });

  test('closes a connection on which no handshake comes, and counts it no longer', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const silent = await Promise.all([raw(server), raw(server), raw(server, Buffer.from([22, 3, 1]))]);
    assert.deepEqual(silent.map((answer) => answer.length), [0, 0, 0]);
    await eventually(async () => (await total(server, 'switchboard_tcp_connections')) === 0, 'they are counted on');
    assert.equal(await total(server, 'switchboard_tls_handshake_failures_total', { reason: 'timed_out' }), 3);
  });

  test('closes a connection on which something else is spoken', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const answer = await raw(server, `GET /health HTTP/1.1\r\nhost: x\r\n${`x-header: ${'x'.repeat(1000)}\r\n`.repeat(10)}\r\n`);
    assert.ok(!answer.includes('HTTP'), 'nothing is answered in plain text');
    await raw(server, 'x'.repeat(100_000));
    assert.equal(await total(server, 'switchboard_tls_handshake_failures_total', { reason: 'failed' }), 2);
    await phone(t, server, { ca: issuer.ca });
  });

  test('waits for a client that does not read for a while, and goes on where it was', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer, { ...NO_RATE_LIMITS, INBOX_BYTES: '100000000' });
    const proxy = await chaosProxy(t, server);
    const ca = { ca: issuer.ca };
    const [alice, bob] = [await phone(t, server, ca), await phone(t, server, { ...ca, url: proxy.url.replace('http:', 'https:') })];
    const callId = await talk(alice, bob);
    proxy.stopReading();
    const COUNT = 1000;
    const filler = 'x'.repeat(8_000);
    const sent = Array.from({ length: COUNT }, (_, n) => ({ callId, to: bob.user, candidate: { n, filler } }));
    for (const payload of sent) assert.equal((await alice.request('ice_candidate', payload)).success, true);
    proxy.readOn();
    await bob.take('ice_candidate', ({ candidate }) => candidate.n === COUNT - 1);
    assert.deepEqual(bob.heard('ice_candidate').map(({ candidate }) => candidate.n), [...Array(COUNT).keys()]);
    await bob.hasNot('(disconnect)');
  });

  test('does not listen to a client that pings and does not read', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer);
    const bob = await phone(t, server, { ca: issuer.ca });
    const flood = connectTls({ host: '127.0.0.1', port: server.port, ca: issuer.ca });
    t.after(() => flood.destroy());
    flood.on('error', () => {});
    await once(flood, 'secureConnect');
    await floodUnread(flood, bob);
  });

  test('ends although somebody is in the middle of a handshake', async (t) => {
    const issuer = await authority(t);
    const server = await start(t, issuer, { SHUTDOWN_TIMEOUT: '60000' });
    const hanging = raw(server);
    await eventually(() => total(server, 'switchboard_tcp_connections'), 'nobody is connected');
    assert.equal((await server.stop()).code, 0);
    await hanging;
  });

  test('does not start with one that is of no use', async (t) => {
    const issuer = await authority(t);
    const { env } = issuer;
    const { code, stderr } = await run(['serve'], { TLS_CERT: env.TLS_CERT, TLS_KEY: env.TLS_CERT });
    assert.equal(code, 2);
    assert.match(stderr, /TLS_KEY: names a file without a private key/);
  });
});
