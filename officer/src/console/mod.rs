//! `console`: the officer's work as web pages, on the loopback interface of her own machine.
//!
//! A page is what a command of the command line answers, by the same functions; nothing is decided
//! or kept here. The pages are made on this side and need no scripts. Who may see them is decided in
//! `session`, and what there is to see is listed in `router` (ADR 28).

mod allowlist;
mod answer;
mod approvals;
mod audit;
mod certificates;
mod ending;
mod fields;
mod keys;
mod mistakes;
mod orders;
mod overview;
mod profiles;
mod registrations;
mod reports;
mod router;
mod secret;
mod session;
mod table;
mod verdict;
mod waivers;
mod wizard;

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

use actix_web::{App, HttpServer, web};
use serde_json::json;

use crate::{cli::Desk, cm::Cm, error::Failure, output::Answer, settings::Settings};
use session::Session;

/// Largest form, in octets: two lists of a thousand entries each.
const FORM_OCTETS_MAX: usize = 512 * 1024;
/// Most connections at once; a browser opens six.
const CONNECTIONS_MAX: usize = 64;
/// How long a browser may take for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long answers on their way may take when the program is asked to end.
const END_WITHIN_SECS: u64 = 2;

/// How to serve it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Port on 127.0.0.1; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Open the link in a browser
    #[arg(long)]
    open: bool,
}

/// What the pages are made from.
#[derive(Debug)]
struct Console {
    cm: Cm,
    settings: Settings,
    session: Session,
}

/// Serves until the program is asked to end (Ctrl-C).
pub(crate) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let (settings, cm) = desk.open()?;
    let cannot = |error: io::Error| Failure::File(format!("127.0.0.1:{} cannot be used: {error}", arguments.port));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).map_err(cannot)?;
    let authority = listener.local_addr().map_err(cannot)?.to_string();
    let console = web::Data::new(Console { cm, settings, session: Session::new(authority) });
    let link = console.session.link();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(console.clone())
            .app_data(web::PayloadConfig::new(FORM_OCTETS_MAX))
            .wrap(answer::headers())
            .default_service(web::to(router::answer))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .client_request_timeout(HEAD_WITHIN)
    .shutdown_timeout(END_WITHIN_SECS)
    .listen(listener)
    .map_err(cannot)?
    .run();
    announce(&link);
    if arguments.open {
        open(&link);
    }
    server.await.map_err(cannot)?;
    Ok(Answer::new("the console has ended", json!({"ended": true})))
}

/// The link alone on its line, so that programs find it too.
fn announce(link: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{link}\nThe link works once. The console ends with Ctrl-C.");
    let _ = out.flush();
}

/// If there is no browser to open, the printed link is still there.
fn open(link: &str) {
    const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened =
        Command::new(OPENER).arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if opened.is_err() {
        let _ = writeln!(io::stderr(), "acme-officer: {OPENER} cannot be run: open the link yourself");
    }
}
