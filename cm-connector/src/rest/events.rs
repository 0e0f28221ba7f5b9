//! The feed of events, by long polls in a lane of their own (CM contract section 4.8).

use std::time::Duration;

use acme::ids::RealmName;

use super::{
    RestCertificateManager, WAIT_SECS_MAX,
    call::{Call, decode},
    failure::Failure,
    refusal::{Code, Subject},
    wire::event::EventPageIn,
};
use crate::{
    CmError, EventCursor, Events,
    transport::{deadline::Deadline, lane::Lane},
};

/// What happened in a realm since the cursor; without one, where its feed is now.
pub(super) async fn events(
    cm: &RestCertificateManager,
    realm: &RealmName,
    after: Option<&EventCursor>,
    wait: Duration,
) -> Result<Events, CmError> {
    let after = after.map_or("now", EventCursor::as_str).to_owned();
    let mut call = Call::read(Lane::Events, format!("/realms/{realm}/events"), Some(("after", after)));
    call.deadline = Deadline::EVENTS;
    if !wait.is_zero() {
        call.headers.push(("prefer", format!("wait={}", wait.as_secs().min(WAIT_SECS_MAX))));
    }
    let page = cm.client.send(&call).await.and_then(|answer| decode::<EventPageIn>(answer.json));
    match page.and_then(|page| page.convert().map_err(Failure::Broken)) {
        Ok(events) => Ok(events),
        Err(failure) if failure.is(Code::CursorExpired) => Ok(Events::CursorExpired),
        Err(failure) => Err(failure.into_error(Subject::Configuration)),
    }
}
