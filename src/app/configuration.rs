//! The settings in force, shown to administrators with where each comes from; secrets are masked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::settings::Config;
use super::system::VERSION;
use crate::base::caller::{Caller, Right};
use crate::base::fault::Fault;
use crate::web::{Answer, Asker, Json, run};

/// What stands in the place of a secret.
const MASK: &str = "***";
/// A setting whose name holds one of these words is a secret.
const SECRET_WORDS: &[&str] = &["password", "passphrase", "secret", "token", "api_key"];

/// The settings of this run, to be shown.
#[derive(Clone)]
pub struct Configuration(Arc<Shown>);

struct Shown {
    /// Where plain HTTP, else https, is set to listen.
    listen: String,
    /// Where it really listens, once it does.
    addresses: PathBuf,
    database: PathBuf,
    log_level: String,
    settings: Table,
    origins: BTreeMap<String, String>,
}

/// What `run/addresses.json` tells.
#[derive(Deserialize)]
struct Bound {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
}

impl Configuration {
    /// What is shown of `config`.
    pub fn of(config: &Config) -> Self {
        let listen = &config.settings.listen;
        let by_http = !listen.http.is_empty() && listen.http != "off";
        let origins = &config.effective.origins;
        Self(Arc::new(Shown {
            listen: if by_http { &listen.http } else { &listen.https }.clone(),
            addresses: config.data.addresses(),
            database: config.data.store(),
            log_level: config.settings.log.level.clone(),
            settings: masked(&config.effective.table),
            origins: origins.iter().map(|(key, from)| (key.clone(), from.to_string())).collect(),
        }))
    }

    fn show(&self, caller: &Caller) -> Result<ConfigAnswer, Fault> {
        caller.require(Right::AdminAccess)?;
        let shown = &*self.0;
        let (host, port) = self.listens_at();
        Ok(ConfigAnswer {
            app_name: "ilot",
            app_version: VERSION,
            host,
            port,
            database_path: shown.database.display().to_string(),
            log_level: shown.log_level.clone(),
            backup_dir: None,
            backup_retention_days: None,
            auto_backup_enabled: false,
            auto_backup_hour: None,
            settings: serde_json::to_value(&shown.settings)
                .map_err(|e| Fault::broken("writing the settings down", e))?,
            origins: shown.origins.clone(),
        })
    }

    /// The host and port that clients reach: as bound, since a setting may ask for any free port.
    fn listens_at(&self) -> (String, u16) {
        let bound = std::fs::read(&self.0.addresses).ok();
        let bound = bound.and_then(|text| serde_json::from_slice::<Bound>(&text).ok());
        if let Some(at) = bound.and_then(|bound| bound.http.or(bound.https)) {
            return (at.ip().to_string(), at.port());
        }
        match self.0.listen.rsplit_once(':') {
            Some((host, port)) => {
                (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or_default())
            }
            None => (self.0.listen.clone(), 0),
        }
    }
}

/// A table whose secrets are masked; an empty one is shown as empty, since that is what it is.
fn masked(table: &Table) -> Table {
    let one = |(name, value): (&String, &Value)| {
        let secret = SECRET_WORDS.iter().any(|word| name.contains(word));
        let empty = value.as_str().is_some_and(str::is_empty);
        let shown = match value {
            Value::Table(inner) => Value::Table(masked(inner)),
            Value::String(_) | Value::Array(_) if secret && !empty => Value::String(MASK.into()),
            plain => plain.clone(),
        };
        (name.clone(), shown)
    };
    table.iter().map(one).collect()
}

/// The routes.
pub fn routes(configuration: Configuration) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(config)).with_state(configuration)
}

/// The settings: TomatoPlan's fields, then everything.
#[derive(Debug, Serialize, ToSchema)]
struct ConfigAnswer {
    /// Always `ilot`.
    app_name: &'static str,
    /// This program's version.
    app_version: &'static str,
    /// The address that plain HTTP, else https, listens at.
    host: String,
    /// Its port.
    port: u16,
    /// The file of the store.
    database_path: String,
    /// What is logged.
    log_level: String,
    /// The folder of automatic snapshots; null while the box makes none by itself.
    backup_dir: Option<String>,
    /// How long they are kept; null while there are none.
    backup_retention_days: Option<u32>,
    /// Whether the box makes snapshots by itself.
    auto_backup_enabled: bool,
    /// At which hour; null while it does not.
    auto_backup_hour: Option<u8>,
    /// Every setting in force, by section; secrets are `***`.
    #[schema(value_type = Object)]
    settings: serde_json::Value,
    /// Where each comes from: `default`, `file`, `environment NAME` or `flag`, by dotted name.
    origins: BTreeMap<String, String>,
}

/// Shows the settings in force.
#[utoipa::path(get, path = "/admin/config", tag = "box",
    responses((status = 200, body = ConfigAnswer), (status = 403, description = "`right_missing`")))]
async fn config(
    State(configuration): State<Configuration>,
    Asker(caller): Asker,
) -> Answer<ConfigAnswer> {
    Ok(Json(run(move || configuration.show(&caller)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let table: Table = "[mail]\nhost = 'h'\nsmtp_password = 'hush'\ntoken = ''\n\
                            [a.b]\napi_keys = ['hush']\ntoken_hours = 8\n"
            .parse()
            .unwrap();
        let shown = serde_json::to_value(masked(&table)).unwrap();
        let wanted = serde_json::json!({
            "mail": {"host": "h", "smtp_password": MASK, "token": ""},
            "a": {"b": {"api_keys": MASK, "token_hours": 8}},
        });
        assert_eq!(shown, wanted);
    }
}
