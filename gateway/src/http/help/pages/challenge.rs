//! Errors that were found when control of a name was looked for.

use super::{Page, Whom};

pub(super) static CAA: Page = Page {
    title: "The name's owner does not allow it",
    happened: "The DNS of a name says that this service may not issue certificates for it.",
    means: "Owners of names can list in DNS who may issue certificates for them (CAA records). This service is not on \
        that list, or the list could not be read.",
    steps: &[
        "Find the DNS name in the error text.",
        "Ask whoever looks after it to add a CAA record for this service. The value to use is in the directory of \
         this service, under meta and caaIdentities.",
        "Let the device try again.",
    ],
    ask: &[Whom::Network, Whom::Operator],
};

pub(super) static CONNECTION: Page = Page {
    title: "Your device could not be reached",
    happened: "This service tried to call the name that you want a certificate for, and nobody answered properly.",
    means: "To see that the name is yours the service opens a connection to it. A firewall may be in between, the \
        name may point to the wrong address, or nothing listens there at that moment. The error text has the address \
        that was tried and what came of it.",
    steps: &[
        "Check that the address in the error text is the address of your device. If not, the name's DNS entry is \
         wrong.",
        "Check that your firewall lets this service in: port 80 for http-01, port 443 for tls-alpn-01.",
        "Check that the device was switched on and that no other program uses that port.",
        "Let the device try again.",
    ],
    ask: &[Whom::Network, Whom::Operator],
};

pub(super) static DNS: Page = Page {
    title: "The name could not be looked up",
    happened: "This service asked DNS about the name that you want a certificate for and got no usable answer.",
    means: "The name does not exist, has no address, was entered only a moment ago, or its name servers have trouble. \
        For dns-01 the text record that proves control is missing.",
    steps: &[
        "Check how the name is spelt.",
        "Check that the name has an address in DNS: nslookup followed by the name shows it. This service may use \
         other name servers than your computer.",
        "For dns-01, check that the record _acme-challenge in front of the name is there, and wait some minutes after \
         it was added.",
        "Let the device try again.",
    ],
    ask: &[Whom::Network, Whom::Operator],
};

pub(super) static INCORRECT_RESPONSE: Page = Page {
    title: "Something else answered in your device's place",
    happened: "This service looked for the proof that the name is yours and found something else.",
    means: "Most often the name points to another device, a proxy or a login page answers first, or an old proof is \
        still there. The error text says where it looked and what it expected.",
    steps: &[
        "Check that the name points to the device that asked for the certificate, and to no other.",
        "If a proxy or load balancer stands in front, let it pass /.well-known/acme-challenge/ on to the device.",
        "For dns-01, remove old _acme-challenge records of the name.",
        "Let the device try again.",
    ],
    ask: &[Whom::Network, Whom::Maker],
};

pub(super) static TLS: Page = Page {
    title: "No secure connection to your device came about",
    happened: "This service tried to open an encrypted connection to the name and failed.",
    means: "For this kind of proof (tls-alpn-01) the device must answer on port 443 with a certificate that it makes \
        for that moment. Something else answered, or it answered in another way.",
    steps: &[
        "Check that port 443 of the name leads to the device itself, not to a proxy that ends encryption.",
        "Update the device's software if there is an update.",
        "If the device can, let it use http-01 or dns-01 instead.",
    ],
    ask: &[Whom::Network, Whom::Maker],
};
