//! Bills of materials: every crate that a program is made of, in CycloneDX, held against the schema of that format.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{PROGRAMS, Source};
use crate::{commands::run, registries, workspace};

const CARGO_CYCLONEDX: &str = "0.5.9";
const FORMAT: &str = "1.5";
/// Reads a bill strictly by the schema; unknown fields are errors.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
sys.exit(0 if error is None else f'{sys.argv[1]}: {error}')
";

/// Makes the bill of each program and checks it.
pub(super) fn make(source: &Source, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let tool = registries::cargo_tool("cargo-cyclonedx", CARGO_CYCLONEDX)?;
    let python = registries::cyclonedx_python()?;
    let mut bills = Vec::new();
    for (program, package) in PROGRAMS {
        let manifest = source.folder.join(package).join("Cargo.toml");
        run(Command::new(&tool)
            .args([
                "cyclonedx",
                "--quiet",
                "--format",
                "json",
                "--spec-version",
                FORMAT,
                "--override-filename",
                program,
            ])
            .arg("--manifest-path")
            .arg(&manifest)
            .current_dir(&source.folder)
            .env("CARGO", workspace::cargo().get_program())
            .env("SOURCE_DATE_EPOCH", &source.time))?;
        let made = source.folder.join(package).join(format!("{program}.json"));
        let text = fs::read_to_string(&made).with_context(|| format!("{} was not made", made.display()))?;
        let bill = out.join(format!("{program}.cdx.json"));
        // Where it was built is nobody's business, and differs from build to build.
        let text = text.replace(&*source.folder.to_string_lossy(), "/usr/src/acme-gateway");
        fs::write(&bill, text).with_context(|| format!("{} cannot be written", bill.display()))?;
        run(Command::new(&python).args(["-c", VALIDATE]).arg(&bill))?;
        bills.push(bill);
    }
    Ok(bills)
}
