//! Events (CM contract section 4.8).

use acme::{
    certificate::CertificateId,
    ids::{OrderId, RegistrationId},
};
use serde::Deserialize;

use super::Broken;
use crate::{Event, EventCursor, Events};

#[derive(Debug, Deserialize)]
pub(in crate::rest) struct EventPageIn {
    items: Vec<EventIn>,
    next: String,
}

#[derive(Debug, Deserialize)]
struct EventIn {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    data: DataIn,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataIn {
    #[serde(default)]
    order_ref: Option<String>,
}

impl EventPageIn {
    pub(in crate::rest) fn convert(self) -> Result<Events, Broken> {
        let next = EventCursor::parse(&self.next);
        let next = next.ok_or_else(|| Broken(String::from("the feed's cursor is no token")))?;
        Ok(Events::Page { events: self.items.iter().filter_map(EventIn::convert).collect(), next })
    }
}

impl EventIn {
    /// `None` for what a newer CM may tell of, and for what we cannot have asked about.
    fn convert(&self) -> Option<Event> {
        let (family, _) = self.kind.split_once('.')?;
        match family {
            "registration" => {
                let version = self.version;
                RegistrationId::parse(&self.subject).ok().map(|id| Event::Registration { id, version })
            }
            "certificate-request" => {
                OrderId::parse(self.data.order_ref.as_deref()?).ok().map(Event::CertificateRequest)
            }
            "certificate" | "renewal-info" => CertificateId::parse(&self.subject).ok().map(Event::Certificate),
            "profile" | "issuer" => Some(Event::Offer),
            "realm" => Some(Event::Realm),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn converted(json: Value) -> Result<Events, Broken> {
        super::super::read::<EventPageIn>(json)?.convert()
    }

    #[test]
    fn each_kind_of_event_is_understood_and_unknown_ones_are_passed_over() {
        let certificate = "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA";
        let event = |kind: &str, subject: &str, data: Value| json!({"type": kind, "subject": subject, "data": data});
        let page = converted(json!({"next": "c3Vyc29yLTk4", "items": [
            event("registration.status", "reg_1", json!({"status": "suspended"})),
            event("certificate-request.approved", "crq_1", json!({"orderRef": "o1"})),
            event("certificate-request.approved", "crq_2", json!({})),
            event("certificate.revoked", certificate, json!({"reason": "superseded"})),
            event("renewal-info.changed", certificate, json!({})),
            event("issuer.changed", "issuing-1", json!({})),
            event("weather.changed", "sunny", json!({})),
        ]}));
        let certificate = CertificateId::parse(certificate).unwrap();
        let events = vec![
            Event::Registration { id: RegistrationId::parse("reg_1").unwrap(), version: None },
            Event::CertificateRequest(OrderId::parse("o1").unwrap()),
            Event::Certificate(certificate.clone()),
            Event::Certificate(certificate),
            Event::Offer,
        ];
        assert_eq!(page, Ok(Events::Page { events, next: EventCursor::parse("c3Vyc29yLTk4").unwrap() }));
    }

    #[test]
    fn a_cursor_that_is_no_token_is_broken() {
        for next in ["", "a&types=x", "a b", &"x".repeat(513)] {
            assert!(converted(json!({"items": [], "next": next})).is_err(), "{next}");
        }
    }
}
