-- What PostgreSQL 15 brought.
CREATE TABLE app.distincts (a int, b int, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO app.distincts VALUES (1, NULL), (NULL, NULL);
CREATE UNIQUE INDEX distinct_index ON app.distincts (b, a) NULLS NOT DISTINCT;
CREATE VIEW app.invoked WITH (security_invoker = true) AS SELECT id, name FROM app.people;
CREATE FUNCTION app.merged() RETURNS void LANGUAGE sql
BEGIN ATOMIC
    MERGE INTO app.base USING app.distincts d ON base.a = d.a
    WHEN MATCHED AND d.b IS NULL THEN UPDATE SET b = 'merged'
    WHEN NOT MATCHED THEN INSERT (a, b) VALUES (1, 'new');
END;
CREATE TABLE app.partly (x int, y int, FOREIGN KEY (x, y) REFERENCES app.distincts (a, b) ON DELETE SET NULL (y));
CREATE PUBLICATION filtered FOR TABLE app.distincts (a, b) WHERE (a > 5 AND b <> 0), app.partly;
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public;
ALTER TABLE app.fleeting ALTER COLUMN id SET NOT NULL;
CREATE UNLOGGED SEQUENCE app.unlogged;
GRANT SET ON PARAMETER log_min_messages TO kleidia_reader;
SELECT nextval('app.unlogged');
