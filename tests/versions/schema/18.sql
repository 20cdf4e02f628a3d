-- What PostgreSQL 18 brought.
CREATE TABLE app.virtual (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c int GENERATED ALWAYS AS (a + 1));
INSERT INTO app.virtual VALUES (1), (2);
CREATE TABLE app.periods (
    id int, valid daterange, note text DEFAULT uuidv7()::text, PRIMARY KEY (id, valid WITHOUT OVERLAPS)
);
CREATE TABLE app.within (id int, valid daterange, FOREIGN KEY (id, PERIOD valid) REFERENCES app.periods (id, PERIOD valid));
INSERT INTO app.periods VALUES (1, '[2026-01-01,2026-06-01)', 'a'), (1, '[2026-06-01,2026-09-01)', 'b');
INSERT INTO app.within VALUES (1, '[2026-02-01,2026-07-01)');
CREATE TABLE app.lenient (
    id int, CONSTRAINT unsure CHECK (id > 0) NOT ENFORCED, FOREIGN KEY (id) REFERENCES app.hashed NOT ENFORCED
);
INSERT INTO app.lenient VALUES (-1);
CREATE TABLE app.nullable (a int, b int);
INSERT INTO app.nullable VALUES (NULL, 1);
ALTER TABLE app.nullable ADD CONSTRAINT filled NOT NULL a NOT VALID, ADD CONSTRAINT full_b NOT NULL b NO INHERIT;
CREATE TABLE app.partitioned_fk (id int) PARTITION BY RANGE (id);
CREATE TABLE app.partitioned_fk_1 PARTITION OF app.partitioned_fk FOR VALUES FROM (0) TO (10);
INSERT INTO app.partitioned_fk VALUES (5);
ALTER TABLE app.partitioned_fk ADD FOREIGN KEY (id) REFERENCES app.hashed NOT VALID;
CREATE PUBLICATION generated FOR TABLE app.people WITH (publish_generated_columns = stored);
ALTER DEFAULT PRIVILEGES FOR ROLE kleidia_owner GRANT SELECT ON LARGE OBJECTS TO kleidia_reader;
CREATE FUNCTION app.before() RETURNS int LANGUAGE sql
BEGIN ATOMIC
    UPDATE app.base SET b = 'x' RETURNING old.a + new.a;
END;
-- Not new, but older minor versions of pg_dump write it before the constraint.
COMMENT ON CONSTRAINT odd ON DOMAIN app.small IS 'not validated';
