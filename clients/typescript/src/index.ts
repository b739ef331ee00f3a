// switchboard for TypeScript: what the package gives.
export { connect, Switchboard } from './client.js';
export { SwitchboardError, type LocalCode } from './error.js';
export type { Abort } from './again.js';
export type { LastEvent } from './handled.js';
export type { LocalEvents, Options, Patience, State } from './options.js';
export type * from './types.js';
