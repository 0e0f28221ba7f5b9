//! `registrations`: who may get what (CM contract section 4.3).

pub(crate) mod create;
pub(crate) mod directory_link;
pub(crate) mod effect;
mod export;
pub(crate) mod hand_over;
mod import;
mod key;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod update;

use clap::Subcommand;

use super::Desk;
use crate::{allowlist::Entry, error::Failure, output::Answer};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the registrations that fit
    List(Box<show::Search>),
    /// Show one registration
    Show {
        /// The registration, reg_...; or the id of its external account key
        id: String,
    },
    /// Make a registration, and the external account key that its client binds with
    Create(Box<create::Arguments>),
    /// Change a registration; --dry-run shows what would change
    Update(Box<update::Arguments>),
    /// Hold a registration: no orders, no certificates, until it is resumed
    Suspend {
        /// The registration, reg_...; or the id of its external account key
        id: String,
        /// Why: for the audit trail and for whoever looks at it
        #[arg(long, value_name = "TEXT", value_parser = status::reason)]
        reason: String,
    },
    /// Let a suspended registration go on
    Resume {
        /// The registration, reg_...; or the id of its external account key
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = status::reason)]
        reason: Option<String>,
    },
    /// Revoke a registration for good
    Revoke {
        /// The registration, reg_...; or the id of its external account key
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = status::reason)]
        reason: String,
        /// Revoke all its certificates too. Without --apply this only shows them
        #[arg(long)]
        with_certificates: bool,
        /// Do it
        #[arg(long, requires = "with_certificates")]
        apply: bool,
    },
    /// Draw a new external account key; the one before is dead or goes on for a while, bound accounts stay
    RotateSecret(Box<key::Rotation>),
    /// Withdraw the account key of a client that lost it, and draw a new external account key for the same registration
    Rebind(Box<key::Rebinding>),
    /// Draw a directory link that binds by itself, for devices without fields for an external account key
    Link(Box<directory_link::Arguments>),
    /// End the directory link of a registration; bound accounts stay
    Unlink {
        /// The registration, reg_...; or the id of its external account key
        id: String,
    },
    /// Make many registrations from a CSV file, after showing what that would do
    Import(Box<import::Arguments>),
    /// Print all registrations with an external account key as CSV
    Export,
}

/// Carries it out.
pub(crate) async fn run(command: Command, desk: &Desk) -> Result<Answer, Failure> {
    match command {
        Command::List(search) => show::list(*search, desk).await,
        Command::Show { id } => show::one(&id, desk).await,
        Command::Create(arguments) => create::run(*arguments, desk).await,
        Command::Update(arguments) => update::run(*arguments, desk).await,
        Command::Suspend { id, reason } => status::set(desk, &id, "suspended", Some(&reason)).await,
        Command::Resume { id, reason } => status::set(desk, &id, "active", reason.as_deref()).await,
        Command::Revoke { id, reason, with_certificates: false, .. } => {
            status::set(desk, &id, "revoked", Some(&reason)).await
        }
        Command::Revoke { id, reason, with_certificates: true, apply } => {
            status::revoke_with_certificates(desk, &id, &reason, apply).await
        }
        Command::Link(arguments) => directory_link::link(*arguments, desk).await,
        Command::Unlink { id } => directory_link::unlink(&id, desk).await,
        Command::Import(arguments) => import::import(*arguments, desk).await,
        Command::Export => export::export(desk).await,
        Command::RotateSecret(arguments) => key::rotate(*arguments, desk).await,
        Command::Rebind(arguments) => key::rebind(*arguments, desk).await,
    }
}

/// Refuses a suffix under which anybody can register names, unless it is meant.
fn guard_public_suffixes(entries: Vec<Entry>, meant: bool) -> Result<Vec<Entry>, Failure> {
    if let Some(entry) = entries.iter().find(|entry| entry.is_public_suffix() && !meant) {
        return Err(Failure::Usage(format!(
            "{entry} is a public suffix: it would allow everybody's names below it; name your own domain, or give \
             --allow-public-suffix if it is meant"
        )));
    }
    Ok(entries.into_iter().map(Entry::meaning_public_suffix).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_suffix_has_to_be_meant() {
        let entries = || vec!["exact:com".parse().unwrap(), "suffix:co.uk".parse().unwrap()];
        let reason = guard_public_suffixes(entries(), false).unwrap_err();
        assert!(reason.to_string().contains("suffix:co.uk is a public suffix"), "{reason}");
        assert_eq!(reason.exit_code(), 2);
        let meant = serde_json::to_value(guard_public_suffixes(entries(), true).unwrap()).unwrap();
        assert_eq!(meant.pointer("/1/allowPublicSuffix").unwrap(), true);
        assert_eq!(meant.pointer("/0/allowPublicSuffix"), None);
    }
}
