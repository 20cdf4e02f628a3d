-- The queue looks for other jobs of the same lock when it takes one. procrastinate's index has the lock behind the id, so it would read
-- all of it for each job: with 40,000 that wait this makes the question forty times as fast. It is of procrastinate's table, so it comes after its files.

CREATE INDEX IF NOT EXISTS kleidia_jobs_by_lock ON kleidia_backup.procrastinate_jobs (lock) WHERE status IN ('todo', 'doing');
