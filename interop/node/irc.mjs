// irc-framework (KiwiIRC's engine) as a child of the plays: JSON lines in (verbs), JSON lines out (what it understood).
import { createInterface } from 'node:readline';
import IRC from 'irc-framework';
import WebSocketTransport from 'irc-framework/src/transports/websocket.js';

const options = JSON.parse(process.argv[2]);
const out = (what) => process.stdout.write(JSON.stringify(what) + '\n');

const client = new IRC.Client();
client.requestCap(options.caps ?? []);
client.on('raw', (event) => out({ event: event.from_server ? 'in' : 'out', line: event.line.replace(/\r?\n$/, '') }));
for (const name of [
  'registered', 'privmsg', 'notice', 'action', 'tagmsg', 'join', 'part', 'quit', 'kick', 'nick', 'topic', 'mode', 'invited',
  'away', 'back', 'loggedin', 'sasl failed', 'irc error', 'userlist', 'channel list', 'users online', 'users offline', 'close',
  'socket close', 'socket error', 'reconnecting',
]) {
  client.on(name, (data) => out({ event: name, data: data instanceof Error ? String(data) : data }));
}
client.on('batch end chathistory', (batch) => out({ event: 'chathistory', data: batch.commands.map((c) => c.to1459?.() ?? c) }));

const verbs = {
  say: ({ target, text, tags }) => client.say(target, text, tags ?? {}),
  action: ({ target, text }) => client.action(target, text),
  notice: ({ target, text }) => client.notice(target, text),
  tagmsg: ({ target, tags }) => client.tagmsg(target, tags),
  join: ({ room, key }) => client.join(room, key),
  part: ({ room, text }) => client.part(room, text),
  raw: ({ line }) => client.raw(line),
  quit: () => client.quit('bye'),
  exit: () => process.exit(0),
};
createInterface({ input: process.stdin }).on('line', (text) => {
  const command = JSON.parse(text);
  verbs[command.verb](command);
}).on('close', () => process.exit(0));

client.connect({
  // As KiwiIRC comes in: a line a message.
  ...(options.path ? { transport: WebSocketTransport, path: options.path, websocket_protocol: 'text.ircv3.net' } : {}),
  host: options.host, port: options.port, nick: options.nick, username: options.nick, gecos: options.nick,
  tls: options.tls, rejectUnauthorized: options.tls, auto_reconnect: false,
  account: options.password ? { account: options.nick, password: options.password } : undefined,
  sasl_disconnect_on_fail: true, enable_chghost: true, enable_setname: true, enable_echomessage: true, ping_interval: 300,
});
