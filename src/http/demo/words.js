// What the page says: states and endings in words, numbers with their units.

/** Where the call stands, in one line. */
export function stateWords(call) {
  const { peer, type, state } = call;
  switch (state) {
    case 'preparing':
      return type === 'video' ? 'Opening camera and microphone…' : 'Opening the microphone…';
    case 'dialing':
      return 'Calling…';
    case 'ringing':
      return 'Ringing…';
    case 'incoming':
      return type === 'video' ? 'Incoming video call' : 'Incoming audio call';
    case 'accepting':
    case 'connecting':
      return call.localStream ? 'Connecting…' : 'Waiting for your microphone…';
    case 'active':
      if (call.isUnstable) return 'Connection interrupted, looking for another way…';
      return type === 'video' && !call.peerCameraOn ? 'Camera is off' : 'In call';
    case 'ended':
      return endWords(call).title;
    default:
      return `${peer}: ${state}`;
  }
}

/** Whether the callee has a device that can ring, as the server saw it. */
export function reachabilityWords({ peer, reachability }) {
  switch (reachability) {
    case 'online':
      return `${peer} is online`;
    case 'push':
      return `${peer} is offline, waking their phone`;
    case 'none':
      return `${peer} is not connected; it will ring as soon as they are`;
    default:
      return '';
  }
}

/** Why the call ended: a title, sometimes a second line, and whether it went wrong. */
export function endWords({ peer, direction, end }) {
  const mine = end.by === 'me';
  switch (end.reason) {
    case 'user_ended':
    case 'ended':
      if (!mine && end.after === 'incoming') return missed(peer);
      return { title: mine ? 'You hung up' : `${peer} hung up` };
    case 'cancelled':
      return mine ? { title: 'You cancelled the call' } : missed(peer);
    case 'declined':
      return { title: mine ? 'You declined the call' : `${peer} declined the call` };
    case 'busy':
      return mine ? { title: 'You answered “busy”' } : { title: `${peer} is busy`, detail: 'Try again in a while.' };
    case 'no_answer':
      return direction === 'outgoing' ? { title: `${peer} did not answer` } : missed(peer);
    case 'answered_elsewhere':
      return { title: 'Answered on another device', detail: 'One of your other devices took the call.' };
    case 'declined_elsewhere':
      return { title: 'Declined on another device', detail: 'One of your other devices declined the call.' };
    case 'page_closed':
      return { title: mine ? 'You left the page' : `${peer} closed the page` };
    case 'replaced':
      return { title: mine ? 'You are in another call' : `${peer} took another call` };
    case 'displaced':
      return { title: 'Opened in another tab', detail: 'This tab is no longer connected.' };
    case 'max_duration':
      return { title: 'Time is up', detail: 'The call reached the longest duration this server allows.' };
    case 'connection_lost':
      return mine
        ? wrong('Your connection was lost', 'This device was away from the server for too long.')
        : wrong(`The connection to ${peer} was lost`, 'Their device is no longer connected to the server.');
    case 'connection_failed':
      return wrong('No path for sound and picture', 'Between some networks a TURN server is needed.');
    case 'media_failed':
      return mine ? wrong('No microphone', end.text) : wrong(`${peer} could not open a microphone`);
    case 'gone':
      return wrong('The call is over', 'The server no longer knows it.');
    case 'failed':
      return wrong('The call failed', end.text && sentence(end.text));
    default:
      return { title: mine ? 'The call has ended' : `${peer} ended the call`, detail: sentence(end.reason) };
  }
}

/** The connection to the server, in one or two words. */
export function connectionWords({ state, stateText }) {
  switch (state) {
    case 'online':
      return 'Online';
    case 'connecting':
      return 'Connecting…';
    case 'reconnecting':
      return 'Reconnecting…';
    case 'replaced':
      return 'Opened in another tab';
    case 'refused':
      return stateText ? `Refused: ${stateText}` : 'Refused';
    default:
      return 'Offline';
  }
}

/** 65 seconds as 1:05, an hour as 1:00:00. */
export function duration(seconds) {
  const two = (n) => String(n).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const rest = two(seconds % 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}

export function byteWords(bytes) {
  return scaled(bytes, ['B', 'kB', 'MB', 'GB']);
}

export function rateWords(bitsPerSecond) {
  return scaled(bitsPerSecond, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s']);
}

function scaled(value, units) {
  let step = 0;
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

function missed(peer) {
  return { title: `Missed call from ${peer}` };
}

function wrong(title, detail) {
  return { title, detail, wrong: true };
}

function sentence(text) {
  if (!text) return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
