//! Errors about accounts.

use super::{Page, Whom};

pub(super) static DOES_NOT_EXIST: Page = Page {
    title: "This account is not known here",
    happened: "Your device asked for something in the name of an account that this service does not know.",
    means: "An account is what a device creates when it signs up for the first time. Yours may have been created at \
        another server, or it was removed. Certificates that the device already has go on working until they expire.",
    steps: &[
        "Compare the server address (directory URL) in the device with the one you were given, letter by letter.",
        "Let the device sign up again. The button or command is often called Register, New account or Reset account.",
        "If you were given a key id and a key for signing up, enter both again first.",
    ],
    ask: &[Whom::Officer, Whom::Operator],
};

pub(super) static EXTERNAL_ACCOUNT_REQUIRED: Page = Page {
    title: "This service needs a key id and a key to sign up",
    happened: "Your device tried to sign up without saying who it belongs to.",
    means: "Only devices that were registered beforehand can sign up here. Whoever registers yours gives you two \
        texts: a key id and a key (also called EAB credentials, key identifier and HMAC key). Nothing is broken; the \
        device only lacks these two.",
    steps: &[
        "Look for the key id and the key in what you were given for this device.",
        "Enter both in the device, next to the server address. The fields are often called EAB, External Account \
         Binding, Key ID and HMAC key.",
        "If the device has no such fields, ask for a server address (directory URL) made for it alone.",
        "Let the device sign up again.",
    ],
    ask: &[Whom::Officer],
};

pub(super) static INVALID_CONTACT: Page = Page {
    title: "The contact address is not right",
    happened: "Your device gave a contact address that cannot be used.",
    means: "A contact is the address where people can be told about problems with a certificate. It has to be a \
        single, complete e-mail address.",
    steps: &[
        "Correct the e-mail address in the device: name@example.com, without spaces, and one address in each field.",
        "Let the device try again. If it lets you, you can also leave the address out.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static UNSUPPORTED_CONTACT: Page = Page {
    title: "Only e-mail addresses can be contacts",
    happened: "Your device gave a contact that is not an e-mail address, such as a telephone number or a web page.",
    means: "This service can write down e-mail addresses only. Nothing else is wrong with the request.",
    steps: &["Enter an e-mail address as the contact, or leave the contact out.", "Let the device try again."],
    ask: &[Whom::Operator, Whom::Maker],
};

pub(super) static UNAUTHORIZED: Page = Page {
    title: "Your device may not do this",
    happened: "The request was understood, but your device is not allowed to do what it asked for.",
    means: "Often the account was switched off or is held up, the device uses the key of another account, or the key \
        id and key for signing up were used before or typed wrong. The error text says which of these it is.",
    steps: &[
        "Read the error text: it names what was refused and by which rule.",
        "If it speaks of the account, ask whoever registered the device whether it is still active.",
        "If it speaks of the key id or key for signing up, enter both again exactly as you were given them; they \
         often work once only.",
        "If it speaks of a waiver, let the device order again. If it then has to prove names that it did not have to prove \
        before, ask whoever registered it.",
        "If it speaks of a URL, compare the server address in the device with the one you were given.",
    ],
    ask: &[Whom::Officer, Whom::Operator],
};

pub(super) static USER_ACTION_REQUIRED: Page = Page {
    title: "A person has to agree first",
    happened: "This service has terms that somebody must accept before it does what your device asked for.",
    means: "The terms are new, or your device has not said that you agree to them. The error text has the address of \
        the page with the terms.",
    steps: &[
        "Open the address in the error text and read the terms.",
        "If you agree, switch on something like Agree to terms of service in the device.",
        "Let the device sign up again. If it signed up before the terms changed, remove its account in the device first, \
         so that it signs up as new.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static BAD_PUBLIC_KEY: Page = Page {
    title: "The key of your device is not safe enough",
    happened: "Your device came with a key that this service does not accept.",
    means: "A key can be too short, of a kind that is not used here, or known to be weak because many devices of one \
        make have created similar ones. With such a key somebody else could pose as your device. The error text says \
        what is wrong with it.",
    steps: &[
        "Let the device make a new key: EC P-256, or RSA with 2048 bits or more.",
        "Update the device's software first if there is an update: old versions may make weak keys.",
        "Sign up or ask for the certificate again with the new key.",
    ],
    ask: &[Whom::Maker, Whom::Operator],
};
