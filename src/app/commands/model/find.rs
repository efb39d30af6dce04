//! Models where people bring them: a file, a folder, a stick.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::fault::Fault;
use crate::domains::assistant::models::{TOKENIZER, WEIGHTS};

/// Where a stick that was made for a box carries its models.
const ON_A_STICK: &str = "ilot/models";

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name it suggests.
    pub(super) name: String,
    /// Its weights.
    pub(super) weights: PathBuf,
    /// The tokenizer beside them.
    pub(super) tokenizer: Option<PathBuf>,
}

/// The models at a path: the file itself; else the weights in the folder; else those in folders of
/// `ilot/models`, as a stick carries them, or in folders right below.
///
/// # Errors
/// `not_found` when there is nothing, `model_file_unknown` for a file of another kind.
pub(super) fn find(path: &Path) -> Result<Vec<Found>, Fault> {
    let meta = fs::metadata(path)
        .map_err(|e| Fault::not_found(&format!("file as {}: {e}", path.display())))?;
    if meta.is_file() {
        if !is_weights(path) {
            return Err(Fault::invalid(
                "model_file_unknown",
                format!("{} is no {WEIGHTS} file.", path.display()),
            ));
        }
        return Ok(vec![found(path.to_owned(), stem(path))]);
    }
    let mut all = within(path);
    let stick = path.join(ON_A_STICK);
    for folder in [&stick, path] {
        if all.is_empty() {
            all = below(folder);
        }
    }
    if all.is_empty() {
        return Err(Fault::not_found(&format!("model as {}", path.display())));
    }
    Ok(all)
}

/// The weights right in a folder; one alone is called as its folder is.
fn within(folder: &Path) -> Vec<Found> {
    let mut weights: Vec<PathBuf> = entries(folder).into_iter().filter(|p| is_weights(p)).collect();
    if weights.len() == 1
        && let (Some(only), Some(name)) = (weights.pop(), folder.file_name())
    {
        return vec![found(only, name.to_string_lossy().into_owned())];
    }
    weights
        .into_iter()
        .map(|path| {
            let name = stem(&path);
            found(path, name)
        })
        .collect()
}

fn below(folder: &Path) -> Vec<Found> {
    entries(folder).into_iter().filter(|path| path.is_dir()).flat_map(|f| within(&f)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn is_weights(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.ends_with(WEIGHTS) && path.is_file()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn found(weights: PathBuf, name: String) -> Found {
    let tokenizer = weights.with_file_name(TOKENIZER);
    Found { tokenizer: tokenizer.is_file().then_some(tokenizer), name, weights }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_where_people_bring_them() {
        let stick = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = stick.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "GGUF").unwrap();
            path
        };
        assert_eq!(find(stick.path()).unwrap_err().code, "not_found");
        let one = put("ilot/models/qwen/w.gguf");
        let tokenizer = put("ilot/models/qwen/tokenizer.json");
        put("ilot/models/mistral/a.GGUF");
        put("ilot/models/.hidden/b.gguf");
        let all = find(stick.path()).unwrap();
        let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["mistral", "qwen"]);
        assert_eq!((&all[1].weights, &all[1].tokenizer), (&one, &Some(tokenizer)));
        assert_eq!(find(&one).unwrap()[0].name, "w");
        assert_eq!(find(one.parent().unwrap()).unwrap()[0].name, "qwen");
        // Files at the top of the stick come before what lies deeper.
        let (x, y) = (put("x.gguf"), put("y.gguf"));
        let all = find(stick.path()).unwrap();
        assert_eq!(all.iter().map(|found| &found.weights).collect::<Vec<_>>(), [&x, &y]);
        assert_eq!(find(&put("readme.txt")).unwrap_err().code, "model_file_unknown");
    }
}
