-- What PostgreSQL 14 brought.
CREATE FUNCTION app.sum_of(a int, b int DEFAULT 5) RETURNS int LANGUAGE sql
BEGIN ATOMIC
    SELECT CASE WHEN a > 0 THEN a + b ELSE b END;
END;
CREATE PROCEDURE app.put(x int) LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO app.base (a, b) VALUES (x, 'put; it');
    UPDATE app.base SET b = 'again' WHERE a = x;
END;
CREATE TABLE app.ranges (m int4multirange, d datemultirange, s app.span[], z text COMPRESSION pglz);
INSERT INTO app.ranges VALUES ('{[1,3),[5,9)}', '{}', ARRAY[app.span(1, 2)], repeat('z', 5000));
CREATE TYPE app.wide AS RANGE (subtype = int4, multirange_type_name = app.wides);
CREATE TABLE app.wider (w app.wides);
INSERT INTO app.wider VALUES ('{[1,2),[4,5)}');
CREATE STATISTICS app.expressions ON (a % 10), b FROM app.base;
CREATE FUNCTION app.outs(OUT a int, IN b text, INOUT c int) LANGUAGE sql AS 'SELECT 1, c';
CREATE PROCEDURE app.outp(IN a int, OUT b text) LANGUAGE sql AS $$SELECT 'x'$$;
CREATE TABLE app.listed (id int, k text) PARTITION BY LIST (k);
CREATE TABLE app.listed_a PARTITION OF app.listed FOR VALUES IN ('a');
INSERT INTO app.listed VALUES (1, 'a');
CREATE VIEW app.searched AS
    WITH RECURSIVE t(a, b) AS (SELECT a, b FROM app.base UNION ALL SELECT a + 1, b FROM t WHERE a < 3)
    SEARCH DEPTH FIRST BY a SET ordered CYCLE a SET is_cycle USING path
    SELECT a, b, is_cycle FROM t;
CREATE TRIGGER shown BEFORE UPDATE ON app.logs FOR EACH ROW EXECUTE FUNCTION app.noted();
CREATE FUNCTION app.at(jsonb) RETURNS jsonb LANGUAGE sql AS $$SELECT ($1)['a']['b']$$;
