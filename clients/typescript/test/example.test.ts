// The example of README.md in a real browser: two pages, the real server, and sound over a real peer connection.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { startNode, tokenOf, unique } from '../../../tests/node/support.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** For ICE, DTLS and the first sound, on a busy machine. */
const MEDIA_MS = 30_000;

const PAGE = `<!doctype html>
<script type="importmap">{ "imports": {
  "switchboard-client": "/dist/index.js", "socket.io-client": "/node_modules/socket.io-client/dist/socket.io.esm.min.js"
} }</script>
<script type="module">
  import { phone } from '/test-dist/example.js';
  globalThis.start = async ({ url, userId, token }) => {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const client = phone({ url, userId, deviceId: 'browser', token: async () => token }, microphone, (theirs) => {
      const [track] = theirs.getAudioTracks();
      track.onunmute = () => (globalThis.hears = true);
      if (!track.muted) globalThis.hears = true;
    });
    client.on('incoming_call', ({ callId }) => client.accept(callId));
    client.on('call_end', ({ reason }) => (globalThis.ended = reason));
    await client.registered();
    globalThis.client = client;
  };
</script>`;

/** Serves the page, and the files of this package that it asks for. */
async function servePage(t: { after(undo: () => unknown): void }): Promise<string> {
  const root = new URL('..', import.meta.url);
  const http = createServer(({ url = '/' }, response) => {
    const isScript = url.endsWith('.js');
    try {
      const body = isScript ? readFileSync(new URL(`.${url}`, root)) : url === '/' ? PAGE : '';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html').end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => http.listen(0, '127.0.0.1', listening));
  t.after(() => http.close());
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
}

test('two browsers call each other with the example, and hear each other', async (t) => {
  const server = await startNode();
  t.after(() => server.stop());
  const address = await servePage(t);
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      // Host candidates with addresses instead of mDNS names, which nobody answers in a container.
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
    ],
  });
  t.after(() => browser.close());
  const errors: string[] = [];
  const join = async (userId: string) => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => void (message.type() === 'error' && errors.push(message.text())));
    await page.goto(address);
    await page.waitForFunction('globalThis.start');
    await page.evaluate(`start(${JSON.stringify({ url: server.url, userId, token: tokenOf(userId) })})`);
    return page;
  };
  const [alice, bob] = [unique('alice'), unique('bob')];
  const [caller, callee] = [await join(alice), await join(bob)];
  const callId = await caller.evaluate(`client.initiate({ calleeId: '${bob}', callType: 'audio' }).then(({ callId }) => callId)`);
  for (const page of [caller, callee]) await page.waitForFunction('globalThis.hears', null, { timeout: MEDIA_MS });
  await caller.evaluate(`client.end('${callId}', 'done')`);
  await callee.waitForFunction("globalThis.ended === 'done'");
  assert.deepEqual(errors, []);
});
