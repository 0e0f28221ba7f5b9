//! What is OpenBao's own: how its nodes are, whether our certificate logs in, what the policy grants in each realm, and
//! whether the realm's record and roles are there. Nothing but the login's token is made, and it ends by itself.

mod realm;

use acme::{
    ids::{IssuerName, ProfileName},
    problem::shown,
    secret::Secret,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use tokio::time::timeout;

use super::{
    LOOK_MAX,
    certificates::{issuer, subject},
    cm::{AWAY, HEALTH, IDENTITY, manner},
    finding::{Finding, shell},
    probe::{self, Question, Response},
};
use crate::{
    app::Endpoint,
    settings::{Mode, Settings},
};

/// What `prepare` takes if nothing is said.
const USUAL: [(&str, &str); 4] =
    [("--mount", "acme"), ("--login-mount", "cert"), ("--gateway-role", "acme-gateway"), ("--profile", "tls-server")];

/// Of how long OpenBao works on a request.
const REQUEST_DURATION: &str = "cm-request-duration";

/// A login, at the node that is asked.
pub(super) struct Session {
    node: String,
    token: Secret<String>,
}

/// What `sys/health` says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    StandsBy,
    Sealed,
    NotInitialised,
    Strange(u16),
}

/// Looks at the nodes that answered, logs in at one of them, and looks at the realms.
pub(super) async fn check(
    settings: &Settings,
    nodes: &[(&str, Response)],
    endpoints: &[&Endpoint],
) -> (Vec<Finding>, Option<Session>) {
    let standings: Vec<_> = nodes.iter().map(|(url, answer)| (*url, standing(answer))).collect();
    let mut findings = judge(&standings);
    let first = |wanted| standings.iter().find(|(_, standing)| *standing == wanted).map(|(url, _)| *url);
    let Some(node) = first(Standing::Active).or_else(|| first(Standing::StandsBy)) else {
        return (findings, None);
    };
    let late = |check| Finding::not_looked_at(check, format!("{node} took too long"));
    if first(Standing::Active).is_none() {
        let found = timeout(LOOK_MAX, leader(settings, node)).await.unwrap_or_else(|_| late(HEALTH));
        let is_led = !found.is_wrong();
        findings.push(found);
        if !is_led {
            return (findings, None);
        }
    }
    match timeout(LOOK_MAX, log_in(settings, node, endpoints)).await.unwrap_or_else(|_| Err(late(IDENTITY))) {
        Ok(session) => {
            let looked = timeout(LOOK_MAX, realm::check(settings, &session, endpoints)).await;
            findings.extend(looked.unwrap_or_else(|_| vec![late(realm::RIGHTS)]));
            findings.push(request_duration(settings));
            (findings, Some(session))
        }
        Err(finding) => {
            findings.push(finding);
            (findings, None)
        }
    }
}

/// It stands in the configuration of the listeners, which no gateway may read.
fn request_duration(settings: &Settings) -> Finding {
    let told = settings.cm.openbao.request_duration_max.duration().as_secs();
    Finding::not_looked_at(
        REQUEST_DURATION,
        format!(
            "only whoever runs OpenBao can see that max_request_duration of its listeners is not more than \
             cm.openbao.request_duration_max_secs, {told} s (OpenBao's own default is 90 s); if it is more, what was \
             signed and not answered can be signed a second time"
        ),
    )
}

/// The issuer's certificate and those above it, as far as OpenBao has them.
pub(super) async fn chain(
    settings: &Settings,
    session: &Session,
    name: &IssuerName,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some((realm, own)) = name.as_str().rsplit_once('.') else { anyhow::bail!("it is no issuer of a realm") };
    let mount = &settings.cm.openbao.mount;
    let (status, says) = ask(settings, session, &format!("{mount}/{realm}/pki/issuer/{own}/json"), None).await?;
    anyhow::ensure!(status == 200, "OpenBao answers with status {status}");
    let chain = says.pointer("/data/ca_chain").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let chain = chain.iter().filter_map(Value::as_str).map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()));
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "OpenBao shows none");
    Ok(chain)
}

fn standing(answer: &Response) -> Standing {
    match answer.status.as_u16() {
        200 => Standing::Active,
        429 | 472 | 473 => Standing::StandsBy,
        501 => Standing::NotInitialised,
        503 => Standing::Sealed,
        status => Standing::Strange(status),
    }
}

/// One that does not work is a warning as long as another does.
fn judge(standings: &[(&str, Standing)]) -> Vec<Finding> {
    let works = |standing: Standing| matches!(standing, Standing::Active | Standing::StandsBy);
    let is_any = standings.iter().any(|(_, standing)| works(*standing));
    let found = standings.iter().map(|(url, standing)| {
        let wrong = match standing {
            Standing::Active => return Finding::fine(HEALTH, format!("{url} is active")),
            Standing::StandsBy => return Finding::fine(HEALTH, format!("{url} stands by")),
            Standing::Sealed => Finding::wrong(
                HEALTH,
                format!("{url} is sealed"),
                AWAY,
                "let those who hold its keys unseal it, each with one of them",
            )
            .run(format!("bao operator unseal -address={url}")),
            Standing::NotInitialised => Finding::wrong(
                HEALTH,
                format!("{url} was never initialised"),
                AWAY,
                "initialise and unseal it, or set cm.url to the OpenBao that is meant; then prepare the realms",
            )
            .run(format!("bao operator init -address={url}")),
            Standing::Strange(status) => Finding::wrong(
                HEALTH,
                format!("{url} answers sys/health with status {status}, as OpenBao does not"),
                AWAY,
                "set cm.url to OpenBao itself; a proxy or something else may answer",
            )
            .run(format!("curl -kv {url}/v1/sys/health")),
        };
        if is_any { wrong.into_warning("the gateway goes on with another node; fewer are left to fail") } else { wrong }
    });
    found.collect()
}

/// Of nodes that all stand by one has to be led by somebody, whom the gateway should know too.
async fn leader(settings: &Settings, node: &str) -> Finding {
    let leader = match manner(settings) {
        Ok(manner) => probe::ask(&format!("{node}/v1/sys/leader"), manner).await.outcome,
        Err(error) => return Finding::not_looked_at(HEALTH, format!("{error:#}")),
    };
    let leader = leader.map(|answer| answer.json()).unwrap_or_default();
    let leader = leader.get("leader_address").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/');
    let peers = format!("bao operator raft list-peers -address={node}");
    if leader.is_empty() {
        return Finding::wrong(
            HEALTH,
            "all nodes stand by, and none leads: most nodes of the cluster are down, or cannot reach each other",
            AWAY,
            "start the other nodes, and see what lies between them",
        )
        .run(peers);
    }
    let known = settings.cm.urls().any(|url| url.trim_end_matches('/') == leader);
    if known {
        return Finding::wrong(
            HEALTH,
            format!("the nodes that answer stand by, and their leader {} does not answer us", shown(leader)),
            AWAY,
            "start the leader, or wait until the others have chosen one of them",
        )
        .run(peers);
    }
    Finding::warn(
        HEALTH,
        format!(
            "all nodes in cm.url and cm.openbao.more_urls stand by; the leader {} is not among them",
            shown(leader)
        ),
        "each call goes a way round, and none arrives if these nodes stop",
        "add the leader to cm.openbao.more_urls",
    )
    .run_editor()
}

async fn log_in(settings: &Settings, node: &str, endpoints: &[&Endpoint]) -> Result<Session, Finding> {
    let own = &settings.cm.openbao;
    let (mount, role) = (&own.login_mount, &own.login_role);
    let body = json!({"name": role});
    let answer = send(settings, node, None, &format!("auth/{mount}/login"), Some(&body)).await;
    let (status, says) =
        answer.map_err(|error| Finding::not_looked_at(IDENTITY, format!("OpenBao cannot be asked: {error:#}")))?;
    let token = says.pointer("/auth/client_token").and_then(Value::as_str);
    if let (200, Some(token)) = (status, token) {
        return Ok(Session { node: node.to_owned(), token: Secret::new(token.to_owned()) });
    }
    let said = said(&says);
    let prepare = endpoints.first().map(|endpoint| prepare(settings, endpoint, None)).unwrap_or_default();
    Err(match status {
        400 if said.contains("no chain matching") => {
            let file = &settings.cm.certificate_file;
            Finding::wrong(
                IDENTITY,
                format!("login role {role} is for other certificates than ours in {} ({})", file.display(), ours(settings)),
                AWAY,
                "put a certificate of the role's CA with a URI name urn:cm:gateway:<name> there; if the CA is a new one, \
                 prepare the role for it",
            )
            .run(prepare)
        }
        400 => Finding::wrong(
            IDENTITY,
            format!("OpenBao has no login role {role} at auth/{mount}: {said}"),
            AWAY,
            "set cm.openbao.login_role to the role that there is, or make this one",
        )
        .run(prepare),
        403 | 404 => Finding::wrong(
            IDENTITY,
            format!("OpenBao has no auth method at auth/{mount} that takes certificates: {said}"),
            AWAY,
            "set cm.openbao.login_mount to where it is (bao auth list), or mount it there",
        )
        .run(prepare),
        _ => Finding::wrong(
            IDENTITY,
            format!("{node} lets nobody log in now (status {status}): {said}"),
            AWAY,
            "see whether the cluster has a leader, and OpenBao's own log",
        )
        .run(format!("bao operator raft list-peers -address={node}")),
    })
}

/// The script with what it has to know; the operator knows the CA of his clients.
fn prepare(settings: &Settings, endpoint: &Endpoint, profile: Option<&ProfileName>) -> String {
    let own = &settings.cm.openbao;
    let mode = match endpoint.mode {
        Mode::Open => "open",
        Mode::Registered => "preregistered",
    };
    let said = [&own.mount, &own.login_mount, &own.login_role].map(String::as_str);
    let said = said.into_iter().chain(profile.map(ProfileName::as_str));
    let more: String = USUAL
        .iter()
        .zip(said)
        .filter(|((_, usual), is)| usual != is)
        .map(|((word, _), is)| format!(" {word} {is}"))
        .collect();
    format!("deploy/openbao/prepare --realm {} --mode {mode} --clients-ca CLIENTS-CA.pem{more}", endpoint.realm)
}

/// Our certificate, for people.
fn ours(settings: &Settings) -> String {
    let file = &settings.cm.certificate_file;
    let leaf = CertificateDer::pem_file_iter(file).ok().and_then(|mut all| all.next()?.ok());
    leaf.map_or_else(|| shell(file), |leaf| format!("{}, by {}", subject(&leaf), issuer(&leaf)))
}

/// The sentences of a refusal.
fn said(says: &Value) -> String {
    let errors = says.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let errors: Vec<_> = errors.iter().filter_map(Value::as_str).map(str::trim).collect();
    shown(&errors.join("; ")).to_string()
}

async fn ask(settings: &Settings, session: &Session, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
    send(settings, &session.node, Some(&session.token), path, body).await
}

async fn send(
    settings: &Settings,
    node: &str,
    token: Option<&Secret<String>>,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<(u16, Value)> {
    let url = format!("{node}/v1/{path}");
    match probe::send(&Question { url: &url, token, body }, manner(settings)?).await.outcome {
        Ok(answer) => Ok((answer.status.as_u16(), answer.json())),
        Err(broken) => anyhow::bail!("{node} does not answer: {broken:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_sealed_is_wrong_unless_another_one_works() {
        use Standing::{Active, NotInitialised, Sealed, StandsBy, Strange};
        for (nodes, wrong) in [
            (vec![Active], 0),
            (vec![Sealed], 1),
            (vec![Sealed, NotInitialised, Strange(302)], 3),
            (vec![Sealed, StandsBy], 0),
            (vec![Active, StandsBy, Strange(500)], 0),
        ] {
            let nodes: Vec<_> = nodes.into_iter().map(|standing| ("https://a.test", standing)).collect();
            let found = judge(&nodes);
            assert_eq!(
                (found.len(), found.iter().filter(|one| one.is_wrong()).count()),
                (nodes.len(), wrong),
                "{nodes:?}"
            );
        }
    }
}
