-- Version 1.

-- What the store knows about itself: epoch, greatest seq and ids.
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Authors, so that each event carries a small number instead of an address.
CREATE TABLE name (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE);

-- The log in seq order. Columns hold what is queried, `body` the rest (record.rs).
-- Whatever is ever updated keeps its size (pos and target are blobs of fixed size, lane and flags numbers of fixed
-- width, an erased body is overwritten with zeros): rows never move between pages, so no stale copies stay behind.
-- lane: 2 in line (pos, at and seq all grow along it), 3 beside (backfilled, late, moved), 4 without a place (outliers).
CREATE TABLE log (
  seq INTEGER PRIMARY KEY,
  conversation INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  pos BLOB NOT NULL,
  at INTEGER NOT NULL,
  id_high INTEGER NOT NULL,
  id_low INTEGER NOT NULL,
  author INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  target BLOB,
  body BLOB NOT NULL
);
CREATE INDEX log_order ON log (conversation, lane);
-- The high half of an event id is its time and 16 random bits: new ids go to the end of this index.
CREATE INDEX log_id ON log (id_high);
CREATE INDEX log_target ON log (target) WHERE target IS NOT NULL;
CREATE INDEX log_place ON log (conversation, pos) WHERE lane = 3;
CREATE INDEX log_time ON log (conversation, at) WHERE lane = 3;

-- What erased events say instead.
CREATE TABLE tombstone (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
-- Words of erased events that the search index still has to forget.
CREATE TABLE unsearch (number INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, conversation INTEGER NOT NULL, words TEXT NOT NULL);

CREATE TABLE alias (
  conversation INTEGER NOT NULL,
  scheme INTEGER NOT NULL,
  foreign_id TEXT NOT NULL,
  author INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation, scheme, foreign_id, author)
) WITHOUT ROWID;

CREATE TABLE waiting (
  conversation INTEGER NOT NULL,
  scheme INTEGER NOT NULL,
  foreign_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation, scheme, foreign_id, seq)
) WITHOUT ROWID;
CREATE INDEX waiting_seq ON waiting (seq);

CREATE TABLE conversation (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  a TEXT,
  b TEXT,
  destroyed INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX conversation_key ON conversation (key);
CREATE INDEX conversation_a ON conversation (a) WHERE a IS NOT NULL;
CREATE INDEX conversation_b ON conversation (b) WHERE b IS NOT NULL;

CREATE TABLE member (
  conversation INTEGER NOT NULL,
  address TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (conversation, address)
) WITHOUT ROWID;
CREATE INDEX member_address ON member (address);

CREATE TABLE account (address TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE device (
  id INTEGER PRIMARY KEY,
  account TEXT NOT NULL,
  cursor INTEGER NOT NULL,
  inbound INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX device_account ON device (account);

CREATE TABLE document (
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  version INTEGER NOT NULL,
  value BLOB,
  PRIMARY KEY (owner, namespace, key)
) WITHOUT ROWID;
CREATE INDEX document_version ON document (owner, namespace, version);

CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY,
  destination TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX outbox_destination ON outbox (destination);

CREATE TABLE blob_ref (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  owner TEXT NOT NULL,
  slot TEXT NOT NULL,
  created INTEGER NOT NULL
);
CREATE INDEX blob_ref_digest ON blob_ref (digest);
CREATE INDEX blob_ref_owner ON blob_ref (owner);
CREATE INDEX blob_ref_slot ON blob_ref (slot) WHERE slot <> '';
