//! Whether an order may still have a certificate: what has changed since it was finalized.

use acme::{
    authorization::Authorization,
    order::Order,
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
    time::Timestamp,
};
use policies::authority::{may_have, may_prove};
use store::{ReadError, Stored, Submission};

use super::Issuance;
use crate::{
    app::App,
    clock,
    ra::{self, waiver},
    workers::cm_watch::look_at_clock,
};

/// The registration may have been suspended, its list narrowed, its profile withdrawn or its certificates shortened
/// since finalize, or its key be another. While the CM is away its last word holds: it judges again when the request arrives.
pub(super) async fn refused_meanwhile(app: &App, issuance: &Issuance) -> Option<Problem> {
    let (realm, order) = (&issuance.realm, &issuance.order.value);
    let Some(registration) = app.registrations.registration(realm, &order.account).await.ok()? else {
        return Some(Problem::new(ProblemKind::AccountDoesNotExist, "this account does not exist any more"));
    };
    if registration.status == RegistrationStatus::Active
        && let Some(problem) = signed_by_an_old_key(issuance, &registration)
    {
        return Some(problem);
    }
    // After a start nobody knows what is on offer until the CM was reached.
    let Ok(offer) = app.catalogue.offer(realm) else {
        return order.identifiers.iter().find_map(|name| may_prove(name, &registration, None).err());
    };
    let (most, now) = (app.settings.orders.identifiers_max, app.cm_condition.time(clock::now()));
    may_have(order, &registration, &offer.profiles, most, now).err()
}

/// The CM takes a request only on the word of the key that the account has when it arrives (CM contract section 4.4).
/// One that was finalized before a key change and arrives after it is nobody's fault; one that was finalized by a key
/// which an officer has withdrawn since may be a thief's, and not every CM looks at proofs.
fn signed_by_an_old_key(issuance: &Issuance, registration: &Registration) -> Option<Problem> {
    let signed_by = issuance.signed_by?;
    let detail = "the key of the account was changed before the certificate authority had the request, which the \
                  old key had signed; create a new order";
    let is_bound = registration.key.as_ref().is_some_and(|key| key.thumbprint == signed_by);
    (!is_bound).then(|| Problem::new(ProblemKind::Unauthorized, detail))
}

/// The same where the CM takes no request, and we may not have heard of a change of the key: it may have been made by
/// way of another node.
pub(super) async fn key_changed_unseen(app: &App, issuance: &Issuance) -> Option<Problem> {
    let account = &issuance.order.value.account;
    app.registrations.invalidate(account);
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    signed_by_an_old_key(issuance, &registration)
}

/// What an order rests on, as it is now.
pub(super) struct Grounds(pub(super) Vec<Stored<Authorization>>);

impl Grounds {
    pub(super) async fn of(app: &App, order: &Order) -> Result<Self, ReadError> {
        Ok(Self(app.store.authorizations(&order.authorizations).await?))
    }

    /// Nothing is issued on a proof that its account has given up (RFC 8555 §7.5.2), nor on one that
    /// the CM did not take.
    pub(super) fn withdrawn(&self, order: &Order) -> Option<Problem> {
        let authorizations: Vec<_> = self.0.iter().map(|stored| stored.value.clone()).collect();
        order.withdrawn(&authorizations, clock::now())
    }

    /// Why nothing may be issued on these grounds any more: a proof is gone, or a waiver is not in force. While the CM is
    /// away its last word on waivers holds: it judges again when the request arrives.
    pub(super) async fn gone(&self, app: &App, issuance: &Issuance) -> Option<Problem> {
        let order = &issuance.order.value;
        if let Some(problem) = self.withdrawn(order) {
            return Some(problem);
        }
        let facts: Vec<_> = self.0.iter().map(|stored| stored.value.clone()).collect();
        if facts.iter().all(|authorization| authorization.waived().is_none()) {
            return None;
        }
        let registration = app.registrations.registration(&issuance.realm, &order.account).await.ok()??;
        let mut told = Vec::new();
        let account = (&issuance.realm, &*registration);
        let checked = waiver::check(app, account, (order, &facts), None, &mut told, clock::now());
        told.into_iter().for_each(|entry| issuance.tale.add(entry));
        match checked {
            Err(ra::Error::Refused(refusal)) if refusal.retry_after.is_none() => Some(refusal.problem),
            Ok(()) | Err(_) => None,
        }
    }

    /// When control was proven last, or waived.
    pub(super) fn newest_proof(&self) -> Option<Timestamp> {
        let at = |authorization: &Authorization| match authorization.proof() {
            Some((_, evidence)) => Some(evidence.at),
            None => authorization.waived().map(|(at, _)| at),
        };
        self.0.iter().filter_map(|stored| at(&stored.value)).max()
    }
}

/// An account that has ended, or that lost its key to an officer, waits for no certificate (RFC 8555 §7.3.6, CM
/// contract sections 4.3 and 4.4). One that is suspended may come back; and while CM or store cannot be asked, nothing is given up.
pub(super) async fn given_up(app: &App, issuance: &Issuance) -> Option<Problem> {
    let order = &issuance.order.value;
    if let Ok(grounds) = Grounds::of(app, order).await
        && let Some(problem) = grounds.withdrawn(order)
    {
        return Some(problem);
    }
    let account = &issuance.order.value.account;
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    match registration.status {
        RegistrationStatus::Active | RegistrationStatus::Suspended => None,
        // It had a key when the order was made, so an officer has taken it away.
        RegistrationStatus::Pending => {
            let detail = "the registration authority has withdrawn the account key that this order was made with; \
                          create a new order";
            Some(Problem::new(ProblemKind::Unauthorized, detail))
        }
        RegistrationStatus::Deactivated | RegistrationStatus::Revoked => {
            policies::registration::may_order(registration.status).err()
        }
    }
}

/// Whether the CM may have refused evidence because its clock is behind ours: it does not believe what lies too far in
/// its future (CM contract section 8, clock skew). Its clock is looked at for that.
pub(super) async fn refused_by_a_clock_behind(app: &App, issuance: &Issuance) -> anyhow::Result<bool> {
    let sent = match issuance.submission {
        Submission::NotSent => clock::now(),
        Submission::MayHaveBeenSent { since } | Submission::Accepted { since, .. } => since,
    };
    look_at_clock(app).await;
    let newest = Grounds::of(app, &issuance.order.value).await?.newest_proof();
    Ok(newest.is_some_and(|newest| !app.cm_condition.until_believed(newest, sent).is_zero()))
}
