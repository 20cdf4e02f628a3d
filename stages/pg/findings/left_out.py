"""What pg_dump leaves out, or writes so that no server takes it back: questions to the catalog, a sentence for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..server.settings import CONTROL_SCHEMA, Table
from .finding import Finding, Kind

if TYPE_CHECKING:
    from ..server.connect import Connection
    from ..server.preflight import DatabaseFacts


@dataclass(frozen=True, slots=True)
class _Question:
    """A question whose rows name objects; ``{}`` in ``text`` stands for them.

    It is asked of servers ``since`` that version and ``before`` that one, of superusers and others as it says, perhaps
    of standbys only. Its parameters are a pattern of schemas that no dump has (``not_ours``) and the tables without
    rows (``schemas``, ``names``). Numbers from 16384 on are those of objects that users made.
    """

    kind: Kind
    sql: str
    text: str
    cure: str
    lost: bool = False
    since: int = 0
    before: int = 1_000_000
    for_superuser: bool = True
    for_others: bool = True
    standby: bool = False


_SUBSCRIPTIONS = (
    "SELECT format('subscription %%I', subname) FROM pg_subscription"
    " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_QUESTIONS = (
    _Question(
        "grant",
        """
        SELECT 'schema public' FROM pg_namespace WHERE nspname = 'public' AND NOT EXISTS (
            SELECT FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
            WHERE a.grantee = 0 AND a.privilege_type = 'CREATE')
        """,
        "PUBLIC may not CREATE in the {}, and a pg_dump from version 15 on does not write that for this older server.",
        "After a restore into a new database of a server older than 15: REVOKE CREATE ON SCHEMA public FROM PUBLIC.",
        before=150000,
    ),
    _Question(
        "user mapping",
        """
        SELECT format('user mapping for %%I on server %%I', m.usename, m.srvname)
        FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
        WHERE NOT (m.umuser <> 0 AND m.usename = current_user
                   AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE'))
                   OR m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE'))
        """,
        "The archive lacks options (a password, perhaps) of {}: this role may not see them.",
        "Back up as a superuser, or set the options again after a restore (ALTER USER MAPPING); over this database a "
        "restore removes them.",
        lost=True,
        for_superuser=False,
    ),
    _Question(
        "subscription",
        _SUBSCRIPTIONS,
        "The archive lacks {}: only a superuser can back up a subscription.",
        "Back up as a superuser, or make it anew after a restore.",
        lost=True,
        for_superuser=False,
    ),
    _Question(
        "subscription",
        _SUBSCRIPTIONS,
        "A restore brings back disabled and without its position: {}.",
        "Afterwards look for its slot on the publisher, then ALTER SUBSCRIPTION … ENABLE and … REFRESH PUBLICATION.",
        for_others=False,
    ),
    _Question(
        "unlogged",
        """
        SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END || format(' %%I.%%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S') AND n.nspname !~ %(not_ours)s
        AND (n.nspname, c.relname) NOT IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
        """,
        "The archive lacks what is in {}: it is unlogged, and a standby does not have it.",
        "Back up the primary, or ALTER TABLE … SET LOGGED.",
        lost=True,
        standby=True,
    ),
    _Question(
        "system schema",
        """
        WITH made AS (
            SELECT 'pg_proc'::regclass::oid AS classid, oid AS objid, pronamespace AS home FROM pg_proc
            UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') UNION ALL
            SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typrelid = 0 AND typelem = 0
            UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
        )
        SELECT pg_describe_object(classid, objid, 0) FROM made JOIN pg_namespace n ON n.oid = home
        WHERE objid >= 16384 AND n.nspname IN ('pg_catalog', 'information_schema')
        AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE (d.classid, d.objid) = (made.classid, made.objid) AND d.deptype IN ('e', 'i'))
        """,
        "The archive lacks {}: pg_dump takes nothing that lies in the server's own schemas.",
        "Move it to another schema.",
        lost=True,
    ),
    _Question(
        "text search",
        """
        SELECT DISTINCT pg_describe_object('pg_ts_config'::regclass, c.oid, 0)
        FROM pg_ts_config c JOIN pg_ts_config_map m ON m.mapcfg = c.oid
        WHERE c.oid < 16384 AND m.mapdict >= 16384
        """,
        "The archive lacks what was changed in {}, which is the server's own.",
        "Copy it (CREATE TEXT SEARCH CONFIGURATION … (COPY = …)), change the copy, and use that.",
        lost=True,
    ),
    # Who wrote a row last, and who made it a member: an update of the extension writes several rows at once, unlike
    # a user who alters a function, or the few that an index needs. A grant is in the archive.
    _Question(
        "extension",
        """
        WITH member AS (
            SELECT d.refobjid AS extension, d.xmin AS added, p.xmin AS written, p.oid, p.proacl, p.provolatile
            FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
            WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        )
        SELECT format('%%s of the extension %%I', pg_describe_object('pg_proc'::regclass, m.oid, 0), e.extname)
        FROM member m JOIN pg_extension e ON e.oid = m.extension
        LEFT JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = m.oid
        WHERE m.written <> m.added AND m.written <> e.xmin AND m.proacl IS NOT DISTINCT FROM i.initprivs
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass
                        AND d.refobjid = m.extension AND d.xmin = m.written)
        AND ((SELECT count(*) FROM member o WHERE o.extension = m.extension AND o.written = m.written)
             <= CASE WHEN m.provolatile = 'i' AND EXISTS (
                    SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = m.oid
                    AND d.classid IN ('pg_class'::regclass, 'pg_attrdef'::regclass)) THEN 3 ELSE 1 END)
        AND EXISTS (SELECT FROM member o WHERE o.extension = m.extension AND o.written = o.added)
        """,
        "The archive lacks the change that was made to {} after the extension was created: an index or a column that "
        "needs it cannot be restored.",
        "Leave it as the extension made it, and call it from a function of your own that has the properties you need.",
        lost=True,
    ),
    _Question(
        "invalid index",
        """
        SELECT pg_describe_object('pg_class'::regclass, c.oid, 0)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ %(not_ours)s
        AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
        """,
        "The archive lacks what is invalid: {}.",
        "REINDEX or drop it.",
    ),
    _Question(
        "prepared transaction",
        "SELECT format('prepared transaction %%s', gid) FROM pg_prepared_xacts WHERE database = current_database()",
        "The archive lacks what is not committed: {}.",
        "Commit it or roll it back.",
    ),
    _Question(
        "security label",
        """
        SELECT DISTINCT format('security labels of the provider %%L', provider) FROM pg_seclabel
        WHERE 3 = (SELECT count(*) FROM pg_settings WHERE setting = '' AND name IN
                   ('shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries'))
        """,
        "A restore takes these only where every session loads the provider, which here none does: {}.",
        "Name its library in session_preload_libraries, or remove the labels.",
    ),
    _Question(
        "collation",
        """
        SELECT DISTINCT pg_describe_object('pg_collation'::regclass, l.oid, 0) FROM pg_collation l
        JOIN pg_attribute a ON a.attcollation = l.oid JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.collversion <> pg_collation_actual_version(l.oid) AND c.relkind = 'i' AND n.nspname !~ %(not_ours)s
        """,
        "The operating system's version of a collation is another than when indexes were built by it, which may "
        "have let duplicates in that no restore takes: {}.",
        "REINDEX what uses it, then ALTER COLLATION … REFRESH VERSION.",
    ),
    _Question(
        "collation",
        "SELECT format('database %%I', datname) FROM pg_database WHERE datname = current_database()"
        " AND datcollversion <> pg_database_collation_actual_version(oid)",
        "The operating system's version of the default collation is another than when indexes were built by it, which "
        "may have let duplicates in that no restore takes: {}.",
        "REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION.",
        since=150000,
    ),
    _Question(
        "materialized view",
        """
        WITH RECURSIVE used(top, rule, owner) AS (
            SELECT c.oid, w.oid, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_rewrite w ON w.ev_class = c.oid
            WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname !~ %(not_ours)s
            UNION
            SELECT used.top, w.oid,
                   CASE WHEN 'security_invoker=true' = ANY (c.reloptions) THEN used.owner ELSE c.relowner END
            FROM used JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = used.rule
            AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
            JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'v' JOIN pg_rewrite w ON w.ev_class = c.oid
        )
        SELECT DISTINCT format('%%s (%%I may not read %%s)', pg_describe_object('pg_class'::regclass, top, 0),
                               pg_get_userbyid(used.owner), pg_describe_object('pg_class'::regclass, c.oid, 0))
        FROM used JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = used.rule
        AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
        JOIN pg_class c ON c.oid = d.refobjid AND c.oid <> top AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        WHERE NOT has_table_privilege(used.owner, c.oid, 'SELECT')
        AND NOT CASE WHEN d.refobjsubid > 0 THEN has_column_privilege(used.owner, c.oid, d.refobjsubid::int2, 'SELECT')
                     ELSE has_any_column_privilege(used.owner, c.oid, 'SELECT') END
        """,
        "A restore cannot fill {}.",
        "Grant it to the owner, or ALTER MATERIALIZED VIEW … OWNER TO somebody who may.",
    ),
)


def find_left_out(connection: Connection, facts: DatabaseFacts, rowless: tuple[Table, ...]) -> Iterator[Finding]:
    """Ask everything that fits the role, the server and its version. Raises what ``connect`` maps.

    ``rowless`` are the tables whose rows are left out on purpose. The session's search path is empty.
    """
    values = {
        "not_ours": f"^(pg_.*|information_schema|{CONTROL_SCHEMA})$",
        "schemas": [table.schema for table in rowless],
        "names": [table.name for table in rowless],
    }
    for each in _QUESTIONS:
        asked = each.for_superuser if facts.superuser else each.for_others
        if asked and each.since <= facts.server_version < each.before and (facts.standby or not each.standby):
            for (name,) in connection.execute(f"{each.sql} ORDER BY 1", values):
                yield Finding(each.kind, name, each.text, each.cure, each.lost)
