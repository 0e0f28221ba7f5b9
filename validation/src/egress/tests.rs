//! The address policy as tables: who may dial what.

use super::*;

/// The three houses the table is read for: one that opened nothing, one with private networks
/// (10.20.0.0/16, fd12:3456:789a::/48), one that validates public names.
fn houses() -> [Egress; 3] {
    let network = |text: &str| text.parse::<IpNet>().unwrap();
    let never = vec![network("10.20.255.0/24"), network("8.8.4.4/32"), network("fd12:3456:789a:ff::/64")];
    let settings = Settings { never, ..Settings::default() };
    let allow = vec![network("10.20.0.0/16"), network("fd12:3456:789a::/48"), network("0.0.0.0/32")];
    [
        Egress::new(&settings),
        Egress::new(&Settings { allow, ..settings.clone() }),
        Egress::new(&Settings { public_addresses: true, ..settings }),
    ]
}

/// An address, and what the closed, the private and the public house say about it: `ok` or a rule.
const TABLE: &[(&str, [&str; 3])] = &[
    ("0.0.0.0", ["unspecified"; 3]),
    ("0.0.0.1", ["unspecified"; 3]),
    ("0.1.2.3", ["unspecified"; 3]),
    ("0.255.255.255", ["unspecified"; 3]),
    ("1.0.0.0", ["public", "public", "ok"]),
    ("1.1.1.1", ["public", "public", "ok"]),
    ("8.8.8.8", ["public", "public", "ok"]),
    ("8.8.4.4", ["own"; 3]),
    ("9.255.255.255", ["public", "public", "ok"]),
    ("10.0.0.0", ["private"; 3]),
    ("10.0.0.1", ["private"; 3]),
    ("10.19.255.255", ["private"; 3]),
    ("10.20.0.0", ["private", "ok", "private"]),
    ("10.20.0.1", ["private", "ok", "private"]),
    ("10.20.254.255", ["private", "ok", "private"]),
    ("10.20.255.0", ["own"; 3]),
    ("10.20.255.7", ["own"; 3]),
    ("10.20.255.255", ["own"; 3]),
    ("10.21.0.0", ["private"; 3]),
    ("10.255.255.255", ["private"; 3]),
    ("11.0.0.0", ["public", "public", "ok"]),
    ("100.63.255.255", ["public", "public", "ok"]),
    ("100.64.0.0", ["shared-address-space"; 3]),
    ("100.64.0.1", ["shared-address-space"; 3]),
    ("100.100.100.200", ["cloud-metadata"; 3]),
    ("100.127.255.255", ["shared-address-space"; 3]),
    ("100.128.0.0", ["public", "public", "ok"]),
    ("126.255.255.255", ["public", "public", "ok"]),
    ("127.0.0.0", ["loopback"; 3]),
    ("127.0.0.1", ["loopback"; 3]),
    ("127.0.0.53", ["loopback"; 3]),
    ("127.1.2.3", ["loopback"; 3]),
    ("127.255.255.255", ["loopback"; 3]),
    ("128.0.0.0", ["public", "public", "ok"]),
    ("168.63.129.15", ["public", "public", "ok"]),
    ("168.63.129.16", ["cloud-metadata"; 3]),
    ("168.63.129.17", ["public", "public", "ok"]),
    ("169.253.255.255", ["public", "public", "ok"]),
    ("169.254.0.0", ["link-local"; 3]),
    ("169.254.1.1", ["link-local"; 3]),
    ("169.254.169.253", ["link-local"; 3]),
    ("169.254.169.254", ["cloud-metadata"; 3]),
    ("169.254.170.2", ["cloud-metadata"; 3]),
    ("169.254.255.255", ["link-local"; 3]),
    ("169.255.0.0", ["public", "public", "ok"]),
    ("172.15.255.255", ["public", "public", "ok"]),
    ("172.16.0.0", ["private"; 3]),
    ("172.20.10.2", ["private"; 3]),
    ("172.31.255.255", ["private"; 3]),
    ("172.32.0.0", ["public", "public", "ok"]),
    ("191.255.255.255", ["public", "public", "ok"]),
    ("192.0.0.0", ["protocol-assignment"; 3]),
    ("192.0.0.1", ["protocol-assignment"; 3]),
    ("192.0.0.170", ["protocol-assignment"; 3]),
    ("192.0.0.192", ["cloud-metadata"; 3]),
    ("192.0.0.255", ["protocol-assignment"; 3]),
    ("192.0.1.0", ["public", "public", "ok"]),
    ("192.0.2.0", ["documentation"; 3]),
    ("192.0.2.1", ["documentation"; 3]),
    ("192.0.2.255", ["documentation"; 3]),
    ("192.0.3.0", ["public", "public", "ok"]),
    ("192.88.98.255", ["public", "public", "ok"]),
    ("192.88.99.1", ["reserved"; 3]),
    ("192.88.100.0", ["public", "public", "ok"]),
    ("192.167.255.255", ["public", "public", "ok"]),
    ("192.168.0.0", ["private"; 3]),
    ("192.168.1.1", ["private"; 3]),
    ("192.168.255.255", ["private"; 3]),
    ("192.169.0.0", ["public", "public", "ok"]),
    ("198.17.255.255", ["public", "public", "ok"]),
    ("198.18.0.0", ["benchmarking"; 3]),
    ("198.19.255.255", ["benchmarking"; 3]),
    ("198.20.0.0", ["public", "public", "ok"]),
    ("198.51.99.255", ["public", "public", "ok"]),
    ("198.51.100.1", ["documentation"; 3]),
    ("198.51.101.0", ["public", "public", "ok"]),
    ("203.0.112.255", ["public", "public", "ok"]),
    ("203.0.113.9", ["documentation"; 3]),
    ("203.0.114.0", ["public", "public", "ok"]),
    ("223.255.255.255", ["public", "public", "ok"]),
    ("224.0.0.0", ["multicast"; 3]),
    ("224.0.0.1", ["multicast"; 3]),
    ("239.255.255.250", ["multicast"; 3]),
    ("239.255.255.255", ["multicast"; 3]),
    ("240.0.0.0", ["reserved"; 3]),
    ("250.1.2.3", ["reserved"; 3]),
    ("255.255.255.254", ["reserved"; 3]),
    ("255.255.255.255", ["broadcast"; 3]),
    ("::", ["unspecified"; 3]),
    ("::1", ["loopback"; 3]),
    ("::2", ["embedded-IPv4"; 3]),
    ("::127.0.0.1", ["embedded-IPv4"; 3]),
    ("::10.0.0.1", ["embedded-IPv4"; 3]),
    ("::8.8.8.8", ["embedded-IPv4"; 3]),
    ("::ffff:127.0.0.1", ["embedded-IPv4"; 3]),
    ("::ffff:10.20.0.1", ["embedded-IPv4"; 3]),
    ("::ffff:169.254.169.254", ["embedded-IPv4"; 3]),
    ("::ffff:8.8.8.8", ["embedded-IPv4"; 3]),
    ("::ffff:0:7f00:1", ["embedded-IPv4"; 3]),
    ("::1:0:0:0", ["reserved"; 3]),
    ("0:1::", ["reserved"; 3]),
    ("64:ff9a:ffff::", ["reserved"; 3]),
    ("64:ff9b::7f00:1", ["embedded-IPv4"; 3]),
    ("64:ff9b::a14:1", ["embedded-IPv4"; 3]),
    ("64:ff9b::808:808", ["embedded-IPv4"; 3]),
    ("64:ff9b:1::a9fe:a9fe", ["embedded-IPv4"; 3]),
    ("64:ff9b:1:ffff::1", ["embedded-IPv4"; 3]),
    ("64:ff9b:2::1", ["reserved"; 3]),
    ("100::1", ["reserved"; 3]),
    ("100:0:0:1::1", ["reserved"; 3]),
    ("1fff:ffff::1", ["reserved"; 3]),
    ("2000::1", ["public", "public", "ok"]),
    ("2001::1", ["embedded-IPv4"; 3]),
    ("2001:0:7f00:1::", ["embedded-IPv4"; 3]),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ["embedded-IPv4"; 3]),
    ("2001:1::1", ["protocol-assignment"; 3]),
    ("2001:2::1", ["benchmarking"; 3]),
    ("2001:2:1::1", ["protocol-assignment"; 3]),
    ("2001:10::1", ["protocol-assignment"; 3]),
    ("2001:20::1", ["protocol-assignment"; 3]),
    ("2001:1ff:ffff::1", ["protocol-assignment"; 3]),
    ("2001:200::1", ["public", "public", "ok"]),
    ("2001:4860:4860::8888", ["public", "public", "ok"]),
    ("2001:db7:ffff::1", ["public", "public", "ok"]),
    ("2001:db8::1", ["documentation"; 3]),
    ("2001:db8:ffff:ffff::1", ["documentation"; 3]),
    ("2001:db9::1", ["public", "public", "ok"]),
    ("2002:7f00:1::1", ["embedded-IPv4"; 3]),
    ("2002:a14:1::", ["embedded-IPv4"; 3]),
    ("2002:808:808::1", ["embedded-IPv4"; 3]),
    ("2003::1", ["public", "public", "ok"]),
    ("2606:4700:4700::1111", ["public", "public", "ok"]),
    ("2a00:1450:4001::1", ["public", "public", "ok"]),
    ("3ffe:ffff::1", ["public", "public", "ok"]),
    ("3fff::1", ["documentation"; 3]),
    ("3fff:fff::1", ["documentation"; 3]),
    ("3fff:1000::1", ["public", "public", "ok"]),
    ("4000::1", ["reserved"; 3]),
    ("5f00::1", ["reserved"; 3]),
    ("8000::1", ["reserved"; 3]),
    ("fbff::1", ["reserved"; 3]),
    ("fc00::1", ["private"; 3]),
    ("fd00::1", ["private"; 3]),
    ("fd00:ec2::253", ["private"; 3]),
    ("fd00:ec2::254", ["cloud-metadata"; 3]),
    ("fd20:ce::254", ["cloud-metadata"; 3]),
    ("fd12:3456:789a::1", ["private", "ok", "private"]),
    ("fd12:3456:789a:ff::1", ["own"; 3]),
    ("fd12:3456:789b::1", ["private"; 3]),
    ("fdff:ffff:ffff::1", ["private"; 3]),
    ("fe00::1", ["reserved"; 3]),
    ("fe80::1", ["link-local"; 3]),
    ("fe80::a9fe:a9fe", ["link-local"; 3]),
    ("febf:ffff::1", ["link-local"; 3]),
    ("fec0::1", ["reserved"; 3]),
    ("ff01::1", ["multicast"; 3]),
    ("ff02::1", ["multicast"; 3]),
    ("ff0e::fb", ["multicast"; 3]),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["multicast"; 3]),
];

#[test]
fn each_address_has_one_verdict_per_house() {
    assert!(TABLE.len() >= 120, "{} rows", TABLE.len());
    for (text, verdicts) in TABLE {
        let address: IpAddr = text.parse().unwrap();
        for (house, verdict) in houses().iter().zip(verdicts) {
            let said = match house.check(address) {
                Ok(dialable) => {
                    assert_eq!(dialable.address(), address);
                    "ok"
                }
                Err(Refusal(rule)) => rule.name(),
            };
            assert_eq!(said, *verdict, "{text}");
        }
    }
}

#[test]
fn the_deny_list_wins_over_any_allow_list() {
    let everything = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let open = Egress::new(&Settings { allow: everything, public_addresses: true, ..Settings::default() });
    let mut denied_rows = 0;
    for (text, [_, _, verdict]) in TABLE {
        let address = text.parse().unwrap();
        if matches!(*verdict, "ok" | "private" | "own") {
            assert!(open.check(address).is_ok(), "{text}");
        } else {
            denied_rows += 1;
            assert_eq!(open.check(address).unwrap_err().0.name(), *verdict, "{text}");
        }
    }
    assert!(denied_rows > 60, "{denied_rows} rows");
}

#[test]
fn the_loopback_switch_opens_loopback_and_nothing_else() {
    let switched = Egress::new(&Settings { danger_allow_loopback: true, ..Settings::default() });
    let [closed, ..] = houses();
    for (text, [verdict, ..]) in TABLE {
        let address = text.parse().unwrap();
        match *verdict {
            "loopback" => assert!(switched.check(address).is_ok(), "{text}"),
            "own" => assert!(closed.check(address).is_err(), "{text}"),
            _ => assert_eq!(switched.check(address), closed.check(address), "{text}"),
        }
    }
}

#[test]
fn own_addresses_win_even_over_the_loopback_switch() {
    let never = vec!["127.0.0.9/32".parse().unwrap()];
    let house = Egress::new(&Settings { danger_allow_loopback: true, never, ..Settings::default() });
    assert_eq!(house.check("127.0.0.9".parse().unwrap()), Err(Refusal(Rule::Own)));
    assert!(house.check("127.0.0.8".parse().unwrap()).is_ok());
}

#[test]
fn only_the_way_to_ourselves_leads_to_our_own_addresses_and_to_nothing_else_that_is_denied() {
    let network = |text: &str| text.parse::<IpNet>().unwrap();
    let (own, allow) = (vec![network("10.20.0.7/32"), network("8.8.8.8/32")], vec![network("10.20.0.0/16")]);
    let settings =
        Settings { own, allow, never: vec![network("10.20.0.9/32")], public_addresses: true, ..Settings::default() };
    let (house, ourselves) = (Egress::new(&settings), Egress::to_ourselves(&settings));
    for address in ["10.20.0.7", "8.8.8.8"] {
        let address = address.parse().unwrap();
        assert_eq!(house.check(address), Err(Refusal(Rule::Own)));
        assert!(ourselves.check(address).is_ok());
    }
    for address in ["10.20.0.9", "127.0.0.1", "169.254.169.254", "10.21.0.1", "fe80::1"] {
        let address = address.parse().unwrap();
        assert!(ourselves.check(address).is_err(), "{address}");
        assert_eq!(ourselves.check(address), house.check(address));
    }
}

#[test]
fn a_refusal_says_its_rule() {
    assert_eq!(Refusal(Rule::Metadata).to_string(), "cloud-metadata addresses are never dialled");
    assert_eq!(
        Refusal(Rule::Private).to_string(),
        "private addresses are dialled only if their network is on the allow list"
    );
}
