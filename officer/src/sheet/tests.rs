//! The page as a person and a phone's camera read it.

use serde_json::json;

use super::*;
use crate::cm::registration::Registration;

const DIRECTORY: &str = "https://acme.example.net/acme/tls/directory";
const KEY: &str = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";

fn view(more: serde_json::Value) -> View {
    let mut json = json!({
        "id": "reg_1", "version": 2, "status": "pending", "owner": "print <room>", "officer": "urn:cm:officer:anna",
        "updatedAt": "2026-11-22T08:15:30Z",
        "allowedIdentifiers": {"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "p.example.com"}],
                               "exclude": [{"type": "dns", "match": "exact", "value": "vpn.p.example.com"}]},
        "eab": {"kid": "kid-2026-0417", "use": "once", "bindings": 0, "notAfter": "2026-12-04T00:00:00Z"},
        "eabSecret": {"kid": "kid-2026-0417", "hmacKey": KEY},
    });
    if let (Some(members), serde_json::Value::Object(more)) = (json.as_object_mut(), more) {
        members.extend(more);
    }
    Registration::of(json).unwrap().view
}

fn page(more: serde_json::Value) -> String {
    Sheet::of_key(&view(more), DIRECTORY, None).unwrap().html()
}

/// What a camera makes of the picture on the page.
fn decoded(page: &str) -> String {
    let between = |from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0;
    let size: usize = between("viewBox=\"0 0 ", " ").parse().unwrap();
    let mut dark = vec![false; size * size];
    for run in between("<path d=\"", "\"").split('M').skip(1) {
        let (corner, rest) = run.split_once('h').unwrap();
        let (x, y) = corner.split_once(' ').unwrap();
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
        let length: usize = rest.split_once('v').unwrap().0.parse().unwrap();
        for module in x..x + length {
            *dark.get_mut(y * size + module).unwrap() = true;
        }
    }
    // Six pixels a module, as a camera would have it.
    let pixel = |x: usize, y: usize| if *dark.get((y / 6) * size + x / 6).unwrap() { 0 } else { 255 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(size * 6, size * 6, pixel);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code is on the page");
    grids.first().unwrap().decode().unwrap().1
}

#[test]
fn the_picture_is_the_directory_url() {
    assert_eq!(decoded(&page(json!({}))), DIRECTORY);
    let link = format!("https://acme.example.net/acme/tls/r/{KEY}/directory");
    let sheet = Sheet::of_link(&view(json!({})), &link, None, None);
    assert_eq!(decoded(&sheet.html()), link);
}

#[test]
fn a_url_that_no_code_has_room_for_is_on_the_page_without_one() {
    let long = format!("https://acme.example.net/{}/directory", "a".repeat(3_000));
    let page = Sheet::of_key(&view(json!({})), &long, None).unwrap().html();
    assert!(page.contains(&long) && !page.contains("<svg"), "{page}");
    let unknown = Sheet::of_key(&view(json!({})), "DIRECTORY-URL", None).unwrap().html();
    assert!(unknown.contains("DIRECTORY-URL") && !unknown.contains("<svg"), "{unknown}");
}

#[test]
fn the_page_has_all_that_is_typed_and_all_that_is_asked() {
    let page = page(json!({}));
    for part in [
        DIRECTORY,
        "<small>1</small>FX4D<i>",
        "<small>11</small>LAs<i>",
        "43 characters",
        &format!("{DIRECTORY} kid-2026-0417 {KEY}"),
        "- is a hyphen (group 9)",
        "It sets up one machine, once.",
        "It works until 2026-12-04 00:00 UTC.",
        "p.example.com and every name below it",
        "but not vpn.p.example.com",
        "officer anna",
        "Drawn 2026-11-22 08:15 UTC",
        "Certificates for print &#60;room&#62;",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
}

#[test]
fn the_check_value_is_what_a_shell_tells() {
    let page = page(json!({}));
    let script = format!("printf %s '{KEY}' | sha256sum");
    let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    let check = String::from_utf8(output.stdout).unwrap().get(..8).unwrap().to_owned();
    assert!(page.contains(&format!("begins with <code>{check}</code>")), "no {check} in\n{page}");
}

#[test]
fn the_page_has_no_scripts_and_its_policy_lets_its_own_style_in_only() {
    let page = page(json!({"owner": "<script>alert(1)</script>\u{1b}[31m"}));
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains("src="), "{page}");
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = BASE64.encode(&Sha256::digest(style));
    assert!(policy().contains(&hash), "{}", policy());
    assert!(page.contains(&hash), "{page}");
    assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
}

#[test]
fn a_link_is_typed_in_groups_and_has_no_key() {
    let link = format!("https://acme.example.net/acme/tls/r/{KEY}/directory");
    let page = Sheet::of_link(&view(json!({})), &link, Some("2031-01-01T00:00:00Z".to_owned()), None).html();
    for part in ["/acme/tls/r/</div>", "<small>1</small>FX4D<i>", ">/directory</div>", "until 2031-01-01 00:00 UTC"] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    assert!(!page.contains("HMAC key") && !page.contains("Key ID"), "{page}");
}

#[test]
fn how_many_machines_and_when_is_told_in_each_case() {
    let eab = |more: serde_json::Value| {
        let mut eab = json!({"kid": "k", "use": "multi", "bindings": 2});
        eab.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        page(json!({"eab": eab}))
    };
    let limited = eab(json!({"maxBindings": 7, "notBefore": "2026-11-20T06:30:00Z"}));
    assert!(
        limited.contains("It sets up 5 machines.") && limited.contains("works from 2026-11-20 06:30 UTC."),
        "{limited}"
    );
    let free = eab(json!({}));
    assert!(free.contains("any number of machines") && free.contains("until the officer below ends it"), "{free}");
}

#[test]
fn a_long_owner_is_cut_in_the_title() {
    let page = page(json!({"owner": "o".repeat(300)}));
    assert!(page.contains(&format!("<h1>Certificates for {}…</h1>", "o".repeat(60))), "{page}");
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let rules: Vec<_> =
        (0..30).map(|i| json!({"type": "dns", "match": "exact", "value": format!("p{i}.test")})).collect();
    let page = page(json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}}));
    assert!(page.contains("p5.test") && !page.contains("p6.test") && page.contains("and 24 more entries"), "{page}");
}

#[test]
fn what_is_printed_for_debugging_has_no_secret() {
    let sheet = Sheet::of_key(&view(json!({})), DIRECTORY, None).unwrap();
    assert!(!format!("{sheet:?} {:?}", sheet.secret).contains(KEY));
    assert!(
        Sheet::of_key(
            &Registration::of(json!({"id": "reg_1", "version": 1, "status": "active"})).unwrap().view,
            DIRECTORY,
            None
        )
        .is_none()
    );
}
