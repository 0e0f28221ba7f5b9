//! The text files of the repository, read once. What is ignored is left out: folders named in the root `.gitignore`,
//! and every folder that ignores itself with a `.gitignore` of `*`. No git is needed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, ensure};

/// Deepest folder and most files that are read; more is no repository of ours.
const DEPTH_MAX: usize = 24;
const FILES_MAX: usize = 20_000;
/// Larger files are data, not text for people.
const FILE_OCTETS_MAX: u64 = 2 * 1024 * 1024;

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextFile {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The files of the repository.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    texts: Vec<TextFile>,
    /// All files and folders, also those that are no text.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    /// A file cannot be read, or there are too many.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let ignored: BTreeSet<&str> = ignored.lines().filter_map(|line| line.trim().strip_prefix('/')).collect();
        let mut tree = Self::default();
        tree.read_folder(root, "", &ignored, 0)?;
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The text files, by path.
    pub(crate) fn files(&self) -> &[TextFile] {
        &self.texts
    }

    /// The text of a file, if it is there and is text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Whether `target`, a path as it stands in a link in the file `from`, leads to a file or folder.
    pub(crate) fn leads_somewhere(&self, from: &str, target: &str) -> bool {
        self.resolve(from, target).is_some()
    }

    /// The path from the root to which `target` leads, empty for the root, if there is such a file or folder.
    pub(crate) fn resolve(&self, from: &str, target: &str) -> Option<String> {
        let parent = Path::new(from).parent().unwrap_or(Path::new(""));
        let path =
            if let Some(absolute) = target.strip_prefix('/') { PathBuf::from(absolute) } else { parent.join(target) };
        let mut parts: Vec<String> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                Component::ParentDir => {
                    parts.pop()?;
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        let path = parts.join("/");
        (path.is_empty() || self.paths.contains(&path)).then_some(path)
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn read_folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        ignored: &BTreeSet<&str>,
        depth: usize,
    ) -> anyhow::Result<()> {
        ensure!(depth <= DEPTH_MAX, "{} is nested too deeply", folder.display());
        let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("{} cannot be read", folder.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if name == ".git" || ignored.contains(path.as_str()) {
                continue;
            }
            let kind = entry.file_type().with_context(|| format!("{path} cannot be looked at"))?;
            if kind.is_dir() {
                if ignores_itself(&entry.path()) {
                    continue;
                }
                self.read_folder(&entry.path(), &format!("{path}/"), ignored, depth.saturating_add(1))?;
            } else if kind.is_file() {
                let length = entry.metadata().with_context(|| format!("{path} cannot be looked at"))?.len();
                // Files with octets that are no text are not ours to judge.
                if length <= FILE_OCTETS_MAX
                    && let Ok(text) = fs::read_to_string(entry.path())
                {
                    self.texts.push(TextFile { path: path.clone(), text });
                }
            }
            self.paths.insert(path);
            ensure!(
                self.paths.len() <= FILES_MAX,
                "there are more than {FILES_MAX} files; is something unpacked here?"
            );
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn with_texts(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::of(&files.iter().map(|(path, _)| *path).collect::<Vec<_>>());
        tree.texts = files.iter().map(|(path, text)| TextFile { path: (*path).into(), text: (*text).into() }).collect();
        tree
    }

    #[cfg(test)]
    pub(crate) fn of(paths: &[&str]) -> Self {
        let mut tree = Self::default();
        for path in paths {
            let mut path = Path::new(path);
            while path != Path::new("") {
                tree.paths.insert(path.to_str().unwrap().to_owned());
                path = path.parent().unwrap();
            }
        }
        tree
    }
}

fn ignores_itself(folder: &Path) -> bool {
    fs::read_to_string(folder.join(".gitignore")).is_ok_and(|text| text.trim() == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_not_read() {
        let root = std::env::temp_dir().join(format!("xtask-{}-tree", std::process::id()));
        for folder in ["target", "demo", "acme/target"] {
            fs::create_dir_all(root.join(folder)).unwrap();
            fs::write(root.join(folder).join("a.md"), "a").unwrap();
        }
        fs::write(root.join(".gitignore"), "/target\n").unwrap();
        fs::write(root.join("demo/.gitignore"), "*\n").unwrap();
        fs::write(root.join("picture"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(&root).unwrap();
        let paths: Vec<&str> = tree.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "acme/target/a.md"]);
        assert!(tree.has("picture") && tree.has("acme") && !tree.has("demo"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn links_are_followed_from_the_folder_of_their_file() {
        let tree = Tree::of(&["docs/adr/one.md", "README.md"]);
        assert!(tree.leads_somewhere("docs/adr/one.md", "../../README.md"));
        assert!(tree.leads_somewhere("README.md", "docs/adr/"));
        assert!(tree.leads_somewhere("docs/adr/one.md", "/README.md"));
        assert!(!tree.leads_somewhere("README.md", "adr/one.md"));
        assert!(!tree.leads_somewhere("README.md", "../README.md"));
    }
}
