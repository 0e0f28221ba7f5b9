//! What the clients were told against what stands in OpenBao's list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Map, Value, json};
use tests::{
    client::chain,
    load::{
        ledger::{Account, Order, Stage},
        reckoning::Books,
    },
};

/// Certificates of a realm by their serials, with their names.
type List = BTreeMap<String, BTreeSet<String>>;

/// The result of a run.
pub(crate) struct Sums {
    pub(crate) orders: usize,
    valid: usize,
    invalid: usize,
    certificates: usize,
    /// Requests that were told to come again, and final refusals, by their kinds.
    refusals: BTreeMap<String, u64>,
    findings: Vec<String>,
}

impl Sums {
    pub(crate) fn of(accounts: &[Account], open: &List, registered: &List) -> Self {
        let list: List = open.iter().chain(registered).map(|(serial, names)| (serial.clone(), names.clone())).collect();
        let orders: Vec<&Order> = accounts.iter().flat_map(|account| &account.orders).collect();
        let mut findings: Vec<String> =
            accounts.iter().flat_map(|account| &account.findings).map(ToString::to_string).collect();
        findings.extend(Books::default().compare(&books(&orders, &list), accounts).iter().map(ToString::to_string));
        let mut refusals = BTreeMap::new();
        for (kind, count) in accounts.iter().flat_map(|account| &account.refusals) {
            *refusals.entry(kind.clone()).or_default() += count;
            if kind.contains("no problem document") || kind.contains("without Retry-After") {
                findings.push(format!("{count} refusals were no honest ones: {kind}"));
            }
        }
        findings.extend(orders.iter().filter_map(|order| not_listed(order, &list)));
        let count = |stage: Stage| orders.iter().filter(|order| order.stage == stage).count();
        Self {
            orders: orders.len(),
            valid: count(Stage::Valid),
            invalid: count(Stage::Invalid),
            certificates: list.len(),
            refusals,
            findings,
        }
    }

    /// What is not as it was promised.
    pub(crate) fn findings(&self) -> &[String] {
        &self.findings
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, valid, invalid, certificates, refusals, findings } = self;
        let refusals: Vec<_> = refusals.iter().map(|(kind, count)| format!("{count} times {kind}")).collect();
        let refusals = if refusals.is_empty() { String::from("never") } else { refusals.join(", ") };
        write!(
            out,
            "{orders} orders, {valid} valid, {invalid} invalid with a reason, {certificates} certificates in OpenBao's list, {} findings; \
             clients were sent away: {refusals}",
            findings.len()
        )
    }
}

/// OpenBao's list in the form of books: who a certificate is for is told by its names, of which each order has its own.
fn books(orders: &[&Order], list: &List) -> Value {
    let by_name: BTreeMap<_, _> =
        orders.iter().flat_map(|order| order.names.iter().map(|name| (name.as_str(), order.reference()))).collect();
    let mut counts = Map::new();
    for names in list.values() {
        let name = names.first().map_or("a certificate without names", String::as_str);
        let reference = by_name.get(name).copied().unwrap_or(name).to_owned();
        let before = counts.get(&reference).and_then(Value::as_u64).unwrap_or(0);
        let _before = counts.insert(reference, json!(before + 1));
    }
    json!({"certificatesByOrderRef": counts})
}

/// A certificate that was downloaded and is not the one in the list.
fn not_listed(order: &Order, list: &List) -> Option<String> {
    if order.stage != Stage::Valid {
        return None;
    }
    let Some(certificate) = &order.certificate else { return Some(format!("{} has no download", order.url)) };
    let leaf = chain(&certificate.pem).remove(0);
    let serial = leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_lowercase();
    let wanted: BTreeSet<String> = order.names.iter().cloned().collect();
    let is_listed = list.get(&serial) == Some(&wanted);
    (!is_listed).then(|| format!("{} has certificate {serial}, which is not in OpenBao's list for it", order.url))
}

#[test]
fn a_second_certificate_one_for_a_refusal_and_one_of_nobody_are_found() {
    use tests::key::Key;
    let list = |names: &[&str]| -> List {
        let entry = |(number, name): (usize, &&str)| (format!("{number:02x}"), BTreeSet::from([(*name).to_owned()]));
        names.iter().enumerate().map(entry).collect()
    };
    let found = |stage: Stage, names: &[&str]| {
        let order = Order::new("https://localhost/acme/open/order/o1".to_owned(), &["a.test".to_owned()]);
        let mut account = Account::new("open", Key::p256());
        account.orders.push(Order { stage, ..order });
        Sums::of(&[account], &list(names), &List::new()).findings().to_vec()
    };
    assert_eq!(found(Stage::Invalid, &[]), Vec::<String>::new());
    for (stage, names, words) in [
        (Stage::Valid, &["a.test", "a.test"][..], "has 2 certificates"),
        (Stage::Invalid, &["a.test"], "has issued for it"),
        (Stage::Invalid, &["b.test"], "no client knows it"),
        (Stage::Valid, &[], "stands in no book"),
        (Stage::Valid, &["a.test"], "has no download"),
    ] {
        let findings = found(stage, names);
        assert!(findings.iter().any(|finding| finding.contains(words)), "{stage:?} {names:?}: {findings:?}");
    }
}
