// The demo page in a real browser: two people in two contexts of one headless Chromium call each other through a running
// server, with the browser's fake camera and microphone and a real WebRTC connection over loopback.
//
// SWITCHBOARD_BIN  the server's binary, for the tests that need settings of their own
// SWITCHBOARD_URL  base URL of a running server with the settings below and STUN_SERVER_URL=stun:127.0.0.1:9 (nothing is
//                  there: no request leaves the machine); without it the test starts a server of its own
// SCREENSHOT_DIR   where the pictures go; default target/screenshots
// CHROMIUM         the browser; default /usr/bin/chromium

import assert from 'node:assert/strict';
import { accessSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startCoturn } from './coturn.mjs';
import { eventually, startServer } from './support.mjs';

/** Short enough to be waited for, long enough to be answered before. */
const SERVER_SETTINGS = { CALL_RING_TIMEOUT: '4000', CALL_AWAY_TIMEOUT: '3000' };
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCREENSHOT_DIR = path.resolve(process.env.SCREENSHOT_DIR ?? path.join(ROOT, 'target/screenshots'));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** For what takes one round through the server. */
const SOON_MS = 5000;
/** For what waits for ICE, DTLS and the first decoded frames, on a machine that is busy with other tests. */
const MEDIA_MS = 30000;
/** For the server's own timers, see above, with room for a slow machine. */
const SERVER_TIMER_MS = 15000;

const DESK = { width: 1280, height: 800 };
const DARK_PHONE = {
  viewport: { width: 390, height: 844 },
  colorScheme: 'dark',
  hasTouch: true,
  isMobile: true,
  deviceScaleFactor: 2,
};

let server = null;
let baseUrl = process.env.SWITCHBOARD_URL;
let browser;
let people = [];
let lastNumber = 0;

before(async () => {
  try {
    accessSync(CHROMIUM);
  } catch {
    assert.fail(`${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  }
  mkdirSync(SCREENSHOT_DIR, { recursive: true });
  if (!baseUrl) {
    server = await startServer(SERVER_SETTINGS);
    baseUrl = server.url;
  }
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      // Host candidates with addresses instead of mDNS names, which nobody answers in a container.
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      // Both pages count as visible, so that neither is slowed down.
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

afterEach(async () => {
  const errors = people.flatMap((person) => person.errors);
  await Promise.all(people.map((person) => person.context.close()));
  people = [];
  assert.deepEqual(errors, [], 'no page may log an error, break the content policy or lose a request');
});

test('a video call from ring to hang-up', async () => {
  const { caller, callee } = await pair();
  await shot(caller, '01-start');
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await state(caller, 'ringing');
  await stage(caller, { reachability: 'online' });
  assert.match(await text(caller, '#stage-detail'), /is online$/);
  assert.equal(await text(callee, '#announce'), `Incoming video call from ${caller.name}`);

  await callee.page.click('#accept');
  for (const person of [caller, callee]) {
    await state(person, 'active', MEDIA_MS);
    await stage(person, { picture: 'on', self: 'on' }, MEDIA_MS);
    await flows(person, 'audioIn', 'audioOut', 'videoIn', 'videoOut');
    await attribute(person, '#stats', 'path', 'host/host');
    await person.page.waitForFunction(() => Number(document.querySelector('#timer').dataset.seconds) >= 2, null, {
      timeout: SOON_MS,
    });
    await person.page.waitForFunction(() => document.querySelector('#remote').videoWidth > 0, null, {
      timeout: SOON_MS,
    });
  }
  await shot(caller, '04-call-caller');
  await shot(callee, '05-call-callee');

  await caller.page.click('#mic');
  await stage(caller, { mic: 'off' });
  await stage(callee, { peerMic: 'off' });
  await caller.page.click('#camera');
  await stage(caller, { camera: 'off', self: 'off' });
  await stage(callee, { picture: 'off' });
  await shot(caller, '06-muted-caller');
  await shot(callee, '07-muted-callee');
  await caller.page.click('#mic');
  await caller.page.click('#camera');
  await stage(caller, { mic: 'on', camera: 'on', self: 'on' });
  await stage(callee, { peerMic: 'on', picture: 'on' });
  await flows(callee, 'audioIn', 'videoIn');

  await caller.page.click('#hangup');
  await ended(caller, 'user_ended', 'You hung up');
  await ended(callee, 'user_ended', `${caller.name} hung up`);
  assert.match(await text(callee, '#stage-detail'), /^The call took \d+:\d\d\.$/);
  await callee.page.click('#log-panel summary');
  await shot(callee, '08-ended-with-log', { fullPage: true });
  const log = await text(callee, '#log');
  for (const event of [
    'register',
    'incoming_call',
    'call_accept',
    'sdp_offer',
    'sdp_answer',
    'ice_candidate',
    'call_end',
  ]) {
    assert.ok(log.includes(event), `the log shows ${event}`);
  }
  assert.doesNotMatch(log, /v=0|a=|candidate:|eyJ/, 'no description, candidate or token is shown');
});

test('an audio call', async () => {
  const { caller, callee } = await pair();
  await caller.page.click('#call-audio');
  await state(callee, 'incoming');
  assert.equal(await text(callee, '#stage-state'), 'Incoming audio call');
  await callee.page.click('#accept');
  for (const person of [caller, callee]) {
    await state(person, 'active', MEDIA_MS);
    await flows(person, 'audioIn', 'audioOut');
    await stage(person, { picture: 'off', self: 'off' });
    await attribute(person, '#stats', 'videoIn', '0');
  }
  await shot(caller, '09-audio-call');
  await callee.page.click('#hangup');
  await ended(caller, 'user_ended', `${callee.name} hung up`);
});

test('a rejected call', async () => {
  const { caller, callee } = await pair();
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await callee.page.click('#reject');
  await ended(caller, 'declined', `${callee.name} declined the call`);
  await ended(callee, 'declined', 'You declined the call');
  await shot(caller, '10-declined');
  await caller.page.click('#dismiss');
  await state(caller, 'idle');
});

test('a call answered with busy', async () => {
  const { caller, callee } = await pair();
  await caller.page.click('#call-audio');
  await state(callee, 'incoming');
  await callee.page.click('#busy');
  await ended(caller, 'busy', `${callee.name} is busy`);
  await shot(caller, '11-busy');
});

test('a third person finds the callee busy, and the call goes on', async () => {
  const { caller, callee } = await connectedPair('call-audio');
  const third = await person('third', { call: callee.name });
  await third.page.click('#call-audio');
  await ended(third, 'busy', `${callee.name} is busy`);
  await state(callee, 'active');
  await flows(callee, 'audioIn');
  await caller.page.click('#hangup');
  await ended(callee, 'user_ended', `${caller.name} hung up`);
});

test('nobody answers', async () => {
  const { caller, callee } = await pair({ calleeOptions: DARK_PHONE });
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await shot(caller, '02-ringing');
  await shot(callee, '03-phone-incoming');
  await ended(caller, 'no_answer', `${callee.name} did not answer`, SERVER_TIMER_MS);
  await ended(callee, 'no_answer', `Missed call from ${caller.name}`, SERVER_TIMER_MS);
  await shot(callee, '12-missed');
});

test('the callee is not there, comes, and is rung', async () => {
  const caller = await person('caller', { call: `late-${(lastNumber += 1)}` });
  await caller.page.click('#call-audio');
  await state(caller, 'ringing');
  await stage(caller, { reachability: 'none' });
  const callee = await person(await caller.page.inputValue('#callee'), { exactName: true });
  await state(callee, 'incoming');
  await callee.page.click('#accept');
  await state(caller, 'active', MEDIA_MS);
});

test('the caller cancels', async () => {
  const { caller, callee } = await pair();
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await state(caller, 'ringing');
  await caller.page.click('#hangup');
  await ended(caller, 'cancelled', 'You cancelled the call');
  await ended(callee, 'cancelled', `Missed call from ${caller.name}`);
});

test('one of two devices answers', async () => {
  const { caller, callee } = await pair();
  const other = await person(callee.name, { exactName: true });
  await caller.page.click('#call-audio');
  await Promise.all([state(callee, 'incoming'), state(other, 'incoming')]);
  await other.page.click('#accept');
  await ended(callee, 'answered_elsewhere', 'Answered on another device');
  await state(caller, 'active', MEDIA_MS);
  await flows(other, 'audioIn');
});

test('both call each other at the same moment', async () => {
  const { caller, callee } = await pair();
  // Not as a mouse does it, which waits until the button stands still: by then the other one may ring already.
  await Promise.all([caller, callee].map(({ page }) => page.$eval('#call-video', (button) => button.click())));
  for (const one of [caller, callee]) {
    await state(one, 'active', MEDIA_MS);
    await flows(one, 'audioIn', 'videoIn');
  }
  await caller.page.click('#hangup');
  await ended(callee, 'user_ended', `${caller.name} hung up`);
});

test('a closed tab ends its call', async () => {
  const { caller, callee } = await connectedPair('call-video');
  await callee.page.close({ runBeforeUnload: true });
  await state(caller, 'ended', SERVER_TIMER_MS);
  const reason = await caller.page.getAttribute('body', 'data-end-reason');
  assert.ok(['page_closed', 'connection_lost'].includes(reason), reason);
  assert.match(await text(caller, '#stage-state'), new RegExp(callee.name));
  await shot(caller, '13-peer-left');
});

test('a crashed tab ends its call', async () => {
  const { caller, callee } = await connectedPair('call-audio');
  const devtools = await callee.context.newCDPSession(callee.page);
  devtools.send('Page.crash').catch(() => {}); // Never answers: the page is gone.
  await ended(caller, 'connection_lost', `The connection to ${callee.name} was lost`, SERVER_TIMER_MS);
  await shot(caller, '14-connection-lost');
});

test('a call outlives a lost signaling connection', async () => {
  const line = cuttableLine();
  const { caller, callee } = await connectedPair('call-audio', { calleeSetUp: line.install });
  await line.cut();
  await attribute(callee, 'body', 'connection', 'reconnecting');
  line.mend();
  await attribute(callee, 'body', 'connection', 'online', SERVER_TIMER_MS);
  await state(callee, 'active');
  await flows(callee, 'audioIn');

  await line.cut();
  await attribute(callee, 'body', 'connection', 'reconnecting');
  await caller.page.click('#hangup'); // What a device misses meanwhile it is told when it is back.
  await ended(caller, 'user_ended', 'You hung up');
  line.mend();
  await attribute(callee, 'body', 'connection', 'online', SERVER_TIMER_MS);
  await ended(callee, 'user_ended', `${caller.name} hung up`);
});

test('no camera: the call goes on with sound alone', async () => {
  const { caller, callee } = await pair({ callerSetUp: withoutDevices('video') });
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await callee.page.click('#accept');
  await state(caller, 'active', MEDIA_MS);
  await flows(caller, 'audioOut', 'videoIn');
  await stage(caller, { self: 'off', picture: 'on' });
  await stage(callee, { picture: 'off' });
  assert.match(await text(caller, '#notice'), /^No camera was found/);
});

test('no microphone: the caller is told why, and so is the other side', async () => {
  const { caller, callee } = await pair({ calleeSetUp: withoutDevices('audio') });
  await caller.page.click('#call-audio');
  await state(callee, 'incoming');
  await callee.page.click('#accept');
  await ended(callee, 'media_failed', 'No microphone');
  await ended(caller, 'media_failed', `${callee.name} could not open a microphone`);
  await shot(callee, '15-no-microphone');
});

test('another name, and a name nobody may call', async () => {
  const one = await person('first');
  await one.page.fill('#name', `${one.name}-again`);
  await one.page.click('#name-save');
  await one.page.waitForFunction(
    (name) => document.querySelector('#link').value.includes(`call=${name}`),
    `${one.name}-again`,
  );
  await attribute(one, 'body', 'connection', 'online');
  await one.page.fill('#callee', `${one.name}-again`);
  await one.page.click('#call-audio');
  assert.equal(await text(one, '#dial-error'), 'That is you. Call somebody else.');
});

test('a call on a phone, in the dark', async () => {
  const { caller, callee } = await pair({ calleeOptions: DARK_PHONE });
  await shot(callee, '16-phone-start');
  await caller.page.click('#call-video');
  await state(callee, 'incoming');
  await callee.page.tap('#accept');
  await state(callee, 'active', MEDIA_MS);
  await stage(callee, { picture: 'on', self: 'on' }, MEDIA_MS);
  await flows(callee, 'videoIn', 'videoOut');
  await shot(callee, '17-phone-call');
  const wide = await callee.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(wide, false, 'nothing is wider than the screen');
  await callee.page.tap('#hangup');
  await ended(caller, 'user_ended', `${callee.name} hung up`);
});

test('a call through TURN alone, which fresh credentials keep going', async (t) => {
  const pages = await relayOnly(t, { TURN_TTL: '10' });
  const { caller, callee } = await connectedPair('call-video', pages);
  for (const one of [caller, callee]) {
    await attribute(one, '#stats', 'path', 'relay/relay', MEDIA_MS);
    await flows(one, 'audioIn', 'audioOut', 'videoIn', 'videoOut');
    const { local, remote, pair, received } = await media(one);
    assert.deepEqual([local.candidateType, remote.candidateType], ['relay', 'relay']);
    assert.ok(pair.bytesReceived > 0 && pair.bytesSent > 0, JSON.stringify(pair));
    assert.deepEqual(Object.keys(received).sort(), ['audio', 'video']);
    for (const packets of Object.values(received)) assert.ok(packets > 0, JSON.stringify(received));
  }
  await shot(caller, '18-relayed-call');

  const first = await Promise.all([caller, callee].map(turnUser));
  for (const [n, one] of [caller, callee].entries()) {
    const isFresh = (old) => window.peers.at(-1).getConfiguration().iceServers.at(-1).username !== old;
    await one.page.waitForFunction(isFresh, first[n], { timeout: SERVER_TIMER_MS });
    assert.match(await text(one, '#log'), /ice_servers/);
  }
  // What they came with has ended; relays that are not there yet need what they were sent.
  const hasEnded = (user) => Date.now() / 1000 > Number(user.split(':')[0]) + 1;
  for (const user of first) await caller.page.waitForFunction(hasEnded, user, { timeout: SERVER_TIMER_MS });
  const before = await Promise.all([caller, callee].map(media));
  await caller.page.evaluate(() => window.failOnce(window.peers.at(-1)));
  for (const [n, one] of [caller, callee].entries()) {
    const isAnother = async () => {
      const { pair, local } = await media(one);
      return pair.state === 'succeeded' && !before[n].ports.includes(local.port);
    };
    await eventually(isAnother, `${one.name} uses no relay that was not there before`, MEDIA_MS);
    await flows(one, 'audioIn', 'videoIn');
    const { local, remote } = await media(one);
    assert.deepEqual([local.candidateType, remote.candidateType], ['relay', 'relay']);
  }
  await caller.page.click('#hangup');
  await ended(callee, 'user_ended', `${caller.name} hung up`);
});

test('a call through TURN over TCP alone', async (t) => {
  const pages = await relayOnly(t, {}, (url) => url.endsWith('tcp'));
  const { caller, callee } = await connectedPair('call-audio', pages);
  for (const one of [caller, callee]) {
    await flows(one, 'audioIn', 'audioOut');
    const { local, remote } = await media(one);
    assert.deepEqual([local.candidateType, local.relayProtocol, remote.candidateType], ['relay', 'tcp', 'relay']);
  }
});

// What the tests are made of.

/** Pages of a server with a coturn of its own, which use nothing else. For `pair` and `connectedPair`. */
async function relayOnly(t, settings, accepts = () => true) {
  const secret = 'the-secret-of-coturn';
  const coturn = await startCoturn(t, { secrets: [secret] });
  const urls = coturn.urls.filter(accepts).join(',');
  const server = await startServer({ ...SERVER_SETTINGS, TURN_SERVER_URL: urls, TURN_STATIC_SECRET: secret, ...settings });
  t.after(() => server.stop());
  return { url: server.url, query: { policy: 'relay' }, callerSetUp: showPeers, calleeSetUp: showPeers };
}

/** Lets a test look at the page's peer connections, and say that one has failed, as it would be after a change of network. */
function showPeers({ page }) {
  return page.addInitScript(() => {
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        window.peers.push(this);
      }
    };
    window.failOnce = (peer) => {
      Object.defineProperty(peer, 'connectionState', { value: 'failed', configurable: true });
      peer.dispatchEvent(new Event('connectionstatechange'));
      delete peer.connectionState;
    };
  });
}

/** What `getStats` says: the path in use, the ports of every candidate of this side, and how many packets of each kind have come. */
function media(one) {
  return one.page.evaluate(async () => {
    const report = await window.peers.at(-1).getStats();
    const all = [...report.values()];
    const pair = report.get(all.find(({ type }) => type === 'transport').selectedCandidatePairId);
    const received = all.filter(({ type }) => type === 'inbound-rtp').map(({ kind, packetsReceived }) => [kind, packetsReceived]);
    return {
      pair,
      local: report.get(pair.localCandidateId),
      remote: report.get(pair.remoteCandidateId),
      ports: all.filter(({ type }) => type === 'local-candidate').map(({ port }) => port),
      received: Object.fromEntries(received),
    };
  });
}

/** The TURN user name a page's peer connection has. */
function turnUser(one) {
  return one.page.evaluate(() => window.peers.at(-1).getConfiguration().iceServers.at(-1).username);
}

/** Somebody at the page: in a context of their own, so with storage and a renderer of their own, and connected. */
async function person(name, { call, exactName = false, options = {}, setUp, url = baseUrl, query = {} } = {}) {
  if (!exactName) name = `${name}-${(lastNumber += 1)}`;
  const context = await browser.newContext({ viewport: DESK, ...options });
  const page = await context.newPage();
  const one = { name, context, page, errors: [] };
  people.push(one);
  page.on('pageerror', (error) => one.errors.push(`${name}: ${error.stack}`));
  page.on('console', (message) => {
    if (message.type() === 'error') one.errors.push(`${name}: ${message.text()} ${message.location().url}`);
  });
  if (setUp) await setUp(one);
  await page.goto(`${url}/?${new URLSearchParams({ name, ...(call && { call }), ...query })}`);
  await attribute(one, 'body', 'connection', 'online');
  return one;
}

/** Two people, each about to call the other. */
async function pair({ callerSetUp, calleeSetUp, calleeOptions, url, query } = {}) {
  const number = (lastNumber += 1);
  const names = { caller: `blue-otter-${number}`, callee: `red-fox-${number}` };
  const [caller, callee] = await Promise.all([
    person(names.caller, { exactName: true, call: names.callee, setUp: callerSetUp, url, query }),
    person(names.callee, { exactName: true, call: names.caller, setUp: calleeSetUp, options: calleeOptions, url, query }),
  ]);
  return { caller, callee };
}

async function connectedPair(button, options) {
  const { caller, callee } = await pair(options);
  await caller.page.click(`#${button}`);
  await state(callee, 'incoming');
  await callee.page.click('#accept');
  for (const one of [caller, callee]) {
    await state(one, 'active', MEDIA_MS);
    await flows(one, 'audioIn');
  }
  return { caller, callee };
}

/** A connection between page and server that can be cut; whoever tries to connect meanwhile waits until it is mended. */
function cuttableLine() {
  const ends = new Set();
  let whole = Promise.resolve();
  let mend = () => {};
  return {
    async install({ page }) {
      await page.route('**/socket.io/?*', (route) => whole.then(() => route.continue()));
      await page.routeWebSocket('**/socket.io/**', async (socket) => {
        await whole;
        ends.add(socket).add(socket.connectToServer());
      });
    },
    async cut() {
      whole = new Promise((resolve) => (mend = resolve));
      await Promise.all([...ends].map((end) => end.close()));
      ends.clear();
    },
    mend: () => mend(),
  };
}

/** Makes a page whose browser finds no device of `kind`. */
function withoutDevices(kind) {
  return ({ page }) =>
    page.addInitScript((missing) => {
      const devices = navigator.mediaDevices;
      const open = devices.getUserMedia.bind(devices);
      devices.getUserMedia = (wanted) =>
        wanted[missing]
          ? Promise.reject(new DOMException('Requested device not found', 'NotFoundError'))
          : open(wanted);
    }, kind);
}

function state(one, wanted, timeout = SOON_MS) {
  return attribute(one, 'body', 'call', wanted, timeout);
}

async function stage(one, wanted, timeout = SOON_MS) {
  for (const [name, value] of Object.entries(wanted)) await attribute(one, '#stage', name, value, timeout);
}

async function ended(one, reason, words, timeout = SOON_MS) {
  await state(one, 'ended', timeout);
  assert.equal(await one.page.getAttribute('body', 'data-end-reason'), reason);
  assert.equal(await text(one, '#stage-state'), words);
}

/** Waits until `element` says `value` in its data attribute `name`; says what it said instead if it never does. */
async function attribute(one, element, name, value, timeout = SOON_MS) {
  const matches = ([selector, key, wanted]) => document.querySelector(selector).dataset[key] === wanted;
  try {
    await one.page.waitForFunction(matches, [element, name, value], { timeout });
  } catch (error) {
    const found = await one.page.$eval(element, (node) => ({ ...node.dataset })).catch(() => error.message);
    await shot(one, `failed-${one.name}`).catch(() => {});
    assert.fail(`${one.name}: ${element} should say ${name}=${value}, but says ${JSON.stringify(found)}`);
  }
}

/** Waits until each of these byte counters is above zero and then has grown. */
async function flows(one, ...counters) {
  for (const counter of counters) {
    const above = ([key, least]) => Number(document.querySelector('#stats').dataset[key] ?? 0) > least;
    await one.page.waitForFunction(above, [counter, 0], { timeout: MEDIA_MS });
    const first = Number(await one.page.$eval('#stats', (node, key) => node.dataset[key], counter));
    await one.page.waitForFunction(above, [counter, first], { timeout: MEDIA_MS });
  }
}

function text(one, selector) {
  return one.page.textContent(selector);
}

function shot(one, name, options) {
  return one.page.screenshot({ path: path.join(SCREENSHOT_DIR, `${name}.png`), ...options });
}
