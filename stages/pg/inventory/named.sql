WITH RECURSIVE named(kind, home, name) AS (
    SELECT DISTINCT * FROM unnest(%(kinds)s::text[], %(homes)s::text[], %(names)s::text[])
), object(kind, home, name, classid, objid, owner, sole) AS (  -- sole: the schema's owner may not drop it
    SELECT 'relation', relnamespace, relname::text, 'pg_class'::regclass::oid, oid, relowner,
           relkind NOT IN ('v', 'm', 'S') FROM pg_class
    UNION ALL SELECT 'row type', relnamespace, relname, 'pg_class'::regclass, oid, relowner,
                     relkind NOT IN ('v', 'm') FROM pg_class WHERE reltype <> 0
    UNION ALL SELECT 'type', typnamespace, typname, 'pg_type'::regclass, oid, typowner, false FROM pg_type
    UNION ALL SELECT 'routine', pronamespace, proname, 'pg_proc'::regclass, oid, proowner, false FROM pg_proc
    UNION ALL SELECT 'operator', oprnamespace, oprname, 'pg_operator'::regclass, oid, oprowner, false FROM pg_operator
    UNION ALL SELECT 'operator class', opcnamespace, opcname, 'pg_opclass'::regclass, oid, opcowner, false
    FROM pg_opclass
    UNION ALL SELECT 'operator family', opfnamespace, opfname, 'pg_opfamily'::regclass, oid, opfowner, false
    FROM pg_opfamily
    UNION ALL SELECT 'collation', collnamespace, collname, 'pg_collation'::regclass, oid, collowner, false
    FROM pg_collation
    UNION ALL SELECT 'conversion', connamespace, conname, 'pg_conversion'::regclass, oid, conowner, false
    FROM pg_conversion
    UNION ALL SELECT 'statistics', stxnamespace, stxname, 'pg_statistic_ext'::regclass, oid, stxowner, false
    FROM pg_statistic_ext
    UNION ALL SELECT 'text search configuration', cfgnamespace, cfgname, 'pg_ts_config'::regclass, oid, cfgowner,
                     false FROM pg_ts_config
    UNION ALL SELECT 'text search dictionary', dictnamespace, dictname, 'pg_ts_dict'::regclass, oid, dictowner, false
    FROM pg_ts_dict
    UNION ALL SELECT 'text search parser', prsnamespace, prsname, 'pg_ts_parser'::regclass, oid, NULL, false
    FROM pg_ts_parser
    UNION ALL SELECT 'text search template', tmplnamespace, tmplname, 'pg_ts_template'::regclass, oid, NULL, false
    FROM pg_ts_template
    UNION ALL SELECT 'cast', 0, format('(%%s AS %%s)', format_type(castsource, NULL), format_type(casttarget, NULL)),
                     'pg_cast'::regclass, oid, NULL, false FROM pg_cast WHERE oid >= 16384
    UNION ALL SELECT 'transform', 0, format('FOR %%s LANGUAGE %%I', format_type(trftype, NULL), lanname),
                     'pg_transform'::regclass, t.oid, NULL, false
    FROM pg_transform t JOIN pg_language l ON l.oid = trflang
    UNION ALL SELECT 'language', 0, lanname, 'pg_language'::regclass, oid, lanowner, false FROM pg_language
    UNION ALL SELECT 'access method', 0, amname, 'pg_am'::regclass, oid, NULL, false FROM pg_am
    UNION ALL SELECT 'schema', 0, nspname, 'pg_namespace'::regclass, oid, nspowner, false FROM pg_namespace
    UNION ALL SELECT 'extension', 0, extname, 'pg_extension'::regclass, oid, extowner, false FROM pg_extension
    UNION ALL SELECT 'event trigger', 0, evtname, 'pg_event_trigger'::regclass, oid, evtowner, false
    FROM pg_event_trigger
    UNION ALL SELECT 'server', 0, srvname, 'pg_foreign_server'::regclass, oid, srvowner, false FROM pg_foreign_server
    UNION ALL SELECT 'foreign data wrapper', 0, fdwname, 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, false
    FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'user mapping', 0, format('%%s SERVER %%I', CASE umuser WHEN 0 THEN 'PUBLIC' ELSE
                     quote_ident(usename) END, srvname), 'pg_user_mapping'::regclass, umid, NULL, false
    FROM pg_user_mappings
    UNION ALL SELECT 'publication', 0, pubname, 'pg_publication'::regclass, oid, pubowner, false FROM pg_publication
), seed(classid, objid, owner, home_owner) AS (
    SELECT o.classid, o.objid, o.owner, CASE WHEN o.sole THEN o.owner ELSE coalesce(n.nspowner, o.owner) END
    FROM named JOIN object o USING (kind, name) LEFT JOIN pg_namespace n ON n.oid = o.home
    WHERE named.home = coalesce(n.nspname, '')
), preserved(objid) AS (
    SELECT o::oid FROM unnest(%(preserved)s::bigint[]) o
    UNION SELECT w.ev_class FROM preserved p
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = p.objid
                     AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid
)
