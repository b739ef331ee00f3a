// The page: who we are, the link for the other side, and the wiring between connection, phone, stage and panels.
//
//   app.js        this file
//   signaling.js  the connection to the server       call.js   one call, phone.js the one that holds it
//   api.js        the token, over HTTP               peer.js   the RTCPeerConnection, media.js microphone and camera
//   stage.js      the call on the screen, with tones.js; stats.js, log.js and words.js beside it

import { randomId } from '/demo/call.js';
import { EventLog, logAsText, showLog } from '/demo/log.js';
import { friendlyName } from '/demo/names.js';
import { Phone } from '/demo/phone.js';
import { Signaling } from '/demo/signaling.js';
import { paintAvatar, Stage } from '/demo/stage.js';
import { reduceStats, StatsPanel } from '/demo/stats.js';
import { connectionWords } from '/demo/words.js';

const STATS_EVERY_MS = 1000;

const byId = (id) => document.getElementById(id);
const params = new URLSearchParams(location.search);
/** `?policy=relay` tries TURN out: nothing else is used. `?region=eu` asks for the servers of a region. */
const ice = {
  region: params.get('region') ?? undefined,
  transportPolicy: params.get('policy') === 'relay' ? 'relay' : 'all',
};
const log = new EventLog();
const panel = new StatsPanel(byId('stats'));
const stage = new Stage({ again: (call) => startCall(call.peer, call.type), dismiss: () => phone.dismiss() });

let userId = rememberName(params.get('name')?.trim() || sessionStorage.getItem('name') || friendlyName());
const friend = params.get('call')?.trim() || stored('friend', friendlyName);
let signaling;
let phone;
let shownCall = null;

setUpLog();
setUpForms();
setUpConnectionButton();
logIn();
setInterval(showStats, STATS_EVERY_MS);
addEventListener('pagehide', () => phone.call?.leave());
byId('insecure').hidden = window.isSecureContext;

/** Connects as `userId`; whoever was connected before is gone. */
function logIn() {
  signaling?.close();
  signaling = new Signaling({ userId, deviceId: stored('deviceId', randomId), log });
  phone = new Phone({ signaling, log, ice });
  signaling.addEventListener('state', showConnection);
  phone.addEventListener('change', showCall);
  showName();
  showCall();
  signaling.connect();
}

function startCall(peer, type) {
  byId('dial-error').textContent = peer === userId ? 'That is you. Call somebody else.' : '';
  if (peer && peer !== userId) phone.dial(peer, type);
}

function showConnection() {
  document.body.dataset.connection = signaling.state;
  byId('connection').textContent = connectionWords(signaling);
  byId('reconnect').hidden = signaling.state !== 'replaced';
}

function showCall() {
  const { call } = phone;
  if (call !== shownCall) {
    panel.reset();
    byId('start').hidden = call !== null;
    if (shownCall && !call) byId('call-video').focus();
    shownCall = call;
  }
  byId('stats').hidden = call === null;
  if (call) panel.showIce(call.isOver ? 'closed' : call.iceState);
  stage.show(call, userId);
}

async function showStats() {
  const { call } = phone;
  const report = call && !call.isOver ? await call.stats() : null;
  if (report && phone.call === call && !call.isOver) panel.show(reduceStats(report));
}

function showName() {
  byId('name').value = userId;
  byId('name-save').hidden = true;
  paintAvatar(byId('my-avatar'), userId);
  byId('friend').textContent = friend;
  const link = new URL('/', location.href);
  link.search = new URLSearchParams({ name: friend, call: userId, ...kept('policy', 'region') });
  byId('link').value = link.href;
  byId('open').href = link.href;
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  byId('link-hint').textContent = local
    ? "For another device, put this machine's address in place of " +
      `${location.hostname}. Browsers give camera and microphone only to https or localhost.`
    : 'Browsers give camera and microphone only to https or localhost.';
}

function setUpForms() {
  byId('callee').value = friend;
  byId('name').addEventListener('input', ({ target }) => {
    const name = target.value.trim();
    byId('name-save').hidden = !name || name === userId;
  });
  byId('name-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const name = byId('name').value.trim();
    if (!name || name === userId) return;
    userId = rememberName(name);
    logIn();
  });
  byId('dial-form').addEventListener('submit', (event) => {
    event.preventDefault();
    startCall(byId('callee').value.trim(), event.submitter?.value ?? 'video');
  });
  byId('copy').addEventListener('click', ({ currentTarget }) => copy(byId('link').value, currentTarget));
  byId('link').addEventListener('focus', ({ target }) => target.select());
}

function setUpLog() {
  showLog(log, byId('log'));
  log.addEventListener('entry', () => (byId('log-count').textContent = log.entries.length));
  byId('log-copy').addEventListener('click', ({ currentTarget }) => copy(logAsText(log), currentTarget));
  byId('log-panel').addEventListener('toggle', () => (byId('log').scrollTop = byId('log').scrollHeight));
}

/** A duplicated tab brings its device id along and displaces the first. As a device of its own it may stay. */
function setUpConnectionButton() {
  byId('reconnect').addEventListener('click', () => {
    sessionStorage.removeItem('deviceId');
    logIn();
  });
}

async function copy(text, button) {
  const done =
    (await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    )) || copyTheOldWay(text);
  const caption = button.querySelector('span');
  button.dataset.caption ??= caption.textContent;
  caption.textContent = done ? 'Copied' : 'Not copied';
  setTimeout(() => (caption.textContent = button.dataset.caption), 2000);
}

/** The clipboard API exists only in secure contexts; this works over plain http too. */
function copyTheOldWay(text) {
  const field = document.createElement('textarea');
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

/** Keeps the name for this tab; a name in the address would otherwise come back on reload. */
function rememberName(name) {
  sessionStorage.setItem('name', name);
  if (params.has('name')) {
    params.set('name', name);
    history.replaceState(null, '', `?${params}`);
  }
  return name;
}

/** Those of these parameters that the address of this page has. */
function kept(...names) {
  return Object.fromEntries(names.filter((name) => params.has(name)).map((name) => [name, params.get(name)]));
}

function stored(key, make) {
  const value = sessionStorage.getItem(key) ?? make();
  sessionStorage.setItem(key, value);
  return value;
}
