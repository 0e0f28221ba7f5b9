//! What a journey needs and no browser does: consoles, the command line, the printer.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    console,
    csr::Csr,
    desk::Desk,
    key::Key,
    openbao::{Gateway, OpenBao},
    process::Process,
    wait_for,
    world::World,
};

use super::printer::Printer;

/// From the officer's click to its effect: what officers are promised.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Until the gateway has noticed something that is not the subject.
const SOON: Duration = Duration::from_secs(30);

/// How long the certificates last whose next renewal is missed while the journey goes on.
const FIRST_LIFE: Duration = Duration::from_secs(40);
const LAST_LIFE: Duration = Duration::from_secs(300);

/// A real OpenBao with a gateway before it.
pub(crate) struct AtOpenBao {
    bao: OpenBao,
    gateway: Gateway,
    dir: PathBuf,
}

impl AtOpenBao {
    /// Starts both with the names and the throwaway PKI of a world.
    pub(crate) fn start(world: &World) -> Self {
        let dir = world.site().dir.join("at-openbao");
        fs::create_dir_all(&dir).unwrap();
        let bao = OpenBao::start(&dir.join("openbao"), &world.site().pki(""));
        bao.prepare("open", "open", &[]);
        bao.prepare("registered", "preregistered", &[]);
        let gateway = Gateway::start(world, &bao);
        Self { bao, gateway, dir }
    }
}

/// The outside of a journey.
pub(crate) struct Outside<'w> {
    world: &'w World,
    /// In place of the CM and the gateway of the world.
    openbao: Option<&'w AtOpenBao>,
    consoles: Vec<Process>,
    printer: Printer<'w>,
    /// A machine that knows no external account keys, once there is one.
    nas: Option<Printer<'w>>,
}

impl<'w> Outside<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let printer = Printer::new(world.site(), "printer");
        Self { world, openbao: None, consoles: Vec::new(), printer, nas: None }
    }

    /// The same at OpenBao, for the journeys that need nothing else than consoles and the printer.
    pub(crate) fn at_openbao(world: &'w World, openbao: &'w AtOpenBao) -> Self {
        let printer = Printer::new(openbao.gateway.site(), "printer-at-openbao");
        Self { openbao: Some(openbao), printer, ..Self::new(world) }
    }

    /// Does what a journey asks for. The answer is for it.
    pub(crate) fn act(&mut self, asked: &Value) -> Result<Value, String> {
        let text = |name: &str| asked[name].as_str().unwrap_or_else(|| panic!("no {name} in {asked}"));
        match text("act") {
            "console" => Ok(self.console(text("person"))),
            "command" => {
                let words = tests::client::strings(&asked["words"]);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                Ok(self.world.desk(asked["person"].as_str().unwrap_or("officer")).json(&words))
            }
            "the printer gets a certificate" => {
                let key = (text("kid"), text("hmac_key"));
                self.printer.gets_a_certificate(text("name"), Some(key)).map(|()| Value::Null)
            }
            "a NAS gets a certificate" => {
                let nas = self.nas.insert(Printer::new(self.world.site(), "nas").at(text("url")));
                nas.gets_a_certificate(text("name"), None).map(|()| Value::Null)
            }
            "a stranger is turned away" => {
                let stranger = Printer::new(self.world.site(), "stranger").at(text("url"));
                let refused = stranger.gets_a_certificate(text("name"), None).err();
                refused.map(|_| Value::Null).ok_or_else(|| format!("a certificate was issued by {}", text("url")))
            }
            "the NAS begins anew" => {
                let url = self.world.site().url("registered", "directory");
                let nas = self.nas.take().expect("there is a NAS").at(&url);
                nas.begins_anew(text("name"), text("kid"), text("hmac_key")).map(|()| Value::Null)
            }
            "the account of the NAS is refused at once" => {
                refused(&self.nas.as_ref().expect("there is a NAS").account(), text("name"), asked)
            }
            "the printer renews" => self.printer.renews(text("name")).map(|()| Value::Null),
            "the printer is refused" => self.printer.is_refused(text("name"), text("rule")).map(|()| Value::Null),
            "orders are refused at once" => refused(&self.printer.account(), text("name"), asked),
            "orders are accepted again" => {
                let client = self.printer.account();
                wait_for("the effect", SOON, || (client.new_order(&[text("name")]).status == 201).then_some(()));
                Ok(Value::Null)
            }
            "a request waits" => Ok(self.request_waits(text("name"))),
            "a client gets a certificate" => Ok(self.certificate(text("name"))),
            "a client gets a certificate for a short time" => Ok(self.short_lived(text("name"))),
            "a client is refused" => Ok(self.refusal(text("name"))),
            "a client is paused" => Ok(self.pause(text("name"))),
            "the addresses of the gateway" => Ok(json!({"help": format!("{}/help/", self.world.site().external_url)})),
            other => Err(format!("nobody knows how to do this: {other}")),
        }
    }

    fn console(&mut self, person: &str) -> Value {
        let name = format!("browser-{}", self.consoles.len());
        let (process, link) = match self.openbao {
            None => console::start(self.world, person, &name),
            Some(AtOpenBao { bao, dir, .. }) => {
                let desk =
                    Desk::at_openbao(dir, bao, person, "registered").trusting(&self.world.site().pki("acme-ca.pem"));
                console::start_with(self.world, desk.config(), &format!("{name}-at-openbao"))
            }
        };
        self.consoles.push(process);
        json!({"link": link})
    }

    /// A request that a person has to decide; the answer names its order.
    fn request_waits(&self, name: &str) -> Value {
        let members = json!({"allowedProfiles": ["tls-server", "tls-server-approval"], "owner": "Accounting, Tina"});
        let (client, id) = self.world.registered_account_with(&members);
        let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server-approval"});
        let response = client.post(&client.url("new-order"), &payload).expect(201);
        let order = client.prove(&Order { url: response.location(), object: response.json() });
        let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
        json!({"order": order.url.rsplit('/').next(), "registration": id})
    }

    /// A certificate of a registration of its own; the answer names both, and the order.
    fn certificate(&self, name: &str) -> Value {
        let (client, id) = self.world.registered_account_with(&json!({"owner": "Warehouse, scanners"}));
        let order_url = client.issue(&[name]).order_url;
        let found = self.world.desk("officer").json(&["certificates", "list", "--registration", &id]);
        json!({"registration": id, "certificate": found.pointer("/items/0/id"), "order": order_url})
    }

    /// A certificate that was renewed early once, so that its next renewal is missed about a minute from now, and long before
    /// its end. The answer names its registration.
    fn short_lived(&self, name: &str) -> Value {
        let (client, id) = self.world.registered_account_with(&json!({"owner": "Reception, Rita"}));
        let issue = |life: Duration| {
            let payload = json!({
                "identifiers": [{"type": "dns", "value": name}], "notAfter": tests::time::ahead(life.as_secs()),
            });
            let response = client.post(&client.url("new-order"), &payload).expect(201);
            let order = client.prove(&Order { url: response.location(), object: response.json() });
            let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
            let _ = client.wait(&order, "valid");
        };
        issue(FIRST_LIFE);
        let first = Instant::now();
        wait_for("the time of its renewal", SOON, || (first.elapsed() > FIRST_LIFE / 7).then_some(()));
        issue(LAST_LIFE);
        json!({"registration": id})
    }

    /// A client that fails until it is paused; the answer has the link that it was told.
    fn pause(&self, name: &str) -> Value {
        let client = self.world.account();
        let refused = wait_for("a pause", SOON, || {
            let response = client.new_order(&[name]);
            if response.status != 201 {
                return Some(response);
            }
            let url = response.json()["authorizations"][0].as_str().unwrap().to_owned();
            let authorization = client.read(&url).expect(200).json();
            // Nobody provides what the challenge asks for.
            let offered = tests::client::challenge(&authorization, "http-01");
            let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
            let _ = client.wait_at(&url, "invalid");
            None
        });
        let detail = refused.assert_refused(429, "rateLimited");
        json!({"link": detail.rsplit(' ').next()})
    }

    /// An order that is refused; the answer has the link that the client was told.
    fn refusal(&self, name: &str) -> Value {
        let rules = json!([{"type": "dns", "match": "exact", "value": "another.browser.test"}]);
        let (client, _) = self.world.registered_account(&json!({"mode": "listed", "rules": rules}));
        let refused = client.new_order(&[name]).expect(403).json();
        json!({"link": refused["instance"]})
    }
}

/// Orders of this account are refused within two seconds of the officer's click.
fn refused(client: &Client, name: &str, asked: &Value) -> Result<Value, String> {
    let clicked_at = asked["clicked_at_millis"].as_u64().expect("the time of the click");
    let clicked_at = UNIX_EPOCH + Duration::from_millis(clicked_at);
    wait_for("the effect", SOON, || matches!(client.new_order(&[name]).status, 401 | 403).then_some(()));
    let after = SystemTime::now().duration_since(clicked_at).unwrap_or_default();
    println!("        refused {:.2} s after the click", after.as_secs_f64());
    if after <= AT_ONCE { Ok(Value::Null) } else { Err(format!("refused only {after:?} after the click")) }
}
