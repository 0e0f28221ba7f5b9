//! The conformance suite: what every adapter must do, run against the real CM that it is for.
//!
//! A case is a function that takes a [`Subject`]: a CM under test, and the people around it. `conformance!` makes a
//! test of each, so that a failure names adapter and case, and a case that is added here is added for every adapter.
//! A case never skips: where a CM lacks something it asks `Asked::offers` and asserts what takes its place; these
//! differences make a table that is printed and checked when the last case has ended; where not all run in one process
//! the output says that it was not. What only one product can have, such as a sealed node, is not here but with the
//! tests of its adapter. Contract: `docs/cm-rest-api.md`, sections 3, 4, 8 and 9.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code for other crates; a panic is how a test fails"
)]

mod asking;
mod binding;
mod certificates;
mod difference;
mod expect;
mod holder;
mod issuance;
mod line;
mod lost_answers;
mod pending;
mod person;
mod registrations;
mod restart;
mod revocation;
mod rights;
mod run;
mod selection;
mod service;
mod subject;

pub use run::run;
pub use subject::{
    Caller, ClientKey, Cryptography, Decision, ExternalAccount, OfficersAct, Preregistration, Realm, Subject, Wanted,
};

use self::{difference::Asked, run::Case};

/// Makes the list of all cases, and the macro that makes a test of each.
macro_rules! cases {
    (($dollar:tt) $($file:ident { $($case:ident)* })*) => {
        /// All of them, in the order of the files.
        const CASES: &[Case] = &[$($(
            Case { name: stringify!($case), run: |subject| Box::pin($file::$case(subject)) },
        )*)*];

        /// Makes a `#[test]` of each case of the suite. The first expression gives a `&'static dyn` [`Subject`] that all
        /// cases share which do it no harm; the second a `Box<dyn `[`Subject`]`>` of a case's own, which it may kill.
        ///
        /// [`Subject`]: crate::testing::Subject
        #[macro_export]
        macro_rules! conformance {
            ($dollar shared:expr, $dollar own:expr) => {$($(
                #[test]
                fn $case() {
                    $crate::testing::run(module_path!(), stringify!($case), || $dollar shared, || $dollar own);
                }
            )*)*};
        }
    };
}

cases! { ($)
    service {
        the_cm_says_who_we_are_and_what_it_can_do
        a_realm_that_is_not_ours_is_named_as_what_is_wrong
        the_feed_tells_of_a_suspension
        an_officers_word_is_seen_at_the_next_look
        what_a_realm_allows_to_anybody_is_told
        each_profile_has_an_issuer_that_signs
    }
    registrations {
        an_account_is_made_once_and_found_by_its_key
        one_key_many_times_at_once_is_one_account
        a_realm_that_is_not_open_makes_no_accounts
        contacts_change_and_an_account_ends
        a_key_is_exchanged_once_and_never_comes_back
        of_many_key_changes_at_once_one_wins
        a_proof_by_another_key_makes_no_account
    }
    binding {
        a_pre_registration_is_bound_with_its_secret_once
        an_unknown_kid_and_a_wrong_secret_are_answered_alike
        of_many_clients_that_bind_at_once_one_wins
        a_client_that_binds_many_times_at_once_has_one_account
        a_pre_registration_for_many_is_bound_so_often_as_it_says
        one_account_key_has_one_registration
        a_window_that_has_not_begun_binds_nobody
        what_an_officer_has_ended_binds_nobody
        a_directory_link_binds_once
    }
    issuance {
        the_same_request_again_gets_the_same_certificate
        many_at_once_with_one_key_get_one_certificate
        many_requests_of_one_order_at_once_get_one_certificate
        other_octets_under_a_known_key_are_refused
        a_csr_that_is_not_about_the_order_is_refused
        an_end_of_validity_is_met_to_the_second_or_refused
        what_nobody_proved_is_not_issued
        a_waiver_that_nobody_approved_is_no_evidence
        a_profile_that_is_not_there_and_a_stranger_get_nothing
        a_name_outside_the_list_is_refused_and_nothing_is_issued
        a_narrowed_registration_gets_what_is_left
        a_suspension_between_reading_and_asking_counts
        a_replaced_certificate_is_replaced_once_and_by_its_own_account
        the_outcome_of_the_gateways_checks_can_be_told_again
        what_was_issued_cannot_be_withdrawn
        what_never_reached_the_cm_is_none
    }
    pending {
        what_waits_for_a_person_is_issued_once_she_agrees
        what_a_person_refuses_is_refused_and_never_issued
        what_is_withdrawn_while_it_waits_is_never_issued
    }
    certificates {
        what_is_said_of_a_certificate_is_what_is_in_it
        a_certificate_is_found_by_its_digest_and_nothing_else_is
        a_certificate_of_another_realm_is_unknown_here
        renewal_is_due_before_the_end_and_at_once_after_a_revocation
        the_chains_lead_from_the_certificate_upwards
    }
    revocation {
        a_certificate_is_revoked_once_and_a_repetition_is_harmless
        many_revocations_at_once_are_one
        whoever_has_the_key_of_a_certificate_revokes_it
        a_stranger_revokes_nothing
        a_reason_is_kept
    }
    lost_answers {
        an_account_whose_answer_was_lost_is_found_again
        a_binding_whose_answer_was_lost_is_the_same_when_repeated
        a_key_change_whose_answer_was_lost_is_the_same_when_repeated
        a_certificate_whose_answer_was_lost_is_found_by_its_key
        a_revocation_whose_answer_was_lost_is_the_same_when_repeated
    }
    restart {
        what_was_done_before_kill_9_is_there_after_it
        a_certificate_is_found_after_kill_9_between_submit_and_question
        kill_9_under_load_leaves_each_order_one_certificate
    }
    rights {
        an_officers_certificate_is_no_gateway
        whoever_has_no_certificate_of_a_role_gets_nothing
        a_gateway_gets_nothing_of_a_realm_that_is_not_its_own
        a_registration_of_one_realm_gets_nothing_in_another
        a_gateway_cannot_do_what_is_an_officers
    }
}
