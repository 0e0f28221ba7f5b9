//! What a CM may send, one good certificate a row.

use super::*;

/// What is good about it, the certificates in its chain, and how it is made.
type Good = (&'static str, usize, fn(&mut Case));

const GOOD: &[Good] = &[
    ("leaf and intermediate", 2, |_| {}),
    ("with the root at the end", 3, |case| case.issuers.push(root())),
    ("straight under the root, which is added", 2, |case| case.issued_by("root", &ROOT, Vec::new())),
    ("straight under the root, which is sent along", 2, |case| case.issued_by("root", &ROOT, vec![root()])),
    ("two intermediates", 3, |case| {
        let upper = ca("upper", &OTHER, "root", &ROOT).sign(&ROOT);
        case.issuers = vec![ca("issuing", &ISSUING, "upper", &OTHER).sign(&OTHER), upper];
    }),
    ("a root that is cross-signed by an older one", 3, |case| {
        case.issuers.push(ca("root", &ROOT, "elsewhere", &OTHER).sign(&OTHER));
        case.anchors.pop();
    }),
    ("a self-issued intermediate does not count for the path length", 3, |case| {
        let renewed = ca("issuing", &ISSUING, "issuing", &OTHER).sign(&OTHER);
        let mut former = ca("issuing", &OTHER, "root", &ROOT);
        former.set(basic_constraints(true, Some(0)));
        case.issuers = vec![renewed, former.sign(&ROOT)];
    }),
    ("an RSA leaf", 2, |case| {
        case.leaf_key(&RSA);
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::KEY_ENCIPHERMENT));
    }),
    ("an RSA issuer", 2, |case| {
        case.issued_by("rsa", &RSA, vec![ca("rsa", &RSA, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha512();
    }),
    ("a P-384 leaf", 2, |case| case.leaf_key(&Key::ec(Nid::SECP384R1))),
    ("a P-521 issuer with SHA-512", 2, |case| {
        let key = Key::ec(Nid::SECP521R1);
        case.issued_by("p521", &key, vec![ca("p521", &key, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha512();
    }),
    ("addresses", 2, |case| {
        case.identifiers = identifiers(&["2001:db8::7", "192.0.2.7", "a.test"]);
        let long = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        case.leaf_names(&[ip(&[192, 0, 2, 7]), ip(&long), dns("a.test")]);
    }),
    ("a wildcard", 2, |case| {
        case.identifiers = identifiers(&["*.a.test"]);
        case.leaf_names(&[dns("*.a.test")]);
    }),
    ("a name in upper case and twice", 2, |case| case.leaf_names(&[dns("A.test"), dns("B.TEST"), dns("a.test")])),
    ("one of the names as common name", 2, |case| case.leaf.subject = name(&["B.test"])),
    ("must-staple that was asked for", 2, |case| {
        case.must_staple = true;
        case.leaf.set(tls_feature(5));
    }),
    ("the validity that was asked for", 2, |case| {
        case.leaf.start = NOW;
        case.leaf.end = NOW.plus(7 * DAY);
        case.not_before = Some(NOW);
        case.not_after = Some(NOW.plus(7 * DAY));
    }),
    ("a start five minutes ahead", 2, |case| case.leaf.start = NOW.plus(Duration::from_secs(300))),
    ("a start that is dated back", 2, |case| case.leaf.start = NOW.minus(Duration::from_secs(3600))),
    ("no limit in the profile", 2, |case| {
        case.validity_max = None;
        case.leaf.end = NOW.plus(900 * DAY);
    }),
    ("a CM that does not say who issues", 2, |case| {
        case.issuer_key_ids.clear();
        case.leaf.remove(oids::AUTHORITY_KEY_ID);
    }),
    ("explicitly no CA", 2, |case| case.leaf.set(basic_constraints(false, None))),
    ("no key usage", 2, |case| case.leaf.remove(oids::KEY_USAGE)),
    ("for clients too", 2, |case| case.leaf.set(extended_key_usage(&[oids::CLIENT_AUTH, oids::SERVER_AUTH]))),
    ("an extension of the house", 2, |case| {
        case.leaf.set(Extension { oid: oids::PRIVATE, critical: false, value: b"not DER".to_vec() });
    }),
    ("64 random bits that begin with eight zeros", 2, |case| case.leaf.serial = vec![0x5a; 7]),
    ("64 random bits that begin with a one", 2, |case| case.leaf.serial = [vec![0], vec![0x9a; 8]].concat()),
    ("CRLF, blank lines and blanks at the end of lines", 2, |case| {
        case.pem = |chain| format!("\r\n{}\r\n \r\n", chain.replace('\n', " \r\n")).into_bytes();
    }),
    ("base64 in one line and no final LF", 2, |case| {
        case.pem = |chain| {
            let joined = chain.replace("-----\n", "-----|").replace('\n', "");
            joined.replace("-----|", "-----\n").replace("-----END", "\n-----END").trim_end().as_bytes().to_vec()
        };
    }),
];

#[test]
fn good_certificates_pass_and_are_written_anew() {
    for (what, certificates, make) in GOOD {
        let mut case = Case::good();
        make(&mut case);
        let (chain, claims) = case.chain();
        let checked = case.check_chain(&chain, &claims).unwrap_or_else(|failed| panic!("{what}: {failed:?}"));
        let sent: Vec<_> = X509::stack_from_pem(&chain).unwrap();
        let kept: Vec<_> = X509::stack_from_pem(checked.chain_pem.as_bytes()).unwrap();
        assert_eq!(kept.len(), *certificates, "{what}");
        let ders = |chain: &[X509]| chain.iter().map(|one| one.to_der().unwrap()).collect::<Vec<_>>();
        let (as_sent, added) = kept.split_at(sent.len());
        assert_eq!(ders(as_sent), ders(&sent), "{what}");
        assert!(ders(added).iter().all(|one| case.anchors.contains(one)), "{what}: only the root is ever added");
        let again = recheck(&chain, &claims, &case.anchors, NOW).unwrap();
        assert_eq!(again, checked.chain_pem, "{what}: it is the same when it is read again");
        assert_eq!(kept[0].public_key().unwrap().public_key_to_der().unwrap(), case.spki, "{what}");
        assert_strict_pem(&checked.chain_pem);
    }
}

/// RFC 7468 §3, `stricttextualmsg`.
fn assert_strict_pem(text: &str) {
    assert!(text.is_ascii() && text.ends_with("-----END CERTIFICATE-----\n") && !text.contains("\n\n"));
    let mut lines = text.split_terminator('\n').peekable();
    while let Some(begin) = lines.next() {
        assert_eq!(begin, "-----BEGIN CERTIFICATE-----");
        loop {
            let line = lines.next().unwrap();
            if line == "-----END CERTIFICATE-----" {
                break;
            }
            let last = lines.peek().is_some_and(|next| next.starts_with('-'));
            assert!(line.len() == 64 || (last && (1..64).contains(&line.len())), "{line:?}");
            assert!(line.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet)), "{line:?}");
        }
    }
}
