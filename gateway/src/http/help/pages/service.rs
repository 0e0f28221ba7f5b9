//! Errors about this service as such.

use super::{Page, Whom};

pub(super) static RATE_LIMITED: Page = Page {
    title: "Too much at a time",
    happened: "Your device, or others with the same account or network address, asked more often than is allowed.",
    means: "Limits keep one busy or broken device from standing in the way of all others. The error text says which \
        limit it is, and the answer says after how many seconds to try again (Retry-After). Nothing was changed, and \
        certificates that you have go on working. If the error text has a web address in it, requests for a name \
        were paused because it has failed for a long time: open that address to see why, and to let it try again.",
    steps: &[
        "Wait as long as the error text says. Trying again earlier does not help.",
        "Look whether the device asks again and again for a certificate that it already has or can never get, and \
         mend that first.",
        "If the error text has a web address in it, open it in a browser and follow what it says.",
        "If you really need more, ask for the limit to be raised.",
    ],
    ask: &[Whom::Operator],
};

pub(super) static SERVER_INTERNAL: Page = Page {
    title: "This service has a problem of its own",
    happened: "Your device's request was all right, but this service cannot do it now.",
    means: "Something behind the service is away, too busy or broken. It is not the fault of your device, and its \
        certificates go on working until they expire. Devices try again by themselves.",
    steps: &[
        "Wait as long as the answer says (Retry-After), or a few minutes, and let the device try again.",
        "If it goes on for hours, tell the people who run this service. If the error text has a reference in it, tell \
         them that too.",
    ],
    ask: &[Whom::Operator],
};
