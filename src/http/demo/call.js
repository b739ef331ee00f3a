// One call, from the first ring to the reason it ended. A page shows it and presses its buttons; it never touches the page.
//
//   outgoing: preparing → dialing → ringing → connecting → active → ended
//   incoming: incoming → accepting → connecting → active → ended
//
// Every state can go to `ended`, exactly once; what comes later is ignored.

import { closeMedia, MediaProblem, openCamera, openMedia } from '/demo/media.js';
import { Peer } from '/demo/peer.js';
import { NoAnswer } from '/demo/signaling.js';

/** How long two sides may look for each other, at the start or after a broken path, before the call ends. */
const CONNECT_TIMEOUT_MS = 45000;
/** The server ends a ringing call by itself; this is for the case that the server is gone. */
const RING_LIMIT_MS = 180000;

/** Fires `change` whenever something a page shows has changed. */
export class Call extends EventTarget {
  #signaling;
  #log;
  #ice;
  #peer = null;
  #iceServers = null;
  #media = null;
  #setup = null;
  #cameraBusy = false;
  #limit = null;
  #over = new AbortController();

  id = null;
  reachability = null;
  localStream = null;
  micOn = true;
  cameraOn = false;
  notice = '';
  /** When the media first flowed, in ms. */
  connectedAt = null;
  endedAt = null;
  /** `{reason, by: "me" | "peer" | "server", text?}` */
  end = null;

  /** @param ice `{region, transportPolicy}`: where relays are wanted, and whether nothing else is */
  constructor({ signaling, log, ice, direction, peer, type }) {
    super();
    this.#signaling = signaling;
    this.#log = log;
    this.#ice = ice;
    this.direction = direction;
    this.peer = peer;
    this.type = type;
    this.state = direction === 'outgoing' ? 'preparing' : 'incoming';
    this.#limitTo(RING_LIMIT_MS, 'no_answer');
  }

  get isOver() {
    return this.state === 'ended';
  }

  /** Still waiting for the other side to pick up. */
  get isCalling() {
    return ['preparing', 'dialing', 'ringing'].includes(this.state);
  }

  get #isAnswered() {
    return ['accepting', 'connecting', 'active'].includes(this.state);
  }

  get iceState() {
    return this.#peer?.iceState ?? 'new';
  }

  get isUnstable() {
    return this.state === 'active' && this.#peer.connectionState !== 'connected';
  }

  get remoteStream() {
    return this.#peer?.remoteStream ?? null;
  }

  get peerMicOn() {
    return this.#peer?.remoteMicOn ?? true;
  }

  get peerCameraOn() {
    return this.#peer?.remoteCameraOn ?? true;
  }

  get peerVisible() {
    return this.state === 'active' && this.#peer.receivesVideo;
  }

  stats() {
    return this.#peer?.stats() ?? Promise.resolve(null);
  }

  // What the person does.

  /** Outgoing: opens the media first, so that nobody is rung up by someone who cannot speak, then calls. */
  async dial() {
    this.#prepare();
    if (!(await this.#mediaReady()) || this.state !== 'preparing') return;
    this.#enter('dialing');
    try {
      const answer = await this.#initiate();
      this.id = answer.callId;
      if (this.isOver) {
        this.#tellEnd('cancelled'); // Cancelled before the server had given the call a name.
        return;
      }
      this.reachability = answer.reachability ?? null;
      this.#enter('ringing');
    } catch (error) {
      this.finish('failed', 'server', error.message);
    }
  }

  /** Incoming: picks up. The server is told at once, while the browser may still be asking for the microphone. */
  async accept() {
    if (this.state !== 'incoming') return;
    this.#enter('accepting');
    this.#prepare();
    try {
      await this.#signaling.request('call_accept', { callId: this.id });
    } catch (error) {
      // Refused: answered elsewhere or over. No answer: it may have been accepted, so the other side must be told.
      if (error instanceof NoAnswer && !this.isOver) this.#tellEnd('failed');
      this.finish('failed', 'server', error.message);
      return;
    }
    if (this.isOver) return;
    this.#enter('connecting');
    this.#limitTo(CONNECT_TIMEOUT_MS, 'connection_failed');
    await this.#mediaReady();
  }

  /** Incoming: does not pick up. `reason` is `declined` or `busy`. */
  reject(reason) {
    if (this.state !== 'incoming') return;
    this.#signaling.deliver('call_reject', { callId: this.id, reason }).catch(() => {});
    this.finish(reason, 'me');
  }

  /** Ends the call in any state; before an answer this is a cancel. */
  hangUp() {
    this.#quit(this.isCalling ? 'cancelled' : 'user_ended');
  }

  /** The page goes away: the one moment in which nothing can be awaited. */
  leave() {
    if (this.isOver || this.state === 'incoming') return;
    if (this.id) this.#signaling.sendLast('call_end', { callId: this.id, reason: 'page_closed' });
    this.finish('page_closed', 'me');
  }

  setMic(on) {
    this.micOn = on;
    this.localStream?.getAudioTracks().forEach((track) => (track.enabled = on));
    this.#tellSide();
  }

  /** Off really closes the camera, so that its light goes out. */
  async setCamera(on) {
    const [current] = this.localStream.getVideoTracks();
    if (this.#cameraBusy || on === Boolean(current)) return;
    this.#cameraBusy = true;
    try {
      const track = on ? await openCamera() : null;
      if (this.isOver) return track?.stop();
      if (current) {
        current.stop();
        this.localStream.removeTrack(current);
      }
      if (track) this.#watch(track, this.localStream);
      if (track) this.localStream.addTrack(track);
      this.cameraOn = on;
      this.notice = '';
      await this.#peer?.replaceTrack('video', track);
    } catch (error) {
      this.notice = error.message;
    } finally {
      this.#cameraBusy = false;
    }
    this.#tellSide();
  }

  // What the server says. Each is ignored unless the state expects it, so a repeated event does nothing.

  onAccepted() {
    if (this.state !== 'ringing') return;
    this.#enter('connecting');
    this.#limitTo(CONNECT_TIMEOUT_MS, 'connection_failed');
    this.#connect((peer) => peer.call(this.localStream, this.type));
  }

  onOffer(sdp) {
    if (this.#isAnswered && this.direction === 'incoming') {
      this.#connect((peer) => peer.receiveOffer(sdp, this.localStream));
    }
  }

  onAnswer(sdp) {
    if (this.#isAnswered && this.direction === 'outgoing') this.#connect((peer) => peer.receiveAnswer(sdp));
  }

  onCandidate(candidate) {
    if (this.#isAnswered) this.#connect((peer) => peer.receiveCandidate(candidate));
  }

  /** Fresh servers, before the credentials of the old ones end. What is connected stays so; the next search uses them. */
  onIceServers(iceServers) {
    if (this.isOver || !this.#iceServers) return;
    this.#iceServers = Promise.resolve(iceServers);
    this.#peer?.setIceServers(iceServers);
  }

  /** The end, whoever made it: stops everything and keeps the reason. Tells nobody. */
  finish(reason, by, text) {
    if (this.isOver) return;
    this.end = { reason, by, text, after: this.state };
    this.endedAt = Date.now();
    clearTimeout(this.#limit);
    this.#over.abort();
    this.#peer?.close();
    closeMedia(this.localStream);
    this.#log.note('call ended', `${reason} by ${by}`);
    this.#enter('ended');
  }

  #quit(reason, text) {
    if (this.isOver) return;
    if (this.id) this.#tellEnd(reason);
    this.finish(reason, 'me', text);
  }

  /** `call_end` may be repeated, so it is delivered even if the connection is down right now. */
  #tellEnd(reason) {
    this.#signaling.deliver('call_end', { callId: this.id, reason }).catch(() => {});
  }

  async #initiate() {
    const payload = {
      calleeId: this.peer,
      callType: this.type,
      callerName: this.#signaling.userId,
      // Lets the server recognise the repeat of a request whose answer was lost.
      requestId: randomId(),
    };
    try {
      return await this.#signaling.request('call_initiate', payload);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return this.#signaling.request('call_initiate', payload);
    }
  }

  /** Starts opening the media and asking for ICE servers, whose credentials expire: so for each call anew. */
  #prepare() {
    this.#media ??= openMedia(this.type);
    this.#media.catch(() => {}); // Handled where it is awaited.
    this.#iceServers ??= this.#signaling
      .request('get_ice_servers', { region: this.#ice.region })
      .then((answer) => answer.iceServers)
      .catch((error) => {
        this.#log.note('no ICE servers', `${error.message}; only direct paths will work`);
        return [];
      });
  }

  /** Whether there is media to call with. If not, the call has ended and the other side is told. */
  async #mediaReady() {
    try {
      const { stream, notice } = await this.#media;
      if (this.isOver) {
        closeMedia(stream);
        return false;
      }
      if (this.localStream !== stream) this.#takeMedia(stream, notice);
      return true;
    } catch (error) {
      if (!(error instanceof MediaProblem)) throw error;
      this.#quit('media_failed', error.message);
      return false;
    }
  }

  #takeMedia(stream, notice) {
    this.localStream = stream;
    this.notice = notice;
    this.cameraOn = stream.getVideoTracks().length > 0;
    stream.getTracks().forEach((track) => this.#watch(track, stream));
    this.#changed();
  }

  /** A device that is unplugged ends its track; our own `stop` does not fire this. */
  #watch(track, stream) {
    track.onended = () => {
      if (this.isOver || !stream.getTracks().includes(track)) return;
      if (track.kind === 'video') this.setCamera(false);
      this.notice = track.kind === 'video' ? 'The camera was disconnected.' : 'The microphone was disconnected.';
      this.#changed();
    };
  }

  /** Runs `step` on the peer connection, which is made as soon as media and ICE servers are there. Keeps order. */
  #connect(step) {
    if (this.isOver) return;
    this.#setup ??= this.#openPeer();
    this.#setup
      .then((ready) => (ready && !this.isOver ? step(this.#peer) : undefined))
      .catch((error) => {
        if (this.isOver) return; // Closing a connection fails whatever it was still doing.
        this.#log.note('WebRTC error', error.message);
        this.#quit('connection_failed', error.message);
      });
  }

  async #openPeer() {
    this.#prepare();
    const [ready] = await Promise.all([this.#mediaReady(), this.#iceServers]);
    // Asked for again: there may be fresh ones since.
    const iceServers = await this.#iceServers;
    if (!ready || this.isOver) return false;
    const send = (event, field) => (value) =>
      this.#signaling.deliver(event, { callId: this.id, to: this.peer, [field]: value }, this.#over.signal);
    this.#peer = new Peer({
      iceServers,
      iceTransportPolicy: this.#ice.transportPolicy,
      send: {
        offer: send('sdp_offer', 'sdp'),
        answer: send('sdp_answer', 'sdp'),
        candidate: send('ice_candidate', 'candidate'),
      },
    });
    this.#peer.addEventListener('state', () => this.#peerChanged());
    this.#peer.addEventListener('remote', () => this.#changed());
    this.#peer.addEventListener('gone', () => this.finish('gone', 'server'));
    this.#tellSide();
    return true;
  }

  #peerChanged() {
    const { connectionState } = this.#peer;
    this.#log.note('peer connection', `${connectionState} · ice ${this.#peer.iceState}`);
    if (connectionState === 'connected') {
      clearTimeout(this.#limit);
      this.#limit = null;
      this.connectedAt ??= Date.now();
      this.#enter('active');
      return;
    }
    if (this.state === 'active' && this.#limit === null) this.#limitTo(CONNECT_TIMEOUT_MS, 'connection_failed');
    // Only the caller makes offers, so only the caller restarts; the callee waits for that offer.
    if (connectionState === 'failed' && this.direction === 'outgoing') this.#connect((peer) => peer.restart());
    this.#changed();
  }

  #tellSide() {
    this.#peer?.tellSide({ mic: this.micOn, camera: this.cameraOn });
    this.#changed();
  }

  #limitTo(ms, reason) {
    clearTimeout(this.#limit);
    this.#limit = setTimeout(() => {
      // A call that only rings here may still be ringing on other devices: it is not ours to end.
      if (this.state === 'incoming') this.finish(reason, 'server');
      else this.#quit(reason);
    }, ms);
  }

  #enter(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

/** `crypto.randomUUID` exists only in secure contexts; this works over plain http too. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
