-- What pg_dump writes in the words of its own version, whatever the server's is, so that a server of an older version
-- may refuse it: PostgreSQL promises that a dump can be restored by servers of pg_dump's version and newer ones only.
CREATE SUBSCRIPTION taker CONNECTION 'host=127.0.0.1 port=1 dbname=none' PUBLICATION a, "B c"
    WITH (connect = false, slot_name = NONE, synchronous_commit = 'off');
COMMENT ON SUBSCRIPTION taker IS 'subscription';
CREATE TABLE public.older (a int, b text);
CREATE TABLE public.younger (c int) INHERITS (public.older);
ALTER TABLE public.younger ALTER b SET NOT NULL;
INSERT INTO public.younger VALUES (1, 'x', 2);
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
