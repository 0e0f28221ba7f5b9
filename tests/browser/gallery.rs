//! All pictures on one page, for people.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes the page beside the pictures and answers where it is.
pub(crate) fn write(pictures: &Path) -> PathBuf {
    let entries = fs::read_dir(pictures).expect("the folder can be read");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".png")).collect();
    names.sort();
    let mut html = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>The console</title>\n\
        <style>body { font-family: sans-serif } figure { display: inline-block; vertical-align: top; margin: 1rem }\n\
        img { max-width: 40rem; border: 1px solid gray }</style>\n<h1>The console</h1>\n"
        .to_owned();
    for name in names {
        html.push_str(&format!("<figure><figcaption>{name}</figcaption><img src=\"{name}\" alt=\"\"></figure>\n"));
    }
    let file = pictures.join("index.html");
    fs::write(&file, html).expect("the folder can be written to");
    file
}
