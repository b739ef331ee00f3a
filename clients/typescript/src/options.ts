// What an app says when it connects, and what it hears about the connection.
import type { ManagerOptions, SocketOptions } from 'socket.io-client';
import type { Abort } from './again.js';
import type { SwitchboardError } from './error.js';
import type { LastEvent } from './handled.js';
import type { PushTokens } from './types.js';

export interface Options {
  /** Where the server is, without a path: `https://calls.example.org`. */
  url: string;
  /** A fresh token; asked for at every connect, and before the last one expires. */
  token: () => Promise<string>;
  /** The user of the token. */
  userId: string;
  /** Random, made at the first start of the app, and kept. */
  deviceId: string;
  /** `android`, `ios`, `web`, … */
  platform: string;
  pushTokens?: PushTokens;
  lastEvent?: LastEvent;
  /** Longest time for one answer; the server itself takes 3 s at most. */
  answerTimeoutMs?: number;
  /** More for the stock client, such as `path`; or other `transports` than websocket. */
  socket?: Partial<ManagerOptions & SocketOptions>;
}

export interface Patience {
  /** How long to ask again while the server says that it cannot do it now. */
  patienceMs?: number;
  /** Ends that before its time, for a user who has given up. */
  signal?: Abort;
}

/**
 * `away`: connecting, or coming back by itself; `registered`: events come. The others are final until `reconnect`: `displaced` by another
 * connection of the same device, `refused` by the server, `closed` by this app.
 */
export type State = 'away' | 'registered' | 'displaced' | 'refused' | 'closed';

/** What this package says beside the server's events. */
export interface LocalEvents {
  state: { state: State; error?: SwitchboardError };
  /** The token could not be renewed; it is tried again while the old one lasts. */
  token_error: SwitchboardError;
}
