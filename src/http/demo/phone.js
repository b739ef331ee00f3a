// The phone of one person on this page: holds at most one call, starts it, and hands each server event to the call it names.

import { Call } from '/demo/call.js';

/** Fires `change` whenever the call, or anything about it, has changed. */
export class Phone extends EventTarget {
  #signaling;
  #log;
  #ice;
  /** The `incoming_call` of the person we are calling ourselves at this moment (glare). */
  #crossing = null;
  /** Events that came while the server's answer to `call_initiate`, and so the call's id, was still on its way. */
  #early = [];

  /** The call there is, or the last one as long as nobody has dismissed it. */
  call = null;

  constructor({ signaling, log, ice }) {
    super();
    this.#signaling = signaling;
    this.#log = log;
    this.#ice = ice;
    signaling.addEventListener('state', () => {
      // Another tab has taken this device over, and with it everything the server sends.
      if (signaling.state === 'replaced') this.call?.finish('displaced', 'me');
    });
    signaling.addEventListener('event', ({ detail }) => this.#receive(detail.name, detail.payload));
  }

  get isBusy() {
    return this.call !== null && !this.call.isOver;
  }

  dial(peer, type) {
    if (this.isBusy) return;
    this.#take(this.#newCall('outgoing', peer, type));
    this.call.dial();
  }

  /** Forgets a call that is over. */
  dismiss() {
    if (this.isBusy) return;
    this.call = null;
    this.#changed();
  }

  #receive(name, payload) {
    if (name === 'ice_servers') this.call?.onIceServers(payload.iceServers);
    if (!payload?.callId) return;
    if (name === 'incoming_call') {
      this.#ring(payload);
      return;
    }
    if (payload.callId === this.#crossing?.callId && ENDS.has(name)) this.#crossing = null;
    const { call } = this;
    if (call?.state === 'dialing') {
      if (this.#early.length < EARLY_MAX) this.#early.push({ name, payload });
    } else if (call && !call.isOver && call.id === payload.callId) {
      this.#pass(call, name, payload);
    }
  }

  #pass(call, name, payload) {
    switch (name) {
      case 'call_accept':
        this.#crossing = null;
        return call.onAccepted();
      case 'call_reject':
        return call.finish(payload.reason ?? 'declined', 'peer');
      case 'call_cancelled':
        return call.finish(payload.reason, 'me');
      case 'call_timeout':
        return call.finish('no_answer', 'server');
      case 'call_end':
        return call.finish(payload.reason ?? 'ended', this.#whoIs(payload.endedBy));
      case 'sdp_offer':
        return call.onOffer(payload.sdp);
      case 'sdp_answer':
        return call.onAnswer(payload.sdp);
      case 'ice_candidate':
        return call.onCandidate(payload.candidate);
    }
  }

  #ring(payload) {
    if (this.call?.id === payload.callId || this.#crossing?.callId === payload.callId) return;
    if (!this.isBusy) {
      this.#take(this.#incoming(payload));
    } else if (this.call.isCalling && this.call.peer === payload.callerId) {
      this.#log.note('both are calling', payload.callerId);
      this.#crossing = payload;
      // Nothing was sent yet: take theirs. Else the server decides, and answers one of the two calls with busy.
      if (this.call.state === 'preparing') this.call.finish('busy', 'peer');
    } else {
      this.#signaling.deliver('call_reject', { callId: payload.callId, reason: 'busy' }).catch(() => {});
    }
  }

  #take(call) {
    this.call = call;
    this.#early = [];
    call.addEventListener('change', () => {
      if (this.call !== call) return;
      if (call.state === 'ringing') this.#early.splice(0).forEach(({ name, payload }) => this.#receive(name, payload));
      if (call.isOver && this.#crossing) this.#takeCrossing(call.end.reason === 'busy');
      else this.#changed();
    });
    this.#changed();
  }

  /** Both wanted this call, so there is nothing left to ask. After a cancel of ours it just rings. */
  #takeCrossing(pickUp) {
    const payload = this.#crossing;
    this.#crossing = null;
    this.#take(this.#incoming(payload));
    if (pickUp) this.call.accept();
  }

  #incoming({ callId, callerId, callType }) {
    const call = this.#newCall('incoming', callerId, callType === 'video' ? 'video' : 'audio');
    call.id = callId;
    return call;
  }

  #newCall(direction, peer, type) {
    return new Call({ signaling: this.#signaling, log: this.#log, ice: this.#ice, direction, peer, type });
  }

  #whoIs(userId) {
    if (userId === this.#signaling.userId) return 'me';
    return userId === this.call.peer ? 'peer' : 'server';
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

/** Only a reconnect in the middle of dialing makes events early, so there are few. */
const EARLY_MAX = 100;
const ENDS = new Set(['call_reject', 'call_cancelled', 'call_timeout', 'call_end']);
