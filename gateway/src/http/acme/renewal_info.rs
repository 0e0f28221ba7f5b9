//! Renewal information (RFC 9773 §4), by GET without an account and by POST-as-GET.

use std::{net::IpAddr, time::Duration};

use acme::{
    certificate::CertificateId,
    wire::renewal_info::{RenewalInfo, SuggestedWindow},
};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    app::{App, Endpoint},
    http::{
        AccountSigned, HttpError, Nothing, Reply,
        authenticate::{app_of, endpoint_of},
    },
    limits::{Asker, Purpose},
    ra::renewal_info::{fresh_for, look_up},
    random,
};

/// When clients ask again if the CM does not say: about four times a day.
const RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);
/// Clients hold it between a minute and a day (RFC 9773 §4.3.2).
const RETRY_AFTER_MIN: Duration = Duration::from_secs(60);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// `GET /acme/{endpoint}/renewal-info/{certificate}`, also with a doubled slash before it: some
/// clients append to URLs by hand.
pub(crate) async fn get(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    let from = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |address| address.ip());
    answer(&app, &endpoint, &path.1, Asker::Address(from, Purpose::RenewalInfo)).await
}

/// `POST /acme/{endpoint}/renewal-info/{certificate}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<Nothing>,
) -> Result<HttpResponse, HttpError> {
    let asker = Asker::Account(&request.endpoint.name, &request.registration.id, Purpose::RenewalInfo);
    answer(&request.app, &request.endpoint, &path.1, asker).await
}

async fn answer(app: &App, endpoint: &Endpoint, text: &str, asker: Asker<'_>) -> Result<HttpResponse, HttpError> {
    let id = CertificateId::parse_ari(text)
        .map_err(|error| HttpError::malformed(format!("the last part of the URL is {error} (RFC 9773 section 4.1)")))?;
    let info = look_up(app, endpoint, &id, asker).await?;
    let again = ask_again(info.retry_after);
    let reply = Reply::ok().retry_after(Some(again)).cacheable(fresh_for(&info).min(again));
    Ok(reply.json(&RenewalInfo {
        suggested_window: SuggestedWindow { start: info.start, end: info.end },
        explanation_url: info.explanation_url,
    }))
}

/// When the CM says; else a fifth more or less, so that clients that asked together do not do so again.
fn ask_again(wanted: Option<Duration>) -> Duration {
    let wanted = wanted.unwrap_or_else(|| RETRY_AFTER.mul_f64(random::between(0.8, 1.2)));
    wanted.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn clients_come_back_when_the_cm_says_or_at_different_times() {
        for (wanted_secs, told_secs) in [(1, 60), (3_600, 3_600), (1_000_000, 86_400)] {
            assert_eq!(ask_again(Some(Duration::from_secs(wanted_secs))), Duration::from_secs(told_secs));
        }
        let times: BTreeSet<_> = std::iter::repeat_with(|| ask_again(None)).take(100).collect();
        assert!(times.len() > 50, "{times:?}");
        assert!(times.iter().all(|time| (17_280..=25_920).contains(&time.as_secs())), "{times:?}");
    }
}
