-- What PostgreSQL 16 brought.
CREATE TABLE app.stored (a text STORAGE EXTERNAL, j jsonb, n numeric DEFAULT 0x_ff, CHECK (j IS JSON OBJECT));
INSERT INTO app.stored (a, j) VALUES ('x', '{"a": [1, 2]}');
CREATE VIEW app.collected AS
    SELECT any_value(a) AS a, JSON_ARRAYAGG(n ORDER BY n) AS all, JSON_OBJECTAGG('k' : n) AS one FROM app.stored;
CREATE VIEW app.subquery AS SELECT * FROM (SELECT 1 AS one);
CREATE FUNCTION app.json(j text) RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT j IS JSON; END;
