//! Errors about the names and addresses that a certificate is asked for.

use super::{Page, Whom};

pub(super) static COMPOUND: Page = Page {
    title: "Several things are wrong",
    happened: "Several parts of the request were refused, for different reasons.",
    means: "The answer has a list (subproblems) that says for each name what is wrong with it. Nothing was ordered.",
    steps: &[
        "Look at the list in the device's log, name by name.",
        "Correct or remove the names it mentions, and let the device try again.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static REJECTED_IDENTIFIER: Page = Page {
    title: "There is no certificate for this name here",
    happened: "Your device asked for a certificate for a name or address that it may not have.",
    means: "Each device may have certificates only for the names that were registered for it, and some names are \
        never given out: local names, names of whole top-level domains, names with typing errors. The error text \
        names the rule. Nothing is broken.",
    steps: &[
        "Check how the name is spelt in the device, and that it is the full name: printer.example.com, not printer.",
        "Remove names that the device does not need.",
        "If the name is right, ask for it to be added to the registration of the device.",
    ],
    ask: &[Whom::Officer],
};

pub(super) static UNSUPPORTED_IDENTIFIER: Page = Page {
    title: "Certificates are for names and addresses only",
    happened: "Your device asked for a certificate for something that is neither a DNS name nor an IP address.",
    means: "This service can prove control of DNS names and IP addresses and of nothing else.",
    steps: &[
        "Enter the full DNS name of the device in its certificate settings, and remove everything else.",
        "Let the device try again.",
    ],
    ask: &[Whom::Maker, Whom::Operator],
};
