-- Version 2.

-- Tombstones of documents, oldest first: they are forgotten after a while.
CREATE INDEX document_gone ON document (version) WHERE value IS NULL;
-- The newest tombstone that was forgotten: who knows less than that reads the namespace anew.
CREATE TABLE document_floor (
  owner TEXT NOT NULL,
  namespace TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (owner, namespace)
) WITHOUT ROWID;
