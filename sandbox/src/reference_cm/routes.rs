//! The routes of the API: method, path, operation, handler. This table is the whole of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::routing::{MethodFilter, on};

use super::ReferenceCm;
use super::door::{self, Handler, finish};
use super::ids::new_id;
use super::moment::Moment;
use super::operations::Operation as Op;
use super::problem::{Code, Problem};
use super::{
    approvals, audit, bind, certificates, create, delivery, directory_link, events, external_account_key, issuance,
    key_change, requests, revocation, service, status, update, waiver_decisions,
};

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Every route, below `/cm/v1`.
pub(crate) const ROUTES: &[(MethodFilter, &str, Op, Handler)] = &[
    (GET, "/info", Op::GetInfo, service::get_info),
    (GET, "/whoami", Op::Whoami, service::whoami),
    (GET, "/health/live", Op::Live, service::live),
    (GET, "/health/ready", Op::Ready, service::ready),
    (GET, "/issuers", Op::ListIssuers, service::list_issuers),
    (GET, "/issuers/{issuer}", Op::GetIssuer, service::get_issuer),
    (GET, "/issuers/{issuer}/chains/{chain}", Op::GetChain, service::get_chain),
    (GET, "/realms/{realm}", Op::GetRealm, service::get_realm),
    (GET, "/realms/{realm}/profiles", Op::ListProfiles, service::list_profiles),
    (GET, "/realms/{realm}/profiles/{profile}", Op::GetProfile, service::get_profile),
    (GET, "/realms/{realm}/registrations", Op::FindRegistrations, update::find_registrations),
    (POST, "/realms/{realm}/registrations", Op::CreateRegistration, create::create_registration),
    (POST, "/realms/{realm}/registrations/bind", Op::BindRegistration, bind::bind_registration),
    (GET, "/realms/{realm}/registrations/{id}", Op::GetRegistration, update::read_registration),
    (PATCH, "/realms/{realm}/registrations/{id}", Op::UpdateRegistration, update::update_registration),
    (POST, "/realms/{realm}/registrations/{id}/status", Op::SetRegistrationStatus, status::set_registration_status),
    (POST, "/realms/{realm}/registrations/{id}/key-change", Op::ChangeKey, key_change::change_key),
    (POST, "/realms/{realm}/registrations/{id}/eab", Op::NewEabSecret, external_account_key::new_eab_secret),
    (
        POST,
        "/realms/{realm}/registrations/{id}/directory-link",
        Op::NewDirectoryLink,
        directory_link::new_directory_link,
    ),
    (
        DELETE,
        "/realms/{realm}/registrations/{id}/directory-link",
        Op::RemoveDirectoryLink,
        directory_link::remove_directory_link,
    ),
    (
        GET,
        "/realms/{realm}/registrations/{id}/waivers",
        Op::ListWaiversOfRegistration,
        waiver_decisions::list_waivers_of_registration,
    ),
    (POST, "/realms/{realm}/registrations/{id}/waivers", Op::ProposeWaiver, waiver_decisions::propose_waiver),
    (
        POST,
        "/realms/{realm}/registrations/{id}/waivers/{waiver}/approve",
        Op::ApproveWaiver,
        waiver_decisions::approve_waiver,
    ),
    (
        POST,
        "/realms/{realm}/registrations/{id}/waivers/{waiver}/reject",
        Op::RejectWaiver,
        waiver_decisions::reject_waiver,
    ),
    (
        POST,
        "/realms/{realm}/registrations/{id}/waivers/{waiver}/withdraw",
        Op::WithdrawWaiver,
        waiver_decisions::withdraw_waiver,
    ),
    (GET, "/realms/{realm}/waivers", Op::ListWaivers, waiver_decisions::list_waivers),
    (GET, "/realms/{realm}/certificate-requests", Op::FindRequests, requests::find_requests),
    (POST, "/realms/{realm}/certificate-requests", Op::RequestCertificate, issuance::request_certificate),
    (GET, "/realms/{realm}/certificate-requests/{id}", Op::GetRequest, requests::get_request),
    (POST, "/realms/{realm}/certificate-requests/{id}/cancel", Op::CancelRequest, requests::cancel_request),
    (POST, "/realms/{realm}/certificate-requests/{id}/approve", Op::ApproveRequest, approvals::approve_request),
    (POST, "/realms/{realm}/certificate-requests/{id}/reject", Op::RejectRequest, approvals::reject_request),
    (POST, "/realms/{realm}/certificate-requests/{id}/delivery", Op::ConfirmDelivery, delivery::confirm_delivery),
    (GET, "/realms/{realm}/certificates", Op::FindCertificates, certificates::find_certificates),
    (GET, "/realms/{realm}/certificates/{certId}", Op::GetCertificate, certificates::get_certificate),
    (POST, "/realms/{realm}/certificates/{certId}/revoke", Op::RevokeCertificate, revocation::revoke_certificate),
    (
        POST,
        "/realms/{realm}/certificates/{certId}/reinstate",
        Op::ReinstateCertificate,
        revocation::reinstate_certificate,
    ),
    (GET, "/realms/{realm}/certificates/{certId}/renewal-info", Op::GetRenewalInfo, certificates::get_renewal_info),
    (GET, "/realms/{realm}/events", Op::GetEvents, events::get_events),
    (GET, "/audit", Op::QueryAudit, audit::query_audit),
];

/// The router of the API.
pub(crate) fn router(cm: Arc<ReferenceCm>) -> Router {
    let mut router = Router::new();
    for (method, path, operation, handler) in ROUTES {
        let cm = Arc::clone(&cm);
        let (operation, handler) = (*operation, *handler);
        let enter = move |parameters: RawPathParams, request: Request| {
            Box::pin(door::serve(Arc::clone(&cm), operation, handler, Some(parameters), request))
        };
        router = router.route(&format!("/cm/v1{path}"), on(*method, enter));
    }
    let lost = |code: Code, detail: &'static str| {
        move || async move { finish(&new_id("", Moment::now()), Err(Problem::new(code, detail))) }
    };
    router
        .fallback(lost(Code::NotFound, "there is nothing at this path"))
        .method_not_allowed_fallback(lost(Code::MethodNotAllowed, "this path does not know this method"))
}
