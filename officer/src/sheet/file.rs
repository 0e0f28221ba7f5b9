//! A file for a page with a secret on it: for its owner only, and never over another file.
//!
//! It is made before the secret is asked for, since the secret is shown once: a name that cannot be written to must not
//! cost it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::{error::Failure, output::Answer};

/// An empty file of ours. It is removed again unless it is written.
#[derive(Debug)]
pub(crate) struct Reserved {
    file: Option<File>,
    path: PathBuf,
}

impl Reserved {
    /// Makes the file.
    ///
    /// # Errors
    /// [`Failure::File`] if there is one already, or none can be made there.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            let cure = if error.kind() == io::ErrorKind::AlreadyExists {
                "it exists, and a sheet is not written over anything; name another file"
            } else {
                "name a file in a folder that you can write to"
            };
            Failure::File(format!("the sheet {}: {error}: {cure}", path.display()))
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refused)?;
        Ok(Self { file: Some(file), path: path.to_owned() })
    }

    /// Writes the page, and says so in the answer. A failure is told there too, by the exit code as well, and is not
    /// the end: the secret has to be shown all the same.
    pub(crate) fn write(mut self, page: &str, answer: &mut Answer) {
        let Some(mut file) = self.file.take() else { return };
        answer.aside = match file.write_all(page.as_bytes()).and_then(|()| file.sync_all()) {
            Ok(()) => format!("The sheet is in {}. Print it, then delete it: the secret is on it", self.path.display()),
            Err(error) => {
                let _ = fs::remove_file(&self.path);
                answer.exit_code = Failure::File(String::new()).exit_code();
                format!("The sheet could not be written to {}: {error}", self.path.display())
            }
        };
        if let Some(members) = answer.json.as_object_mut() {
            members.insert("sheet".to_owned(), answer.aside.as_str().into());
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("acme-officer-sheet-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_sheet_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder("mode").join("sheet.html");
        let mut answer = Answer::new("", json!({"id": "reg_1"}));
        Reserved::new(&path).unwrap().write("<html>", &mut answer);
        assert!(answer.aside.contains("sheet.html") && answer.exit_code == 0, "{}", answer.aside);
        assert_eq!(answer.json, json!({"id": "reg_1", "sheet": answer.aside}));
        assert_eq!(fs::read_to_string(&path).unwrap(), "<html>");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_exists_is_left_as_it_is() {
        let path = folder("there").join("sheet.html");
        fs::write(&path, "mine").unwrap();
        let failure = Reserved::new(&path).unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.to_string().contains("name another file"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_sheet_that_cannot_be_written_is_told_beside_the_secret() {
        // Whatever is written to this device, there is no room for it.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let sheet = Reserved { file: Some(full), path: folder("full").join("sheet.html") };
        let mut answer = Answer::new("the secret", json!({"id": "reg_1"}));
        sheet.write("<html>", &mut answer);
        assert!(answer.aside.contains("could not be written"), "{}", answer.aside);
        assert_eq!((answer.exit_code, answer.text.as_str()), (3, "the secret"));
        assert_eq!(answer.json["sheet"], json!(answer.aside));
        fs::remove_dir_all(folder("full")).unwrap();
    }

    #[test]
    fn no_file_is_left_behind_if_there_is_no_secret() {
        let path = folder("unused").join("sheet.html");
        drop(Reserved::new(&path).unwrap());
        assert!(!path.exists());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
