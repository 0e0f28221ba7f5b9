-- All that the reference CM knows. Times are milliseconds since 1970, UTC.
-- Documents are JSON; what is searched or must be unique has a column of its own.

CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS registration (
    id         TEXT PRIMARY KEY,
    realm      TEXT NOT NULL,
    status     TEXT NOT NULL,
    thumbprint TEXT,
    eab_kid    TEXT,
    parent     TEXT REFERENCES registration (id),
    owner      TEXT,
    document   TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS registration_key ON registration (realm, thumbprint) WHERE thumbprint IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS registration_kid ON registration (realm, eab_kid) WHERE eab_kid IS NOT NULL;
CREATE INDEX IF NOT EXISTS registration_parent ON registration (parent);

CREATE TABLE IF NOT EXISTS eab_secret (
    registration TEXT PRIMARY KEY REFERENCES registration (id),
    secret       BLOB NOT NULL
) STRICT;

-- The secret before, and until when it is taken too.
CREATE TABLE IF NOT EXISTS eab_former_secret (
    registration TEXT PRIMARY KEY REFERENCES registration (id),
    secret       BLOB NOT NULL,
    until        INTEGER NOT NULL
) STRICT;

-- What is kept of a directory link: the SHA-256 of its token; and until when it is taken, if it was replaced.
CREATE TABLE IF NOT EXISTS directory_token (
    hash         BLOB PRIMARY KEY,
    registration TEXT NOT NULL REFERENCES registration (id),
    until        INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS directory_token_registration ON directory_token (registration);

CREATE TABLE IF NOT EXISTS waiver (
    id           TEXT PRIMARY KEY,
    realm        TEXT NOT NULL,
    registration TEXT NOT NULL REFERENCES registration (id),
    status       TEXT NOT NULL,
    document     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS waiver_registration ON waiver (registration);
CREATE INDEX IF NOT EXISTS waiver_status ON waiver (realm, status);

CREATE TABLE IF NOT EXISTS eab_failure (
    realm   TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS eab_failure_subject ON eab_failure (realm, subject, at);

CREATE TABLE IF NOT EXISTS retired_key (
    realm        TEXT NOT NULL,
    thumbprint   TEXT NOT NULL,
    registration TEXT NOT NULL REFERENCES registration (id),
    PRIMARY KEY (realm, thumbprint)
) STRICT;

CREATE TABLE IF NOT EXISTS blocked_key (
    spki_sha256 TEXT PRIMARY KEY,
    certificate TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS certificate_request (
    id              TEXT PRIMARY KEY,
    realm           TEXT NOT NULL,
    registration    TEXT NOT NULL REFERENCES registration (id),
    order_ref       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    status          TEXT NOT NULL,
    decide_by       INTEGER,
    certificate     TEXT,
    document        TEXT NOT NULL,
    UNIQUE (realm, order_ref)
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS certificate_request_key ON certificate_request (realm, idempotency_key);
CREATE INDEX IF NOT EXISTS certificate_request_status ON certificate_request (status, decide_by);

CREATE TABLE IF NOT EXISTS certificate (
    id                 TEXT PRIMARY KEY,
    realm              TEXT NOT NULL,
    request            TEXT NOT NULL UNIQUE REFERENCES certificate_request (id),
    registration       TEXT NOT NULL REFERENCES registration (id),
    order_ref          TEXT NOT NULL,
    profile            TEXT NOT NULL,
    serial             TEXT NOT NULL UNIQUE,
    sha256             TEXT NOT NULL UNIQUE,
    spki_sha256        TEXT NOT NULL,
    not_before         INTEGER NOT NULL,
    not_after          INTEGER NOT NULL,
    issued_at          INTEGER NOT NULL,
    der                BLOB NOT NULL,
    issuers_pem        TEXT NOT NULL,
    identifiers        TEXT NOT NULL,
    status             TEXT NOT NULL,
    revoked_at         INTEGER,
    reason             TEXT,
    basis              TEXT,
    revoked_by         TEXT,
    invalidity_date    INTEGER,
    publication        TEXT NOT NULL,
    published_at       INTEGER,
    replaces           TEXT,
    replaced_by        TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS certificate_registration ON certificate (registration);
CREATE INDEX IF NOT EXISTS certificate_spki ON certificate (spki_sha256);
CREATE INDEX IF NOT EXISTS certificate_order ON certificate (realm, order_ref);

CREATE TABLE IF NOT EXISTS certificate_name (
    certificate TEXT NOT NULL REFERENCES certificate (id),
    name        TEXT NOT NULL,
    PRIMARY KEY (name, certificate)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS proof_use (
    realm     TEXT NOT NULL,
    digest    BLOB NOT NULL,
    order_ref TEXT NOT NULL,
    PRIMARY KEY (realm, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS idempotency (
    realm     TEXT NOT NULL,
    operation TEXT NOT NULL,
    key       TEXT NOT NULL,
    digest    BLOB NOT NULL,
    at        INTEGER NOT NULL,
    status    INTEGER,
    headers   TEXT,
    body      BLOB,
    subject   TEXT,
    PRIMARY KEY (realm, operation, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS event (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL,
    realm    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    type     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    version  INTEGER,
    data     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_realm ON event (realm, position);

CREATE TABLE IF NOT EXISTS audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    realm    TEXT,
    action   TEXT NOT NULL,
    subject  TEXT,
    entry    TEXT NOT NULL,
    prev     TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
