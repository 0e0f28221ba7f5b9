//! The profiles that a form offers.

use cm_connector::rest::door;

use super::Console;
use crate::error::Failure;

/// The names of the realm's profiles, and whether each is chosen.
pub(super) async fn offered(
    console: &Console,
    is_chosen: impl Fn(&str) -> bool,
) -> Result<Vec<(String, bool)>, Failure> {
    let mut offered = Vec::new();
    for json in console.cm.profiles().await? {
        let profile = door::profile(json).map_err(|error| Failure::Broken(error.to_string()))?;
        let name = profile.map(|profile| profile.name.to_string());
        offered.extend(name.map(|name| (is_chosen(&name), name)).map(|(is_chosen, name)| (name, is_chosen)));
    }
    Ok(offered)
}
