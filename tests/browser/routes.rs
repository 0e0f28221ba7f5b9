//! The console's own list of pages and forms: one that no journey has met fails, and so does a page that nobody has
//! looked at.

use super::journey::Told;

/// Where the list is.
const ROUTER: &str = include_str!("../../officer/src/console/router.rs");

/// A line of the list.
struct Route<'t> {
    method: &'static str,
    /// Text of a path, or `None` for what differs.
    segments: Vec<Option<&'t str>>,
}

/// Fails unless all were met, and all pages looked at.
pub(crate) fn check(told: &Told) -> Result<(), String> {
    let routes = routes()?;
    let mut missed = Vec::new();
    for route in &routes {
        let fits = |method: &str, path: &str| method == route.method && best(&routes, method, path) == Some(route);
        let mut met = told.reached.iter().filter(|(method, path, _)| fits(method, path)).peekable();
        if met.peek().is_none() {
            missed.push(format!("not met: {}", route.text()));
        } else if met.any(|(_, _, is_page)| *is_page) && !told.looked.iter().any(|(method, path)| fits(method, path)) {
            missed.push(format!("nobody looked at: {}", route.text()));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("\n")) }
}

/// The route that a path takes: the first that fits, as in the list.
fn best<'r, 't>(routes: &'r [Route<'t>], method: &str, path: &str) -> Option<&'r Route<'t>> {
    let path: Vec<&str> = path.split('/').collect();
    routes.iter().find(|route| route.method == method && route.fits(&path))
}

impl PartialEq for Route<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method && self.segments == other.segments
    }
}

impl Route<'_> {
    fn fits(&self, path: &[&str]) -> bool {
        self.segments.len() == path.len()
            && self.segments.iter().zip(path).all(|(segment, part)| segment.is_none_or(|text| text == *part))
    }

    fn text(&self) -> String {
        let segments: Vec<&str> = self.segments.iter().map(|segment| segment.unwrap_or("…")).collect();
        format!("{} /{}", self.method, segments.join("/"))
    }
}

fn routes() -> Result<Vec<Route<'static>>, String> {
    let (mut routes, mut method) = (Vec::new(), "");
    for line in ROUTER.lines() {
        method = match line {
            _ if line.starts_with("async fn show(") => "GET",
            _ if line.starts_with("async fn change(") => "POST",
            "}" => "",
            _ => method,
        };
        let arm = line.trim().strip_prefix('[').and_then(|rest| rest.split_once("] =>"));
        if let (Some((arm, _)), false) = (arm, method.is_empty()) {
            let segments = arm.split(", ").map(|part| part.strip_prefix('"').and_then(|part| part.strip_suffix('"')));
            routes.push(Route { method, segments: segments.collect() });
        }
    }
    for method in ["GET", "POST"] {
        if !routes.iter().any(|route| route.method == method) {
            return Err(format!("the router lists no {method} that can be read here: has it another form?"));
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to be missed when everything was met but for these lines of the list.
    fn missed(unmet: &[&str], not_looked_at: &[&str]) -> String {
        let routes = routes().unwrap();
        let mut told = Told::default();
        for route in routes.iter().filter(|route| !unmet.contains(&route.text().as_str())) {
            let path: Vec<&str> = route.segments.iter().map(|segment| segment.unwrap_or("x")).collect();
            let (method, path) = (route.method.to_owned(), path.join("/"));
            if !not_looked_at.contains(&route.text().as_str()) {
                told.looked.push((method.clone(), path.clone()));
            }
            told.reached.push((method, path, true));
        }
        check(&told).err().unwrap_or_default()
    }

    #[test]
    fn a_page_that_is_not_met_or_not_looked_at_is_missed() {
        assert_eq!(missed(&[], &[]), "");
        assert_eq!(missed(&["GET /"], &[]), "not met: GET /");
        assert_eq!(missed(&["POST /registrations/…/suspend"], &[]), "not met: POST /registrations/…/suspend");
        assert_eq!(missed(&[], &["GET /registrations/…"]), "nobody looked at: GET /registrations/…");
    }
}
