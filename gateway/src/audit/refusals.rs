//! What is refused without an event of its own: it is counted, and told once a minute, so that whoever sends garbage fills no
//! disk and is in the trail all the same.

use std::collections::BTreeMap;

use acme::time::Timestamp;

use super::{Event, has_room, record};
use crate::{app::App, clock};

/// What was told so far.
#[derive(Default)]
pub(super) struct Told {
    since: Option<Timestamp>,
    problems: BTreeMap<String, u64>,
    limits: BTreeMap<String, u64>,
}

/// Tells what was refused since the last time, if anything was, and events may wait.
pub(crate) async fn tell(app: &App) {
    if !has_room(app) {
        return;
    }
    let (now, mut told) = (clock::now(), app.audit.refusals().await);
    let (problems, limits) = (app.metrics.problems_by_type(), app.metrics.refusals_by_limit());
    let (new_problems, new_limits) = (risen(&told.problems, &problems), risen(&told.limits, &limits));
    let since = told.since.replace(now).unwrap_or(now);
    (told.problems, told.limits) = (problems, limits);
    drop(told);
    if !new_problems.is_empty() || !new_limits.is_empty() {
        let event = Event::RequestsRefused { since, problems: &new_problems, limits: &new_limits };
        record(app, now, &event).await;
    }
}

/// By how much each number has grown that has.
fn risen(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let grown = now.iter().map(|(name, count)| {
        let earlier = before.get(name).copied().unwrap_or(0);
        (name.clone(), count.saturating_sub(earlier))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use acme::problem::ProblemKind;

    use super::*;
    use crate::testing::Gateway;

    #[tokio::test]
    async fn what_was_refused_is_told_once_and_only_if_there_was_something() {
        let gateway = Gateway::new().await;
        tell(&gateway.app).await;
        assert_eq!(gateway.audited().await, [""; 0]);
        for kind in [ProblemKind::Malformed, ProblemKind::Malformed, ProblemKind::BadNonce] {
            gateway.app.metrics.problem(kind);
        }
        gateway.app.metrics.limit("new_orders_per_account").refused.inc();
        tell(&gateway.app).await;
        tell(&gateway.app).await;
        let events = gateway.app.store.audit_entries(10).await.unwrap();
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(event.body["problems"], serde_json::json!({"malformed": 2, "badNonce": 1}));
        assert_eq!(event.body["limits"], serde_json::json!({"new_orders_per_account": 1}));
    }
}
