-- The audit log's entries are chained: each has a place in its target's chain and a code over itself and the one before.
-- A code needs a key that is in the vault, so nobody who has only this database can make one. See service/control/chain.

-- late: it was written while nobody had the key, and chained afterwards.
ALTER TABLE kleidia_backup.audit ADD COLUMN place bigint, ADD COLUMN code bytea, ADD COLUMN late boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX audit_by_place ON kleidia_backup.audit (target, place);
CREATE INDEX audit_unchained ON kleidia_backup.audit (target, id) WHERE place IS NULL;

-- The chain's end: without it, entries could be cut off there and nothing would show. chain: its name, which the vault has
-- as well, so that a chain that was begun again shows. key: names the key, and is no part of it.
CREATE TABLE kleidia_backup.audit_ends (
    target text PRIMARY KEY,
    place bigint NOT NULL,
    code bytea NOT NULL,
    seal bytea NOT NULL,
    chain text NOT NULL,
    key text NOT NULL
);
