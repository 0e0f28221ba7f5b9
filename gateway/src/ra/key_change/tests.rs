//! Key changes: what they change, what they leave alone, and what is believed when an answer is lost.

use acme::{account_key::Curve, challenge::ChallengeState, registration::RegistrationStatus};
use cm_connector::Outcome;

use super::*;
use crate::{
    clock, ra,
    testing::{self, Fault, Gateway, Moment, Operation, away, new_csr, new_key, told},
};

async fn changed(gateway: &Gateway, registration: &Registration, new_key: &PublicKey) -> Result<KeyChanged, Error> {
    let (client, proof) = (testing::client(), testing::proof());
    let request = Request { new_key, client: &client, proof: &proof };
    change_key(&gateway.app, &gateway.endpoint("open"), registration, &request, clock::now()).await
}

/// The key that requests of this account are verified with.
async fn believed(gateway: &Gateway, registration: &Registration) -> Result<PublicKey, Error> {
    let realm = &gateway.endpoint("open").realm;
    let found = gateway.app.registrations.registration(realm, &registration.id).await?;
    Ok(found.unwrap().key.as_ref().unwrap().key.clone())
}

/// What was remembered of the account before anything happened.
async fn remember(gateway: &Gateway, registration: &Registration) -> PublicKey {
    believed(gateway, registration).await.unwrap()
}

fn done(outcome: Result<KeyChanged, Error>) -> Registration {
    match outcome {
        Ok(KeyChanged::Done(changed)) => *changed,
        other => panic!("not done: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_new_key_is_the_accounts_at_once_and_the_old_one_is_nobodys() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let old_key = remember(&gateway, &registration).await;
    let realm = gateway.endpoint("open").realm.clone();
    let by_key =
        async |key: &PublicKey| gateway.app.registrations.registration_by_key(&realm, &key.thumbprint()).await.unwrap();
    assert_eq!(by_key(&old_key).await.unwrap().id, registration.id);
    let key = new_key();
    let after = done(changed(&gateway, &registration, &key).await);
    assert_eq!(after.id, registration.id, "the account URL stays");
    assert_eq!(believed(&gateway, &registration).await.unwrap(), key);
    assert_eq!(by_key(&key).await.unwrap().id, registration.id);
    assert!(by_key(&old_key).await.is_none());
    assert_eq!(gateway.audited().await, ["account.requested", "account.key-changed"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_account_is_not_taken() {
    let gateway = Gateway::new().await;
    let (registration, other) = (gateway.registration(), gateway.registration());
    let taken = other.key.as_ref().unwrap().key.clone();
    match changed(&gateway, &registration, &taken).await {
        Ok(KeyChanged::InUse(owner)) => assert_eq!(owner, other.id),
        outcome => panic!("{outcome:?}"),
    }
    // A CM that does not say whose it is, is asked.
    gateway.cm.next(Operation::ChangeKey, Fault::Answers(CmError::KeyInUse { registration: None }));
    match changed(&gateway, &registration, &taken).await {
        Ok(KeyChanged::InUse(owner)) => assert_eq!(owner, other.id),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(believed(&gateway, &registration).await.unwrap(), registration.key.as_ref().unwrap().key);
    let told = gateway.audited().await;
    assert_eq!(told, ["account.requested", "account.unconfirmed"].repeat(2));
}

#[tokio::test(start_paused = true)]
async fn weak_keys_and_suspended_accounts_are_refused_before_the_cm_is_asked() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let weak = PublicKey::Rsa { n: vec![0xc5; 128], e: vec![1, 0, 1] };
    assert_eq!(told(changed(&gateway, &registration, &weak).await).kind, ProblemKind::BadPublicKey);
    let suspended = Registration { status: RegistrationStatus::Suspended, ..registration };
    assert_eq!(told(changed(&gateway, &suspended, &new_key()).await).kind, ProblemKind::Unauthorized);
    assert_eq!(gateway.cm.calls(Operation::ChangeKey), []);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_no_key_is_believed_until_the_cm_was_asked() {
    for (moment, is_done) in [(Moment::BeforeTheEffect, false), (Moment::AfterTheEffect, true)] {
        let gateway = Gateway::new().await;
        let registration = gateway.registration();
        let old_key = remember(&gateway, &registration).await;
        let key = new_key();
        gateway.cm.next(Operation::ChangeKey, Fault::AnswerLost(moment));
        assert_eq!(told(changed(&gateway, &registration, &key).await).kind, ProblemKind::Unavailable);
        gateway.cm.is_away(true);
        assert_eq!(told(believed(&gateway, &registration).await).kind, ProblemKind::Unavailable, "{moment:?}");
        gateway.cm.is_away(false);
        let expected = if is_done { &key } else { &old_key };
        assert_eq!(believed(&gateway, &registration).await.unwrap(), *expected, "{moment:?}");
        // Whoever repeats the same change gets what it asked for.
        assert_eq!(done(changed(&gateway, &registration, &key).await).key.unwrap().key, key, "{moment:?}");
        assert_eq!(believed(&gateway, &registration).await.unwrap(), key);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_changes_one_wins_and_the_other_is_told() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    remember(&gateway, &registration).await;
    let keys = [new_key(), new_key()];
    let (first, second) =
        tokio::join!(changed(&gateway, &registration, &keys[0]), changed(&gateway, &registration, &keys[1]));
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    let winner = done(won).key.unwrap().key;
    assert_eq!(told(lost).kind, ProblemKind::Malformed);
    assert_eq!(believed(&gateway, &registration).await.unwrap(), winner);
    let told = gateway.audited().await;
    let count = |name: &str| told.iter().filter(|event| *event == name).count();
    assert_eq!(["account.requested", "account.key-changed", "account.unconfirmed"].map(count), [2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn while_the_cm_is_away_the_client_is_told_to_come_back() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    gateway.cm.next(Operation::ChangeKey, Fault::Answers(away(Outcome::NotSent)));
    match changed(&gateway, &registration, &new_key()).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.problem.kind, ProblemKind::Unavailable);
            assert!(refusal.retry_after.is_some());
        }
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn challenges_keep_the_key_authorization_they_were_answered_with() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let endpoint = gateway.endpoint("open");
    let view = gateway.order(&registration, &["a.test", "b.test"]).await.unwrap();
    let respond = async |registration: &Registration, index: usize| {
        let bound = registration.key.as_ref().unwrap();
        let id = &view.order.authorizations[index];
        let kind = gateway.authorization_now(id).await.challenges[0].kind;
        ra::challenge::respond(
            &gateway.app,
            &endpoint,
            (testing::asked(registration), &bound.key),
            id,
            kind,
            clock::now(),
        )
        .await
        .unwrap();
    };
    let looked_for = async |index: usize| {
        let authorization = gateway.authorization_now(&view.order.authorizations[index]).await;
        let ChallengeState::Processing { key_authorization, .. } = &authorization.challenges[0].state else {
            panic!("{authorization:?}")
        };
        key_authorization.as_str().to_owned()
    };
    let thumbprint = |registration: &Registration| registration.key.as_ref().unwrap().thumbprint.to_string();
    respond(&registration, 0).await;
    let after = done(changed(&gateway, &registration, &new_key()).await);
    respond(&after, 1).await;
    assert!(looked_for(0).await.ends_with(&thumbprint(&registration)), "as it was answered");
    assert!(looked_for(1).await.ends_with(&thumbprint(&after)));
}

#[tokio::test(start_paused = true)]
async fn the_new_key_is_no_key_for_a_certificate() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    let csr = new_csr(&["a.test"]);
    let point = &csr.spki_der()[csr.spki_der().len() - 64..];
    let key = PublicKey::Ec { curve: Curve::P256, x: point[..32].to_vec(), y: point[32..].to_vec() };
    let after = done(changed(&gateway, &registration, &key).await);
    let refused = gateway.finalize(&after, &order, csr).await;
    assert_eq!(told(refused).kind, ProblemKind::BadCsr);
}
