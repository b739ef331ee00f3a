import { connect } from 'switchboard-client';

type Me = { url: string; userId: string; deviceId: string; token: () => Promise<string> };

export function phone(me: Me, microphone: MediaStream, play: (theirs: MediaStream) => void) {
  const client = connect({ ...me, platform: 'web' });
  let peer: RTCPeerConnection;
  let steps: Promise<unknown> = Promise.resolve();
  const inTurn = (step: () => Promise<unknown>) => (steps = steps.then(step).catch(console.error));

  async function talkTo(to: string, callId: string) {
    peer = new RTCPeerConnection({ iceServers: (await client.getIceServers()).iceServers });
    for (const track of microphone.getTracks()) peer.addTrack(track, microphone);
    peer.onicecandidate = ({ candidate }) => client.sendCandidate(callId, to, candidate).catch(console.error);
    peer.ontrack = ({ streams: [theirs] }) => theirs && play(theirs);
  }
  client.on('call_accept', ({ callId, calleeId }) => inTurn(async () => {
    await talkTo(calleeId, callId);
    await peer.setLocalDescription();
    await client.sendOffer(callId, calleeId, peer.localDescription!);
  }));
  client.on('sdp_offer', ({ callId, from, sdp }) => inTurn(async () => {
    await talkTo(from, callId);
    await peer.setRemoteDescription(sdp as RTCSessionDescriptionInit);
    await peer.setLocalDescription();
    await client.sendAnswer(callId, from, peer.localDescription!);
  }));
  client.on('sdp_answer', ({ sdp }) => inTurn(() => peer.setRemoteDescription(sdp as RTCSessionDescriptionInit)));
  client.on('ice_candidate', ({ candidate }) => inTurn(() => peer.addIceCandidate(candidate as RTCIceCandidateInit | null)));
  client.on('ice_servers', ({ iceServers }) => inTurn(async () => peer.setConfiguration({ ...peer.getConfiguration(), iceServers })));
  client.on('call_end', () => inTurn(async () => peer.close()));
  return client;
}
