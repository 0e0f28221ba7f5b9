//! Keeps the memory of this process, which has keys in it, out of files and from other processes.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

/// No core is ever dumped, whatever limit the process was started with, and no other process of this user may attach
/// to this one or read its memory; root may.
///
/// # Errors
/// The kernel refuses, as one without these two would.
pub(super) fn ensure() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn neither_a_core_nor_another_process_of_the_user_gets_at_the_memory() {
        ensure().unwrap();
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
