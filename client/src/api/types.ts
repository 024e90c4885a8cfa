// Made of the node's own types by `make types`: change crates/web/src/types instead.

/** What shall change about an account; absent stays. */
export interface AccountChange {
  /** May administer. */
  admin?: boolean;
  /** A program. */
  bot?: boolean;
  /** Can't sign in. */
  disabled?: boolean;
  /** The name that people read; empty takes it away. */
  display_name?: string;
}

/** Files of one account. */
export interface AccountFiles {
  /** Whose. */
  account: string;
  /** Bytes. */
  bytes: number;
}

/** An account as an administrator sees it. */
export interface AccountInfo {
  /** May administer. */
  admin: boolean;
  /** A program. */
  bot: boolean;
  /** When it was made. */
  created: number;
  /** Can't sign in. */
  disabled: boolean;
  /** Bytes of files. */
  file_bytes: number;
  /** The name in the address. */
  name: string;
  /** Who. */
  person: Person;
  /** When a device was seen last, to the hour. */
  seen?: number;
  /** Sessions now. */
  sessions: number;
}

/** Accounts in order of address. */
export interface AccountPage {
  /** Them. */
  accounts: AccountInfo[];
  /** What to give as `after` for more. */
  next?: string;
}

/** An app password, without the password. */
export interface AppPassword {
  /** When it was made. */
  created: number;
  /** Its id. */
  id: string;
  /** What it is called. */
  name: string;
  /** Protocols; none means all. */
  scopes: string[];
}

/** A wish for an app password. */
export interface AppPasswordWish {
  /** What to call it. */
  name: string;
  /** Protocols: `xmpp`, `irc`, `web`; none means all. */
  scopes?: string[];
}

/** The app passwords of the account. */
export interface AppPasswords {
  /** Them. */
  passwords: AppPassword[];
}

/** One administrative act. */
export interface AuditEntry {
  /** What was done. */
  act: string;
  /** When. */
  at: number;
  /** Who did it: an address, or `command line`. */
  by: string;
  /** Further words. */
  detail?: string;
  /** Its id, for reading on. */
  id: string;
  /** To whom or what. */
  subject: string;
}

/** Administrative acts, the latest first. */
export interface AuditPage {
  /** Them. */
  entries: AuditEntry[];
  /** What to give as `after` for older ones. */
  next?: string;
}

/** Whom the account blocked. */
export interface Blocked {
  /** Them. */
  blocked: Person[];
}

/** What an entry says. */
export type Body =
  /** Something a person wrote. */
  | {
    /** Files. */
    files: File[];
    /** The same with markup: a small set of HTML. */
    html?: string;
    /** Of what kind. */
    kind: MessageKind;
    /** Addresses that the text names. */
    mentions: string[];
    /** The subject. */
    subject?: string;
    /** The text. */
    text: string;
    type: "message";
  }
  /** End-to-end encrypted: to be opened in an app that has the keys. */
  | {
    /** What the sender's app says to those who can't read it. */
    fallback?: string;
    /** `OMEMO`, … */
    scheme: string;
    type: "encrypted";
  }
  /** What stood here was taken back. */
  | {
    /** When. */
    at: number;
    /** By whom; absent for retention. */
    by?: Person;
    type: "retracted";
  }
  /** Someone's place in the room changed. */
  | {
    /** What happened. */
    action: MembershipAction;
    /** Why. */
    reason?: string;
    /** Where they stand now, where that changed. */
    standing?: Standing;
    type: "membership";
    /** Whose. */
    who: Person;
  }
  /** The room itself changed. */
  | {
    /** What. */
    change: RoomChange;
    /** The new topic or name, the settings that changed, or why the room is gone. */
    text?: string;
    type: "room";
  }
  /** Something only its own protocol understands. */
  | {
    /** Text that a person can read. */
    fallback?: string;
    type: "other";
  };

/** What the caller may do in a conversation; hints, the node decides. */
export interface Can {
  /** Change settings. */
  configure: boolean;
  /** Invite. */
  invite: boolean;
  /** Kick, ban, take back what others wrote. */
  moderate: boolean;
  /** Write. */
  send: boolean;
  /** Set the topic. */
  topic: boolean;
}

/** One thing that was looked at. */
export interface Check {
  /** What. */
  name: string;
  /** In words. */
  text: string;
  /** It is as it should be. */
  well: boolean;
}

/** From the client. */
export type ClientFrame =
  /** Everything up to here was taken in; the node remembers it for the device. */
  | {
    /** A cursor that the node gave. */
    cursor: string;
    type: "ack";
  }
  /** The caller types, or stopped. */
  | {
    /** Types. */
    active: boolean;
    /** Where. */
    conversation: string;
    type: "typing";
  }
  /** The caller shows something else. */
  | {
    /** How available. */
    show: Show;
    /** In words. */
    status?: string;
    type: "presence";
  }
  /** Is anybody there? */
  | {
    type: "ping";
  };

/** What the account holds about someone. */
export interface Contact {
  /** The conversation was taken up. */
  accepted: boolean;
  /** I asked to see theirs. */
  asked: boolean;
  /** They ask to see mine. */
  asks: boolean;
  /** Nothing of theirs reaches me. */
  blocked: boolean;
  /** Groups. */
  groups: string[];
  /** On the list that people see. */
  listed: boolean;
  /** The name that the account gave. */
  name?: string;
  /** Who. */
  person: Person;
  /** They see mine. */
  seen: boolean;
  /** I see their presence. */
  sees: boolean;
  /** How available, where I may see it. */
  show?: Show;
  /** In words. */
  status?: string;
}

/** How the account lists someone. */
export interface ContactChange {
  /** Groups. */
  groups?: string[];
  /** The name given to them; empty or absent for none. */
  name?: string;
}

/** The contacts of the account. */
export interface ContactList {
  /** All of them, without those who are only blocked. */
  contacts: Contact[];
}

/** A conversation as a list shows it. */
export interface Conversation {
  /** The peer's address, or the room's. */
  address: string;
  /** When something happened last, in Unix milliseconds. */
  at: number;
  /** The path of the picture. */
  avatar?: string;
  /** What the caller may do. */
  can: Can;
  /** A longer description. */
  description?: string;
  /** What the caller noted about it. */
  flags: Flags;
  /** Its id: a number, or `direct:ADDRESS` while nothing was said yet. */
  id: string;
  /** Direct or room. */
  kind: ConversationKind;
  /** The last entry. */
  last?: Entry;
  /** How many are in the room. */
  members?: number;
  /** Where the caller stands towards it. */
  membership: Membership;
  /** Of these, what names the caller. */
  mentions: number;
  /** The name that people read. */
  name: string;
  /** The other one of a direct conversation. */
  peer?: Person;
  /** Up to which entry the caller read. */
  read_up_to?: string;
  /** Who can read it, in short. */
  readers: ReadersShort;
  /** A stranger wrote first and waits to be accepted. */
  request: boolean;
  /** The caller's role in the room. */
  role?: Role;
  /** The caller's standing in the room. */
  standing?: Standing;
  /** The topic. */
  topic?: string;
  /** What others said since the caller read. */
  unread: number;
  /** Counting stopped: there is more. */
  unread_more: boolean;
}

/** Direct or room. */
export type ConversationKind =
  /** Of two people. */
  | "direct"
  /** Of many. */
  | "room";

/** Conversations, the latest first. */
export interface ConversationPage {
  /** Them. */
  conversations: Conversation[];
  /** What to begin the stream with. */
  cursor: string;
  /** What to give as `after` for more. */
  next?: string;
}

/** A new account by an administrator. */
export interface CreateAccount {
  /** May administer. */
  admin?: boolean;
  /** A program. */
  bot?: boolean;
  /** The name that people read. */
  display_name?: string;
  /** The name in the address. */
  name: string;
  /** The passphrase; one is made up where none is given. */
  passphrase?: string;
}

/** A new room. */
export interface CreateRoom {
  /** The one question: `every-app`, which this node can read, or the scheme of one family of apps, such as `OMEMO`. */
  binding: string;
  /** A longer description. */
  description?: string;
  /** Who may come in. */
  join_rule?: JoinRule;
  /** In the directory. */
  listed?: boolean;
  /** The first part of its address. */
  name: string;
  /** The nick to have there. */
  nick?: string;
  /** The name that people read. */
  title?: string;
}

/** Something that is signed in. */
export interface Device {
  /** First sign-in. */
  created: number;
  /** The app password it signed in with; absent for the passphrase. */
  credential?: string;
  /** The one that asks. */
  current: boolean;
  /** Its id. */
  id: string;
  /** What it is. */
  kind: DeviceKind;
  /** What people call it. */
  label?: string;
  /** Has a connection now. */
  online: boolean;
  /** The protocol it signs in with. */
  protocol: string;
  /** Last seen, to the hour. */
  seen: number;
}

/** What a device is. */
export type DeviceKind =
  /** A browser. */
  | "session"
  /** A token for scripts. */
  | "token"
  /** An app of another protocol. */
  | "app";

/** The devices of the account. */
export interface Devices {
  /** Them. */
  devices: Device[];
}

/** Rooms of the directory. */
export interface Directory {
  /** What to give as `after` for more. */
  next?: string;
  /** Them, in order of address. */
  rooms: RoomListed[];
}

/** A new wording. */
export interface EditText {
  /** The text is Markdown. */
  markdown?: boolean;
  /** Addresses that the text names. */
  mentions?: string[];
  /** The new text. */
  text: string;
  /** The client's own id for the edit. */
  txn: string;
}

/** One line of a timeline as it looks now. */
export interface Entry {
  /** When it was written, in Unix milliseconds. */
  at: number;
  /** For a private message inside a room: who sees it beside the author. */
  audience?: Person[];
  /** Who wrote it. */
  author: Person;
  /** What it says. */
  body: Body;
  /** The conversation. */
  conversation: string;
  /** When it was edited last. */
  edited_at?: number;
  /** Its id: also the cursor for reading on. */
  id: string;
  /** Sorts as plain text within a conversation. */
  order: string;
  /** The caller wrote it. */
  own: boolean;
  /** Waits for a home elsewhere. */
  pending?: boolean;
  /** Reactions. */
  reactions: Reaction[];
  /** How many answer it directly. */
  replies: number;
  /** What it answers. */
  reply_to?: Quote;
  /** The thread: the id of its first entry, or a name that another protocol gave it. */
  thread?: string;
  /** The protocol it was written in, where that is known. */
  via?: string;
}

/** A file. */
export interface File {
  /** Media type. */
  media_type?: string;
  /** Its name. */
  name?: string;
  /** Bytes. */
  size?: number;
  /** Where it can be had: a path for files of this node, else absolute. */
  url: string;
}

/** What an account notes about a conversation. */
export interface Flags {
  /** Out of the way until something happens. */
  archived?: boolean;
  /** No notifications until this time in Unix milliseconds; 0 is for ever; absent is not muted. */
  muted_until?: number;
  /** On top of the list. */
  pinned?: boolean;
}

/** What shall change; absent stays. */
export interface FlagsChange {
  /** Out of the way. */
  archived?: boolean;
  /** Until when; 0 is for ever, -1 is not muted. */
  muted_until?: number;
  /** On top of the list. */
  pinned?: boolean;
}

/** From the node. */
export type Frame =
  /** The first one. */
  | {
    /** Where the stream stands. */
    cursor: string;
    /** Seconds between two signs of life. */
    heartbeat: number;
    /** It goes on where the client left off: nothing has to be read anew. */
    resumed: boolean;
    type: "hello";
  }
  /** The cursor is too old: drop what is held, read lists anew, go on from here. */
  | {
    /** Where the stream stands. */
    cursor: string;
    type: "resync";
  }
  /** A new entry, or an entry that changed. Insert or replace by id. */
  | {
    /** Where the stream stands. */
    cursor: string;
    /** The entry as it looks now. */
    entry: Entry;
    /** A new line; false for changes of older ones. */
    fresh: boolean;
    /** The client's own id, where this device sent it. */
    txn?: string;
    type: "entry";
  }
  /** A conversation is new or changed. */
  | {
    /** As it is now. */
    conversation: Conversation;
    type: "conversation";
  }
  /** The caller is no longer in a room. */
  | {
    /** Its id. */
    id: string;
    type: "left";
  }
  /** The caller read on, on any device. */
  | {
    /** Where. */
    conversation: string;
    /** Up to which entry. */
    event: string;
    /** Of these, what names the caller. */
    mentions: number;
    type: "read";
    /** What is unread now. */
    unread: number;
  }
  /** Somebody received or read up to an entry. */
  | {
    /** Where. */
    conversation: string;
    /** Up to which entry. */
    event: string;
    /** `received` or `displayed`. */
    kind: MarkerKind;
    type: "marker";
    /** Who. */
    who: Person;
  }
  /** Somebody types, or stopped. */
  | {
    /** Types. */
    active: boolean;
    /** Where. */
    conversation: string;
    type: "typing";
    /** Who. */
    who: Person;
  }
  /** Somebody's presence changed: the best of their sessions. */
  | {
    /** Whose. */
    address: string;
    /** How available. */
    show: Show;
    /** In words. */
    status?: string;
    type: "presence";
  }
  /** A member of a room is new or changed. */
  | {
    /** Where. */
    conversation: string;
    /** As they are now. */
    member: Member;
    type: "member";
  }
  /** Somebody is no longer a member. */
  | {
    /** Who. */
    address: string;
    /** Where. */
    conversation: string;
    type: "member-gone";
  }
  /** A contact changed. */
  | {
    /** As it is now. */
    contact: Contact;
    type: "contact";
  }
  /** A device signed in for the first time. */
  | {
    /** Which. */
    device: Device;
    type: "device";
  }
  /** Presence, members and contacts were lost on the way: read them anew. */
  | {
    type: "state-lost";
  }
  /** The answer to a ping. */
  | {
    type: "pong";
  }
  /** The stream ends. */
  | {
    /** `signed-out`, `replaced`, `killed`, `shutdown`, `failed`. */
    reason: string;
    type: "closed";
  };

/** What is well and what is not. */
export interface Health {
  /** Each thing that was looked at. */
  checks: Check[];
  /** Nothing needs attention. */
  well: boolean;
}

/** An incoming webhook. */
export interface Hook {
  /** When it was made. */
  created: number;
  /** Its id. */
  id: string;
  /** What its posts are signed with. */
  name: string;
}

/** A wish for a webhook. */
export interface HookWish {
  /** What its posts are signed with. */
  name: string;
}

/** The webhooks of a room. */
export interface Hooks {
  /** Them. */
  hooks: Hook[];
}

/** An invitation, without its link. */
export interface Invitation {
  /** An account can be made with it. */
  account: boolean;
  /** When it was made. */
  created: number;
  /** Until when; absent for good. */
  expires?: number;
  /** Whose contact people become. */
  from?: string;
  /** What it is called in lists; it opens nothing. */
  id: string;
  /** What the inviter calls it. */
  label?: string;
  /** How many may still use it; absent for any number. */
  left?: number;
  /** The only name of the account. */
  name?: string;
  /** Rooms that people come into. */
  rooms: string[];
  /** How many used it. */
  used: number;
}

/** A wish for an invitation. */
export interface InvitationWish {
  /** An account can be made with it; otherwise it makes a contact only. */
  account?: boolean;
  /** For how many days; 0 for good, 14 where nothing is said. */
  days?: number;
  /** What it is called. */
  label?: string;
  /** The only name that the account may have. */
  name?: string;
  /** Rooms that people come into, by address. */
  rooms?: string[];
  /** For how many people; 0 for any number, 1 where nothing is said. */
  uses?: number;
}

/** Invitations. */
export interface Invitations {
  /** Them. */
  invitations: Invitation[];
}

/** An invitation into a room. */
export interface InviteWish {
  /** Whom. */
  address: string;
  /** Why. */
  reason?: string;
}

/** A room to come into. */
export interface JoinRoom {
  /** Its address, with or without `#` and domain. */
  address: string;
  /** The nick to have there. */
  nick?: string;
  /** Its password. */
  password?: string;
}

/** Who may come in. */
export type JoinRule =
  /** Everyone. */
  | "open"
  /** Members and invited people. */
  | "members"
  /** As members; others may ask. */
  | "knock";

/** What is known. */
export type Known =
  /** Yes. */
  | "yes"
  /** No. */
  | "no"
  /** Not known. */
  | "unknown";

/** What a link leads to, in short. */
export interface LinkPreview {
  /** What it is about. */
  description?: string;
  /** The link as it stands in the text. */
  link: string;
  /** A small picture. */
  picture?: SmallPicture;
  /** The site's name. */
  site?: string;
  /** The page's title. */
  title?: string;
  /** Where it led in the end. */
  url: string;
}

/** What the links of an entry lead to. */
export interface LinkPreviews {
  /** One at most, for now. */
  previews: LinkPreview[];
}

/** Whether nobody new comes in: no registration, no invitation, no first contact from outside. */
export interface Lockdown {
  /** It is on. */
  on: boolean;
}

/** What "I lost my phone" ended. */
export interface LostPhone {
  /** App passwords. */
  app_passwords: number;
  /** Client certificates. */
  certificates: number;
  /** Devices that were signed in. */
  devices: number;
  /** What cannot be brought back or still has to be done, in plain sentences. */
  remains: string[];
}

/** The phone is gone. */
export interface LostPhoneWish {
  /** A new passphrase, where the old one was on the phone. */
  new_passphrase?: string;
  /** The passphrase. */
  passphrase: string;
}

/** A passphrase that was made up. */
export interface MadePassphrase {
  /** The account. */
  account: AccountInfo;
  /** The passphrase: shown once; absent where it was given. */
  passphrase?: string;
}

/** How far a marker goes. */
export type MarkerKind =
  /** It reached a device. */
  | "received"
  /** A person saw it. */
  | "displayed";

/** Who is signed in, and where. */
export interface Me {
  /** The account. */
  account: Person;
  /** May administer the node. */
  admin: boolean;
  /** The device's id. */
  device: string;
  /** Signed in with the passphrase: may change credentials and administer. */
  full: boolean;
  /** Limits of what is sent. */
  limits: SendLimits;
  /** The node. */
  node: NodeInfo;
  /** Room for files. */
  quota: Quota;
  /** What the account lets others know. */
  switches: Switches;
}

/** A member of a room. */
export interface Member {
  /** Who invited them. */
  invited_by?: string;
  /** In it, invited, asking. */
  membership: Membership;
  /** The nick in the room. */
  nick?: string;
  /** Who. */
  person: Person;
  /** A session of theirs is in the room now. */
  present: boolean;
  /** For now. */
  role: Role;
  /** What they show. */
  show?: Show;
  /** For good. */
  standing: Standing;
}

/** Members of a room, in order of address. */
export interface MemberPage {
  /** Them. */
  members: Member[];
  /** What to give as `after` for more. */
  next?: string;
}

/** Where someone stands towards a room. */
export type Membership =
  /** In it. */
  | "joined"
  /** Was invited. */
  | "invited"
  /** Asks to come in. */
  | "knocked"
  /** Not in it. */
  | "left";

/** What happened to a membership. */
export type MembershipAction =
  /** Came in. */
  | "joined"
  /** Went. */
  | "left"
  /** Was invited. */
  | "invited"
  /** Asks to come in. */
  | "knocked"
  /** Was put out. */
  | "kicked"
  /** Was banned. */
  | "banned"
  /** The ban was lifted. */
  | "unbanned"
  /** Has another standing. */
  | "standing"
  /** Has another nick. */
  | "nick";

/** Of what kind a text is. */
export type MessageKind =
  /** Ordinary speech. */
  | "text"
  /** `/me`. */
  | "emote"
  /** From a machine. */
  | "notice";

/** A new app password. */
export interface NewAppPassword {
  /** What is kept. */
  password: AppPassword;
  /** The password: shown once. */
  secret: string;
}

/** A new webhook. */
export interface NewHook {
  /** What is kept. */
  hook: Hook;
  /** Where to post: shown once. */
  url: string;
}

/** A new invitation. */
export interface NewInvitation {
  /** What is kept. */
  invitation: Invitation;
  /** The link as a QR code, in SVG. */
  qr: string;
  /** The link: shown once. */
  url: string;
  /** The same for XMPP apps. */
  xmpp: string;
}

/** A new token. */
export interface NewToken {
  /** The token: shown once. */
  secret: string;
  /** What is kept. */
  token: Device;
}

/** A nick. */
export interface NickChange {
  /** The new one. */
  nick: string;
}

/** The node. */
export interface NodeInfo {
  /** Its domain. */
  domain: string;
  /** Nobody new comes in just now. */
  lockdown: boolean;
  /** Members may invite. */
  members_invite: boolean;
  /** The node fetches what links lead to. */
  previews: boolean;
  /** Protocols that are switched on. */
  protocols: string[];
  /** Anyone may make an account. */
  registration: boolean;
  /** Any account may make rooms. */
  rooms_by_anyone: boolean;
  /** Its version. */
  version: string;
}

/** The node at a glance. */
export interface Overview {
  /** Accounts that are not removed. */
  accounts: number;
  /** Of these, disabled ones. */
  disabled: number;
  /** Nobody new comes in just now. */
  lockdown: boolean;
  /** Right and wrong logins since the start. */
  logins: number[];
  /** Writes that wait. */
  pending_writes: number;
  /** Reports that wait. */
  reports: number;
  /** Rooms. */
  rooms: number;
  /** Sessions now, by protocol. */
  sessions: Record<string, number>;
  /** The node's version. */
  version: string;
}

/** Some entries, oldest first. */
export interface Page {
  /** Them. */
  entries: Entry[];
  /** What to give as `after` for what is newer; absent at the end. */
  newer?: string;
  /** What to give as `before` for what is older; absent at the beginning. */
  older?: string;
}

/** A new passphrase. */
export interface PassphraseChange {
  /** The new one. */
  new: string;
  /** The one that holds now. */
  old: string;
  /** Signs all other devices out. */
  sign_out_others?: boolean;
}

/** Someone, as a client shows them. */
export interface Person {
  /** The address, in core's form. In a room that hides addresses it is `#room@domain/nick`. */
  address: string;
  /** The path of the picture. */
  avatar?: string;
  /** A program, not a person. */
  bot?: boolean;
  /** A visitor without an account. */
  guest?: boolean;
  /** The name that people read. */
  name: string;
  /** The network; absent for this node. */
  network?: string;
}

/** A problem. */
export interface Problem {
  /** The same in short: what programs look at. */
  code: string;
  /** This problem in words. */
  detail?: string;
  /** The field of the request that is at fault. */
  field?: string;
  /** Seconds after which it may work. */
  retry_after?: number;
  /** The status of the answer. */
  status: number;
  /** The kind of problem in words. */
  title: string;
  /** A URI that names the kind of problem: `tag:sammen.org,2026:CODE`. */
  type: string;
}

/** What shall change about the profile. */
export interface ProfileChange {
  /** The name that people read; empty takes it away. */
  name?: string;
}

/** Whether this browser is told of messages while the page is closed. */
export interface PushState {
  /** The node's key, for subscribing; absent where the node can't push just now. */
  key?: string;
  /** It is. */
  on: boolean;
  /** The messages say who writes what. */
  text: boolean;
}

/** A browser's subscription at its push service. */
export interface PushWish {
  /** The browser's secret, base64url. */
  auth: string;
  /** Where the service takes messages. */
  endpoint: string;
  /** The browser's public key, base64url. */
  p256dh: string;
  /** Messages shall say who writes what. */
  text?: boolean;
}

/** Room for files. */
export interface Quota {
  /** Bytes that they may take. */
  most: number;
  /** Bytes that the account's files take. */
  used: number;
}

/** What an entry answers, in short. */
export interface Quote {
  /** Who wrote it; absent where it can't be seen. */
  author?: Person;
  /** Its id. */
  id: string;
  /** The first 200 characters. */
  text: string;
}

/** What was found for an address that a person typed. */
export interface Reach {
  /** Every way; empty where there is none. */
  found: Way[];
}

/** All reactions of the caller to an entry; none takes them back. */
export interface React {
  /** Each an emoji or short text. */
  keys: string[];
}

/** A reaction and who gave it. */
export interface Reaction {
  /** The first ten. */
  by: Person[];
  /** How many gave it. */
  count: number;
  /** An emoji or short text. */
  key: string;
  /** The caller is among them. */
  own: boolean;
}

/** Up to where the caller read. */
export interface ReadUpTo {
  /** The entry. */
  event: string;
}

/** One participant, and through what they read. */
export interface Reader {
  /** Whether their app is free; the node seldom knows. */
  client_free: Known;
  /** `none`, or the scheme. */
  encryption: string;
  /** The network: `sammen` for this node. */
  network: string;
  /** Who. */
  person: Person;
  /** The server that holds their account. */
  server: string;
  /** Whether that server's software is free. */
  software_free: Known;
  /** How that network is built. */
  structure: Structure;
}

/** Who can read a conversation, in full. */
export interface Readers {
  /** The scheme, where it is end-to-end encrypted. */
  encrypted?: string;
  /** The mark to show. */
  mark: ReadersMark;
  /** Parts are plain text all the same. */
  mixed: boolean;
  /** This node reads the content. */
  node: boolean;
  /** Each participant; at most 500. */
  participants: Reader[];
  /** Anyone reads it without being in it. */
  public: boolean;
  /** One plain sentence in English. */
  sentence: string;
  /** Networks and servers beside this node. */
  servers: string[];
}

/** Who can read, from fewest to most. */
export type ReadersMark =
  /** Only the people in the conversation. */
  | "members"
  /** They and this node. */
  | "node"
  /** They, this node and other servers. */
  | "servers"
  /** Anyone. */
  | "anyone";

/** Who can read a conversation, in short. */
export interface ReadersShort {
  /** The scheme, where it is end-to-end encrypted. */
  encrypted?: string;
  /** The mark to show. */
  mark: ReadersMark;
  /** One plain sentence in English. */
  sentence: string;
  /** Networks and servers beside this node. */
  servers: string[];
}

/** Another passphrase for one that was forgotten. */
export interface Recover {
  /** The recovery code. */
  code: string;
  /** `alice` or `alice@example.org`. */
  name: string;
  /** The new passphrase. */
  password: string;
}

/** A recovery code: sets another passphrase, once. */
export interface RecoveryCode {
  /** It: shown once. */
  code: string;
}

/** A wish for another recovery code. */
export interface RecoveryWish {
  /** The passphrase. */
  passphrase: string;
}

/** A new account. */
export interface Register {
  /** An invitation's token, where the node asks for one. */
  invitation?: string;
  /** The name. */
  name: string;
  /** The passphrase. */
  password: string;
}

/** The account shall go. */
export interface RemoveAccount {
  /** The passphrase. */
  passphrase: string;
}

/** A report to those who run the node. */
export interface Report {
  /** Who is reported. */
  address: string;
  /** Where. */
  conversation?: string;
  /** What they said. */
  event?: string;
  /** Why. */
  reason: ReportReason;
  /** In words. */
  text?: string;
}

/** What becomes of a report. */
export interface ReportChange {
  /** A note for other administrators. */
  note?: string;
  /** Where it stands now. */
  state: ReportState;
}

/** A report that someone made. */
export interface ReportInfo {
  /** About whom. */
  about: Person;
  /** When. */
  at: number;
  /** By whom. */
  by: Person;
  /** The entry was end-to-end encrypted: nobody here can check what it said. */
  encrypted: boolean;
  /** Which entry; its text is not shown. */
  event?: string;
  /** Its id. */
  id: string;
  /** What an administrator noted. */
  note?: string;
  /** Why. */
  reason: ReportReason;
  /** The room, where it was said in one. */
  room?: string;
  /** Where it stands. */
  state: ReportState;
  /** In the reporter's words: a claim, not the node's finding. */
  text?: string;
}

/** Reports, the latest first. */
export interface ReportPage {
  /** What to give as `after` for older ones. */
  next?: string;
  /** Them. */
  reports: ReportInfo[];
}

/** Why someone is reported. */
export type ReportReason =
  /** Unwanted advertising. */
  | "spam"
  /** Harm to people. */
  | "abuse"
  /** Something else: the text says what. */
  | "other";

/** Where a report stands. */
export type ReportState =
  /** Waits. */
  | "open"
  /** Something was done. */
  | "done"
  /** Nothing needed to be done. */
  | "dismissed";

/** A report was taken. */
export interface Reported {
  /** Its id. */
  id: string;
}

/** What a person may do in a room while there. */
export type Role =
  /** Not there. */
  | "none"
  /** Listens. */
  | "visitor"
  /** Speaks. */
  | "participant"
  /** Keeps order. */
  | "moderator";

/** A role for someone. */
export interface RoleChange {
  /** Why. */
  reason?: string;
  /** Which; `none` kicks. */
  role: Role;
}

/** What changed about a room. */
export type RoomChange =
  /** It came to be. */
  | "created"
  /** The topic. */
  | "topic"
  /** The name. */
  | "name"
  /** The picture. */
  | "avatar"
  /** Settings. */
  | "settings"
  /** Its address. */
  | "renamed"
  /** It is gone. */
  | "destroyed";

/** A room as an administrator sees it. */
export interface RoomInfo {
  /** Its address. */
  address: string;
  /** When something happened last. */
  at: number;
  /** The scheme it is bound to. */
  binding?: string;
  /** When it was made. */
  created: number;
  /** In the directory. */
  listed: boolean;
  /** How many are in it. */
  members: number;
  /** Its name. */
  name: string;
  /** Its owners. */
  owners: Person[];
}

/** A room of the directory. */
export interface RoomListed {
  /** Its address. */
  address: string;
  /** The scheme it is bound to. */
  binding?: string;
  /** The caller is in it. */
  joined: boolean;
  /** How many are in it. */
  members: number;
  /** Its name. */
  name: string;
  /** Its topic. */
  topic?: string;
}

/** Rooms in order of address. */
export interface RoomPage {
  /** What to give as `after` for more. */
  next?: string;
  /** Them. */
  rooms: RoomInfo[];
}

/** The settings of a room. */
export interface RoomSettings {
  /** Real addresses are shown to everyone in the room. */
  addresses_open: boolean;
  /** The scheme it is bound to; absent is for every app. */
  binding?: string;
  /** A longer description. */
  description?: string;
  /** Members may invite. */
  invites_open: boolean;
  /** Who may come in. */
  join_rule: JoinRule;
  /** Language, as BCP 47. */
  language?: string;
  /** In the directory. */
  listed: boolean;
  /** Most people; 0 is without a limit of its own. */
  max_members: number;
  /** Only those with voice speak. */
  moderated: boolean;
  /** The name that people read. */
  name?: string;
  /** The password to come in; shown to owners. */
  password?: string;
  /** Stays when the last member leaves. */
  persistent: boolean;
  /** Days that entries stay; absent as the node says. */
  retention_days?: number;
  /** The topic. */
  topic?: string;
  /** Everyone in the room may set the topic. */
  topic_open: boolean;
  /** Who may read what was said before. */
  visibility: Visibility;
}

/** What shall change; absent stays, empty texts take away. */
export interface RoomSettingsChange {
  /** A longer description. */
  description?: string;
  /** Members may invite. */
  invites_open?: boolean;
  /** Who may come in. */
  join_rule?: JoinRule;
  /** Language. */
  language?: string;
  /** In the directory. */
  listed?: boolean;
  /** Most people; 0 is without a limit of its own. */
  max_members?: number;
  /** Only those with voice speak. */
  moderated?: boolean;
  /** The name that people read. */
  name?: string;
  /** The password to come in. */
  password?: string;
  /** Stays when the last member leaves. */
  persistent?: boolean;
  /** Days that entries stay; 0 as the node says. */
  retention_days?: number;
  /** The topic. */
  topic?: string;
  /** Everyone in the room may set the topic. */
  topic_open?: boolean;
  /** Who may read what was said before. */
  visibility?: Visibility;
}

/** Something to send. */
export interface Send {
  /** Ids of uploaded files. */
  files?: string[];
  /** Of what kind. */
  kind?: MessageKind;
  /** The text is Markdown. */
  markdown?: boolean;
  /** Addresses that the text names. */
  mentions?: string[];
  /** What it answers. */
  reply_to?: string;
  /** The subject. */
  subject?: string;
  /** The text. */
  text?: string;
  /** The thread: the id of its first entry. */
  thread?: string;
  /** The client's own id for it, 1 to 64 characters, unique for the device: what is sent again is stored once. */
  txn: string;
}

/** Limits of what is sent. */
export interface SendLimits {
  /** Bytes of one file. */
  file_bytes: number;
  /** Bytes of a text. */
  text_bytes: number;
}

/** A live connection. */
export interface SessionInfo {
  /** Whose. */
  account: string;
  /** Its number. */
  id: string;
  /** What tells it apart. */
  label: string;
  /** The protocol. */
  protocol: string;
  /** What waits for it. */
  waiting: number;
}

/** The live connections. */
export interface Sessions {
  /** At most a thousand. */
  sessions: SessionInfo[];
  /** How many there are. */
  total: number;
}

/** How available someone is. */
export type Show =
  /** Not at all. */
  | "offline"
  /** For long. */
  | "xa"
  /** For now. */
  | "away"
  /** Do not disturb. */
  | "busy"
  /** Here. */
  | "online"
  /** Wants to talk. */
  | "chatty";

/** Name and password. */
export interface SignIn {
  /** What to call this device. */
  device?: string;
  /** `alice` or `alice@example.org`. */
  name: string;
  /** The passphrase or an app password. */
  password: string;
}

/** Signs out everywhere else. */
export interface SignOutEverywhere {
  /** This session stays; also where nothing is said. */
  keep_this?: boolean;
  /** The passphrase. */
  passphrase: string;
}

/** A small picture that the node made. */
export interface SmallPicture {
  /** Height in points. */
  height: number;
  /** Where it can be had: a path. */
  url: string;
  /** Width in points. */
  width: number;
}

/** How a room ranks a person for good. */
export type Standing =
  /** Banned. */
  | "outcast"
  /** No rank. */
  | "none"
  /** Belongs to it. */
  | "member"
  /** Keeps order. */
  | "admin"
  /** Owns it. */
  | "owner";

/** A standing for someone. */
export interface StandingChange {
  /** Why. */
  reason?: string;
  /** Which; `outcast` bans. */
  standing: Standing;
}

/** With whom. */
export interface StartDirect {
  /** An address. */
  address: string;
}

/** How the disk is used. */
export interface Storage {
  /** Bytes of files that people uploaded. */
  file_bytes: number;
  /** Bytes that are free on that disk, where the system says so. */
  free_bytes?: number;
  /** The accounts with the most files. */
  largest: AccountFiles[];
  /** Bytes of the log, its write-ahead log included. */
  log_bytes: number;
  /** Bytes of the search index. */
  search_bytes: number;
}

/** How a network is built. */
export type Structure =
  /** An account here. */
  | "this-node"
  /** Many servers under many owners. */
  | "federated"
  /** No servers. */
  | "serverless"
  /** One owner. */
  | "central"
  /** Not known. */
  | "unknown";

/** What the account lets others know, and how long its conversations stay. */
export interface Switches {
  /** When last seen. */
  last_seen: boolean;
  /** Delivery and read receipts are sent. */
  receipts: boolean;
  /** Days that direct conversations stay; absent as the node says. */
  retention_days?: number;
  /** Typing is shown. */
  typing: boolean;
}

/** What shall change; absent stays. */
export interface SwitchesChange {
  /** When last seen. */
  last_seen?: boolean;
  /** Delivery and read receipts. */
  receipts?: boolean;
  /** Days that direct conversations stay; 0 as the node says. */
  retention_days?: number;
  /** Typing. */
  typing?: boolean;
}

/** A wish for a token. */
export interface TokenWish {
  /** What to call it. */
  name: string;
}

/** Tokens for scripts. */
export interface Tokens {
  /** Them. */
  tokens: Device[];
}

/** Whether the caller types. */
export interface TypingNow {
  /** Types. */
  active: boolean;
}

/** A file that was uploaded. */
export interface Uploaded {
  /** The file. */
  file: File;
  /** Its id, for sending it. */
  id: string;
}

/** Who may read what was said before. */
export type Visibility =
  /** Only while in the room. */
  | "joined"
  /** Members read all of it. */
  | "shared"
  /** Everyone. */
  | "world";

/** One way to someone. */
export interface Way {
  /** The address there, for starting a conversation. */
  address: string;
  /** The network saw the person, not only a server that would take messages. */
  confirmed: boolean;
  /** The network; `sammen` is this node. */
  network: string;
  /** As they would be shown. */
  person: Person;
}
