//! Makes sure that there is a folder to embed the pages from, and looks again when it changes.

use std::{fs, io};

const PAGES: &str = "src/ui/dist";

fn main() -> io::Result<()> {
    fs::create_dir_all(PAGES)?;
    println!("cargo::rerun-if-changed={PAGES}");
    println!("cargo::rerun-if-changed=src/web/build.rs");
    Ok(())
}
