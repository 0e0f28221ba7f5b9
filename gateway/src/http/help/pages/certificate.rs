//! Errors about certificates and the orders that lead to them.

use super::{Page, Whom};

pub(super) static ALREADY_REPLACED: Page = Page {
    title: "This certificate has a successor already",
    happened: "Your device wanted to renew a certificate that was renewed before.",
    means: "Each certificate can be replaced by one other. Either the renewal was done and the device does not know \
        it, or two devices or programs renew the same certificate.",
    steps: &[
        "Look whether the device has a newer certificate already; then nothing has to be done.",
        "Look whether another device or program renews the same certificate, and let only one of them do it.",
        "Otherwise let the device order a new certificate without naming the old one.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static ALREADY_REVOKED: Page = Page {
    title: "This certificate is withdrawn already",
    happened: "Your device asked to withdraw (revoke) a certificate that was withdrawn before.",
    means: "What you wanted has happened: nobody should trust this certificate any more. Nothing is broken.",
    steps: &[
        "Nothing more has to be done about the old certificate.",
        "If the device still uses it, ask for a new one.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static BAD_CSR: Page = Page {
    title: "The certificate request does not fit",
    happened: "Your device sent a certificate request (CSR) that does not match its order, or that cannot be used.",
    means: "The request must contain exactly the names that were ordered and a key that is safe enough, and it must \
        be signed by that key. The error text says what does not fit. The order stays open: it can be completed with \
        a better request.",
    steps: &[
        "Compare the names in the device's certificate settings with those it ordered: the same names, none more and \
         none less.",
        "Let the device make a new key for the certificate: EC P-256, or RSA with 2048 bits or more. It must not be \
         the key of its account.",
        "Let the device try again.",
    ],
    ask: &[Whom::Maker, Whom::Operator],
};

pub(super) static BAD_REVOCATION_REASON: Page = Page {
    title: "This reason cannot be given",
    happened: "Your device asked to withdraw (revoke) a certificate for a reason that it may not use.",
    means: "Some reasons are for the certificate authority alone. The certificate is NOT withdrawn yet.",
    steps: &[
        "Choose one of the reasons that the error text lists, or none.",
        "If somebody may have stolen the key, choose key compromise (1).",
        "Ask again to withdraw the certificate.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static INVALID_PROFILE: Page = Page {
    title: "There is no such kind of certificate for you",
    happened: "Your device asked for a kind of certificate (a profile) that is not on offer, or not for this device.",
    means: "A profile says how long a certificate is good and what it may be used for. Which profiles there are is \
        listed in the directory of this service, under meta and profiles.",
    steps: &[
        "Correct the name of the profile in the device's settings, or leave it empty for the usual one.",
        "Let the device try again.",
    ],
    ask: &[Whom::Officer, Whom::Operator],
};

pub(super) static ORDER_NOT_READY: Page = Page {
    title: "The order cannot be completed yet, or not any more",
    happened: "Your device wanted to complete an order whose names are not all proven, or that has ended.",
    means: "Before there is a certificate the device must prove that every name in it is its own. That is not done, \
        it failed, or it took too long.",
    steps: &[
        "Let the device start again from the beginning with a new order.",
        "Look further up in its log: an earlier error usually says why a name could not be proven.",
    ],
    ask: &[Whom::Maker, Whom::Operator],
};
