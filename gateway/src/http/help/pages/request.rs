//! Errors about requests as such. People can do little about them; their software can.

use super::{Page, Whom};

pub(super) static BAD_NONCE: Page = Page {
    title: "The request came too late or came twice",
    happened: "Every request carries a number that is good once. The one in this request was used before, is too \
        old, or is from before this service was restarted.",
    means: "This protects your device from somebody who repeats its requests. Usually the software tries again by \
        itself at once and you see nothing of it. Nothing is broken.",
    steps: &[
        "Let the device try again.",
        "If it happens every time, look whether a proxy between the device and this service keeps or repeats answers.",
        "Update the device's software if there is an update.",
    ],
    ask: &[Whom::Maker, Whom::Network],
};

pub(super) static BAD_SIGNATURE_ALGORITHM: Page = Page {
    title: "The request is signed in a way that is not accepted",
    happened: "Your device signed its request with a method that this service does not take.",
    means: "The method is too weak, very rare, or does not fit the device's key. The answer lists the methods that \
        can be used (algorithms).",
    steps: &[
        "Let the device make a new account key: EC P-256, or RSA with 2048 bits or more.",
        "Update the device's software if there is an update.",
    ],
    ask: &[Whom::Maker],
};

pub(super) static MALFORMED: Page = Page {
    title: "The request was not understood",
    happened: "Your device sent something that this service cannot read, or asked for something that is not there.",
    means: "Often the server address in the device is not quite right, or an order is asked for that is long over. \
        It can also be a defect of the device's software. The error text says what was wrong. Nothing was changed.",
    steps: &[
        "Compare the server address (directory URL) in the device with the one you were given, letter by letter. It \
         ends in /directory.",
        "Let the device start again from the beginning with a new order.",
        "Update the device's software if there is an update.",
        "If somebody opened the address in a browser: that is fine, most addresses of this service answer programs \
         only.",
    ],
    ask: &[Whom::Maker, Whom::Operator],
};
