//! Every setting of the box, by section; each section's meaning lives with its owner.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::listen::ListenSettings;
use super::logs::LogSettings;
use crate::base::config::{self, Effective};
use crate::base::fault::Fault;
use crate::base::paths::DataFolder;
use crate::domains::activity::ActivitySettings;
use crate::domains::assistant::generation::GenerationSettings;
use crate::domains::assistant::history::HistorySettings;
use crate::domains::assistant::passages::Cutting;
use crate::domains::assistant::thinking::ThinkingSettings;
use crate::domains::assistant::{AssistantSettings, DocumentSettings, SearchSettings};
use crate::domains::attendance::settings::AttendanceSettings;
use crate::domains::continuity::settings::{ContinuitySettings, WatchdogSettings};
use crate::domains::identity::IdentitySettings;
use crate::store::StoreOptions;
use crate::web::guard::HostRules;

/// The data folder when nothing says otherwise.
pub const DATA: &str = "data";
/// The environment variable of the data folder.
pub const DATA_VARIABLE: &str = "ILOT_DATA";
/// The environment variable of the models' folder, short for `ILOT_MODELS_FOLDER`.
pub const MODELS_VARIABLE: &str = "ILOT_MODELS";

/// Settings under `[models]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The folder that holds one folder per model.
    pub folder: String,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self { folder: "models".into() }
    }
}

/// Settings under `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Whether `/metrics` answers without a sign-in.
    pub open: bool,
}

/// Every setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Addresses and limits of the door.
    pub listen: ListenSettings,
    /// The names the box answers for.
    pub hosts: HostRules,
    /// Logs.
    pub log: LogSettings,
    /// The store.
    pub store: StoreOptions,
    /// Users and sessions.
    pub identity: IdentitySettings,
    /// Documents.
    pub documents: DocumentSettings,
    /// How texts are cut into passages.
    pub passages: Cutting,
    /// Search.
    pub search: SearchSettings,
    /// What writes.
    pub assistant: GenerationSettings,
    /// The assistant's history.
    pub history: HistorySettings,
    /// Models.
    pub models: ModelSettings,
    /// Counters.
    pub metrics: MetricsSettings,
    /// The journal's lists and counts.
    pub activity: ActivitySettings,
    /// Plan B.
    pub continuity: ContinuitySettings,
    /// The watchdog.
    pub watchdog: WatchdogSettings,
    /// Attendance.
    pub attendance: AttendanceSettings,
}

impl Settings {
    /// What documents and search are set by.
    pub fn documents(&self) -> AssistantSettings {
        AssistantSettings {
            documents: self.documents.clone(),
            passages: self.passages.clone(),
            search: self.search.clone(),
        }
    }

    /// What thinks is set by.
    pub fn thinking(&self) -> ThinkingSettings {
        ThinkingSettings { generation: self.assistant.clone(), history: self.history.clone() }
    }
}

/// The settings of one run: where the data is, what is effective, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data: DataFolder,
    /// The settings in force.
    pub settings: Settings,
    /// The same as a table, with origins.
    pub effective: Effective,
}

impl Config {
    /// Reads the settings: `flags` over the environment over `ilot.toml` in the data folder over defaults.
    ///
    /// # Errors
    /// `settings_malformed`, `setting_unknown`, `setting_wrong_type`, `settings_unreadable`.
    pub fn read(data: Option<PathBuf>, flags: &[(String, String)]) -> Result<Self, Fault> {
        let data = Self::folder(data);
        let file = match std::fs::read_to_string(data.settings()) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                return Err(Fault::invalid(
                    "settings_unreadable",
                    format!("{} cannot be read: {e}", data.settings().display()),
                ));
            }
        };
        Self::layered(data, file.as_deref(), variables(), flags)
    }

    /// The settings as they are without their file: for what has to work with a damaged one too.
    ///
    /// # Errors
    /// As [`Config::read`], for flags and environment.
    pub fn without_file(data: Option<PathBuf>, flags: &[(String, String)]) -> Result<Self, Fault> {
        Self::layered(Self::folder(data), None, variables(), flags)
    }

    fn folder(data: Option<PathBuf>) -> DataFolder {
        let data = data
            .or_else(|| std::env::var_os(DATA_VARIABLE).map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(DATA));
        DataFolder::at(data)
    }

    /// The settings from given layers.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn layered(
        data: DataFolder,
        file: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, Fault> {
        let defaults = toml::Table::try_from(Settings::default())
            .map_err(|e| Fault::broken("writing the default settings down", e))?;
        let effective = config::layer(defaults, file, variables, flags)?;
        let settings = effective.table.clone().try_into().map_err(|e| {
            Fault::invalid("settings_malformed", format!("The settings cannot be used: {e}"))
        })?;
        Ok(Self { data, settings, effective })
    }

    /// The models' folder, from the root on: the children that run models work in another folder.
    pub fn models(&self) -> PathBuf {
        let folder = Path::new(&self.settings.models.folder);
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
    }
}

/// The environment, with the short names of variables in full.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        match name.as_str() {
            DATA_VARIABLE => None,
            MODELS_VARIABLE => Some((config::variable("models.folder"), value)),
            // Names that Chrona's installations set (attendance-chrona.md §2.9).
            "JWT_PRIVATE_KEY_PATH" => Some((config::variable("attendance.pass_key_file"), value)),
            "API_URL" => Some((config::variable("attendance.api_url"), value)),
            "EPHEMERAL_TOKEN_EXPIRE_SECONDS" => {
                Some((config::variable("attendance.pass_seconds"), value))
            }
            _ => Some((name, value)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_whole_and_a_flag_wins() {
        let flags = [("listen.http".to_owned(), "127.0.0.1:0".to_owned())];
        let file = "[search]\nvector_weight = 0.5\n[documents]\nfile_max_mib = 7\n";
        let config = Config::layered(DataFolder::at("d"), Some(file), [], &flags).unwrap();
        assert_eq!(config.settings.listen.http, "127.0.0.1:0");
        assert!((config.settings.search.vector_weight - 0.5).abs() < f32::EPSILON);
        assert_eq!(config.settings.documents.file_max_mib, 7);
        assert_eq!(config.settings.identity, IdentitySettings::default());
        assert!(config.models().is_absolute(), "a child finds it from anywhere");
    }
}
