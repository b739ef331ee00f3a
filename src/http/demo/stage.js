// The stage: shows one call, whatever its state, and turns its buttons into actions.

import { playTone } from '/demo/tones.js';
import { duration, endWords, reachabilityWords, stateWords } from '/demo/words.js';

const byId = (id) => document.getElementById(id);

export class Stage {
  #root = byId('stage');
  #remote = byId('remote');
  #local = byId('local');
  #userId;
  #shown = { call: null, state: null };

  /** @param actions `again(call)` and `dismiss()`: what a call that is over cannot do itself */
  constructor(actions) {
    const on = (id, act) => byId(id).addEventListener('click', () => this.#shown.call && act(this.#shown.call));
    on('accept', (call) => call.accept());
    on('reject', (call) => call.reject('declined'));
    on('busy', (call) => call.reject('busy'));
    on('hangup', (call) => call.hangUp());
    on('mic', (call) => call.setMic(!call.micOn));
    on('camera', (call) => call.setCamera(!call.cameraOn));
    on('again', (call) => actions.again(call));
    on('dismiss', () => actions.dismiss());
    setInterval(() => this.#tick(), 250);
  }

  /** Shows `call` as it is at this moment, or nothing. */
  show(call, userId) {
    this.#userId = userId;
    document.body.dataset.call = call?.state ?? 'idle';
    document.body.dataset.endReason = call?.end?.reason ?? '';
    this.#root.hidden = !call;
    playTone(call?.state === 'incoming' ? 'incoming' : call?.state === 'ringing' ? 'ringing' : null);
    const before = this.#shown;
    this.#shown = { call, state: call?.state ?? null };
    if (!call) {
      this.#attach(null);
      return;
    }
    this.#texts(call);
    this.#attach(call);
    this.#buttons(call);
    this.#tick();
    if (before.call !== call) this.#arrive(call);
    if (before.call !== call || before.state !== call.state) this.#announce(call);
  }

  #texts(call) {
    const ended = call.isOver ? endWords(call) : null;
    byId('stage-peer').textContent = call.peer;
    byId('peer-name').textContent = call.peer;
    byId('self-name').textContent = this.#userId;
    setText(byId('stage-state'), stateWords(call));
    byId('stage-detail').textContent = ended
      ? detailOfEnd(call, ended)
      : call.state === 'ringing'
        ? reachabilityWords(call)
        : '';
    setText(byId('notice'), call.isOver ? '' : call.notice);
    paintAvatar(byId('peer-avatar'), call.peer);
    Object.assign(this.#root.dataset, {
      state: call.state,
      type: call.type,
      reachability: call.reachability ?? '',
      picture: call.peerVisible ? 'on' : 'off',
      self: call.localStream && call.cameraOn && !call.isOver ? 'on' : 'off',
      mic: call.micOn ? 'on' : 'off',
      camera: call.cameraOn ? 'on' : 'off',
      peerMic: call.peerMicOn ? 'on' : 'off',
      wrong: ended?.wrong ? 'yes' : 'no',
      unstable: call.isUnstable ? 'yes' : 'no',
    });
    byId('peer-muted').hidden = call.state !== 'active' || call.peerMicOn;
  }

  #attach(call) {
    setStream(this.#remote, call?.isOver ? null : (call?.remoteStream ?? null));
    setStream(this.#local, call?.isOver ? null : (call?.localStream ?? null));
  }

  #buttons(call) {
    for (const button of this.#root.querySelectorAll('[data-on]')) {
      button.hidden = !button.dataset.on.split(' ').includes(call.state);
    }
    const ready = call.localStream !== null;
    toggle(byId('mic'), !call.micOn, 'i-mic', call.micOn ? 'Mute' : 'Unmute');
    toggle(byId('camera'), !call.cameraOn, 'i-video', call.cameraOn ? 'Camera off' : 'Camera on');
    byId('mic').disabled = !ready;
    byId('camera').disabled = !ready;
    if (call.type === 'audio') byId('camera').hidden = true;
    byId('accept-icon').setAttribute('href', call.type === 'video' ? '#i-video' : '#i-phone');
    label(byId('hangup'), call.isCalling ? 'Cancel' : 'Hang up');
    label(byId('again'), call.direction === 'outgoing' ? 'Call again' : 'Call back');
  }

  /** A new call takes the focus to its heading, not to a button: a key pressed at that moment must not answer. */
  #arrive() {
    byId('stage-peer').focus({ preventScroll: true });
    this.#root.scrollIntoView({ block: 'nearest' });
  }

  #announce(call) {
    byId('announce').textContent = call.state === 'incoming' ? `${stateWords(call)} from ${call.peer}` : '';
    document.title = call.state === 'incoming' ? `${call.peer} is calling` : 'switchboard';
  }

  #tick() {
    const { call } = this.#shown;
    const seconds = call?.connectedAt ? Math.floor(((call.endedAt ?? Date.now()) - call.connectedAt) / 1000) : 0;
    const timer = byId('timer');
    timer.hidden = !call?.connectedAt;
    setText(timer, duration(seconds));
    timer.dataset.seconds = seconds;
  }
}

/** Two letters on a colour, both made from the name. */
export function paintAvatar(element, name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = (words.length > 1 ? [words[0], words[1]].map(firstLetter) : [[...name].slice(0, 2).join('')]).join(
    '',
  );
  element.textContent = letters.toUpperCase();
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty('--hue', hue);
}

function firstLetter(word) {
  return [...word][0];
}

function detailOfEnd(call, { detail }) {
  if (!call.connectedAt) return detail ?? '';
  const length = `The call took ${duration(Math.round((call.endedAt - call.connectedAt) / 1000))}.`;
  return detail ? `${detail} ${length}` : length;
}

/** Sets a live region only when its text differs, so that it is not read out again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setStream(video, stream) {
  if (video.srcObject === stream) return;
  video.srcObject = stream;
  // Refused where the page was never touched; the picture then starts with the next tap.
  if (stream)
    video.play().catch(() => addEventListener('pointerdown', () => video.play().catch(() => {}), { once: true }));
}

/** The label says what the button does next; the look says what is off at present. */
function toggle(button, off, icon, text) {
  button.toggleAttribute('data-off', off);
  button.querySelector('use').setAttribute('href', `#${icon}${off ? '-off' : ''}`);
  label(button, text);
}

function label(button, text) {
  setText(button.querySelector('span'), text);
}
