// One RTCPeerConnection for one call. Only the caller makes offers, so offers never cross; the callee only answers.

/** Media and what it needs to reach the other side. Fires `state`, `remote` and `gone`. */
export class Peer extends EventTarget {
  #pc;
  #send;
  #stream;
  #videoSender = null;
  #audioSender = null;
  #side;
  /** Descriptions and candidates are worked off one at a time, in the order they came. */
  #work = Promise.resolve();
  #earlyCandidates = [];
  #lastOffer = null;

  /**
   * @param iceServers as the server gives them
   * @param iceTransportPolicy `all`, or `relay` for TURN and nothing else
   * @param send `{offer, answer, candidate}`: functions that carry them to the other side
   */
  constructor({ iceServers, iceTransportPolicy, send }) {
    super();
    this.#send = send;
    this.#pc = new RTCPeerConnection({ iceServers, iceTransportPolicy });
    this.remoteStream = new MediaStream();
    this.remoteMicOn = true;
    this.remoteCameraOn = true;
    this.#pc.onicecandidate = ({ candidate }) => {
      // A candidate that cannot be delivered is no loss: the call is over, or another candidate will do.
      if (candidate) this.#send.candidate(candidate.toJSON()).catch(() => {});
    };
    this.#pc.onconnectionstatechange = () => this.#fire('state');
    this.#pc.oniceconnectionstatechange = () => this.#fire('state');
    this.#pc.ontrack = ({ track }) => {
      this.remoteStream.addTrack(track);
      track.onmute = track.onunmute = () => this.#fire('remote');
      this.#fire('remote');
    };
    this.#openSideChannel();
  }

  get connectionState() {
    return this.#pc.connectionState;
  }

  get iceState() {
    return this.#pc.iceConnectionState;
  }

  get receivesVideo() {
    return this.remoteCameraOn && this.remoteStream.getVideoTracks().some((track) => !track.muted);
  }

  stats() {
    return this.#pc.getStats();
  }

  /** Caller: takes the media and makes the first offer. */
  call(stream, callType) {
    this.#stream = stream;
    const [microphone] = stream.getAudioTracks();
    this.#audioSender = this.#pc.addTransceiver(microphone, { streams: [stream] }).sender;
    if (callType === 'video') {
      // Also without a camera: the other side's picture still comes, and ours can be added without a new offer.
      const camera = stream.getVideoTracks()[0] ?? 'video';
      this.#videoSender = this.#pc.addTransceiver(camera, { streams: [stream] }).sender;
    }
    return this.#enqueue(() => this.#offer());
  }

  /** Takes other servers for the next search for a path. */
  setIceServers(iceServers) {
    this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers });
  }

  /** Caller: looks for a new path after the old one failed. */
  restart() {
    return this.#enqueue(() => this.#offer({ iceRestart: true }));
  }

  /** Callee: answers an offer, the first one or one that restarts ICE. */
  receiveOffer(sdp, stream) {
    return this.#enqueue(async () => {
      const offer = description('offer', sdp);
      if (offer.sdp === this.#lastOffer) return; // A repeat after a reconnect: a second answer would do harm.
      this.#lastOffer = offer.sdp;
      await this.#pc.setRemoteDescription(offer);
      await this.#addEarlyCandidates();
      if (!this.#stream) await this.#answerWith(stream);
      await this.#pc.setLocalDescription();
      this.#deliver(this.#send.answer);
    });
  }

  /** Caller: takes the answer to the open offer; anything else is a repeat. */
  receiveAnswer(sdp) {
    return this.#enqueue(async () => {
      if (this.#pc.signalingState !== 'have-local-offer') return;
      await this.#pc.setRemoteDescription(description('answer', sdp));
      await this.#addEarlyCandidates();
    });
  }

  receiveCandidate(candidate) {
    return this.#enqueue(async () => {
      if (!this.#pc.remoteDescription) this.#earlyCandidates.push(candidate);
      else await this.#addCandidate(candidate);
    });
  }

  /** Puts another track, or none, in the place of the one being sent. Needs no new offer. */
  replaceTrack(kind, track) {
    const sender = kind === 'video' ? this.#videoSender : this.#audioSender;
    return sender?.replaceTrack(track);
  }

  /** Tells the other page whether we are heard and seen. A client without this channel just does not know. */
  tellSide(state) {
    this.#side.latest = state;
    if (this.#side.channel.readyState === 'open') this.#side.channel.send(JSON.stringify(state));
  }

  close() {
    this.#pc.onicecandidate = this.#pc.onconnectionstatechange = this.#pc.oniceconnectionstatechange = null;
    this.#pc.ontrack = null;
    this.#pc.close();
  }

  async #offer(options) {
    // A restart while the last offer is still open replaces that offer.
    await this.#pc.setLocalDescription(await this.#pc.createOffer(options));
    this.#deliver(this.#send.offer);
  }

  async #answerWith(stream) {
    this.#stream = stream;
    for (const transceiver of this.#pc.getTransceivers()) {
      const { kind } = transceiver.receiver.track;
      if (kind === 'video') this.#videoSender = transceiver.sender;
      else this.#audioSender = transceiver.sender;
      transceiver.direction = 'sendrecv';
      transceiver.sender.setStreams?.(stream);
      await transceiver.sender.replaceTrack(stream.getTracks().find((track) => track.kind === kind) ?? null);
    }
  }

  /** Sends the local description without holding up the queue; a refusal means that the call is over. */
  #deliver(send) {
    send(this.#pc.localDescription.toJSON()).catch(() => this.#fire('gone'));
  }

  async #addEarlyCandidates() {
    for (const candidate of this.#earlyCandidates.splice(0)) await this.#addCandidate(candidate);
  }

  async #addCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch {
      // A candidate of a superseded description: another one will do.
    }
  }

  #enqueue(step) {
    const done = this.#work.then(() => (this.#pc.signalingState === 'closed' ? undefined : step()));
    this.#work = done.catch(() => {});
    return done;
  }

  #openSideChannel() {
    const channel = this.#pc.createDataChannel('side', { negotiated: true, id: 0 });
    this.#side = { channel, latest: null };
    channel.onopen = () => {
      if (this.#side.latest) channel.send(JSON.stringify(this.#side.latest));
    };
    channel.onmessage = ({ data }) => {
      const state = parse(data);
      if (!state) return;
      this.remoteMicOn = state.mic !== false;
      this.remoteCameraOn = state.camera !== false;
      this.#fire('remote');
    };
  }

  #fire(name) {
    this.dispatchEvent(new Event(name));
  }
}

/** Clients send a description as an object or as the bare SDP text. */
function description(type, sdp) {
  return typeof sdp === 'string' ? { type, sdp } : { type, sdp: sdp.sdp };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
