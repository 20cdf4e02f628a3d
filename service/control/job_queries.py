"""The SQL of the jobs' table."""

from __future__ import annotations

INSERT = """
    INSERT INTO kleidia_backup.jobs
        (kind, backup_type, target, archive, requested_by, requested_by_name, ip, workstation, scheduled_for, options)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING *
"""
GET = "SELECT * FROM kleidia_backup.jobs WHERE target = %s AND id = %s"
ACTIVE = "SELECT * FROM kleidia_backup.jobs WHERE target = %s AND status IN ('pending', 'running') ORDER BY id"
IN_THE_WAY = """
    SELECT * FROM kleidia_backup.jobs
    WHERE target = %s AND status IN ('pending', 'running') AND (kind = ANY(%s::text[])) = %s ORDER BY id
"""
LIST = """
    SELECT * FROM kleidia_backup.jobs
    WHERE target = %s AND (%s::bigint IS NULL OR id < %s)
      AND (%s::text IS NULL OR kind = %s) AND (%s::text IS NULL OR status = %s)
    ORDER BY id DESC LIMIT %s
"""
MEASURED = """
    SELECT backup_type, finished_at, size, extract(epoch FROM finished_at - started_at)::double precision
    FROM kleidia_backup.jobs WHERE target = %s AND kind = 'backup' AND status = 'completed'
    ORDER BY id DESC LIMIT %s
"""
START = """
    UPDATE kleidia_backup.jobs SET status = 'running', started_at = now(), heartbeat_at = now(), replica = %s
    WHERE target = %s AND id = %s AND status = 'pending' AND kind = ANY(%s) RETURNING *
"""
CHOOSE = """
    UPDATE kleidia_backup.jobs SET archive = %s, backup_type = %s
    WHERE target = %s AND id = %s AND replica = %s AND status = 'running' RETURNING *
"""
BEAT = """
    UPDATE kleidia_backup.jobs SET heartbeat_at = now(), phase = %s, progress = %s
    WHERE target = %s AND id = %s AND replica = %s AND status = 'running' RETURNING cancelled_by
"""
COMPLETE = """
    UPDATE kleidia_backup.jobs
    SET status = 'completed', finished_at = now(), archive = %s, size = %s, checksum = %s, warnings = %s, report = %s
    WHERE target = %s AND id = %s AND replica = %s AND status = 'running' RETURNING *
"""
FAIL = """
    UPDATE kleidia_backup.jobs SET status = 'failed', finished_at = now(), error = %s, hint = %s, report = %s
    WHERE target = %s AND id = %s AND status IN ('pending', 'running')
      AND (%s::text IS NULL OR replica = %s)
    RETURNING *
"""
CANCEL = """
    UPDATE kleidia_backup.jobs
    SET cancelled_by = coalesce(cancelled_by, %s),
        error = CASE status WHEN 'pending' THEN %s ELSE error END,
        finished_at = CASE status WHEN 'pending' THEN now() END,
        status = CASE status WHEN 'pending' THEN 'failed' ELSE status END
    WHERE target = %s AND id = %s AND status IN ('pending', 'running') RETURNING *
"""
ABANDONED = """
    SELECT * FROM kleidia_backup.jobs
    WHERE target = %s AND status IN ('pending', 'running')
      AND (heartbeat_at < now() - make_interval(secs => %s)
        OR coalesce(started_at, created_at) < now() - make_interval(secs => %s)
          AND NOT (phase IS NOT DISTINCT FROM 'commit' AND heartbeat_at >= now() - make_interval(secs => %s)))
    ORDER BY id
"""
LAST_BACKUP = """
    SELECT * FROM kleidia_backup.jobs
    WHERE kind = 'backup' AND status = 'completed' AND target = %s AND backup_type = %s AND id < %s
    ORDER BY id DESC LIMIT 1
"""
RECORDED = """
    SELECT DISTINCT ON (archive) archive, size, checksum FROM kleidia_backup.jobs
    WHERE kind = 'backup' AND status = 'completed' AND target = %s AND archive IS NOT NULL AND size IS NOT NULL
    ORDER BY archive, id DESC
"""
