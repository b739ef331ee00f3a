// The peer: a Node server of the documented wire contract, built the way a Socket.IO server usually is, so that the load
// benchmark can put switchboard beside it in the same run and print ratios. It is a yardstick, not a product: it serves
// what a call needs (registration, call events, signaling, ring time-out) and has the habits of its kind on purpose: one
// async handler per event, presence and calls as JSON in Redis, read and written on each call event (9 commands in a
// call), relays through the room named like the user. It logs nothing, which is to its advantage.
//
//   PORT       port on 127.0.0.1, 0 for any           JWT_SECRET  required, HS256 tokens naming `userId` or `sub`
//   STORE      redis (default) or memory              REDIS_URL   default redis://127.0.0.1:6379
//   ADAPTER    redis: relay through @socket.io/redis-adapter   CALL_RING_TIMEOUT, SOCKET_PING_INTERVAL, SOCKET_PING_TIMEOUT  ms
//
// It prints one line, `listening on <port>`, and stops on SIGTERM.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import jwt from 'jsonwebtoken';
import { Server } from 'socket.io';

const secret = process.env.JWT_SECRET;
if (!secret) {
  console.error('JWT_SECRET is not set');
  process.exit(1);
}
const redisUrl = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';
const ringTimeout = Number(process.env.CALL_RING_TIMEOUT ?? 45_000);

const DAY = 86_400;
const TTL = { ringing: 60, accepted: 7_200, rejected: 30, ended: 30, timeout: 60 };
const key = {
  session: (userId) => `session:user:${userId}`,
  socketOf: (userId) => `socket:user:${userId}`,
  userOf: (socketId) => `user:socket:${socketId}`,
  call: (callId) => `call:${callId}`,
  timeout: (callId) => `timeout:call:${callId}`,
};

/** An error that goes to the client in its acknowledgement. */
class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** String keys with a lifetime in seconds, in a map or in Redis. */
function memoryStore() {
  const entries = new Map();
  const alive = (name) => {
    const entry = entries.get(name);
    if (entry && entry.expiresAt > Date.now()) return entry.value;
    entries.delete(name);
    return null;
  };
  setInterval(() => [...entries.keys()].forEach(alive), 60_000).unref();
  return {
    read: async (name) => alive(name),
    write: async (name, value, seconds) => void entries.set(name, { value, expiresAt: Date.now() + seconds * 1000 }),
    remove: async (...names) => names.forEach((name) => entries.delete(name)),
  };
}

function redisStore() {
  const redis = new Redis(redisUrl);
  return {
    read: (name) => redis.get(name),
    write: (name, value, seconds) => redis.set(name, value, 'EX', seconds),
    remove: (...names) => redis.del(...names),
  };
}

const store = process.env.STORE === 'memory' ? memoryStore() : redisStore();
const ringTimers = new Map();

const http = createServer((request, response) => {
  const found = request.url === '/health';
  response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(found ? { status: 'ok' } : { success: false, error: 'Endpoint not found' }));
});

const io = new Server(http, {
  pingInterval: Number(process.env.SOCKET_PING_INTERVAL ?? 25_000),
  pingTimeout: Number(process.env.SOCKET_PING_TIMEOUT ?? 60_000),
});
if (process.env.ADAPTER === 'redis') {
  const publisher = new Redis(redisUrl);
  io.adapter(createAdapter(publisher, publisher.duplicate()));
}

io.use((socket, next) => {
  const token = socket.handshake.auth.token || socket.handshake.query.token;
  if (!token) return next(new Error('Authentication required'));
  try {
    const claims = jwt.verify(token, secret);
    socket.data.userId = claims.userId || claims.sub;
    next();
  } catch (error) {
    next(new Error(error.name === 'TokenExpiredError' ? 'Token expired' : 'Invalid token'));
  }
});

const loadCall = async (callId) => {
  const text = typeof callId === 'string' ? await store.read(key.call(callId)) : null;
  return text && JSON.parse(text);
};
const saveCall = (call) => store.write(key.call(call.callId), JSON.stringify(call), TTL[call.state]);

function startRinging(call) {
  const ring = async () => {
    ringTimers.delete(call.callId);
    const current = await loadCall(call.callId);
    if (current?.state !== 'ringing') return;
    await saveCall({ ...current, state: 'timeout' });
    io.to(call.callerId).emit('call_timeout', { callId: call.callId, reason: 'No answer from callee' });
    io.to(call.calleeId).emit('call_timeout', { callId: call.callId, reason: 'Call timeout' });
  };
  ringTimers.set(call.callId, setTimeout(() => ring().catch(console.error), ringTimeout));
}

async function stopRinging(callId) {
  clearTimeout(ringTimers.get(callId));
  ringTimers.delete(callId);
  await store.remove(key.timeout(callId));
}

async function initiate(socket, { calleeId, callType, callerName, callerAvatar }) {
  const callerId = socket.data.userId;
  if (typeof callerId !== 'string') throw new Refusal('E003', 'Invalid caller ID');
  if (typeof calleeId !== 'string' || !calleeId) throw new Refusal('E003', 'Invalid callee ID');
  if (calleeId === callerId) throw new Refusal('E301', 'Cannot call yourself');
  if (callType !== 'audio' && callType !== 'video') throw new Refusal('E301', 'Invalid call type');
  const now = Date.now();
  const callId = randomUUID();
  const call = { callId, callerId, calleeId, callType, state: 'ringing', createdAt: now, acceptedAt: null, endedAt: null };
  await saveCall(call);
  if (await store.read(key.socketOf(calleeId))) {
    const ring = { callId, callerId, callerName: callerName || 'Unknown', callerAvatar: callerAvatar ?? null, callType };
    io.to(calleeId).emit('incoming_call', { ...ring, timestamp: now });
  }
  startRinging(call);
  return { callId, state: 'ringing', message: 'Call initiated successfully' };
}

async function answer(socket, { callId, reason }, state, verb) {
  const call = await loadCall(callId);
  if (!call) throw new Refusal('E101', 'Call not found or expired');
  if (call.calleeId !== socket.data.userId) throw new Refusal('E203', 'You are not the callee of this call');
  if (call.state !== 'ringing') throw new Refusal('E102', `Call cannot be ${state} in state: ${call.state}`);
  const now = Date.now();
  await saveCall({ ...call, state, [state === 'accepted' ? 'acceptedAt' : 'endedAt']: now });
  await stopRinging(callId);
  const detail = state === 'rejected' ? { reason: reason || 'declined' } : {};
  io.to(call.callerId).emit(`call_${verb}`, { callId, calleeId: call.calleeId, ...detail, timestamp: now });
  return { callId, ...(state === 'accepted' ? { state } : {}), message: `Call ${state}` };
}

async function end(socket, { callId }) {
  const call = await loadCall(callId);
  if (call) {
    const { userId } = socket.data;
    if (call.callerId !== userId && call.calleeId !== userId) {
      throw new Refusal('E203', 'You are not a participant of this call');
    }
    const now = Date.now();
    await saveCall({ ...call, state: 'ended', endedAt: now });
    await stopRinging(callId);
    const other = call.callerId === userId ? call.calleeId : call.callerId;
    io.to(other).emit('call_end', { callId, endedBy: userId, timestamp: now });
  }
  return { callId, message: 'Call ended' };
}

/** SDP and candidates: `field` names what is relayed; only the offer looks the call up. */
async function signal(socket, event, field, payload, sent) {
  const { callId, to } = payload;
  if (typeof payload !== 'object') throw new Refusal('E301', 'Invalid payload');
  if (!callId) throw new Refusal('E302', 'Missing callId');
  if (typeof to !== 'string' || !to) throw new Refusal('E302', 'Missing recipient (to)');
  if (event === 'sdp_offer' && !(await loadCall(callId))) throw new Refusal('E101', 'Call not found');
  io.to(to).emit(event, { callId, from: socket.data.userId, [field]: payload[field], timestamp: Date.now() });
  return sent && { message: sent };
}

async function register(socket, payload) {
  const { userId, deviceId = socket.id, platform = 'unknown' } = payload ?? {};
  if (!userId) return socket.emit('registration_error', { code: 'E003', message: 'User ID is required' });
  if (socket.data.registered) return socket.emit('registered', { success: true, message: 'Already registered' });
  socket.data.userId = userId;
  const session = { userId, socketId: socket.id, deviceId, platform, registeredAt: Date.now() };
  await store.write(key.session(userId), JSON.stringify(session), DAY);
  await store.write(key.socketOf(userId), socket.id, DAY);
  await store.write(key.userOf(socket.id), userId, DAY);
  socket.data.registered = true;
  await socket.join(userId);
  return socket.emit('registered', { success: true, sessionId: socket.id });
}

async function leave(socket) {
  if (!socket.data.registered) return;
  await store.remove(key.userOf(socket.id), key.socketOf(socket.data.userId));
}

/** Runs a handler and acknowledges what it returns or throws; nothing is acknowledged without a callback. */
const answered = (handler) => async (payload, acknowledge) => {
  let reply;
  try {
    const result = await handler(payload);
    reply = result && { success: true, ...result };
  } catch (error) {
    reply = { success: false, error: { code: error.code, message: error.message } };
  }
  if (reply && typeof acknowledge === 'function') acknowledge(reply);
};

io.on('connection', (socket) => {
  const quietly = (work) => work.catch((error) => console.error(error.message));
  socket.on('register', (payload) => quietly(register(socket, payload)));
  socket.on('call_initiate', answered((payload) => initiate(socket, payload)));
  socket.on('call_accept', answered((payload) => answer(socket, payload, 'accepted', 'accept')));
  socket.on('call_reject', answered((payload) => answer(socket, payload, 'rejected', 'reject')));
  socket.on('call_end', answered((payload) => end(socket, payload)));
  socket.on('sdp_offer', answered((payload) => signal(socket, 'sdp_offer', 'sdp', payload, 'SDP offer sent')));
  socket.on('sdp_answer', answered((payload) => signal(socket, 'sdp_answer', 'sdp', payload, 'SDP answer sent')));
  socket.on('ice_candidate', answered((payload) => signal(socket, 'ice_candidate', 'candidate', payload, null)));
  socket.on('disconnect', () => quietly(leave(socket)));
});

process.on('SIGTERM', () => process.exit(0));
http.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log(`listening on ${http.address().port}`));
