//! What a CM that errs or lies can send, one wrong certificate a row: each is refused by the one check that is
//! meant to see it.

use super::*;

type Row = (&'static str, Check, fn(&mut Case));

/// What a CM that errs or lies can send.
const WRONG: &[Row] = &[
    // V1: form
    ("nothing", Check::Form, |case| case.pem = |_| Vec::new()),
    ("no PEM at all", Check::Form, |case| case.pem = |_| b"OK".to_vec()),
    ("DER instead of PEM", Check::Form, |case| case.pem = |_| leaf().sign(&ISSUING)),
    ("an octet after the leaf's DER", Check::Form, |case| case.leaf_der = |der| [der, vec![0]].concat()),
    ("a leaf that is cut short", Check::Form, |case| case.leaf_der = |der| der[..der.len() - 1].to_vec()),
    ("an octet after an issuer's DER", Check::Form, |case| case.issuers[0].push(0)),
    ("a CSR in place of a certificate", Check::Form, |case| {
        case.leaf_der = |_| crate::made::Request::of(&LEAF).sign(&LEAF);
    }),
    ("version 1", Check::Form, |case| {
        case.leaf.version = None;
        case.leaf.extensions.clear();
    }),
    ("version 1 with extensions", Check::Form, |case| case.leaf.version = None),
    ("version 4", Check::Form, |case| case.leaf.version = Some(3)),
    ("an issuer of version 1", Check::Form, |case| {
        let mut issuer = issuing();
        issuer.version = None;
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an extension twice", Check::Form, |case| case.leaf.extensions.push(subject_key_id(&OTHER.id()))),
    ("the names twice", Check::Form, |case| case.leaf.extensions.push(alternative_names(&[dns("evil.test")]))),
    ("basic constraints that cannot be read", Check::Form, |case| {
        case.leaf.set(Extension { oid: oids::BASIC_CONSTRAINTS, critical: true, value: vec![0x30, 0x03, 0x01, 0x01] });
    }),
    ("basic constraints with a TRUE that is not DER", Check::Form, |case| {
        let value = vec![0x30, 0x03, 0x01, 0x01, 0x01];
        case.leaf.set(Extension { oid: oids::BASIC_CONSTRAINTS, critical: true, value });
    }),
    ("octets after the names inside their extension", Check::Form, |case| {
        let mut names = alternative_names(&[dns("a.test"), dns("b.test")]);
        names.value.extend(dns("evil.test"));
        case.leaf.set(names);
    }),
    ("something after the extensions", Check::Form, |case| case.leaf.after_extensions = tlv(0x04, b"more")),
    ("something after the signature", Check::Form, |case| {
        case.leaf_der = |_| {
            let inside = leaf().sign(&ISSUING)[4..].to_vec();
            tlv(0x30, &[inside, tlv(0x04, b"more")].concat())
        };
    }),
    ("a length that is longer than need be", Check::Form, |case| {
        case.leaf_der = |der| [&[0x30, 0x83, 0x00], &der[2..]].concat();
    }),
    ("a length that is indefinite", Check::Form, |case| {
        case.leaf_der = |der| [&[0x30, 0x80], &der[4..], &[0, 0]].concat();
    }),
    ("six certificates", Check::Form, |case| {
        let one = case.issuers[0].clone();
        case.issuers = vec![one; 5];
    }),
    ("more than 64 KiB", Check::Form, |case| {
        let value = tlv(0x04, &vec![0; CHAIN_OCTETS_MAX]);
        case.leaf.set(Extension { oid: oids::PRIVATE, critical: false, value });
    }),
    ("a private key beside it", Check::Form, |case| {
        case.pem = |chain| [chain, pem("PRIVATE KEY", &[0x30, 0])].concat().into_bytes();
    }),
    ("a trusted certificate of OpenSSL", Check::Form, |case| {
        case.pem = |chain| chain.replace(" CERTIFICATE", " TRUSTED CERTIFICATE").into_bytes();
    }),
    ("a label that only begins right", Check::Form, |case| {
        case.pem = |chain| chain.replace("BEGIN CERTIFICATE-", "BEGIN CERTIFICATE-X-").into_bytes();
    }),
    ("a block that ends as another one", Check::Form, |case| {
        case.pem = |chain| chain.replace("END CERTIFICATE", "END PRIVATE KEY").into_bytes();
    }),
    ("a block without an end", Check::Form, |case| {
        case.pem = |chain| chain.trim_end().trim_end_matches("-----END CERTIFICATE-----").as_bytes().to_vec();
    }),
    ("text before the first block", Check::Form, |case| {
        case.pem = |chain| format!("subject=/CN=a.test\n{chain}").into_bytes();
    }),
    ("text between the blocks", Check::Form, |case| {
        case.pem = |chain| chain.replacen("E-----\n-----B", "E-----\nissuer=/CN=issuing\n-----B", 1).into_bytes();
    }),
    ("text after the last block", Check::Form, |case| case.pem = |chain| format!("{chain}the end").into_bytes()),
    ("a header inside a block", Check::Form, |case| {
        case.pem = |chain| chain.replacen("E-----\n", "E-----\nProc-Type: 4,ENCRYPTED\n", 1).into_bytes();
    }),
    ("octets that are no text", Check::Form, |case| {
        case.pem = |chain| [chain.as_bytes(), b"\xff\xfe\n"].concat();
    }),
    // V2: public key
    ("another key", Check::PublicKey, |case| case.leaf.spki = OTHER.spki()),
    ("the issuer's key", Check::PublicKey, |case| case.leaf.spki = ISSUING.spki()),
    // V3: names
    ("a name is missing", Check::Names, |case| case.leaf_names(&[dns("a.test")])),
    ("a name too many", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test"), dns("c.test")])),
    ("another name", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("c.test")])),
    ("a wildcard in place of a name", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("*.test")])),
    ("a wildcard beside its base name", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), dns("*.b.test")]);
    }),
    ("a name in place of a wildcard", Check::Names, |case| case.identifiers = identifiers(&["a.test", "*.b.test"])),
    ("no names", Check::Names, |case| case.leaf.remove(oids::ALTERNATIVE_NAMES)),
    ("the only name as common name", Check::Names, |case| {
        case.identifiers = identifiers(&["a.test"]);
        case.leaf.remove(oids::ALTERNATIVE_NAMES);
        case.leaf.subject = name(&["a.test"]);
    }),
    ("a common name that is none of the names", Check::Names, |case| case.leaf.subject = name(&["c.test"])),
    ("a second common name that is none of the names", Check::Names, |case| {
        case.leaf.subject = name(&["a.test", "c.test"]);
    }),
    ("an e-mail address", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), email("root@a.test")]);
    }),
    ("a URI", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test"), uri("https://a.test/")])),
    ("a directory name", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0xa4, &name(&["a.test"]))]);
    }),
    ("a user principal name", Check::Names, |case| {
        let principal = [crate::made::oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xa0, &tlv(0x0c, b"root@a.test"))].concat();
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0xa0, &principal)]);
    }),
    ("an address as dNSName", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[dns("192.0.2.7")]);
    }),
    ("an address inside a longer address", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[ip(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7])]);
    }),
    ("an address with its mask", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[ip(&[192, 0, 2, 7, 255, 255, 255, 255])]);
    }),
    ("a name with a zero octet", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test\0.evil.test")])),
    ("a name with a final dot", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test.")])),
    ("an integer among the names", Check::Form, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0x02, b"b.test")]);
    }),
    // V4: chain
    ("an unknown root", Check::Chain, |case| {
        case.anchors = vec![ca("root", &OTHER, "root", &OTHER).sign(&OTHER)];
    }),
    ("an impostor of the root", Check::Chain, |case| {
        let impostor = ca("root", &OTHER, "root", &OTHER).sign(&OTHER);
        case.issuers = vec![ca("issuing", &ISSUING, "root", &OTHER).sign(&OTHER), impostor];
    }),
    ("no root at all", Check::Chain, |case| case.anchors.clear()),
    ("no intermediate", Check::Chain, |case| case.issuers.clear()),
    ("a leaf that somebody else signed", Check::Chain, |case| case.leaf_signer = OTHER.clone()),
    ("a leaf that signed itself", Check::Chain, |case| case.leaf_signer = LEAF.clone()),
    ("an intermediate that somebody else signed", Check::Chain, |case| {
        case.issuers = vec![issuing().sign(&OTHER)];
    }),
    ("an issuer of another name", Check::Chain, |case| case.leaf.issuer = name(&["issuing 2"])),
    ("an expired intermediate", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.end = NOW.minus(Duration::from_secs(1));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate that is not yet valid", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.start = NOW.plus(Duration::from_secs(1));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an expired root", Check::Chain, |case| {
        let mut expired = ca("root", &ROOT, "root", &ROOT);
        expired.end = NOW.minus(Duration::from_secs(1));
        case.anchors = vec![expired.sign(&ROOT)];
    }),
    ("one intermediate more than the path length", Check::Chain, |case| {
        let below = ca("below", &OTHER, "issuing", &ISSUING).sign(&ISSUING);
        case.issued_by("below", &OTHER, vec![below, issuing().sign(&ROOT)]);
    }),
    ("an intermediate that is no CA", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(basic_constraints(false, None));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate without basic constraints", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.remove(oids::BASIC_CONSTRAINTS);
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate that may sign CRLs only", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(key_usage(usage::CRL_SIGN));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("intermediates out of order", Check::Chain, |case| {
        let upper = ca("upper", &OTHER, "root", &ROOT).sign(&ROOT);
        let mut lower = ca("issuing", &ISSUING, "upper", &OTHER);
        lower.set(basic_constraints(true, Some(0)));
        case.issuers = vec![upper, lower.sign(&OTHER)];
    }),
    ("the leaf twice", Check::Chain, |case| case.issuers.insert(0, leaf().sign(&ISSUING))),
    ("a stranger after the root", Check::Chain, |case| {
        case.issuers.push(root());
        case.issuers.push(ca("elsewhere", &OTHER, "elsewhere", &OTHER).sign(&OTHER));
    }),
    ("an issuer with another key identifier than the leaf says", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(subject_key_id(&OTHER.id()));
        case.issuers = vec![issuer.sign(&ROOT)];
        case.issuer_key_ids = vec![ISSUING.id(), OTHER.id()];
    }),
    // V5: issuer
    ("an issuer of another profile", Check::Issuer, |case| case.issuer_key_ids = vec![OTHER.id()]),
    ("no word about the issuer", Check::Issuer, |case| case.leaf.remove(oids::AUTHORITY_KEY_ID)),
    ("an issuer that hides its key identifier", Check::Issuer, |case| {
        let mut hidden = ca("other", &OTHER, "root", &ROOT);
        hidden.remove(oids::SUBJECT_KEY_ID);
        case.issued_by("other", &OTHER, vec![hidden.sign(&ROOT)]);
        case.leaf.set(authority_key_id(&ISSUING.id()));
        case.issuer_key_ids = vec![ISSUING.id()];
    }),
    // V6: validity
    ("a start more than five minutes ahead", Check::Validity, |case| {
        case.leaf.start = NOW.plus(Duration::from_secs(301));
    }),
    ("an end in the past", Check::Validity, |case| case.leaf.end = NOW.minus(Duration::from_secs(1))),
    ("an end right now", Check::Validity, |case| case.leaf.end = NOW),
    ("an end before the start", Check::Validity, |case| {
        case.leaf.start = NOW.plus(Duration::from_secs(200));
        case.leaf.end = NOW.plus(Duration::from_secs(100));
    }),
    ("another start than was asked for", Check::Validity, |case| case.not_before = Some(NOW)),
    ("an end cut short", Check::Validity, |case| case.not_after = Some(NOW.plus(91 * DAY))),
    ("a later end than was asked for", Check::Validity, |case| {
        case.not_after = Some(NOW.plus(90 * DAY).minus(Duration::from_secs(1)));
    }),
    ("longer than the profile", Check::Validity, |case| case.validity_max = Some(89 * DAY)),
    // V7: usage
    ("a CA", Check::Usage, |case| case.leaf.set(basic_constraints(true, None))),
    ("a CA with path length zero", Check::Usage, |case| case.leaf.set(basic_constraints(true, Some(0)))),
    ("may sign certificates", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::CERTIFICATE_SIGN));
    }),
    ("may sign CRLs", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::CRL_SIGN));
    }),
    ("may sign OCSP answers", Check::Usage, |case| {
        case.leaf.set(extended_key_usage(&[oids::SERVER_AUTH, oids::OCSP_SIGNING]));
    }),
    ("for clients only", Check::Usage, |case| case.leaf.set(extended_key_usage(&[oids::CLIENT_AUTH]))),
    ("no extended key usage", Check::Usage, |case| case.leaf.remove(oids::EXTENDED_KEY_USAGE)),
    ("name constraints", Check::Usage, |case| case.leaf.set(name_constraints("test"))),
    ("a key usage that an EC key cannot have", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::KEY_ENCIPHERMENT));
    }),
    ("a key usage that no server's RSA key has", Check::Usage, |case| {
        case.leaf_key(&RSA);
        case.leaf.set(key_usage(0x40)); // nonRepudiation
    }),
    // V8: serial
    ("serial zero", Check::Serial, |case| case.leaf.serial = vec![0]),
    ("a counted serial", Check::Serial, |case| case.leaf.serial = vec![0x01, 0xe2, 0x40]),
    ("a serial of six octets", Check::Serial, |case| case.leaf.serial = vec![0x5a; 6]),
    ("a negative serial", Check::Serial, |case| case.leaf.serial = vec![0x80; 16]),
    ("a serial of 21 octets", Check::Serial, |case| case.leaf.serial = vec![0x5a; 21]),
    // V9: algorithm
    ("SHA-1", Check::Algorithm, |case| case.leaf.digest = MessageDigest::sha1()),
    ("SHA-1 straight under the root", Check::Algorithm, |case| {
        case.issued_by("root", &ROOT, Vec::new());
        case.leaf.digest = MessageDigest::sha1();
    }),
    ("SHA-1 with RSA", Check::Algorithm, |case| {
        case.issued_by("rsa", &RSA, vec![ca("rsa", &RSA, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha1();
    }),
    ("SHA-1 on the intermediate", Check::Algorithm, |case| {
        let mut issuer = issuing();
        issuer.digest = MessageDigest::sha1();
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("a signature algorithm other than the signed one", Check::Algorithm, |case| {
        case.leaf.inner_algorithm = Some(ISSUING.algorithm(MessageDigest::sha384()));
    }),
    ("RSA of 1024 bits", Check::Algorithm, |case| case.leaf_key(&WEAK_RSA)),
    ("RSA of 2047 bits", Check::Algorithm, |case| {
        let mut modulus = vec![0x7f];
        modulus.extend([0xab; 255]);
        let key = crate::made::sequence(&[&tlv(0x02, &modulus), &tlv(0x02, &[1, 0, 1])]);
        let rsa = crate::made::sequence(&[&crate::made::oid("1.2.840.113549.1.1.1"), &[0x05, 0x00]]);
        case.leaf.spki = crate::made::sequence(&[&rsa, &crate::made::bit_string(&key)]);
        case.spki = case.leaf.spki.clone();
    }),
    ("an intermediate with RSA of 1024 bits", Check::Algorithm, |case| {
        case.issued_by("weak", &WEAK_RSA, vec![ca("weak", &WEAK_RSA, "root", &ROOT).sign(&ROOT)]);
    }),
    ("a curve that no profile takes", Check::Algorithm, |case| case.leaf_key(&Key::ec(Nid::SECP256K1))),
    // V10: must-staple
    ("must-staple is missing", Check::MustStaple, |case| case.must_staple = true),
    ("must-staple was not asked for", Check::MustStaple, |case| case.leaf.set(tls_feature(5))),
    ("another TLS feature than must-staple", Check::MustStaple, |case| {
        case.must_staple = true;
        case.leaf.set(tls_feature(17));
    }),
    // V11: claims
    ("another sha256 is claimed", Check::Claims, |case| case.claims = |claims| claims.sha256 = [0; 32]),
    ("another serial is claimed", Check::Claims, |case| case.claims = |claims| claims.serial = "5a".repeat(19)),
];

#[test]
fn every_wrong_certificate_is_refused_by_the_check_that_is_meant_for_it() {
    let mut missed = Vec::new();
    for (what, meant, spoil) in WRONG {
        let mut case = Case::good();
        spoil(&mut case);
        match case.check() {
            Err(failed) if failed == [*meant] => {}
            verdict => missed.push(format!("{what}: {meant:?} expected, {:?}", verdict.map(|_| "taken"))),
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), WRONG.len(), missed.join("\n"));
}
