//! The scenarios that every conforming server gets through, P-01 to P-29, and the tests that prove each of them whole.
//!
//! A scenario that the tests of a resource prove anyway is named there; the others are here.

mod account;
mod certificate;
mod order;
mod validation;

use std::{fs, path::Path};

/// A scenario: number, what happens, and the tests that together assert all of it.
struct Scenario(&'static str, &'static str, &'static [&'static str]);

const SCENARIOS: [Scenario; 29] = [
    Scenario(
        "P-01",
        "The directory is the same with and without a slash and has five absolute URLs",
        &["positive/account::the_directory_is_one_with_and_without_a_slash_and_names_absolute_urls"],
    ),
    Scenario(
        "P-02",
        "newNonce answers HEAD and GET with a nonce, no-store and the way back",
        &["nonce::head_is_answered_with_200_and_a_nonce", "nonce::get_is_answered_with_204_and_a_nonce"],
    ),
    Scenario(
        "P-03",
        "The directory and newNonce are read by POST-as-GET too",
        &[
            "directory::a_signed_request_for_the_directory_is_answered_like_a_get",
            "nonce::a_signed_request_is_answered_like_a_get",
        ],
    ),
    Scenario(
        "P-04",
        "newAccount again finds the same account, unchanged",
        &["account::newaccount_by_a_known_key_finds_the_account_as_it_is"],
    ),
    Scenario(
        "P-05",
        "Every algorithm makes accounts and orders",
        &["account::every_algorithm_makes_accounts_that_can_order"],
    ),
    Scenario(
        "P-06",
        "An order for a name goes from pending over ready to valid",
        &["positive/order::an_order_goes_from_pending_over_ready_to_a_certificate_that_matches"],
    ),
    Scenario(
        "P-07",
        "A wildcard and its base are proven apart by two records of one owner name",
        &["positive/order::a_wildcard_and_its_base_are_proven_by_two_records_of_one_name"],
    ),
    Scenario(
        "P-08",
        "An address is proven by http-01 and by tls-alpn-01 and certified as an address",
        &["positive/order::an_address_is_proven_by_either_method_and_certified_as_an_address"],
    ),
    Scenario(
        "P-09",
        "http-01 goes over ten redirects, one of them to a self-signed server, and takes chunks and a line end",
        &["positive/validation::an_answer_behind_ten_redirects_the_last_to_a_self_signed_server_is_found"],
    ),
    Scenario(
        "P-10",
        "dns-01 goes over an alias and joins the strings of a record",
        &["positive/validation::a_record_behind_an_alias_whose_text_is_in_pieces_is_found"],
    ),
    Scenario(
        "P-11",
        "An order for what was proven before is ready at once",
        &["authorization_reuse::an_order_for_what_was_proven_lately_is_ready_at_once_and_gets_its_certificate"],
    ),
    Scenario(
        "P-12",
        "Upper case and repeated names make a normal set, and an open order is found again",
        &[
            "order::names_are_folded_and_repeated_ones_dropped",
            "replacement::a_client_that_asks_again_gets_its_open_order",
        ],
    ),
    Scenario(
        "P-13",
        "Who polls only the authorization, only the challenge or only the order sees the end",
        &["positive/validation::each_of_authorization_challenge_and_order_comes_to_its_end_by_itself"],
    ),
    Scenario(
        "P-14",
        "When the authorization is seen valid the order is ready",
        &["challenge::when_the_authorization_is_valid_the_order_is_ready"],
    ),
    Scenario(
        "P-15",
        "A certificate that comes soon is waited for, one that comes late is polled for",
        &["positive/certificate::finalize_waits_for_a_certificate_that_comes_soon_and_not_for_one_that_comes_late"],
    ),
    Scenario(
        "P-16",
        "After a bad CSR a good one is taken",
        &[
            "finalize::a_csr_that_is_none_is_refused_and_a_good_one_then_taken",
            "finalize::a_csr_has_exactly_the_names_of_the_order",
        ],
    ),
    Scenario(
        "P-17",
        "A CSR has its name as the common name, as an alternative name, or as both",
        &["finalize::csrs_as_clients_write_them_are_taken"],
    ),
    Scenario(
        "P-18",
        "Chains link to each other and are of one certificate",
        &["alternate_chains::each_chain_links_to_the_other_and_both_are_of_one_certificate"],
    ),
    Scenario(
        "P-19",
        "A chain is strict PEM with the leaf first",
        &["positive/certificate::a_chain_is_pem_in_lines_of_64_with_line_feeds_and_the_leaf_first"],
    ),
    Scenario(
        "P-20",
        "An account is updated and read with 200 and no Location",
        &["positive/account::an_update_an_empty_update_and_a_reading_are_answered_with_the_account_and_no_location"],
    ),
    Scenario(
        "P-21",
        "A key is changed in the middle of an order",
        &[
            "key_change::the_new_key_is_the_accounts_at_once_and_the_old_one_is_dead",
            "key_change::orders_and_certificates_stay_the_accounts",
            "key_change::a_challenge_that_was_answered_with_the_old_key_is_validated_with_it",
        ],
    ),
    Scenario(
        "P-22",
        "Bindings by HS256, HS384 and HS512, with more members in the key, are taken and shown",
        &["positive/account::bindings_by_every_mac_and_with_more_members_in_the_key_are_taken_and_shown"],
    ),
    Scenario(
        "P-23",
        "An existing account is found with a stale binding",
        &["external_account::a_client_that_repeats_its_binding_finds_its_account"],
    ),
    Scenario(
        "P-24",
        "The account, another that proved all names, and the key revoke a certificate",
        &["positive/certificate::the_account_another_with_all_names_and_the_key_each_revoke"],
    ),
    Scenario(
        "P-25",
        "Renewal information of a fresh certificate lies ahead, of a revoked one behind",
        &[
            "renewal_info::anybody_may_ask_when_a_certificate_should_be_renewed",
            "renewal_info::a_revoked_certificate_should_be_renewed_at_once",
        ],
    ),
    Scenario(
        "P-26",
        "Replacements follow each other, and one that fails lets the certificate go",
        &[
            "replacement::a_certificate_is_replaced_by_one_certificate",
            "replacement::an_order_that_ends_lets_the_certificate_go",
        ],
    ),
    Scenario(
        "P-27",
        "A profile is shown, asked for or not",
        &["positive/order::a_profile_is_shown_whether_it_was_asked_for_or_not"],
    ),
    Scenario(
        "P-28",
        "An authorization and an account are given up with 200 and their objects",
        &["positive/account::authorizations_and_accounts_are_given_up_with_200_and_their_objects"],
    ),
    Scenario(
        "P-29",
        "A long list of orders comes in pages, complete and without repetition",
        &["account::a_long_list_of_orders_comes_in_pages_that_are_complete"],
    ),
];

#[test]
fn every_scenario_is_proven_by_tests_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    for (Scenario(id, sentence, tests), number) in SCENARIOS.iter().zip(1..) {
        assert_eq!(*id, format!("P-{number:02}"), "{sentence}");
        assert!(!tests.is_empty(), "{id}: {sentence}");
        for test in *tests {
            let (module, name) = test.split_once("::").unwrap_or_else(|| panic!("{id}: {test}"));
            let source = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap_or_default();
            assert!(source.contains(&format!("#[test]\nfn {name}() {{")), "{id}: there is no test {test}");
        }
    }
}
