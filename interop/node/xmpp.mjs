// @xmpp/client (SASL2, Bind 2, FAST, stream management) as a child of the plays: JSON lines in (verbs), JSON lines out.
import { createInterface } from 'node:readline';
import { client, xml } from '@xmpp/client';
import WebSocket from 'ws';

// Node.js has one of its own since 22.
globalThis.WebSocket ??= WebSocket;

const options = JSON.parse(process.argv[2]);
const out = (what) => process.stdout.write(JSON.stringify(what) + '\n');

const userAgent = xml('user-agent', { id: options.agent }, [xml('software', {}, 'xmpp.js'), xml('device', {}, options.device)]);
const me = client({
  service: options.service, domain: options.domain, resource: options.device, userAgent,
  username: options.username,
  credentials: async (authenticate, mechanisms, fast) => {
    const token = (await fast?.fetch()) ?? null;
    out({ event: 'authenticates', data: { token: token?.token ?? null, sasl2: fast !== undefined, mechanism: mechanisms[0] } });
    await authenticate({ username: options.username, password: options.password, token }, mechanisms[0], userAgent);
  },
});
let token = options.token ?? null;
me.fast.saveToken = async (fresh) => { token = fresh; out({ event: 'token', data: fresh }); };
me.fast.fetchToken = async () => token;
me.fast.deleteToken = async () => { token = null; out({ event: 'token deleted' }); };
me.reconnect.delay = 200;
if (!options.reconnects) me.reconnect.stop();
me.streamManagement.on('resumed', () => out({ event: 'resumed' }));
me.on('online', (jid) => out({ event: 'online', data: String(jid) }));
me.on('offline', () => out({ event: 'offline' }));
me.on('disconnect', () => out({ event: 'disconnect' }));
me.on('error', (error) => out({ event: 'error', data: `${error.name} ${error.condition ?? ''} ${error.message}` }));
me.on('element', (element) => out({ event: 'in', xml: element.toString() }));
me.on('send', (element) => out({ event: 'out', xml: element.toString() }));

const build = ([name, attrs, ...children]) => xml(name, attrs ?? {}, ...children.map((c) => (Array.isArray(c) ? build(c) : c)));
const verbs = {
  send: ({ stanza }) => me.send(build(stanza)),
  // The network is gone: no end of stream.
  cut: () => { const socket = me.socket?.socket ?? me.socket; (socket?.terminate ?? socket?.destroy ?? socket?.close).call(socket); },
  stop: () => me.stop(),
  exit: () => process.exit(0),
};
createInterface({ input: process.stdin }).on('line', (text) => {
  const command = JSON.parse(text);
  Promise.resolve(verbs[command.verb](command)).catch((error) => out({ event: 'error', data: String(error) }));
}).on('close', () => process.exit(0));

me.start().catch((error) => out({ event: 'failed', data: `${error.name} ${error.condition ?? ''} ${error.message}` }));
