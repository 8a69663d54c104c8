// Drives centrifuge-js from another process: one JSON command a line on stdin, one JSON event a
// line on stdout. Ends when stdin ends.
//
// Commands: {"do": "subscribe", "channel", "options"}, {"do": "unsubscribe", "channel"},
//           {"do": "publish" | "presence" | "presenceStats" | "history", "channel", ...},
//           {"do": "disconnect"}.
// Events:   {"on": "connected" | "subscribed" | …, "channel"?, ...the SDK's own context}.
//           The answer to a command that asks is {"on": "<do>", "result"} or {"on": "<do>", "error"}.
//
// Arguments: the websocket URL and the client's options as JSON.
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

const [url, options] = process.argv.slice(2);

const CLIENT_EVENTS = [
  'connecting', 'connected', 'disconnected', 'error', 'publication', 'join', 'leave', 'subscribed',
];
const SUBSCRIPTION_EVENTS = [
  'subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave', 'error',
];

function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

const client = new Centrifuge(url, {
  websocket: WebSocket,
  minReconnectDelay: 50,
  maxReconnectDelay: 200,
  ...JSON.parse(options),
});
for (const name of CLIENT_EVENTS) {
  client.on(name, (context) => say({ ...context, on: name }));
}

const ASKING = {
  publish: ({ channel, data }) => client.publish(channel, data),
  presence: ({ channel }) => client.presence(channel),
  presenceStats: ({ channel }) => client.presenceStats(channel),
  history: ({ channel, options: wanted }) => client.history(channel, wanted),
};

const TELLING = {
  subscribe({ channel, options: wanted }) {
    const subscription = client.newSubscription(channel, wanted);
    for (const name of SUBSCRIPTION_EVENTS) {
      subscription.on(name, (context) => say({ ...context, on: name, channel }));
    }
    subscription.subscribe();
  },
  unsubscribe({ channel }) {
    client.getSubscription(channel).unsubscribe();
  },
  disconnect() {
    client.disconnect();
  },
};

async function answer(command) {
  try {
    say({ on: command.do, result: await ASKING[command.do](command) });
  } catch (error) {
    say({ on: command.do, error: { code: error.code, message: error.message } });
  }
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    if (command.do in ASKING) answer(command);
    else TELLING[command.do](command);
  })
  .on('close', () => process.exit(0));

client.connect();
