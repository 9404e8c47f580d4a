/** The database's tables, and the version of everything on disk. */

/** A store of another format is refused. */
export const FORMAT = 2;

export const SCHEMA = `
-- What the store knows of itself: the driver's name.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- One row a layer. n: name of its directory in layers/. parent: the parent's n. record: a LayerRecord as JSON.
CREATE TABLE layers (
	n TEXT PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	parent TEXT REFERENCES layers (n),
	record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX layers_by_parent ON layers (parent);

-- Records of the rooms above, as JSON, and the documents that each keeps alive.
CREATE TABLE records (
	namespace TEXT NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE record_documents (
	namespace TEXT NOT NULL,
	key TEXT NOT NULL,
	digest TEXT NOT NULL,
	PRIMARY KEY (namespace, key, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_documents_by_digest ON record_documents (digest);

-- Paths below the state root that a transaction removed and that may still be on disk.
CREATE TABLE removed (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID`;
