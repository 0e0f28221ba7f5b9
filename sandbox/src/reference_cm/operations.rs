//! The operations of the contract and the one table of who may do what (section 2).
//!
//! An operation is entered if the caller's role has one of its rights; where an operation stands
//! for several lines of the contract's table, its handler asks for the exact right.

use super::identity::Role;

/// A line of the role table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// info, whoami, health, CA information, profiles.
    ReadService,
    /// Create a registration in open mode.
    CreateOpen,
    /// Pre-register; new EAB secret, rebinding, directory link.
    Preregister,
    /// Bind an account key by EAB or directory link.
    Bind,
    /// Read one registration, look up by key or kid.
    ReadRegistration,
    /// List and search registrations.
    SearchRegistrations,
    /// Contacts, key change, deactivation: what the account holder asks for.
    ActForAccount,
    /// Policy members; suspend, resume, revoke.
    GovernRegistration,
    /// Waiver: propose.
    ProposeWaiver,
    /// Waiver: approve, reject.
    DecideWaiver,
    /// Waiver: withdraw.
    WithdrawWaiver,
    /// Waivers: read all.
    ReadWaivers,
    /// Certificate request: create, cancel, confirm delivery.
    RequestCertificate,
    /// Certificate request: read.
    ReadRequest,
    /// Certificate request: approve, reject.
    DecideRequest,
    /// Certificate: read, chain, renewal information, search by order, key or fingerprint.
    ReadCertificate,
    /// Certificate: any search.
    SearchCertificates,
    /// Revoke with the reasons that ACME knows.
    Revoke,
    /// Revoke with every reason; reinstate from hold.
    RevokeAsOfficer,
    /// The event feed.
    ReadEvents,
    /// The audit trail.
    ReadAudit,
}

impl Right {
    /// The role table of contract section 2.
    pub(crate) fn is_held_by(self, role: Role) -> bool {
        use Role::{Approver, Auditor, Gateway, Officer};
        let holders: &[Role] = match self {
            Self::ReadService
            | Self::ReadRegistration
            | Self::ReadRequest
            | Self::ReadCertificate
            | Self::ReadEvents => &[Gateway, Officer, Approver, Auditor],
            Self::SearchRegistrations | Self::ReadWaivers | Self::SearchCertificates => &[Officer, Approver, Auditor],
            Self::CreateOpen | Self::Bind | Self::ActForAccount | Self::RequestCertificate => &[Gateway],
            Self::Preregister | Self::GovernRegistration | Self::ProposeWaiver | Self::RevokeAsOfficer => &[Officer],
            Self::WithdrawWaiver => &[Officer, Approver],
            Self::Revoke => &[Gateway, Officer],
            Self::DecideWaiver | Self::DecideRequest => &[Approver],
            Self::ReadAudit => &[Auditor],
        };
        holders.contains(&role)
    }
}

macro_rules! operations {
    ($($variant:ident => $name:literal, [$($right:ident),+], $writes:literal;)*) => {
        /// An operation of the contract, named like its operationId.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Operation {
            $(#[doc = $name] $variant,)*
        }

        impl Operation {
            /// Every operation.
            pub(crate) const ALL: &'static [Operation] = &[$(Operation::$variant,)*];

            /// The operationId.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Operation::$variant => $name,)* }
            }

            /// The rights of which one is needed to enter.
            pub(crate) fn rights(self) -> &'static [Right] {
                match self { $(Operation::$variant => &[$(Right::$right,)+],)* }
            }

            /// Whether it changes anything, so that refusals of it are audited.
            pub(crate) fn writes(self) -> bool {
                match self { $(Operation::$variant => $writes,)* }
            }
        }
    };
}

operations! {
    GetInfo => "getInfo", [ReadService], false;
    Whoami => "whoami", [ReadService], false;
    Live => "live", [ReadService], false;
    Ready => "ready", [ReadService], false;
    ListIssuers => "listIssuers", [ReadService], false;
    GetIssuer => "getIssuer", [ReadService], false;
    GetChain => "getChain", [ReadService], false;
    GetRealm => "getRealm", [ReadService], false;
    ListProfiles => "listProfiles", [ReadService], false;
    GetProfile => "getProfile", [ReadService], false;
    FindRegistrations => "findRegistrations", [ReadRegistration], false;
    CreateRegistration => "createRegistration", [CreateOpen, Preregister], true;
    BindRegistration => "bindRegistration", [Bind], true;
    GetRegistration => "getRegistration", [ReadRegistration], false;
    UpdateRegistration => "updateRegistration", [ActForAccount, GovernRegistration], true;
    SetRegistrationStatus => "setRegistrationStatus", [ActForAccount, GovernRegistration], true;
    ChangeKey => "changeKey", [ActForAccount], true;
    NewEabSecret => "newEabSecret", [Preregister], true;
    NewDirectoryLink => "newDirectoryLink", [Preregister], true;
    RemoveDirectoryLink => "removeDirectoryLink", [Preregister], true;
    ListWaiversOfRegistration => "listWaiversOfRegistration", [ReadWaivers], false;
    ProposeWaiver => "proposeWaiver", [ProposeWaiver], true;
    ApproveWaiver => "approveWaiver", [DecideWaiver], true;
    RejectWaiver => "rejectWaiver", [DecideWaiver], true;
    WithdrawWaiver => "withdrawWaiver", [WithdrawWaiver], true;
    ListWaivers => "listWaivers", [ReadWaivers], false;
    FindRequests => "findRequests", [ReadRequest], false;
    RequestCertificate => "requestCertificate", [RequestCertificate], true;
    GetRequest => "getRequest", [ReadRequest], false;
    CancelRequest => "cancelRequest", [RequestCertificate], true;
    ApproveRequest => "approveRequest", [DecideRequest], true;
    RejectRequest => "rejectRequest", [DecideRequest], true;
    ConfirmDelivery => "confirmDelivery", [RequestCertificate], true;
    FindCertificates => "findCertificates", [ReadCertificate], false;
    GetCertificate => "getCertificate", [ReadCertificate], false;
    RevokeCertificate => "revokeCertificate", [Revoke], true;
    ReinstateCertificate => "reinstateCertificate", [RevokeAsOfficer], true;
    GetRenewalInfo => "getRenewalInfo", [ReadCertificate], false;
    GetEvents => "getEvents", [ReadEvents], false;
    QueryAudit => "queryAudit", [ReadAudit], false;
}

impl Operation {
    /// Whether this role may enter the operation at all.
    pub(crate) fn may_be_entered_by(self, role: Role) -> bool {
        self.rights().iter().any(|right| right.is_held_by(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of contract section 2, typed in a second time: gateway, officer, approver, auditor.
    const CONTRACT: &[(Operation, [bool; 4])] = &[
        (Operation::GetInfo, [true, true, true, true]),
        (Operation::Whoami, [true, true, true, true]),
        (Operation::Live, [true, true, true, true]),
        (Operation::Ready, [true, true, true, true]),
        (Operation::ListIssuers, [true, true, true, true]),
        (Operation::GetIssuer, [true, true, true, true]),
        (Operation::GetChain, [true, true, true, true]),
        (Operation::GetRealm, [true, true, true, true]),
        (Operation::ListProfiles, [true, true, true, true]),
        (Operation::GetProfile, [true, true, true, true]),
        (Operation::FindRegistrations, [true, true, true, true]),
        (Operation::CreateRegistration, [true, true, false, false]),
        (Operation::BindRegistration, [true, false, false, false]),
        (Operation::GetRegistration, [true, true, true, true]),
        (Operation::UpdateRegistration, [true, true, false, false]),
        (Operation::SetRegistrationStatus, [true, true, false, false]),
        (Operation::ChangeKey, [true, false, false, false]),
        (Operation::NewEabSecret, [false, true, false, false]),
        (Operation::NewDirectoryLink, [false, true, false, false]),
        (Operation::RemoveDirectoryLink, [false, true, false, false]),
        (Operation::ListWaiversOfRegistration, [false, true, true, true]),
        (Operation::ProposeWaiver, [false, true, false, false]),
        (Operation::ApproveWaiver, [false, false, true, false]),
        (Operation::RejectWaiver, [false, false, true, false]),
        (Operation::WithdrawWaiver, [false, true, true, false]),
        (Operation::ListWaivers, [false, true, true, true]),
        (Operation::FindRequests, [true, true, true, true]),
        (Operation::RequestCertificate, [true, false, false, false]),
        (Operation::GetRequest, [true, true, true, true]),
        (Operation::CancelRequest, [true, false, false, false]),
        (Operation::ApproveRequest, [false, false, true, false]),
        (Operation::RejectRequest, [false, false, true, false]),
        (Operation::ConfirmDelivery, [true, false, false, false]),
        (Operation::FindCertificates, [true, true, true, true]),
        (Operation::GetCertificate, [true, true, true, true]),
        (Operation::RevokeCertificate, [true, true, false, false]),
        (Operation::ReinstateCertificate, [false, true, false, false]),
        (Operation::GetRenewalInfo, [true, true, true, true]),
        (Operation::GetEvents, [true, true, true, true]),
        (Operation::QueryAudit, [false, false, false, true]),
    ];

    #[test]
    fn every_role_enters_exactly_the_operations_of_the_contract() {
        assert_eq!(CONTRACT.len(), Operation::ALL.len());
        for (operation, expected) in CONTRACT {
            for (role, expected) in Role::ALL.iter().zip(expected) {
                assert_eq!(operation.may_be_entered_by(*role), *expected, "{} by {}", operation.name(), role.name());
            }
        }
    }

    #[test]
    fn only_officers_use_every_reason_and_only_others_than_gateways_search_freely() {
        assert!(!Right::RevokeAsOfficer.is_held_by(Role::Gateway));
        assert!(Right::RevokeAsOfficer.is_held_by(Role::Officer));
        assert!(!Right::SearchCertificates.is_held_by(Role::Gateway));
        assert!(!Right::SearchRegistrations.is_held_by(Role::Gateway));
        assert!(!Right::CreateOpen.is_held_by(Role::Officer));
        assert!(!Right::Preregister.is_held_by(Role::Gateway));
    }
}
