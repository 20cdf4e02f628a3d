"""The scripts around the archive's SQL, most of them in files of this folder.

They read the live catalog, inside the restore's transaction. A step that may fail without harm runs in a block of its
own and leaves a line in ``kleidia_warning``; everything else fails the restore. No warning holds a value of a row.
"""

from __future__ import annotations

from ..server.script import script
from ..server.settings import CONTROL_SCHEMA, quote_literal
from ..server.wire import OWN_PATH

#: Makes the temporary view ``kleidia_shape``: everything that makes up a table, one row for each part of each relation,
#: in the order of ``rank`` in which parts can be made: SQL that makes it and SQL that takes it away. Two tables are
#: alike when they have the same parts. Foreign keys are not among them: they concern two tables. Read with an empty
#: ``search_path``: then every name in it is qualified.
SHAPE = script(__file__, "shape")

#: Temporary tables for what the second script must know about the state before.
TABLES = script(__file__, "tables")

#: So that a value as text is the value, and an expression means the same when it is read again.
EXACT = f"""
{OWN_PATH}
SET LOCAL row_security = off;
SET LOCAL extra_float_digits = 1;
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL xmloption = 'content';
"""

#: Undoes it.
INEXACT = """
SET search_path TO DEFAULT;
SET LOCAL extra_float_digits TO DEFAULT;
SET LOCAL DateStyle TO DEFAULT;
SET LOCAL IntervalStyle TO DEFAULT;
SET LOCAL xmloption TO DEFAULT;
"""

#: Remembers and drops. ``types`` are those behind a table's columns, however deep: elements, base types, attributes.
PREPARE = script(
    __file__, "prepare", types=script(__file__, "types", rel="k.id"), control=quote_literal(CONTROL_SCHEMA)
)

#: Makes preserved table ``n`` again, bare, for a view of the archive. On one line: lines are counted.
CREATE_EARLY = (
    "DO $kleidia$ BEGIN IF NOT EXISTS (SELECT FROM pg_temp.kleidia_keep WHERE n = {n}"
    " AND pg_catalog.to_regclass(rel) IS NOT NULL) THEN EXECUTE (SELECT make FROM pg_temp.kleidia_part"
    " WHERE n = {n} AND kind = 'table'); END IF; END $kleidia$;"
)

#: Goes before what follows the archive, whose settings may be others.
BEFORE = f"""
RESET SESSION AUTHORIZATION;
SET standard_conforming_strings = on;
SET client_min_messages = warning;
RESET default_tablespace;
RESET default_table_access_method;
{EXACT}"""

#: Errors that are no answer about an object: a deadlock, no room, a lock's time, a shutdown.
FATAL = "SQLSTATE ~ '^(40|53|55P03|57|58|XX)'"

#: Puts the preserved tables back. ``search_path`` is tried where a CHECK cannot be made without.
FINISH = script(__file__, "finish", fatal=FATAL)

#: Makes the foreign keys last, for what they refer to must be there: those held back, those of preserved tables, those
#: of tables that the archive does not have. Rows that break one leave it NOT VALID. An archive's own must be made; what
#: stands between the old and the new need not be possible any more. A key that the archive has valid is tried again,
#: for an earlier restore may have left it NOT VALID.
KEYS = script(__file__, "keys", fatal=FATAL)

#: Enums behind a table's columns (its name is the parameter) with their values.
ENUMS = script(__file__, "enums", types=script(__file__, "types", rel="to_regclass(%s)"))

#: Marks a server's error inside one of our warnings: its text may quote a value.
SERVER_SAID = "\x1f"

#: The warnings, each on one line.
WARNINGS = b"SELECT translate(message, E'\\n\\r', '  ') FROM pg_temp.kleidia_warning ORDER BY n"

#: The definition of our temporary relations, compared before and after: the archive's SQL could have changed them.
STRUCTURE = script(__file__, "structure").encode()
#: Which rows a table of them has: not their values, but where they lie, and which statement wrote them.
WRITTEN = """
SELECT count(*)::text, coalesce(sum(hashtextextended(ctid::text || ' ' || cmin::text, 0)::numeric), 0)::text
FROM pg_temp.{table}
"""

# First in the transaction, and last ---------------------------------------------------------------------------------

#: How event triggers are kept from running: before anything else in the transaction, for any of them may refuse it.
#: From version 17 on they can be silenced.
SILENT = "SET LOCAL event_triggers = off;\n"

#: Before version 17 each is disabled, and remembered. No event trigger runs for that.
QUIET = script(__file__, "quiet")

#: Enables again those that the archive did not make anew.
UNQUIET = script(__file__, "unquiet")

#: Enables event trigger ``name`` as the archive says, at the very end.
ENABLE = "DO $kleidia$ BEGIN EXECUTE pg_catalog.format('ALTER EVENT TRIGGER %I {state}', {name}); END $kleidia$;\n"

#: The scripts are written in plpgsql, which may have been dropped.
ADD_LANGUAGE = "CREATE EXTENSION plpgsql;\n"

#: Gone again, unless the archive needs it.
DROP_LANGUAGE = """
DO $kleidia$ BEGIN DROP EXTENSION plpgsql; EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END $kleidia$;
"""
