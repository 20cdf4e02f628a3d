"""Which of many alike cases README's test command takes; the others get the mark ``thorough``, and CI runs them too.

What is here was chosen by measured time: the families that took most of it, and tests of both formats whose subject is
the same in either. Nothing is left out of CI for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from zlib import crc32

import pytest

#: Of the cases of these tests each second, third and so on; 0: none. An odd number takes both of two formats in turns.
SHARES = {
    "cli/test_canaries.py::test_no_command_shows_a_piece_of_an_address": 3,
    "cli/test_stopping.py::test_other_commands_say_what_they_leave": 3,
    "cli/test_terminal.py::test_closed_streams_are_no_error": 3,
    "drills/test_damage.py::test_a_check_that_does_not_pass": 3,
    "drills/test_damage.py::test_what_a_vault_keeps_besides_values": 3,
    "drills/test_damage.py::test_what_did_not_come_back": 5,
    "drills/test_refused.py::test_a_wrong_password_and_too_little_time": 0,
    "engine/test_document.py::test_strangers_may_check_their_types": 0,
    "faults/test_full_disk.py::test_restore": 5,
    "faults/test_http.py::test_fault": 7,
    "faults/test_kill.py::test_backup_at_random": 3,
    "faults/test_kill.py::test_backup_where_it_hurts": 3,
    "faults/test_kill.py::test_restore_at_random": 2,
    "faults/test_kill.py::test_restore_where_it_hurts": 3,
    "faults/test_limits.py::test_who_kept_it_waiting": 0,
    "faults/test_postgres.py::test_fault": 7,
    "faults/test_stop.py::test_stopped": 5,
    "formats/test_sql_guard.py::test_a_long_line_takes_time_as_its_length": 4,
    "formats/test_v1_recover.py::test_a_good_archive_gives_sql_and_secrets": 3,
    "formats/test_v2_chunks.py::test_scripts_of_usual_chunks": 3,
    "fuzz/test_fuzz.py::test_the_short_search_finds_what_is_planted_and_the_same_each_time": 0,
    "load/test_limit.py::test_the_rate_of_an_idle_server_is_kept": 3,
    "notify/test_channels.py::test_mail_with_a_login": 0,
    "pg/test_bodies.py::test_no_body_takes_long": 2,
    "pg/test_findings.py::test_what_no_restore_takes_is_named_and_its_cure_works": 3,
    "pg/test_hostile_archives.py::test_rows_that_the_server_does_not_take_wait_where_they_come_from": 0,
    "pg/test_hostile_archives.py::test_what_is_remembered_of_preserved_tables_is_not_touched": 3,
    "pg/test_inventory.py::test_the_estimate_of_locks": 3,
    "pg/test_inventory.py::test_what_depends_on_a_preserved_table_that_the_archive_lacks": 3,
    "pg/test_preserve.py::test_rows_stay_when_their_user_is_gone": 3,
    "pg/test_preserved_parts.py::test_a_generated_column_is_todays": 3,
    "pg/test_preserved_parts.py::test_parts_stay": 5,
    "pg/test_preserved_parts.py::test_rows_stay": 3,
    "pg/test_quiet.py::test_event_triggers_that_refuse_everything": 3,
    "pg/test_schemas.py::test_the_copy_is_the_same_text": 3,
    "pipelines/tables/test_reading.py::test_a_kill": 3,
    "pipelines/tables/test_refused.py::test_a_cancellation": 3,
    "pipelines/tables/test_refused.py::test_an_end_in_the_middle": 5,
    "pipelines/tables/test_refused.py::test_no_such_table": 3,
    "pipelines/tables/test_refused.py::test_what_the_target_lacks": 3,
    "pipelines/test_bad_input.py::test_damaged_archive": 3,
    "pipelines/test_bad_input.py::test_dump_that_fails_half_way_or_after_its_last_byte": 3,
    "pipelines/test_copies.py::test_a_copy_is_the_archive": 3,
    "pipelines/test_copies.py::test_a_killed_copy_goes_on": 2,
    "pipelines/test_diff.py::test_different_archives": 3,
    "pipelines/test_diff.py::test_equal_archives": 3,
    "pipelines/test_export.py::test_a_damaged_archive_makes_no_file": 3,
    "pipelines/test_fidelity.py::test_generated_secrets": 2,
    "pipelines/test_memory_bound.py::test_bounds_hold_and_are_no_idle_talk": 3,
    "pipelines/test_names_like_settings.py::test_names_like_settings_are_backed_up_and_restored": 3,
    "pipelines/test_plan.py::test_what_the_archive_does_not_know_and_what_it_replaces": 0,
    "pipelines/test_promised.py::test_each_archive_has_a_nonce_of_its_own": 0,
    "pipelines/test_recovery_kit.py::test_the_how_to_brings_everything_back": 2,
    "pipelines/test_rewrap.py::test_killed_at_any_moment": 0,
    "pipelines/test_rewrap.py::test_slots_come_and_go": 2,
    "pipelines/test_some_secrets.py::test_a_name_with_brackets": 3,
    "pipelines/test_some_secrets.py::test_what_is_not_there_is_told_before_anything_is_written": 3,
    "pipelines/test_undo.py::test_a_killed_restore_is_undone_by_the_next_run": 3,
    "pipelines/test_v2.py::test_a_damaged_segment_changes_nothing": 3,
    "restores/test_hostile.py::test_nothing_of_it_happens": 5,
    "restores/test_hostile.py::test_text_that_ends_anywhere": 2,
    "restores/test_other_sessions.py::test_temporary_things": 3,
    "restores/test_restores.py::test_backup_and_restore": 8,
    "service/test_fair_shares.py::test_all_run_once_and_in_their_order": 0,
    "service/test_flood.py::test_a_flood_takes_no_memory_and_keeps_nobody_out": 0,
    "service/test_history.py::test_a_command_and_the_service_wait_for_each_other": 0,
    "service/test_openapi.py::test_the_api_keeps_to_its_document": 0,
    "service/test_replicas.py::test_a_dead_worker_blocks_nobody": 0,
    "service/test_replicas.py::test_a_replica_without_its_control_database": 0,
    "service/test_replicas.py::test_a_restore_that_was_killed_comes_before_the_next": 0,
    "service/test_replicas.py::test_who_starts_long_after_a_death_starts": 0,
    "stores/test_archive_sink.py::test_a_store_that_wants_parts_in_order": 0,
    "stores/test_contract.py::test_a_beginning_is_replaced": 3,
    "stores/test_contract.py::test_parts_make_the_object_in_any_order": 3,
    "stores/test_s3_replace.py::test_a_store_that_is_gone": 3,
    "stores/whole/test_life.py::test_an_archive_from_its_beginning_to_its_end": 3,
    "stores/whole/test_tls.py::test_everything_over_tls": 2,
    "test_package.py::test_the_engine_needs_anyio_alone": 0,
    "test_package.py::test_the_source_distribution_is_complete": 0,
    "test_package.py::test_the_suite_runs_from_the_source_distribution": 0,
    "test_package.py::test_the_wheel_holds_every_module_and_no_test": 0,
    "test_package.py::test_the_wheel_holds_exactly_one_top_level_name": 0,
    "vault/test_courtesy.py::test_a_server_that_becomes_slow_is_given_less": 0,
    "vault/test_faults.py::test_trouble_that_passes_is_not_seen": 5,
    "vault/test_faults.py::test_without_a_time_the_pause_doubles_for_everybody": 0,
    "vault/test_login.py::test_tokens_live_as_long_as_the_job": 0,
    "vault/test_outage.py::test_many_secrets_with_twenty_workers": 0,
    "vault/test_quota.py::test_a_job_that_can_end_in_its_time_does": 0,
    "vault/test_quota.py::test_a_job_that_cannot_end_in_its_time_ends_at_once": 0,
    "vault/test_quota.py::test_a_server_that_says_when_to_ask_again": 0,
    "vault/test_quota.py::test_most_of_a_quota_is_used": 2,
    "vault/test_quota.py::test_the_limit_of_time_says_what_it_waited_for": 0,
}
#: What is in one of these is not in README's set.
OTHER_SETS = ("thorough", "endpoint", "containers", "regress")
#: Whole journeys, which are made with archives of both formats each time.
BOTH = ("pipelines/test_round_trip.py", "pipelines/test_bad_archives.py", "faults/test_kill.py")


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark what README's test command leaves to the thorough set: the same ones everywhere."""
    passed: Counter[str] = Counter()
    for item in items:
        if any(map(item.get_closest_marker, OTHER_SETS)):
            continue
        name = item.nodeid.partition("tests/")[2].partition("[")[0]
        if name in SHARES:
            number, share = passed[name], SHARES[name]
            passed[name] += 1
            left = not share or number % share
        else:
            left = not name.startswith(BOTH) and _format(item) not in {"", format_of(name)}
        if left:
            item.add_marker("thorough")


def format_of(name: str) -> str:
    """The one format of a test that could be made for both: by its name, so the same everywhere, and each for half."""
    return ("v1", "v2")[crc32(name.encode()) % 2]


def _format(item: pytest.Item) -> str:
    """The format of a case of a test that has a case for each; empty for any other."""
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec is not None else {}
    marks = [each.args for each in item.iter_markers("parametrize") if each.args[0] == "archive_format"]
    both = any(tuple(formats) == ("v1", "v2") for _, formats in marks)
    return str(params["archive_format"]) if both else ""
