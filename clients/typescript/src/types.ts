// The wire as switchboard's README has it: requests, their answers, and the events from the server. Types only; a test holds the names,
// the fields of requests and the error codes against the tables there.

export type CallType = 'audio' | 'video';

/** What `createOffer` and `createAnswer` return, or a text of the app's own: passed on unread. */
export type Description = object | string;

/** What `onicecandidate` has, a text of the app's own, or `null` for "no more": passed on unread. */
export type Candidate = object | string | null;

/** Where a push reaches this device. */
export interface PushTokens {
  fcmToken?: string | null;
  apnsVoipToken?: string | null;
}

/** As `RTCPeerConnection` takes it. */
export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

export interface IceServers {
  iceServers: IceServer[];
  /** Seconds for which the credentials are good. */
  ttl: number;
}

/** What a client may ask, by event name. */
export interface Requests {
  register: PushTokens & { userId: string; deviceId?: string | null; platform?: string | null; lastEventId?: number | null };
  unregister: Record<string, never>;
  call_initiate: {
    calleeId: string;
    callType: CallType;
    callerName?: string | null;
    callerAvatar?: string | null;
    requestId?: string | null;
  };
  call_accept: { callId: string };
  call_reject: { callId: string; reason?: string | null };
  call_end: { callId: string; reason?: string | null };
  sdp_offer: { callId: string; to: string; sdp: Description };
  sdp_answer: { callId: string; to: string; sdp: Description };
  ice_candidate: { callId: string; to: string; candidate: Candidate };
  token_refresh: { token: string };
  get_ice_servers: { region?: string | null };
  ping: Record<string, never>;
}

interface Success {
  success: true;
}

interface Sent extends Success {
  message: string;
}

/** What is answered when it is not refused. */
export interface Answers {
  register: Success & { deviceId: string; sessionId?: string; message?: string };
  unregister: Success;
  call_initiate: Sent & { callId: string; state: 'ringing'; callType: CallType; reachability: 'online' | 'push' | 'none' };
  call_accept: Sent & { callId: string; state: 'accepted' };
  call_reject: Sent & { callId: string };
  call_end: Sent & { callId: string };
  sdp_offer: Sent;
  sdp_answer: Sent;
  ice_candidate: Sent;
  /** `expiresAt` in ms since the epoch, `null` for never. */
  token_refresh: Success & { expiresAt: number | null };
  get_ice_servers: Success & IceServers;
  ping: { timestamp: number; serverTime: string };
}

/** What every event about a call has. */
export interface CallEvent {
  callId: string;
  /** Milliseconds since the epoch, by the server's clock. */
  timestamp: number;
  /** Rises with every event to the same user. */
  eventId: number;
}

/** A reason that the server gives, or one that the other app has sent. */
type Reason<Known extends string> = Known | (string & {});

/** What the server says unasked, by event name. */
export interface Events {
  registered: Answers['register'];
  registration_error: Refusal;
  incoming_call: CallEvent & { callerId: string; callerName: string; callerAvatar: string | null; callType: CallType };
  call_accept: CallEvent & { calleeId: string };
  call_reject: CallEvent & { calleeId: string; reason: Reason<'declined' | 'busy'> };
  call_cancelled: CallEvent & { reason: 'answered_elsewhere' | 'declined_elsewhere' };
  call_timeout: CallEvent & { reason: string };
  /** `endedBy` is a user id, or `server`. */
  call_end: CallEvent & { endedBy: string; reason: Reason<'ended' | 'replaced' | 'connection_lost' | 'max_duration'> };
  sdp_offer: CallEvent & { from: string; sdp: Description };
  sdp_answer: CallEvent & { from: string; sdp: Description };
  ice_candidate: CallEvent & { from: string; candidate: Candidate };
  ice_servers: IceServers;
  error: Refusal;
  pong: Answers['ping'];
}

export type ErrorCode =
  | 'E001'
  | 'E003'
  | 'E004'
  | 'E005'
  | 'E101'
  | 'E102'
  | 'E203'
  | 'E301'
  | 'E302'
  | 'E303'
  | 'E304'
  | 'E500'
  | 'E501'
  | 'E502';

/** A refusal as it comes over the wire. */
export interface Refusal {
  code: ErrorCode;
  message: string;
  retryable?: true;
}
