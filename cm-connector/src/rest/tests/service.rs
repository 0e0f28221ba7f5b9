//! What the CM is and offers, and what it says of its state (CM contract sections 4.1 and 4.2).

use super::*;

#[tokio::test]
async fn an_identity_must_have_role_realms_and_capabilities() {
    let checked = |roles: Value, realms: Value, capabilities: Value| async move {
        let world = world(move |request, _| match request.line.as_str() {
            "GET /cm/v1/whoami" => {
                json_answer(200, &json!({"identity": "urn:cm:gateway:dmz-1", "roles": roles, "realms": realms}))
            }
            "GET /cm/v1/info" => {
                let mut info = examples::info();
                if !capabilities.is_null() {
                    info["capabilities"] = capabilities.clone();
                }
                json_answer(200, &info)
            }
            _ => problem(404, "not-found"),
        })
        .await;
        world.cm.check_identity(&[realm()]).await
    };
    let identity = checked(json!(["gateway"]), json!(["tls", "iot"]), json!(null)).await.unwrap();
    assert_eq!(identity.name, "urn:cm:gateway:dmz-1");
    for (roles, realms, capabilities) in [
        (json!(["officer"]), json!(["tls"]), json!(null)),
        (json!(["gateway"]), json!(["iot"]), json!(null)),
        (json!(["gateway"]), json!(["tls"]), json!(["registrations"])),
    ] {
        let error = checked(roles, realms, capabilities).await.unwrap_err();
        assert!(matches!(error, CmError::Internal { outcome: Outcome::NotSent, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_cm_cannot_do_is_not_asked_for_until_it_can() {
    let world = world(|request, before| match request.line.as_str() {
        "GET /cm/v1/info" => {
            let mut info = examples::info();
            if before < 2 {
                info["capabilities"] = json!(["registrations", "idempotency"]);
            }
            json_answer(200, &info)
        }
        "GET /cm/v1/whoami" => {
            json_answer(200, &json!({"identity": "urn:cm:gateway:dmz-1", "roles": ["gateway"], "realms": ["tls"]}))
        }
        _ => json_answer(200, &examples::renewal_info()),
    })
    .await;
    let id = revocation().certificate;
    assert!(world.cm.offers(Capability::RenewalInfo), "before anything is known");
    world.cm.check_identity(&[realm()]).await.unwrap();
    assert!(!world.cm.offers(Capability::RenewalInfo));
    let refused = world.cm.renewal_info(&realm(), &id).await;
    assert!(matches!(refused, Err(CmError::Refused(ref told)) if told.kind == ProblemKind::NotFound), "{refused:?}");
    assert_eq!(world.server.lines().len(), 2, "it was not asked");
    world.cm.check_identity(&[realm()]).await.unwrap();
    assert!(world.cm.offers(Capability::RenewalInfo));
    assert!(world.cm.renewal_info(&realm(), &id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cm_that_is_not_as_needed_is_unfit_until_it_is_and_one_that_is_away_stays_what_it_was() {
    let world = world(|request, before| match (request.line.as_str(), before) {
        (_, 4..6) => problem_with(503, "retry-after: 60\r\n", json!({"code": "overloaded"})),
        ("GET /cm/v1/info", _) => json_answer(200, &examples::info()),
        (_, before) => {
            let roles = if before == 3 { json!(["auditor"]) } else { json!(["gateway"]) };
            json_answer(200, &json!({"identity": "urn:cm:gateway:dmz-1", "roles": roles, "realms": ["tls"]}))
        }
    })
    .await;
    assert_eq!(world.cm.unfit(), None);
    assert!(world.cm.check_identity(&[realm()]).await.is_ok());
    assert_eq!(world.cm.unfit(), None);
    assert!(world.cm.check_identity(&[realm()]).await.is_err());
    let unfit = world.cm.unfit().unwrap();
    assert!(unfit.contains("without the role gateway"), "{unfit}");
    for _ in 0..2 {
        assert!(matches!(world.cm.check_identity(&[realm()]).await, Err(CmError::Unavailable { .. })));
        assert_eq!(world.cm.unfit().as_ref(), Some(&unfit));
    }
    assert!(world.cm.check_identity(&[realm()]).await.is_ok());
    assert_eq!(world.cm.unfit(), None);
}

#[tokio::test]
async fn profiles_are_read_to_the_last_page_and_bad_ones_left_out() {
    let world = world(|request, _| {
        let profile = |name: &str, status: &str| {
            let mut json = examples::profile();
            json["name"] = json!(name);
            json["status"] = json!(status);
            json
        };
        let page = match request.line.split_once('?').unwrap().1 {
            "limit=500" => json!({"items": [profile("a", "active"), {"name": "broken"}], "next": "c3Vy"}),
            "cursor=c3Vy" => json!({"items": [profile("b", "retired"), profile("c", "active")], "next": null}),
            other => panic!("{other}"),
        };
        json_answer(200, &page)
    })
    .await;
    let profiles = world.cm.profiles(&realm()).await.unwrap();
    let names: Vec<_> = profiles.iter().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test]
async fn profiles_without_end_are_an_alarm() {
    let world = world(|_, _| json_answer(200, &json!({"items": [], "next": "again"}))).await;
    assert!(matches!(world.cm.profiles(&realm()).await, Err(CmError::Internal { .. })));
    assert_eq!(world.server.lines().len(), super::super::service::PAGES_MAX);
}

#[tokio::test]
async fn an_issuer_is_read() {
    let world = world(|_, _| json_answer(200, &examples::issuer())).await;
    let issuer = world.cm.issuer(&"issuing-1".parse().unwrap()).await.unwrap();
    assert_eq!(issuer.caa_identities, ["ca.example.net"]);
    assert!(world.cm.issuer(&"issuing-2".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn readiness_is_the_cms_word() {
    let ready =
        |status: u16| async move { world(move |_, _| json_answer(status, &examples::health())).await.cm.ready().await };
    assert_eq!(ready(200).await, Ok(()));
    assert!(matches!(ready(503).await, Err(CmError::Unavailable { .. })));
    let page = world(|_, _| answer(200, "", "text/html", "<html>")).await;
    assert!(matches!(page.cm.ready().await, Err(CmError::Unavailable { .. })));
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let pki = Pki::new();
    let server = start_http2(&pki, examples::registration(), 0).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url)).unwrap();
    for _ in 0..2 {
        assert!(cm.registration(&realm(), &id()).await.unwrap().is_some());
    }
    assert_eq!(*server.versions.lock().unwrap(), ["HTTP/2.0", "HTTP/2.0"]);
}
