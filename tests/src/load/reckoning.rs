//! After a round: what each client was told, against what the gateway says now and what stands in the books of the CM.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    client::revocation_of,
    hand::{Hand, Stuck, kind},
    ledger::{Account, Breach, Certificate, Finding, Order, Revocation, Stage},
};

/// Asks the gateway again for everything that the client was told, by a hand that remembers nothing.
pub fn ask_again(account: &mut Account, mut hand: Hand) {
    let Some(url) = account.url.clone() else { return };
    hand.kid = Some(url.clone());
    let orders = std::mem::take(&mut account.orders);
    let asked = ask_about_account(account, &mut hand, &url)
        .and_then(|()| orders.iter().try_for_each(|order| ask_about_order(account, &mut hand, order)));
    if asked.is_err() {
        account.breach(Breach::Missing, format!("{url}: no answer after the round"));
    }
    account.orders = orders;
}

fn ask_about_account(account: &mut Account, hand: &mut Hand, url: &str) -> Result<(), Stuck> {
    let found = hand.new_account(&json!({"onlyReturnExisting": true}))?;
    if found.status != 200 || found.header("location") != Some(url) {
        account.breach(Breach::Missing, format!("{url} is not found by its key: {found:?}"));
        return Ok(());
    }
    let contact = found.json()["contact"].to_string();
    if account.contact.as_ref().is_some_and(|acknowledged| *acknowledged != contact) {
        account.breach(Breach::Missing, format!("{url} has the contact {contact}, not {:?}", account.contact));
    }
    Ok(())
}

fn ask_about_order(account: &mut Account, hand: &mut Hand, order: &Order) -> Result<(), Stuck> {
    let now = hand.read(&order.url)?;
    let stage = if now.status == 200 { now.json()["status"].as_str().and_then(Stage::of) } else { None };
    if stage.is_none_or(|stage| !order.stage.may_become(stage)) {
        account.breach(Breach::Missing, format!("{} was {:?}, and now: {now:?}", order.url, order.stage));
    }
    match &order.certificate {
        Some(certificate) => ask_about_certificate(account, hand, certificate),
        None => Ok(()),
    }
}

fn ask_about_certificate(account: &mut Account, hand: &mut Hand, certificate: &Certificate) -> Result<(), Stuck> {
    let again = hand.read(&certificate.url)?;
    if again.status != 200 || again.text() != certificate.pem {
        account.breach(Breach::Missing, format!("{} is not what it was: {again:?}", certificate.url));
    }
    // What was only promised must have come true without being asked for again.
    if certificate.revocation == Revocation::Confirmed {
        let url = hand.url("revoke-cert");
        let response = hand.post(&url, &revocation_of(&certificate.pem))?;
        if kind(&response) != "alreadyRevoked" {
            account.breach(Breach::Missing, format!("{} was revoked, and now: {response:?}", certificate.url));
        }
    }
    Ok(())
}

/// Compares the books of the CM with what clients were told, in parts: the accounts that came last are compared, and
/// what nobody knows by then is found.
#[derive(Default)]
pub struct Books {
    /// Orders that a client knows, or that were found to be nobody's.
    known: BTreeSet<String>,
}

impl Books {
    /// Compares these accounts, which the books are to be compared with for the first time.
    ///
    /// The books are JSON: `certificatesByOrderRef` and `revokedByOrderRef` count by what [`Order::reference`] says.
    pub fn compare(&mut self, books: &Value, accounts: &[Account]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for order in accounts.iter().flat_map(|account| &account.orders) {
            self.known.insert(order.reference().to_owned());
            findings.extend(compare_order(books, order).map(|(breach, words)| Finding { breach, words }));
        }
        for (reference, count) in books["certificatesByOrderRef"].as_object().into_iter().flatten() {
            if self.known.insert(reference.clone()) {
                let words = format!("order {reference} has {count} certificates, and no client knows it");
                findings.push(Finding { breach: Breach::Lost, words });
            }
        }
        findings
    }
}

/// Whether the books say that every revocation is made that a client was promised and did not wait for.
#[must_use]
pub fn are_promises_kept(books: &Value, accounts: &[Account]) -> bool {
    let is_promised = |order: &&Order| {
        order.certificate.as_ref().is_some_and(|certificate| certificate.revocation == Revocation::Promised)
    };
    let mut promised = accounts.iter().flat_map(|account| &account.orders).filter(is_promised);
    promised.all(|order| books["revokedByOrderRef"][order.reference()].as_u64().unwrap_or(0) > 0)
}

fn compare_order(books: &Value, order: &Order) -> Option<(Breach, String)> {
    let count = |page: &str| books[page][order.reference()].as_u64().unwrap_or(0);
    let (url, stage, issued) = (&order.url, order.stage, count("certificatesByOrderRef"));
    let revocation = order.certificate.as_ref().map_or(Revocation::None, |certificate| certificate.revocation);
    match stage {
        _ if issued > 1 => Some((Breach::Twice, format!("{url} has {issued} certificates"))),
        Stage::Valid if issued == 0 => Some((Breach::Missing, format!("{url} is valid and stands in no book"))),
        Stage::Valid if revocation != Revocation::None && count("revokedByOrderRef") == 0 => {
            let words = format!("the revocation of the certificate of {url} was {revocation:?} and stands in no book");
            Some((Breach::Missing, words))
        }
        Stage::Valid => None,
        Stage::Processing => Some((Breach::Lost, format!("{url} is still in processing"))),
        Stage::Pending | Stage::Ready | Stage::Invalid if issued > 0 => {
            Some((Breach::Lost, format!("{url} is {stage:?}, and the CM has issued for it")))
        }
        // That it did not end was found when its client gave up.
        Stage::Pending | Stage::Ready | Stage::Invalid => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::key::Key;

    use super::*;

    fn account(stage: Stage, revocation: Option<Revocation>) -> Account {
        let certificate =
            revocation.map(|revocation| Certificate { url: String::new(), pem: String::new(), revocation });
        let order = Order { stage, certificate, ..Order::new("https://localhost/acme/open/order/o1".to_owned(), &[]) };
        Account { orders: vec![order], ..Account::new("open", Key::p256()) }
    }

    fn breaches(books: &Value, account: Account) -> Vec<Breach> {
        Books::default().compare(books, &[account]).into_iter().map(|finding| finding.breach).collect()
    }

    #[test]
    fn every_difference_between_books_and_clients_is_found() {
        let issued = |count: u64| json!({"certificatesByOrderRef": {"o1": count}});
        let revoked = json!({"certificatesByOrderRef": {"o1": 1}, "revokedByOrderRef": {"o1": 1}});
        let table = [
            (issued(1), account(Stage::Valid, Some(Revocation::None)), vec![]),
            (revoked, account(Stage::Valid, Some(Revocation::Confirmed)), vec![]),
            (issued(1), account(Stage::Valid, Some(Revocation::Confirmed)), vec![Breach::Missing]),
            (issued(1), account(Stage::Valid, Some(Revocation::Promised)), vec![Breach::Missing]),
            (issued(2), account(Stage::Valid, Some(Revocation::None)), vec![Breach::Twice]),
            (json!({}), account(Stage::Valid, Some(Revocation::None)), vec![Breach::Missing]),
            (json!({}), account(Stage::Invalid, None), vec![]),
            (issued(1), account(Stage::Invalid, None), vec![Breach::Lost]),
            (json!({}), account(Stage::Processing, None), vec![Breach::Lost]),
            (issued(1), account(Stage::Ready, None), vec![Breach::Lost]),
            (json!({"certificatesByOrderRef": {"o2": 1}}), account(Stage::Invalid, None), vec![Breach::Lost]),
        ];
        for (books, account, expected) in table {
            assert_eq!(breaches(&books, account), expected, "{books}");
        }
    }
}
