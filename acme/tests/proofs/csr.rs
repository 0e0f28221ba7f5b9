//! CSRs as clients make them, and as nobody should: what `Csr::parse` reads out of each, and by
//! which rule it refuses the others.

use std::sync::LazyLock;

use crate::made::{
    Extension, Key, Request, alternative_names, attribute, basic_constraints, dns, email, extended_key_usage,
    extension_list, ip, key_usage, name, oids, sequence, subject_key_id, tls_feature, tlv, uri, usage,
};
use acme::{
    account_key::Curve,
    csr::{CSR_OCTETS_MAX, Csr, CsrError, RequestedExtension},
    identifier::{Identifier, IdentifierError},
    signature::{SignatureError, SubjectKey},
    subject_names::SubjectNameError,
};
use openssl::{
    hash::MessageDigest,
    nid::Nid,
    stack::Stack,
    x509::{X509NameBuilder, X509Req, X509ReqBuilder, extension::SubjectAlternativeName},
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

static KEY: LazyLock<Key> = LazyLock::new(Key::p256);
static OTHER: LazyLock<Key> = LazyLock::new(Key::p256);
static RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa(2048));

/// A CSR by OpenSSL, as its command line makes them.
fn by_openssl(key: &Key, common_name: Option<&str>, names: &[&str], digest: MessageDigest) -> X509Req {
    let mut builder = X509ReqBuilder::new().unwrap();
    builder.set_pubkey(&key.0).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Example").unwrap();
    if let Some(text) = common_name {
        subject.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
    }
    builder.set_subject_name(&subject.build()).unwrap();
    if !names.is_empty() {
        let mut alternative = SubjectAlternativeName::new();
        names.iter().for_each(|name| {
            alternative.dns(name);
        });
        let mut extensions = Stack::new().unwrap();
        extensions.push(alternative.build(&builder.x509v3_context(None)).unwrap()).unwrap();
        builder.add_extensions(&extensions).unwrap();
    }
    builder.sign(&key.0, digest).unwrap();
    builder.build()
}

fn names(texts: &[&str]) -> Vec<Identifier> {
    texts.iter().map(|text| Identifier::parse_dns(text).or_else(|_| Identifier::parse_ip(text)).unwrap()).collect()
}

fn assert_names(csr: &Csr, alternative: &[&str], common: &[&str]) {
    assert!(csr.names().alternative.iter().eq(&names(alternative)), "{:?}", csr.names());
    assert_eq!(csr.names().common, common);
}

#[test]
fn csrs_of_openssl_are_read_with_every_key_and_digest() {
    let (p256, p384) = (SubjectKey::Ec(Curve::P256), SubjectKey::Ec(Curve::P384));
    let p521 = SubjectKey::Ec(Curve::P521);
    let rsa = RSA.0.rsa().unwrap();
    let rsa = SubjectKey::Rsa { n: rsa.n().to_vec(), e: rsa.e().to_vec() };
    let table =
        [(KEY.clone(), p256), (Key::ec(Nid::SECP384R1), p384), (Key::ec(Nid::SECP521R1), p521), (RSA.clone(), rsa)];
    for (key, read) in table {
        for digest in [MessageDigest::sha256(), MessageDigest::sha384(), MessageDigest::sha512()] {
            let der = by_openssl(&key, Some("a.test"), &["b.test", "a.test"], digest).to_der().unwrap();
            let csr = Csr::parse(&der).unwrap_or_else(|error| panic!("{read:?} {:?}: {error}", digest.type_()));
            assert_eq!(*csr.key(), read);
            assert_eq!(csr.spki_der(), key.spki());
            assert_eq!(csr.der(), der);
            assert_eq!(csr.digest().0, <[u8; 32]>::from(Sha256::digest(&der)));
            assert_names(&csr, &["a.test", "b.test"], &["a.test"]);
            assert_eq!(csr.extensions(), [RequestedExtension::SubjectAlternativeName]);
            assert!(!csr.asks_must_staple());
        }
    }
}

#[test]
fn names_may_stand_in_the_subject_or_the_extension_or_both() {
    let parse = |common, alternative: &[&str]| {
        Csr::parse(&by_openssl(&KEY, common, alternative, MessageDigest::sha256()).to_der().unwrap()).unwrap()
    };
    assert_names(&parse(Some("a.test"), &[]), &[], &["a.test"]);
    assert_names(&parse(None, &["a.test"]), &["a.test"], &[]);
    assert_names(&parse(Some("A.test"), &["a.test", "*.A.Test"]), &["a.test", "*.a.test"], &["A.test"]);
    assert_names(&parse(None, &[]), &[], &[]);
    assert_names(&parse(Some("My device"), &[]), &[], &["My device"]);
}

#[test]
fn csrs_of_rcgen_are_read_with_every_key() {
    let table = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, SubjectKey::Ec(Curve::P256)),
        (&rcgen::PKCS_ECDSA_P384_SHA384, SubjectKey::Ec(Curve::P384)),
        (&rcgen::PKCS_ECDSA_P521_SHA512, SubjectKey::Ec(Curve::P521)),
        (&rcgen::PKCS_ED25519, SubjectKey::Ed25519),
    ];
    for (algorithm, read) in table {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut params =
            rcgen::CertificateParams::new(vec![String::from("a.test"), String::from("2001:db8::7")]).unwrap();
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let csr = Csr::parse(params.serialize_request(&key).unwrap().der()).unwrap();
        assert_eq!(*csr.key(), read);
        assert_names(&csr, &["a.test", "2001:db8::7"], &["rcgen self signed cert"]);
        let extensions = csr.extensions();
        assert_eq!(extensions.len(), 3, "{extensions:?}");
        assert!(extensions.contains(&RequestedExtension::KeyUsage { of_a_ca: false }));
        assert!(extensions.contains(&RequestedExtension::ExtendedKeyUsage));
    }
}

#[test]
fn requested_extensions_are_told_apart() {
    let private = Extension { oid: oids::PRIVATE, critical: true, value: vec![0x05, 0x00] };
    let table = [
        (alternative_names(&[dns("a.test")]), RequestedExtension::SubjectAlternativeName),
        (key_usage(usage::DIGITAL_SIGNATURE), RequestedExtension::KeyUsage { of_a_ca: false }),
        (key_usage(usage::CERTIFICATE_SIGN), RequestedExtension::KeyUsage { of_a_ca: true }),
        (key_usage(usage::DIGITAL_SIGNATURE | usage::CRL_SIGN), RequestedExtension::KeyUsage { of_a_ca: true }),
        (extended_key_usage(&[oids::SERVER_AUTH]), RequestedExtension::ExtendedKeyUsage),
        (basic_constraints(false, None), RequestedExtension::BasicConstraints { ca: false }),
        (basic_constraints(true, None), RequestedExtension::BasicConstraints { ca: true }),
        (subject_key_id(&[7; 20]), RequestedExtension::SubjectKeyIdentifier),
        (tls_feature(5), RequestedExtension::TlsFeature),
        (tls_feature(17), RequestedExtension::Other(oids::TLS_FEATURE.into())),
        (crate::made::name_constraints("a.test"), RequestedExtension::Other(oids::NAME_CONSTRAINTS.into())),
        (private, RequestedExtension::Other(oids::PRIVATE.into())),
    ];
    for (extension, read) in table {
        let csr = Csr::parse(&Request::asking(&KEY, std::slice::from_ref(&extension)).sign(&KEY)).unwrap();
        assert_eq!(csr.extensions(), std::slice::from_ref(&read));
        assert_eq!(csr.asks_must_staple(), read == RequestedExtension::TlsFeature);
    }
}

#[test]
fn microsofts_attribute_counts_and_others_do_not() {
    let extensions = extension_list(&[alternative_names(&[dns("a.test")])]);
    let password = attribute(oids::CHALLENGE_PASSWORD, &[tlv(0x0c, b"secret")]);
    let printable = attribute(oids::CHALLENGE_PASSWORD, &[tlv(0x13, b"secret")]);
    let unstructured = attribute("1.2.840.113549.1.9.2", &[tlv(0x16, b"router")]);
    let version = attribute("1.3.6.1.4.1.311.13.2.3", &[tlv(0x16, b"10.0.20348.2")]);
    let microsoft = attribute(oids::EXTENSION_REQUEST_OF_MICROSOFT, std::slice::from_ref(&extensions));
    let standard = attribute(oids::EXTENSION_REQUEST, &[extensions]);
    let table = [
        vec![standard.clone()],
        vec![microsoft.clone()],
        vec![version, microsoft],
        vec![password, standard.clone()],
        vec![printable, standard.clone(), unstructured],
    ];
    for (row, attributes) in table.into_iter().enumerate() {
        let der = Request { attributes, ..Request::of(&KEY) }.sign(&KEY);
        assert!(X509Req::from_der(&der).unwrap().verify(&KEY.0).unwrap(), "row {row}: OpenSSL reads it too");
        let csr = Csr::parse(&der).unwrap_or_else(|error| panic!("row {row}: {error}"));
        assert_names(&csr, &["a.test"], &[]);
    }
}

/// What is wrong, how it is made, and the refusal.
type Row = (&'static str, fn() -> Vec<u8>, CsrError);

fn asking(extensions: &[Extension]) -> Vec<u8> {
    Request::asking(&KEY, extensions).sign(&KEY)
}

fn asking_for(names: &[Vec<u8>]) -> Vec<u8> {
    asking(&[alternative_names(names)])
}

fn with_attributes(attributes: Vec<Vec<u8>>) -> Vec<u8> {
    Request { attributes, ..Request::of(&KEY) }.sign(&KEY)
}

fn names_of(text: &str) -> Vec<u8> {
    extension_list(&[alternative_names(&[dns(text)])])
}

fn of_spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    Request { spki: sequence(&[algorithm, &crate::made::bit_string(key)]), ..Request::of(&KEY) }.sign(&KEY)
}

const RFC822: CsrError = CsrError::SubjectName(SubjectNameError::Type("rfc822Name"));
const URI: CsrError = CsrError::SubjectName(SubjectNameError::Type("uniformResourceIdentifier"));

fn wrong() -> Vec<Row> {
    let refused_name = |text: &str, error| CsrError::SubjectName(SubjectNameError::Name(text.into(), error));
    vec![
        ("nothing", Vec::new, CsrError::NotPkcs10),
        ("PEM", || by_openssl(&KEY, None, &["a.test"], MessageDigest::sha256()).to_pem().unwrap(), CsrError::NotPkcs10),
        ("a trailing octet", || [asking_for(&[dns("a.test")]), vec![0]].concat(), CsrError::NotPkcs10),
        (
            "something after the signature",
            || Request { after_signature: tlv(0x04, b"more"), ..Request::of(&KEY) }.sign(&KEY),
            CsrError::NotPkcs10,
        ),
        (
            "something after the attributes",
            || Request { after_attributes: tlv(0xa1, &names_of("b.test")), ..Request::of(&KEY) }.sign(&KEY),
            CsrError::NotPkcs10,
        ),
        (
            "a length that is longer than need be",
            || {
                let der = Request::of(&RSA).sign(&RSA);
                assert_eq!(der[..2], [0x30, 0x82]);
                [&[0x30, 0x83, 0x00], &der[2..]].concat()
            },
            CsrError::NotPkcs10,
        ),
        (
            "a length that is indefinite",
            || {
                let der = Request::of(&RSA).sign(&RSA);
                [&[0x30, 0x80], &der[4..], &[0, 0]].concat()
            },
            CsrError::NotPkcs10,
        ),
        (
            "17 KiB",
            || asking(&[Extension { oid: oids::PRIVATE, critical: false, value: tlv(0x04, &vec![0; 17 * 1024]) }]),
            CsrError::TooLarge,
        ),
        ("version 2", || Request { version: 1, ..Request::of(&KEY) }.sign(&KEY), CsrError::Version),
        ("somebody else's signature", || Request::of(&KEY).sign(&OTHER), SignatureError::Invalid.into()),
        (
            "a signature with unused bits",
            || {
                let mut der = Request::of(&RSA).sign(&RSA);
                let place = der.len() - 257;
                assert_eq!(der[place], 0, "the count of unused bits");
                der[place] = 1;
                let last = der.len() - 1;
                der[last] &= 0xfe;
                der
            },
            SignatureError::Invalid.into(),
        ),
        (
            "SHA-1",
            || Request { digest: MessageDigest::sha1(), ..Request::of(&KEY) }.sign(&KEY),
            SignatureError::Algorithm.into(),
        ),
        (
            "SHA-1 with RSA",
            || Request { digest: MessageDigest::sha1(), ..Request::of(&RSA) }.sign(&RSA),
            SignatureError::Algorithm.into(),
        ),
        ("an algorithm for another kind of key", || Request::of(&KEY).sign(&RSA), SignatureError::Algorithm.into()),
        (
            "a curve that is not taken",
            || {
                let key = Key::ec(Nid::SECP256K1);
                Request::of(&key).sign(&key)
            },
            CsrError::KeyKind,
        ),
        (
            "a DSA key",
            || of_spki(&sequence(&[&crate::made::oid("1.2.840.10040.4.1")]), &tlv(0x02, &[7])),
            CsrError::KeyKind,
        ),
        (
            "a curve written out in parameters",
            || of_spki(&sequence(&[&crate::made::oid("1.2.840.10045.2.1"), &sequence(&[])]), &[4; 65]),
            CsrError::KeyKind,
        ),
        (
            "an RSA key that is no RSA key",
            || of_spki(&sequence(&[&crate::made::oid("1.2.840.113549.1.1.1"), &[5, 0]]), &[7; 20]),
            CsrError::KeyKind,
        ),
        (
            "two extension requests",
            || {
                with_attributes(vec![
                    attribute(oids::EXTENSION_REQUEST, &[names_of("a.test")]),
                    attribute(oids::EXTENSION_REQUEST, &[names_of("b.test")]),
                ])
            },
            CsrError::ExtensionsTwice,
        ),
        (
            "an extension request and Microsoft's",
            || {
                with_attributes(vec![
                    attribute(oids::EXTENSION_REQUEST, &[names_of("a.test")]),
                    attribute(oids::EXTENSION_REQUEST_OF_MICROSOFT, &[names_of("b.test")]),
                ])
            },
            CsrError::ExtensionsTwice,
        ),
        (
            "two lists in one extension request",
            || with_attributes(vec![attribute(oids::EXTENSION_REQUEST, &[names_of("a.test"), names_of("b.test")])]),
            CsrError::ExtensionsTwice,
        ),
        (
            "an extension twice",
            || asking(&[alternative_names(&[dns("a.test")]), alternative_names(&[dns("b.test")])]),
            CsrError::ExtensionsTwice,
        ),
        (
            "an unknown extension twice",
            || {
                let private = Extension { oid: oids::PRIVATE, critical: false, value: vec![5, 0] };
                asking(&[private.clone(), private])
            },
            CsrError::ExtensionsTwice,
        ),
        (
            "an extension request without a list",
            || with_attributes(vec![attribute(oids::EXTENSION_REQUEST, &[])]),
            CsrError::NotPkcs10,
        ),
        (
            "Microsoft's without a list",
            || with_attributes(vec![attribute(oids::EXTENSION_REQUEST_OF_MICROSOFT, &[])]),
            CsrError::Extension(oids::EXTENSION_REQUEST_OF_MICROSOFT.into()),
        ),
        (
            "an extension request that is no list",
            || with_attributes(vec![attribute(oids::EXTENSION_REQUEST, &[tlv(0x0c, b"a.test")])]),
            CsrError::NotPkcs10,
        ),
        (
            "Microsoft's that is no list",
            || with_attributes(vec![attribute(oids::EXTENSION_REQUEST_OF_MICROSOFT, &[tlv(0x0c, b"a.test")])]),
            CsrError::Extension(oids::EXTENSION_REQUEST_OF_MICROSOFT.into()),
        ),
        (
            "an attribute of three parts",
            || {
                with_attributes(vec![sequence(&[
                    &crate::made::oid(oids::PRIVATE),
                    &crate::made::set(&[]),
                    &tlv(0x05, &[]),
                ])])
            },
            CsrError::NotPkcs10,
        ),
        (
            "an extension of four parts",
            || {
                let kind = crate::made::oid(oids::PRIVATE);
                let extension = sequence(&[&kind, &[1, 1, 0xff], &tlv(0x04, &[5, 0]), &tlv(0x04, &[5, 0])]);
                with_attributes(vec![attribute(oids::EXTENSION_REQUEST, &[sequence(&[&extension])])])
            },
            CsrError::Extension(oids::EXTENSION_REQUEST.into()),
        ),
        (
            "names that are no list",
            || asking(&[Extension { value: dns("a.test"), ..alternative_names(&[]) }]),
            CsrError::Extension(oids::ALTERNATIVE_NAMES.into()),
        ),
        (
            "names that are cut short",
            || asking(&[Extension { value: vec![0x30, 0x10, 0x82, 0x01], ..alternative_names(&[]) }]),
            CsrError::Extension(oids::ALTERNATIVE_NAMES.into()),
        ),
        (
            "octets after the names inside their extension",
            || {
                let mut names = alternative_names(&[dns("a.test")]);
                names.value.extend(dns("b.test"));
                asking(&[names])
            },
            CsrError::Extension(oids::ALTERNATIVE_NAMES.into()),
        ),
        (
            "basic constraints with a TRUE that is not DER",
            || asking(&[Extension { value: vec![0x30, 3, 1, 1, 1], ..basic_constraints(false, None) }]),
            CsrError::Extension(oids::BASIC_CONSTRAINTS.into()),
        ),
        ("an e-mail address", || asking_for(&[dns("a.test"), email("root@a.test")]), RFC822),
        (
            "an integer among the names",
            || asking_for(&[dns("a.test"), tlv(0x02, b"b.test")]),
            CsrError::Extension(oids::ALTERNATIVE_NAMES.into()),
        ),
        (
            "an extension that is named by no object identifier",
            || {
                let mut list = names_of("a.test");
                list[4] = 0x07;
                with_attributes(vec![attribute(oids::EXTENSION_REQUEST, &[list])])
            },
            CsrError::Extension(oids::EXTENSION_REQUEST.into()),
        ),
        (
            "an attribute that is named by no object identifier",
            || {
                let mut attribute = attribute(oids::EXTENSION_REQUEST, &[names_of("a.test")]);
                attribute[2] = 0x07;
                with_attributes(vec![attribute])
            },
            CsrError::NotPkcs10,
        ),
        (
            "no attributes, not even an empty set",
            || Request { no_attributes: true, ..Request::of(&KEY) }.sign(&KEY),
            CsrError::NotPkcs10,
        ),
        (
            "attributes in a SEQUENCE",
            || {
                let attributes = sequence(&[&attribute(oids::EXTENSION_REQUEST, &[names_of("a.test")])]);
                Request { no_attributes: true, after_attributes: attributes, ..Request::of(&KEY) }.sign(&KEY)
            },
            CsrError::NotPkcs10,
        ),
        ("a URI", || asking_for(&[uri("https://a.test/"), dns("a.test")]), URI),
        (
            "a directory name",
            || asking_for(&[tlv(0xa4, &name(&["a.test"]))]),
            CsrError::SubjectName(SubjectNameError::Type("directoryName")),
        ),
        (
            "a registered id",
            || asking_for(&[tlv(0x88, &[0x2a, 0x03])]),
            CsrError::SubjectName(SubjectNameError::Type("registeredID")),
        ),
        (
            "an address of five octets",
            || asking_for(&[ip(&[192, 0, 2, 7, 0])]),
            CsrError::SubjectName(SubjectNameError::AddressLength),
        ),
        (
            "an address with its mask",
            || asking_for(&[ip(&[192, 0, 2, 0, 255, 255, 255, 0])]),
            CsrError::SubjectName(SubjectNameError::AddressLength),
        ),
        (
            "an address as dNSName",
            || asking_for(&[dns("192.0.2.7")]),
            refused_name("192.0.2.7", IdentifierError::LooksLikeAddress),
        ),
        ("a final dot", || asking_for(&[dns("a.test.")]), refused_name("a.test.", IdentifierError::TrailingDot)),
        (
            "a zero octet",
            || asking_for(&[dns("a.test\0.b.test")]),
            refused_name("a.test?.b.test", IdentifierError::Character),
        ),
        ("an empty name", || asking_for(&[dns("")]), refused_name("", IdentifierError::Empty)),
        (
            "an asterisk inside",
            || asking_for(&[dns("a.*.test")]),
            refused_name("a.*.test", IdentifierError::WildcardPosition),
        ),
    ]
}

#[test]
fn every_wrong_csr_is_refused_by_the_rule_that_it_breaks() {
    let mut missed = Vec::new();
    for (what, make, meant) in wrong() {
        let verdict = Csr::parse(&make()).map(|csr| format!("taken with {:?}", csr.names()));
        if verdict.as_ref() != Err(&meant) {
            missed.push(format!("{what}: {meant:?} expected, {verdict:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_csr_may_have_16_kib() {
    // The length of an RSA signature does not vary.
    let padded = |octets| {
        let private = Extension { oid: oids::PRIVATE, critical: false, value: tlv(0x04, &vec![0; octets]) };
        Request::asking(&RSA, &[private]).sign(&RSA)
    };
    let exact =
        (CSR_OCTETS_MAX - 700..CSR_OCTETS_MAX - 500).map(padded).find(|der| der.len() == CSR_OCTETS_MAX).unwrap();
    assert!(Csr::parse(&exact).is_ok());
}

/// Every bit counts: it is signed, part of the signature, or part of the form.
#[test]
fn a_csr_with_one_changed_bit_is_refused() {
    for key in [&*KEY, &*RSA] {
        let der = Request::asking(key, &[alternative_names(&[dns("a.test")]), tls_feature(5)]).sign(key);
        assert!(Csr::parse(&der).is_ok());
        for place in 0..der.len() * 8 {
            let mut changed = der.clone();
            changed[place / 8] ^= 1 << (place % 8);
            assert!(Csr::parse(&changed).is_err(), "bit {} of octet {}", place % 8, place / 8);
        }
    }
}

#[test]
fn refusals_are_sentences_without_control_characters() {
    for (what, _, error) in wrong() {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains(char::is_control) && !text.contains('"'), "{what}: {text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_are_no_csr(octets in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(Csr::parse(&octets).is_err());
    }

    /// Cut, doubled and inserted octets make the reader not stumble.
    #[test]
    fn mangled_csrs_are_refused(
        from in any::<prop::sample::Index>(),
        length in 0..40_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        static DER: LazyLock<Vec<u8>> = LazyLock::new(|| asking(&[alternative_names(&[dns("a.test")])]));
        let from = from.index(DER.len());
        let to = (from + length).min(DER.len());
        let mangled = [&DER[..from], &inserted, &DER[to..]].concat();
        prop_assume!(mangled != *DER);
        prop_assert!(Csr::parse(&mangled).is_err());
    }

    /// Extensions of any content under a good signature: read or refused, and what is read is what
    /// OpenSSL reads.
    #[test]
    fn arbitrary_extensions_under_a_good_signature_are_read_or_refused(
        content in prop::collection::vec(any::<u8>(), 0..60),
        tag in prop::sample::select(vec![0x82_u8, 0x87, 0x81, 0x86, 0xa0, 0xa4, 0x30]),
    ) {
        let mut names = alternative_names(&[dns("a.test"), tlv(tag, &content)]);
        let _ = Csr::parse(&asking(std::slice::from_ref(&names)));
        names.value = content;
        prop_assert!(Csr::parse(&asking(&[names])).is_err(), "random octets are no list of names");
    }
}
