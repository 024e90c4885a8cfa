// The types of the node's API, version 1. Generated from the Rust types; not edited by hand.
export type Address = string;
export type ConversationId = string;
export type EventId = string;
export type Show = 'offline' | 'xa' | 'away' | 'busy' | 'online' | 'chatty';
export type Role = 'none' | 'visitor' | 'participant' | 'moderator';
export type Standing = 'outcast' | 'none' | 'member' | 'admin' | 'owner';
export type Mark = 'members' | 'node' | 'servers' | 'anyone';
export interface Person { address: Address; name: string; avatar?: string; bot?: boolean; guest?: boolean; network?: string }
export interface Switches { receipts: boolean; typing: boolean; last_seen: boolean; retention_days?: number }
export interface NodeInfo { domain: string; version: string; protocols: string[]; registration: boolean; lockdown: boolean; rooms_by_anyone: boolean; members_invite: boolean }
export interface Me { account: Person; admin: boolean; full: boolean; device: string; node: NodeInfo; switches: Switches; quota: { used: number; most: number }; limits: { file_bytes: number; text_bytes: number } }
export interface Flags { pinned: boolean; archived: boolean; muted_until?: number }
export interface Can { send: boolean; topic: boolean; invite: boolean; configure: boolean; moderate: boolean }
export interface ReadersShort { mark: Mark; encrypted?: string; sentence: string; servers: string[] }
export interface Conversation {
  id: ConversationId; kind: 'direct' | 'room'; name: string; address: Address; avatar?: string; peer?: Person; topic?: string;
  description?: string; members?: number; membership: 'joined' | 'invited' | 'knocked' | 'left'; request: boolean; unread: number;
  mentions: number; unread_more: boolean; read_up_to?: EventId; last?: Entry; at: number; flags: Flags; readers: ReadersShort;
  role?: Role; standing?: Standing; can: Can;
}
export interface Reaction { key: string; count: number; own: boolean; by: Person[] }
export interface Quote { id: EventId; author?: Person; text: string }
export interface File { url: string; name?: string; media_type?: string; size?: number }
export type Body =
  | { type: 'message'; text: string; html?: string; kind: 'text' | 'emote' | 'notice'; files: File[]; mentions: Address[]; subject?: string }
  | { type: 'encrypted'; scheme: string; fallback?: string }
  | { type: 'retracted'; by?: Person; at: number }
  | { type: 'membership'; who: Person; action: 'joined' | 'left' | 'invited' | 'knocked' | 'kicked' | 'banned' | 'unbanned' | 'standing' | 'nick'; standing?: Standing; reason?: string }
  | { type: 'room'; change: 'created' | 'topic' | 'name' | 'avatar' | 'settings' | 'destroyed'; text?: string }
  | { type: 'other'; fallback?: string };
export interface Entry {
  id: EventId; conversation: ConversationId; order: string; at: number; author: Person; own: boolean; body: Body; pending?: boolean;
  device?: string; edited_at?: number; reactions: Reaction[]; reply_to?: Quote; thread?: EventId; replies: number; audience?: Person[]; via?: string;
}
export interface Page { entries: Entry[]; older?: EventId; newer?: EventId }
export interface Member { person: Person; nick?: string; standing: Standing; role: Role; membership: 'joined' | 'invited' | 'knocked' | 'left'; present: boolean; show?: Show; invited_by?: Address }
export interface Contact { person: Person; listed: boolean; name?: string; groups: string[]; sees: boolean; seen: boolean; asked: boolean; asks: boolean; blocked: boolean; accepted: boolean; show?: Show; status?: string; last_seen?: number }
export interface RoomSettings { name?: string; topic?: string; description?: string; join_rule: 'open' | 'members' | 'knock'; visibility: 'joined' | 'shared' | 'world'; listed: boolean; moderated: boolean; persistent: boolean; password?: string; topic_open: boolean; invites_open: boolean; addresses_open: boolean; max_members: number; binding?: string; retention_days?: number; language?: string }
export interface Device { id: string; label?: string; protocol: string; credential?: string; created: number; seen: number; current: boolean; online: boolean; kind: 'session' | 'token' | 'app' }
export interface AppPassword { id: string; name: string; scopes: string[]; created: number }
export interface Reader { person: Person; network: string; structure: 'this-node' | 'federated' | 'serverless' | 'central' | 'unknown'; server: string; software_free: 'yes' | 'no' | 'unknown'; client_free: 'yes' | 'no' | 'unknown'; location?: string; encryption: string }
export interface Readers { mark: Mark; encrypted?: string; mixed: boolean; node: boolean; public: boolean; sentence: string; servers: string[]; participants: Reader[] }
export interface Send { txn: string; text?: string; markdown?: boolean; kind?: 'text' | 'emote' | 'notice'; files?: string[]; reply_to?: EventId; thread?: EventId; mentions?: Address[]; subject?: string }
export interface RoomListed { address: Address; name: string; topic?: string; members: number; joined: boolean; binding?: string }
export interface Way { network: string; address: Address; confirmed: boolean; person: Person }
export interface LostPhone { devices: number; app_passwords: number; certificates: number; remains: string[] }
export interface Overview { accounts: number; disabled: number; rooms: number; sessions: Record<string, number>; reports: number; logins: [number, number]; pending_writes: number; lockdown: boolean; version: string }
export interface AccountInfo { person: Person; name: string; admin: boolean; disabled: boolean; bot: boolean; created: number; seen?: number; sessions: number; file_bytes: number }
export interface AccountPage { accounts: AccountInfo[]; next?: string }
export interface MadePassphrase { account: AccountInfo; passphrase?: string }
export interface RoomInfo { address: string; name: string; members: number; listed: boolean; binding?: string; created: number; at: number; owners: Person[] }
export interface SessionInfo { id: string; account: string; protocol: string; label: string; waiting: number }
export interface Storage { log_bytes: number; search_bytes: number; file_bytes: number; free_bytes?: number; largest: { account: string; bytes: number }[] }
export interface Health { well: boolean; checks: { name: string; well: boolean; text: string }[] }
export interface AuditPage { entries: { id: string; at: number; by: string; act: string; subject: string; detail?: string }[]; next?: string }
export interface ReportInfo { id: string; at: number; by: Person; about: Person; reason: string; text?: string; event?: string; room?: string; encrypted: boolean; state: 'open' | 'done' | 'dismissed'; note?: string }
export interface ReportPage { reports: ReportInfo[]; next?: string }
