//! What every store must do, as cases that each backend runs.
//!
//! A case is `async fn case(store: &dyn Store)` over an empty store. The one list of them is in
//! [`store_conformance!`](crate::store_conformance), which makes a named test of each:
//!
//! ```text
//! store::store_conformance!(open); // `async fn open() -> impl Deref<Target = dyn Store>`
//! ```
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, although a library's build cannot know that"
)]

pub mod audit;
pub mod endpoint_log;
pub mod endpoints;
pub mod housekeeping;
pub mod inbound;
pub mod jobs;
pub mod keys;
pub mod lists;
pub mod names;
pub mod order;
pub mod outcomes;
pub mod publishing;
pub mod queue;
pub mod resending;
pub mod watch;
mod world;

pub use world::{NOW, World, ascending, descending, everything};

/// Makes a test of each conformance case, against the store that the given function opens.
#[macro_export]
macro_rules! store_conformance {
    ($open:ident) => {
        $crate::store_conformance! { @cases $open;
            publishing {
                an_append_stores_message_deliveries_and_key_together,
                a_refused_publish_changes_nothing_for_its_neighbours,
                a_publish_with_another_routing_version_is_stale,
                a_publish_without_an_application_says_so,
                an_event_id_that_exists_is_refused,
                an_event_id_that_exists_answers_the_first_message,
                an_event_id_twice_in_one_batch_is_noticed,
                an_event_id_counts_within_its_application,
                a_known_idempotency_key_answers_its_first_effect,
                two_equal_idempotency_keys_in_one_batch_are_one_effect,
                an_idempotency_key_is_forgotten_after_its_time,
                a_refused_publish_leaves_its_idempotency_key_free,
                payload_bytes_are_kept_exactly,
                a_message_id_that_exists_fails_the_call_before_anything_is_stored,
                a_claim_after_an_append_sees_its_commit,
                a_destination_named_twice_is_one_delivery,
                many_destinations_become_a_fan_out,
                a_wide_message_is_expanded_in_order_and_once,
                expanding_what_is_not_wide_makes_nothing,
                a_wide_message_skips_what_was_canceled_meanwhile,
                unfinished_fan_outs_are_listed_oldest_first,
            }
            outcomes {
                records_are_answered_in_order_and_fenced_ones_leave_nothing,
                an_attempt_is_stored_whatever_the_delivery_is,
                a_success_ends_a_delivery_in_whatever_state,
                a_retry_sets_the_next_due_time,
                a_failure_dead_letters_with_its_reason,
                a_canceled_delivery_keeps_its_state_after_a_failure,
                recording_twice_is_recording_once,
                a_failed_manual_attempt_leaves_a_pending_delivery_as_it_was,
                a_failed_manual_attempt_leaves_an_ended_delivery_as_it_was,
                a_failed_manual_attempt_where_none_was_due_leaves_nothing,
                a_scheduled_attempt_under_way_does_not_lose_a_manual_one,
                what_waited_too_long_is_given_up,
                giving_up_is_fenced_and_bounded,
            }
            queue {
                a_claim_is_ordered_by_due_time_and_message,
                a_claim_goes_on_after_a_delivery,
                a_claim_changes_nothing,
                a_claim_stops_at_its_room_and_bytes,
                a_claim_says_what_is_due_next,
                a_claim_leaves_out_what_must_not_go_out,
                enabling_does_not_bring_canceled_deliveries_back,
                a_message_stored_after_enabling_goes_out_whatever_its_key,
                a_claim_tells_what_it_knows_of_a_delivery,
                an_earlier_epoch_is_fenced,
                destinations_are_listed_with_their_earliest_due_time,
            }
            resending {
                a_resend_makes_one_manual_attempt_due,
                asking_twice_for_a_resend_changes_nothing,
                a_resend_works_without_a_delivery,
                a_resend_needs_a_payload_an_endpoint_and_a_message,
                a_resend_of_a_canceled_delivery_goes_out,
                disabling_cancels_a_resend_back_to_what_was_before,
                a_resend_before_its_expansion_is_no_second_delivery,
                a_canceled_resend_does_not_hide_the_delivery_behind_it,
                a_resend_counts_attempts_on,
            }
            names {
                an_application_is_found_by_id_and_uid,
                an_application_uid_is_taken_once,
                a_repeated_creation_answers_the_application_as_it_is,
                an_organization_has_so_many_applications,
                an_organization_has_so_many_event_types,
                a_deleted_application_is_gone_and_its_uid_free,
                applications_are_listed_by_id_in_both_directions,
                an_application_change_touches_what_it_names,
                an_event_type_name_is_taken_until_it_is_archived,
                event_types_are_listed_by_name,
                an_event_type_is_changed_archived_and_erased,
                enforced_event_types_are_those_that_are_not_archived,
            }
            audit {
                a_change_is_noted_as_its_authors,
                what_is_refused_is_not_noted,
                only_administrative_changes_are_noted,
                entries_are_a_chain,
                the_trail_is_listed_and_filtered,
                a_pruned_trail_is_still_a_chain,
                an_erased_application_leaves_entries_without_values,
                what_is_erased_on_request_is_noted,
            }
            keys {
                the_organization_is_made_once,
                an_api_key_is_found_by_its_hash,
                a_known_key_and_a_foreign_application_refuse_a_key,
                a_repeated_creation_answers_the_key_as_it_is,
                an_organization_has_so_many_keys,
                api_keys_are_listed_by_id,
                an_api_key_change_touches_what_it_names,
                the_last_admin_key_is_kept,
                deleting_an_application_revokes_its_keys,
                portal_tokens_end_together,
                the_last_use_of_a_key_is_noted,
                what_is_sealed_anew_replaces_the_same_bytes_alone,
            }
            endpoints {
                an_endpoint_reads_back_as_created,
                a_taken_uid_a_limit_and_a_missing_application_refuse_an_endpoint,
                a_repeated_creation_answers_the_endpoint_as_it_is,
                endpoints_are_listed_by_id,
                an_endpoint_is_found_by_its_id_alone,
                an_endpoint_change_touches_what_it_names,
                every_change_raises_the_routing_version,
                routes_leave_out_deleted_endpoints_only,
                a_deleted_endpoint_is_gone_and_its_uid_free,
                a_new_url_leaves_old_attempts_with_the_old_one,
                disabling_reads_as_canceled_at_once,
                a_rotated_secret_lives_no_longer_than_before,
                a_rotation_beyond_the_limit_is_refused,
                a_repeated_rotation_answers_the_secret_of_the_first_time,
            }
            lists {
                a_message_is_found_by_id_and_event_id_in_its_application_only,
                messages_are_listed_by_time_in_both_directions,
                a_list_of_messages_is_filtered,
                a_sparse_list_of_messages_says_where_to_resume,
                destinations_of_a_message_are_paged_by_endpoint,
                an_attempt_reads_back_as_recorded,
                attempts_of_a_message_are_listed_by_time,
                attempts_to_an_endpoint_are_listed_by_time,
                a_list_of_attempts_is_filtered,
            }
            endpoint_log {
                messages_of_an_endpoint_are_those_it_is_a_destination_of,
                messages_of_an_endpoint_are_filtered,
                messages_of_an_endpoint_are_paged_in_both_directions,
                a_sparse_list_of_an_endpoints_messages_says_where_to_resume,
                attempts_to_an_endpoint_are_counted_by_minute,
                deliveries_to_an_endpoint_are_counted_as_they_stand,
            }
            order {
                only_the_first_of_a_key_is_due,
                who_ends_lets_the_next_in_line_go,
                the_next_in_line_is_not_due_before_its_time,
                a_resend_is_outside_of_the_order,
                disabling_cancels_whole_lines,
                what_is_given_up_lets_the_next_in_line_go,
                messages_of_a_key_are_expanded_in_order,
                what_waits_in_line_is_unfinished,
            }
            jobs {
                a_job_reads_back_as_created,
                a_limit_and_a_missing_application_refuse_a_job,
                a_repeated_creation_answers_the_job_as_it_is,
                jobs_are_listed_by_id_and_filtered,
                a_job_is_paused_resumed_and_canceled,
                a_replay_makes_due_what_ended_as_asked,
                a_replayed_delivery_has_its_whole_schedule_before_it,
                a_replay_is_about_what_its_criteria_fit,
                a_replay_of_what_is_missing_follows_the_subscription,
                a_job_goes_on_where_it_was,
                a_preview_is_bounded_and_changes_nothing,
                a_job_waits_for_a_busy_endpoint_and_passes_over_a_closed_one,
                an_expunged_payload_is_gone_and_its_deliveries_are_canceled,
                an_expunged_head_of_a_line_lets_the_next_one_go,
                an_expunged_wide_message_is_expanded_no_further,
                an_expunged_answer_is_gone,
                a_purge_erases_the_payloads_of_an_application,
                old_jobs_are_erased,
            }
            watch {
                changes_of_an_endpoint_are_told_once_asked_for,
                failing_and_recovering_are_told_once_each,
                who_fails_for_long_and_gave_up_is_disabled,
                what_begins_anew_is_not_disabled,
            }
            inbound {
                a_source_reads_back_as_created,
                a_change_of_a_source_raises_its_version,
                a_request_of_a_changed_source_is_not_stored,
                a_known_mark_is_a_duplicate_until_its_window_is_over,
                a_conflict_or_a_replay_is_refused_on_demand,
                messages_of_one_request_are_deduplicated_one_by_one,
                a_due_delivery_comes_with_the_request_of_its_message,
                requests_are_listed_and_filtered,
                requests_are_searched,
                a_request_with_a_known_key_is_stored_once,
                a_job_of_requests_counts_what_its_steps_did,
                a_replay_of_a_request_is_in_the_trail,
                old_requests_are_erased_and_live_marks_are_kept,
            }
            housekeeping {
                an_expired_payload_is_erased_once_its_deliveries_are_finished,
                a_payload_with_a_fan_out_to_come_is_kept,
                history_is_erased_entirely,
                unfinished_history_is_kept,
                canceled_deliveries_are_settled_as_they_read,
                a_deleted_endpoint_is_erased,
                a_deleted_application_is_erased,
                old_idempotency_keys_are_dropped,
                old_counters_are_erased,
                a_request_is_noted_as_done_once,
                a_small_batch_says_that_there_is_more,
                a_store_with_room_is_writable,
                commits_are_counted,
            }
        }
    };
    (@cases $open:ident; $($module:ident { $($case:ident,)+ })+) => {
        /// How many cases there are.
        #[allow(dead_code, reason = "only the suite's own test counts them")]
        const CASES: usize = [$($(stringify!($case)),+),+].len();

        $(mod $module {
            $(#[tokio::test]
            async fn $case() {
                let store = super::$open().await;
                $crate::conformance::$module::$case(&*store).await;
            })+
        })+
    };
}

#[cfg(test)]
mod tests {
    use crate::Store;
    use crate::model::Model;

    async fn open() -> Box<dyn Store> {
        Box::new(Model::new())
    }

    crate::store_conformance!(open);

    #[test]
    fn every_case_is_in_the_list() {
        let written: usize = [
            include_str!("endpoint_log.rs"),
            include_str!("audit.rs"),
            include_str!("endpoints.rs"),
            include_str!("housekeeping.rs"),
            include_str!("inbound.rs"),
            include_str!("keys.rs"),
            include_str!("jobs.rs"),
            include_str!("lists.rs"),
            include_str!("names.rs"),
            include_str!("order.rs"),
            include_str!("outcomes.rs"),
            include_str!("publishing.rs"),
            include_str!("queue.rs"),
            include_str!("resending.rs"),
            include_str!("watch.rs"),
        ]
        .iter()
        .map(|text| text.matches("\npub async fn ").count())
        .sum();

        assert_eq!(written, CASES);
    }
}
