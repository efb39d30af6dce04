//! `ilot openapi`: prints the description of every route.

use std::sync::Arc;

use super::Exit;
use crate::app::settings::Config;
use crate::app::{App, World, router};
use crate::base::clock::MachineClock;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::paths::DataFolder;
use crate::base::tasks::Tasks;

pub(super) fn run() -> Result<Exit, Fault> {
    println!("{}", document()?);
    Ok(Exit::Done)
}

/// The `OpenAPI` document of this program, pretty JSON, from a box that is forgotten.
///
/// # Errors
/// What the box says.
pub fn document() -> Result<String, Fault> {
    let scratch = tempfile::tempdir().map_err(|e| Fault::broken("making a scratch folder", e))?;
    let flags = [
        ("listen.https".to_owned(), "off".to_owned()),
        ("models.folder".to_owned(), scratch.path().join("none").display().to_string()),
    ];
    let config = Config::layered(DataFolder::at(scratch.path()), None, [], &flags)?;
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::in_memory()?, tasks, health)?;
    let json = router::document(app.desks()).to_pretty_json();
    app.close();
    json.map_err(|e| Fault::broken("writing the OpenAPI document", e))
}
