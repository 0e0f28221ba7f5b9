//! A QR code (ISO/IEC 18004) as the path of an SVG picture, a module a unit.

use std::fmt::Write as _;

use qrcodegen::{QrCode as Code, QrCodeEcc};

/// Light modules around it that the standard asks for.
const QUIET_ZONE: i32 = 4;

/// What a template draws.
#[derive(Debug)]
pub(super) struct QrCode {
    /// Width and height with the light border, in modules.
    pub(super) size: i32,
    /// The dark modules, for the `d` of a `path`.
    pub(super) path: String,
}

impl QrCode {
    /// The code of a text; `None` if no code is large enough for it (2,331 octets).
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = Code::encode_text(text, QrCodeEcc::Medium).ok()?;
        let size = code.size().saturating_add(QUIET_ZONE).saturating_add(QUIET_ZONE);
        let mut path = String::new();
        for y in 0..code.size() {
            let mut x = 0;
            while x < code.size() {
                let dark = (x..code.size()).take_while(|x| code.get_module(*x, y)).count();
                let length = i32::try_from(dark).unwrap_or_default();
                if length > 0 {
                    let (left, top) = (x.saturating_add(QUIET_ZONE), y.saturating_add(QUIET_ZONE));
                    // Writing to a string never fails.
                    let _ = write!(path, "M{left} {top}h{length}v1h-{length}z");
                }
                x = x.saturating_add(length).saturating_add(1);
            }
        }
        Some(Self { size, path })
    }
}
