//! Registrations without activity: nobody bound a key to them, and no certificate was issued.

use std::collections::BTreeMap;

use acme::time::Timestamp;
use serde_json::json;

use super::{
    Report, counted,
    record::{Issued, Registered, Registry},
};

/// Those that could be used and have not been since `since`. `certificates` are those issued from `known_from` on.
pub(crate) fn inactive(
    registry: &Registry,
    certificates: &[Issued],
    since: Timestamp,
    known_from: Timestamp,
    now: Timestamp,
) -> Report {
    let (certified, children) = (latest(registry, certificates), latest_children(registry));
    let mut rows: Vec<(Option<Timestamp>, &Registered)> = Vec::new();
    for one in registry.values().filter(|one| !matches!(one.status.as_str(), "deactivated" | "revoked")) {
        let born = children.get(one.id.as_str()).copied().flatten();
        let seen = certified.get(one.id.as_str()).copied().max(one.bound_at).max(born);
        if seen.max(one.created_at).is_none_or(|seen| seen < since) {
            rows.push((seen, one));
        }
    }
    rows.sort_by(|(seen, one), (other_seen, other)| (seen, &one.id).cmp(&(other_seen, &other.id)));
    let totals = counted(rows.iter().map(|(seen, one)| match (seen, one.status.as_str()) {
        (None, "pending") => "never bound",
        (_, status) => status,
    }));
    let row = |(seen, one): &(Option<Timestamp>, &Registered)| {
        vec![
            json!(one.id),
            json!(one.status),
            json!(one.owner),
            json!(one.created_at),
            json!(one.bound_at),
            json!(certified.get(one.id.as_str())),
            json!(seen),
        ]
    };
    Report {
        name: "inactive",
        title: format!("Registrations without activity since {since}"),
        made_at: now,
        columns: &["registration", "status", "owner", "created_at", "bound_at", "last_certificate_at", "last_seen_at"],
        rows: rows.iter().map(row).collect(),
        totals,
        notes: vec![format!("Certificates issued before {known_from} were not looked at.")],
    }
}

/// When each parent last got a child, or a child of it another key.
fn latest_children(registry: &Registry) -> BTreeMap<&str, Option<Timestamp>> {
    let mut latest: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
    for child in registry.values() {
        if let Some(parent) = &child.parent {
            let at = latest.entry(parent).or_default();
            *at = child.created_at.max(child.bound_at).max(*at);
        }
    }
    latest
}

/// When each registration got its latest certificate; one of a child counts for its parent too.
fn latest<'a>(registry: &'a Registry, certificates: &'a [Issued]) -> BTreeMap<&'a str, Timestamp> {
    let mut latest: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for one in certificates {
        let parent = registry.get(&one.registration).and_then(|child| child.parent.as_deref());
        for id in std::iter::once(one.registration.as_str()).chain(parent) {
            let at = latest.entry(id).or_insert(one.issued_at);
            *at = one.issued_at.max(*at);
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_unix_secs(day * 86_400)
    }

    fn registered(id: &str, status: &str, created: i64, bound: Option<i64>, parent: Option<&str>) -> Registered {
        Registered {
            id: id.to_owned(),
            status: status.to_owned(),
            owner: "o".to_owned(),
            parent: parent.map(str::to_owned),
            created_at: Some(at(created)),
            bound_at: bound.map(at),
        }
    }

    fn certificate(registration: &str, day: i64) -> Issued {
        Issued {
            id: "c".to_owned(),
            status: "good".to_owned(),
            registration: registration.to_owned(),
            profile: String::new(),
            serial: String::new(),
            names: Vec::new(),
            issued_at: at(day),
            not_after: at(day + 90),
            revoked_at: None,
        }
    }

    #[test]
    fn activity_is_binding_and_certificates_also_of_children() {
        let all = [
            registered("new", "pending", 95, None, None),
            registered("never", "pending", 1, None, None),
            registered("bound", "active", 1, Some(95), None),
            registered("quiet", "active", 1, Some(2), None),
            registered("busy", "active", 1, Some(2), None),
            registered("suspended", "suspended", 1, Some(2), None),
            registered("ended", "revoked", 1, Some(2), None),
            registered("template", "pending", 1, None, None),
            registered("child", "active", 3, Some(3), Some("template")),
        ];
        let registry: Registry = all.into_iter().map(|one| (one.id.clone(), one)).collect();
        let report = inactive(&registry, &[certificate("busy", 91), certificate("child", 92)], at(90), at(0), at(100));
        let ids: Vec<_> = report.rows.iter().map(|row| row.first().unwrap().as_str().unwrap()).collect();
        assert_eq!(ids, ["never", "quiet", "suspended"]);
        assert_eq!(report.totals.get("never bound"), Some(&1));
        let without = inactive(&registry, &[certificate("busy", 91)], at(90), at(0), at(100));
        assert_eq!(without.rows.len(), 5, "neither the child nor its template did anything: {without:?}");
    }
}
