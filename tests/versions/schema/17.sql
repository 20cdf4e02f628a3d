-- What PostgreSQL 17 brought.
CREATE COLLATION app.built (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE app.identities (id int GENERATED ALWAYS AS IDENTITY, t text COLLATE app.built, k int) PARTITION BY LIST (k);
CREATE TABLE app.identities_1 PARTITION OF app.identities FOR VALUES IN (1);
INSERT INTO app.identities (t, k) VALUES ('É', 1), ('ß', 1);
CREATE VIEW app.tabled AS
    SELECT jt.* FROM app.stored, JSON_TABLE(j, '$.a[*]' COLUMNS (i FOR ORDINALITY, v int PATH '$')) AS jt;
CREATE VIEW app.queried AS SELECT JSON_VALUE(j, '$.a[0]' RETURNING int DEFAULT 0 ON EMPTY) AS v FROM app.stored;
CREATE FUNCTION app.merging() RETURNS SETOF int LANGUAGE sql
BEGIN ATOMIC
    MERGE INTO app.base USING app.distincts d ON base.a = d.a
    WHEN NOT MATCHED BY SOURCE THEN DELETE
    RETURNING base.a;
END;
GRANT MAINTAIN ON app.base TO kleidia_reader;
ALTER TABLE app.logs_new_a ALTER value SET STATISTICS 10;
CREATE FUNCTION app.enter() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER enter ON login EXECUTE FUNCTION app.enter();
CREATE TABLE app.excluded (k int, r int4range, EXCLUDE USING gist (k WITH =, r WITH &&)) PARTITION BY LIST (k);
