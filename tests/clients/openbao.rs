//! Clients at a gateway whose CM is a real OpenBao: they get, renew and revoke as they do elsewhere, and after each step
//! everything that relying parties can ask says the same.
//!
//! certbot and lego revoke by themselves. mod_md cannot, so its administrator takes certbot and the key of the certificate;
//! for Caddy the officer revokes. Both servers then find out by themselves, by ARI and by OCSP, and get another certificate.

use std::{fs, path::PathBuf};

use super::{
    caddy, certbot,
    command::expect_words,
    front::Front,
    lego, mod_md,
    origin::{self, CADDY, CERTBOT, CERTBOT_NEWEST, LEGO, MOD_MD},
    relying_party::{self, Certificate},
    scenario::{Failure, Lane},
};

/// All of them.
pub(crate) fn lanes<'w>(front: &'w Front<'w>) -> [Lane<'w>; 5] {
    [certbot(front), lego(front), mod_md(front), caddy(front), newest_certbot(front)]
}

fn certbot<'w>(front: &'w Front<'w>) -> Lane<'w> {
    const NAME: &str = "www.certbot-openbao.test";
    let nth = |lane: &Lane<'_>, number: u32| {
        Certificate::read(lane, &lane.dir.join(format!("config/archive/{NAME}/fullchain{number}.pem")))
    };
    Lane::at(front, "certbot-openbao", 101)
        .running("certbot")
        .with(CERTBOT, "OpenBao, registered: get, with EAB", move |lane| {
            let (kid, key) = lane.eab();
            let request = certbot::standalone(lane, "registered", &[NAME]);
            request.args(&["--eab-kid", &kid, "--eab-hmac-key", &key]).succeed()?;
            nth(lane, 1)?.agree(lane)
        })
        .with(CERTBOT, "OpenBao, registered: renew", move |lane| {
            let renew = certbot::certbot(lane, "registered").args(&["renew", "--force-renewal"]);
            renew.args(&["--no-random-sleep-on-renew", "--cert-name", NAME]).succeed()?;
            two(lane, &nth(lane, 1)?, &nth(lane, 2)?)
        })
        .with(CERTBOT, "OpenBao, registered: revoke by account key", move |lane| {
            let (old, new) = (nth(lane, 1)?, nth(lane, 2)?);
            let file = lane.dir.join(format!("config/archive/{NAME}/cert1.pem"));
            old.revoke(lane, ("registered", "superseded"), || {
                let revoke = certbot::certbot(lane, "registered").args(&["revoke", "--no-delete-after-revoke"]);
                revoke.args(&["--reason", "superseded", "--cert-path"]).arg(file).succeed().map(drop)
            })?;
            new.agree(lane)
        })
        .with(CERTBOT, "OpenBao, registered: revoke by certificate key", move |lane| {
            let file = |kind: &str| lane.dir.join(format!("config/archive/{NAME}/{kind}2.pem"));
            nth(lane, 2)?.revoke(lane, ("registered", "keyCompromise"), || {
                let revoke = certbot::certbot(lane, "registered").args(&["revoke", "--no-delete-after-revoke"]);
                let revoke = revoke.args(&["--reason", "keycompromise", "--cert-path"]).arg(file("cert"));
                revoke.arg("--key-path").arg(file("privkey")).succeed().map(drop)
            })
        })
}

fn newest_certbot<'w>(front: &'w Front<'w>) -> Lane<'w> {
    const NAME: &str = "www.certbot-newest-openbao.test";
    let current = |lane: &Lane<'_>| Certificate::read(lane, &certbot::live(lane, NAME, "fullchain.pem"));
    Lane::at(front, "certbot-newest-openbao", 105).running(origin::python("certbot")).with(
        CERTBOT_NEWEST,
        "OpenBao: renews what was revoked at once (ARI)",
        move |lane| {
            certbot::standalone(lane, "open", &[NAME]).succeed()?;
            let due = || {
                let renew = certbot::certbot(lane, "open").args(&["renew", "--no-random-sleep-on-renew"]);
                renew.args(&["--cert-name", NAME]).succeed()
            };
            let old = current(lane)?;
            old.agree(lane)?;
            expect_words(&due()?, &["not yet due for renewal"])?;
            old.revoke(lane, ("open", "superseded"), || {
                let revoke = certbot::certbot(lane, "open").args(&["revoke", "--no-delete-after-revoke"]);
                revoke.args(&["--reason", "superseded", "--cert-name", NAME]).succeed().map(drop)
            })?;
            due()?;
            two(lane, &old, &current(lane)?)
        },
    )
}

fn lego<'w>(front: &'w Front<'w>) -> Lane<'w> {
    const NAME: &str = "www.lego-openbao.test";
    let current = |lane: &Lane<'_>| Certificate::read(lane, &lego::file(lane, &format!("{NAME}.crt")));
    Lane::at(front, "lego-openbao", 102)
        .with(LEGO, "OpenBao, registered: get, with EAB", move |lane| {
            lego::with_eab(lane, lego::by_http(lane, "registered", &[NAME])).arg("run").succeed()?;
            current(lane)?.agree(lane)
        })
        .with(LEGO, "OpenBao, registered: renew", move |lane| {
            let old = current(lane)?;
            let renew = lego::with_eab(lane, lego::by_http(lane, "registered", &[NAME]));
            renew.args(&["renew", "--days", "365", "--no-random-sleep"]).succeed()?;
            two(lane, &old, &current(lane)?)
        })
        .with(LEGO, "OpenBao, registered: revoke, cessation of operation", move |lane| {
            current(lane)?.revoke(lane, ("registered", "cessationOfOperation"), || {
                let shell = lego::with_eab(lane, lego::by_http(lane, "registered", &[NAME]));
                shell.args(&["revoke", "--keep", "--reason", "5"]).succeed().map(drop)
            })
        })
}

fn mod_md<'w>(front: &'w Front<'w>) -> Lane<'w> {
    const NAME: &str = "www.mod-md-openbao.test";
    let stored = |lane: &Lane<'_>, file: &str| -> PathBuf { lane.dir.join("store/domains").join(NAME).join(file) };
    let current = |lane: &Lane<'_>| Certificate::served(lane, mod_md::https(lane), NAME);
    Lane::at(front, "mod_md-openbao", 103)
        .with(MOD_MD, "OpenBao: fetches its own certificate", move |lane| {
            let apache = mod_md::start(lane, &[NAME], "open", "")?;
            let _ = mod_md::fetched(lane, &apache, NAME)?;
            current(lane)?.agree(lane)
        })
        .with(MOD_MD, "OpenBao: revoked with its key, it renews at once (ARI)", move |lane| {
            let old = Certificate::read(lane, &stored(lane, "pubcert.pem"))?;
            old.revoke(lane, ("open", "unspecified"), || {
                certbot::revoke_with_key(lane, &stored(lane, "pubcert.pem"), &stored(lane, "privkey.pem"))
            })?;
            let apache = mod_md::start(lane, &[NAME], "open", "")?;
            let _ = mod_md::renewed(lane, &apache, NAME, &format!("serial={}\n", old.serial))?;
            apache.wait_for("its reason", |words| words.contains("CA advises renew via ARI").then_some(()))?;
            apache.wait_for("an order that replaces it", |_| {
                let orders = lane.gateway_log(&["order.created", NAME, "\"replaces\":\""]);
                (!orders.is_empty()).then_some(())
            })?;
            two(lane, &old, &current(lane)?)
        })
        .with(MOD_MD, "OpenBao: renews it", move |lane| {
            let old = Certificate::read(lane, &stored(lane, "pubcert.pem"))?;
            // The time to renew is longer than certificates live, so it renews at once, and after that again: the last step.
            let apache = mod_md::start(lane, &[NAME], "open", "MDRenewWindow 120d")?;
            let _ = mod_md::renewed(lane, &apache, NAME, &format!("serial={}\n", old.serial))?;
            two(lane, &old, &current(lane)?)
        })
}

fn caddy<'w>(front: &'w Front<'w>) -> Lane<'w> {
    const NAME: &str = "www.caddy-openbao.test";
    let none = || serde_json::json!({});
    let serves = |lane: &Lane<'_>, caddy: &super::daemon::Daemon, old: Option<&Certificate>| {
        let other = |text: &str| old.is_none_or(|old| !text.to_uppercase().replace(':', "").contains(&old.serial));
        let _ = caddy::served(lane, caddy, NAME, other)?;
        Certificate::served(lane, caddy::https(lane), NAME)
    };
    Lane::at(front, "caddy-openbao", 104)
        .running("/usr/bin/caddy")
        .with(CADDY, "OpenBao: fetches its own certificate, and renews it", move |lane| {
            let old = {
                let caddy = caddy::start(lane, &[NAME], "open", &none(), &none())?;
                serves(lane, &caddy, None)?
            };
            old.agree(lane)?;
            // Nearly all of the lifetime counts as the time to renew, so it renews at once.
            let always = serde_json::json!({"renewal_window_ratio": 0.999_999_99});
            let caddy = caddy::start(lane, &[NAME], "open", &none(), &always)?;
            two(lane, &old, &serves(lane, &caddy, Some(&old))?)
        })
        .with(CADDY, "OpenBao: revoked by the officer, it gets another (OCSP)", move |lane| {
            let old = {
                let caddy = caddy::start(lane, &[NAME], "open", &none(), &none())?;
                serves(lane, &caddy, None)?
            };
            let id = old.id(lane)?;
            old.revoke(lane, ("open", "superseded"), || {
                let desk = relying_party::front(lane)?.officer("open");
                let ran = desk.run(&["certificates", "revoke", &id, "--reason", "superseded"]);
                if ran.code == 0 { Ok(()) } else { Err(format!("acme-officer failed: {ran:?}")) }
            })?;
            // It asks again when half of the hour is over for which an answer is good; here it has lost that answer.
            let answers = lane.dir.join("data/ocsp");
            if answers.exists() {
                fs::remove_dir_all(&answers).map_err(|error| format!("{}: {error}", answers.display()))?;
            }
            let caddy = caddy::start(lane, &[NAME], "open", &none(), &none())?;
            two(lane, &old, &serves(lane, &caddy, Some(&old))?)
        })
}

/// They are two certificates, and everybody agrees about each.
fn two(lane: &Lane<'_>, old: &Certificate, new: &Certificate) -> Result<(), Failure> {
    if old.serial == new.serial {
        return Err(format!("{} is the old certificate", new.serial));
    }
    old.agree(lane)?;
    new.agree(lane)
}
