// matrix-js-sdk with Rust crypto (Element's engine) as a child of the plays: JSON lines in (verbs), JSON lines out (what it
// understood). See drivers/matrix.py.
import { createInterface } from 'node:readline';

const options = JSON.parse(process.argv[2]);
const out = (what) => process.stdout.write(JSON.stringify(what) + '\n');
for (const level of ['log', 'info', 'debug', 'warn', 'error', 'trace']) {
  console[level] = (...words) => process.stderr.write(words.map((w) => (typeof w === 'string' ? w : (w?.stack ?? JSON.stringify(w)))).join(' ') + '\n');
}
process.on('unhandledRejection', (why) => console.error('unhandled', why));
const sdk = await import('matrix-js-sdk');
const { decodeRecoveryKey } = await import('matrix-js-sdk/lib/crypto-api/index.js');
const { CryptoEvent, VerifierEvent, VerificationRequestEvent, VerificationPhase } = await import('matrix-js-sdk/lib/crypto-api/index.js');

let secret = options.recovery ? decodeRecoveryKey(options.recovery) : undefined;
const cryptoCallbacks = {
  getSecretStorageKey: async ({ keys }) => (secret ? [Object.keys(keys)[0], secret] : null),
  cacheSecretStorageKey: (_id, _info, key) => { secret = key; },
};

const told = (event) => {
  const clear = event.getEffectiveEvent();
  return { ...clear, room_id: event.getRoomId(), unsigned: event.getUnsigned() };
};
const timeline = (event, live) => out({
  event: 'timeline', room: event.getRoomId(), data: told(event), live, encrypted: event.isEncrypted() && !event.isDecryptionFailure(),
});

// Simplified sliding sync (MSC4186), with what Element X asks for.
const STATE = [
  ['m.room.member', '$LAZY'], ['m.room.member', '$ME'],
  ...['name', 'topic', 'avatar', 'canonical_alias', 'encryption', 'power_levels', 'create', 'join_rules', 'history_visibility'].map((t) => [`m.room.${t}`, '']),
];
let sliding;
const slides = async () => {
  const { SlidingSync } = await import('matrix-js-sdk/lib/sliding-sync.js');
  const list = { ranges: [[0, (options.window ?? 100) - 1]], timeline_limit: options.limit ?? 30, required_state: STATE };
  sliding = new SlidingSync(options.url, new Map([['all', list]]), { timeline_limit: 50, required_state: STATE }, client, 10000);
  const asks = client.slidingSync.bind(client);
  client.slidingSync = async (...words) => {
    try {
      const answer = await asks(...words);
      out({ event: 'slid', lists: answer.lists, rooms: answer.rooms ?? {}, extensions: Object.keys(answer.extensions ?? {}) });
      return answer;
    } catch (why) {
      if (why.errcode) out({ event: 'slid', error: why.errcode });
      throw why;
    }
  };
  return sliding;
};

let client;
const begin = async () => {
  const door = sdk.createClient({ baseUrl: options.url });
  const answer = await door.loginRequest({
    type: 'm.login.password', identifier: { type: 'm.id.user', user: options.user }, password: options.password,
    initial_device_display_name: options.device, ...(options.device_id ? { device_id: options.device_id } : {}),
  });
  client = sdk.createClient({
    baseUrl: options.url, userId: answer.user_id, deviceId: answer.device_id, accessToken: answer.access_token, cryptoCallbacks,
    timelineSupport: true, verificationMethods: ['m.sas.v1'],
  });
  out({ event: 'in', user: answer.user_id, device: answer.device_id, token: answer.access_token });
  if (options.listens === false) return out({ event: 'ready' });
  if (options.crypto) await client.initRustCrypto({ useIndexedDB: false });
  let ready = false;
  const seen = new Set();
  const shows = (event, live) => {
    const id = event.getId();
    if (event.isBeingDecrypted() || event.status) return;
    const key = `${id} ${event.isDecryptionFailure()} ${event.getType()}`;
    if (seen.has(key)) return;
    seen.add(key);
    timeline(event, live);
  };
  client.on(sdk.RoomEvent.Timeline, (event, room, atStart, removed, data) => {
    if (!removed && !atStart) shows(event, ready && !!data?.liveEvent);
  });
  // What was said here stands in the timeline before the server has it: it counts once it came back.
  client.on(sdk.RoomEvent.LocalEchoUpdated, (event) => { if (event.status === null) shows(event, true); });
  client.on(sdk.MatrixEventEvent.Decrypted, (event) => shows(event, ready));
  client.on(sdk.RoomStateEvent.Events, (event) => out({ event: 'state', room: event.getRoomId(), data: told(event) }));
  client.on(sdk.RoomEvent.MyMembership, (room, membership) => out({ event: 'membership', room: room.roomId, membership }));
  client.on(sdk.ClientEvent.Event, (event) => {
    if (event.getType() === 'm.presence') out({ event: 'presence', data: { ...event.event } });
  });
  client.on(sdk.RoomMemberEvent.Typing, (event, member) => out({ event: 'ephemeral', room: member.roomId, data: { ...event.event } }));
  client.on(sdk.RoomEvent.Receipt, (event, room) => out({ event: 'ephemeral', room: room.roomId, data: { ...event.event } }));
  client.on(sdk.ClientEvent.AccountData, (event) => out({ event: 'account_data', data: { ...event.event } }));
  client.on(sdk.RoomEvent.AccountData, (event, room) => out({ event: 'account_data', room: room.roomId, data: { ...event.event } }));
  client.on(sdk.HttpApiEvent.SessionLoggedOut, () => out({ event: 'logged out' }));
  client.on(CryptoEvent.VerificationRequestReceived, (request) => { verifying = request; watch(request); out({ event: 'verification', phase: 'asked', who: request.otherUserId }); });
  client.on(sdk.ClientEvent.Sync, (state, previous, data) => {
    if (state === 'PREPARED') { ready = true; out({ event: 'ready' }); }
    if (state === 'ERROR' || state === 'RECONNECTING') out({ event: 'trouble', text: String(data?.error ?? state) });
  });
  await client.startClient({
    initialSyncLimit: 30, pollTimeout: 10000, threadSupport: options.threads ?? false, lazyLoadMembers: options.lazy ?? !!options.sliding,
    ...(options.sliding ? { slidingSync: await slides() } : {}),
  });
};

// Verification by comparing emoji.
let verifying;
let sas;
const watch = (request) => {
  let begun = false;
  const look = () => {
    out({ event: 'verification', phase: VerificationPhase[request.phase], who: request.otherUserId });
    const verifier = request.verifier;
    if (!verifier || begun) return;
    begun = true;
    verifier.on(VerifierEvent.ShowSas, (shown) => { sas = shown; out({ event: 'sas', emoji: shown.sas.emoji?.map((e) => e[1]) }); });
    verifier.verify().then(() => out({ event: 'verified' }), (why) => out({ event: 'not verified', text: String(why) }));
  };
  request.on(VerificationRequestEvent.Change, look);
  look();
};

const withPassword = async (makeRequest) => {
  const proof = { type: 'm.login.password', identifier: { type: 'm.id.user', user: client.getUserId() }, password: options.password };
  try {
    return await makeRequest(null);
  } catch (why) {
    if (!why.data?.session && !why.data?.flows) throw why;
    return await makeRequest({ ...proof, session: why.data.session });
  }
};

const state = (type, content, key = '') => ({ type, state_key: key, content });
const verbs = {
  send: async ({ room, type, content, txn }) => (await client.sendEvent(room, null, type, content, ...(txn ? [txn] : []))).event_id,
  state: async ({ room, type, content, key }) => (await client.sendStateEvent(room, type, content, key ?? '')).event_id,
  redact: async ({ room, event, reason }) => (await client.redactEvent(room, event, undefined, reason ? { reason } : undefined)).event_id,
  create: async ({ alias, name, invite, direct, encrypted, public: open }) => (await client.createRoom({
    ...(alias ? { room_alias_name: alias } : {}), ...(name ? { name } : {}), invite: invite ?? [], is_direct: !!direct,
    visibility: open ? 'public' : 'private', preset: open ? 'public_chat' : direct ? 'trusted_private_chat' : 'private_chat',
    initial_state: encrypted ? [state('m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })] : [],
  })).room_id,
  join: async ({ room }) => (await client.joinRoom(room)).roomId,
  leave: async ({ room }) => { await client.leave(room); },
  invite: async ({ room, user }) => { await client.invite(room, user); },
  kick: async ({ room, user, reason }) => { await client.kick(room, user, reason); },
  ban: async ({ room, user, reason }) => { await client.ban(room, user, reason); },
  unban: async ({ room, user }) => { await client.unban(room, user); },
  typing: async ({ room, on }) => { await client.sendTyping(room, on ?? true, 30000); },
  read: async ({ room, event }) => {
    const known = client.getRoom(room).findEventById(event);
    await client.setRoomReadMarkers(room, event, known);
  },
  presence: async ({ presence, status }) => { await client.setPresence({ presence, status_msg: status }); },
  upload: async ({ name, type, data }) => (await client.uploadContent(Buffer.from(data, 'base64'), { name, type })).content_uri,
  download: async ({ mxc }) => fetched(client.mxcUrlToHttp(mxc, undefined, undefined, undefined, false, true, true)),
  thumbnail: async ({ mxc, width, height }) => fetched(client.mxcUrlToHttp(mxc, width, height, 'scale', false, true, true)),
  set_name: async ({ name }) => { await client.setDisplayName(name); },
  set_picture: async ({ mxc }) => { await client.setAvatarUrl(mxc); },
  profile: async ({ user }) => client.getProfileInfo(user),
  messages: async ({ room, page }) => {
    const events = [];
    let from = null;
    for (;;) {
      const got = await client.createMessagesRequest(room, from, page ?? 10, 'b');
      const mapped = got.chunk.map(client.getEventMapper({ decrypt: false }));
      for (const event of mapped) {
        await client.decryptEventIfNeeded(event);
        events.push(told(event));
      }
      if (!got.end || got.end === from) return events.reverse();
      from = got.end;
    }
  },
  search_people: async ({ term }) => (await client.searchUserDirectory({ term })).results,
  public_rooms: async () => (await client.publicRooms({})).chunk,
  threads: async ({ room }) => { const found = client.getRoom(room); await found.createThreadsTimelineSets(); await found.fetchRoomThreads(); return found.getThreads().map((t) => ({ id: t.id, length: t.length })); },
  unread: async ({ room }) => ({ all: client.getRoom(room).getUnreadNotificationCount('total'), highlight: client.getRoom(room).getUnreadNotificationCount('highlight') }),
  // Sliding sync.
  subscribe: async ({ rooms }) => { sliding.modifyRoomSubscriptions(new Set(rooms)); },
  window: async ({ size }) => { sliding.setListRanges('all', [[0, size - 1]]); },
  members: async ({ room }) => client.getRoom(room).getMembers().map((m) => [m.userId, m.membership]),
  rooms: async () => client.getRooms().map((r) => r.roomId),
  pusher: async ({ pusher }) => { await client.setPusher(pusher); },
  pushers: async () => (await client.getPushers()).pushers,
  logout: async () => { await client.logout(true); },
  // Keys.
  bootstrap: async () => {
    const crypto = client.getCrypto();
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: withPassword });
    const key = await crypto.createRecoveryKeyFromPassphrase();
    secret = key.privateKey;
    await crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => key, setupNewSecretStorage: true, setupNewKeyBackup: true });
    return key.encodedPrivateKey;
  },
  restore: async ({ recovery }) => {
    secret = decodeRecoveryKey(recovery);
    const crypto = client.getCrypto();
    // The first query of one's own keys may still be under way; what is imported has to fit the public ones.
    if (!await crypto.userHasCrossSigningKeys(client.getUserId(), true)) throw new Error('no public cross-signing keys');
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    const done = await crypto.restoreKeyBackup();
    return { imported: done.imported, total: done.total };
  },
  is_trusted: async ({ user, device }) => {
    const status = await client.getCrypto().getDeviceVerificationStatus(user, device);
    return { signed: !!status?.signedByOwner, crossSigned: !!status?.crossSigningVerified };
  },
  verify_self: async () => { verifying = await client.getCrypto().requestOwnUserVerification(); watch(verifying); },
  verify_device: async ({ user, device }) => { verifying = await client.getCrypto().requestDeviceVerification(user, device); watch(verifying); },
  accept: async () => { await verifying.accept(); },
  start_sas: async () => { await verifying.startVerification('m.sas.v1'); },
  confirm: async () => { await sas.confirm(); },
  devices: async ({ user }) => {
    const found = await client.getCrypto().getUserDeviceInfo([user], true);
    return [...(found.get(user)?.keys() ?? [])];
  },
  stop: async () => { client.stopClient(); setTimeout(() => process.exit(0), 50); },
};

async function fetched(url) {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${client.getAccessToken()}` } });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return Buffer.from(await answer.arrayBuffer()).toString('base64');
}

createInterface({ input: process.stdin }).on('line', async (text) => {
  const { id, verb, ...what } = JSON.parse(text);
  try {
    out({ event: 'answer', id, data: (await verbs[verb](what)) ?? null });
  } catch (why) {
    out({ event: 'answer', id, error: why?.errcode ? `${why.errcode} ${why.data?.error}` : String(why?.stack ?? why) });
  }
}).on('close', () => process.exit(0));

begin().catch((why) => { out({ event: 'failed', text: why?.errcode ? `${why.errcode} ${why.data?.error}` : String(why?.stack ?? why) }); process.exitCode = 1; });
