//! What a test that fails leaves behind to be looked at.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, Once},
};

use crate::process::tail;

/// When a test panics, the ends of the logs come after its words, and their folder is kept.
pub(super) fn show_logs_on_failure(dir: PathBuf) {
    static WORLDS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    static HOOK: Once = Once::new();
    WORLDS.lock().unwrap().push(dir);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if crate::QUIET.get() {
                return;
            }
            before(panic);
            for dir in WORLDS.lock().map(|worlds| worlds.clone()).unwrap_or_default() {
                // Kept, because somebody will want to look.
                let _ = fs::write(dir.join("keep"), "");
                eprintln!("{}", tail(&dir.join("gateway.log")));
            }
        }));
    });
}
