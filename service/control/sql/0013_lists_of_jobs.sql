-- What the page's list of jobs is narrowed to is read by an index: one kind, of which there may be few among thousands, and the failed ones, which are
-- rare where things go well. Lists of completed jobs and of all are read by jobs_by_target, those of active ones by jobs_active.

CREATE INDEX jobs_by_kind ON kleidia_backup.jobs (target, kind, id);
CREATE INDEX jobs_failed ON kleidia_backup.jobs (target, id) WHERE status = 'failed';
