// receiver.mjs    npm install standardwebhooks; PORT=4000 WEBHOOK_SECRET=… node receiver.mjs
import http from 'node:http';
import { Webhook } from 'standardwebhooks';

const secret = process.env.WEBHOOK_SECRET;
const webhook = secret.startsWith('whsec_') ? new Webhook(secret) : new Webhook(secret, { format: 'raw' });
const handled = new Set(); // in earnest a table with a unique key, in the same transaction as what the event leads to

const server = http.createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString(); // the bytes as they came: the signature is about them
  let event;
  try {
    event = webhook.verify(body, request.headers); // also refuses what is older than five minutes
  } catch {
    response.writeHead(400).end();
    return;
  }
  const id = request.headers['webhook-id'];
  if (!handled.has(id)) {
    handled.add(id);
    console.log(event.type, event.data.callId, event.data.reason ?? '');
  }
  response.writeHead(204).end();
});
server.listen(process.env.PORT, () => console.log('listening'));
