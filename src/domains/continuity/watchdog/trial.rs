//! What is tried of Plan B in a drill, through the same doors that everybody uses.

use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use super::asking::{Answer, At, Question};
use super::state::{DrillWish, Trial};
use crate::domains::continuity::place::Place;

/// How long one trial may take; all of them fit into the shortest drill.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the entry may take into the journal once the main program is back.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The header of Plan B's key.
const KEY: &str = "x-api-key";

/// The doors of the box that a drill goes through.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// Plan B's address.
    pub planb: Option<At>,
    /// The box's own address, where Plan B stands in.
    pub front: Option<At>,
    /// The main program's local socket.
    pub console: Option<At>,
}

/// What the trials found.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// The trials, in order.
    pub trials: Vec<Trial>,
    /// The entry that was written, for the main program to take.
    pub entry: Option<String>,
}

/// Tries everything while Plan B answers.
pub async fn everything(doors: Doors, place: Place, wish: DrillWish) -> Tried {
    let key = fs::read_to_string(place.api_key()).unwrap_or_default();
    let proof = [(KEY, key.trim())];
    let mut tried = Tried::default();
    if let Some(planb) = &doors.planb {
        let get = |path| Question::get(path).with(&proof).ask(planb, PATIENCE);
        let said = get("/health");
        tried.add("health", said, |a| word(&a, "status")).await;
        tried.add("status", get("/status"), |a| word(&a, "role")).await;
        tried.add("pack", get("/planb/state"), |a| verified(&a)).await;
        tried.add("pages", get("/planb"), |a| page(&a)).await;
        let id = wish.id.to_string();
        let body = serde_json::json!({"kind": "drill", "body": {"drill": id}}).to_string();
        let headers = [(KEY, key.trim()), ("idempotency-key", id.as_str())];
        let question = Question {
            method: "POST",
            path: "/planb/entries",
            headers: &headers,
            body: body.as_bytes(),
        };
        let mut entry = None;
        let wrote = question.ask(planb, PATIENCE);
        tried
            .add("entry", wrote, |answer| {
                entry = answer.json().get("id").and_then(|id| id.as_str()).map(str::to_owned);
                entry.clone().map(|id| format!("It is entry {id}.")).ok_or_else(|| no("id"))
            })
            .await;
        tried.entry = entry;
    }
    if let Some(front) = &doors.front {
        let said = Question::get("/planb").with(&proof).ask(front, PATIENCE);
        tried.add("front", said, |a| page(&a)).await;
    }
    tried
}

/// Whether the main program took the drill's entry: the way from a kiosk's punch to the store.
pub async fn arrival(console: Option<At>, entry: Option<String>) -> Trial {
    let began = Instant::now();
    let (ok, detail) = match (console, entry) {
        (Some(console), Some(entry)) => {
            let mut taken = is_taken(&console, &entry).await;
            while taken.is_err() && began.elapsed() < TAKEN_WITHIN {
                tokio::time::sleep(LOOK).await;
                taken = is_taken(&console, &entry).await;
            }
            match taken {
                Ok(()) => (true, format!("The main program took entry {entry}.")),
                Err(why) => (false, why),
            }
        }
        _ => (false, "Nothing was written that could be taken.".to_owned()),
    };
    trial("arrival", ok, detail, began)
}

/// The same, where the watchdog ended before it knew.
pub fn unseen() -> Trial {
    trial(
        "arrival",
        false,
        "The watchdog ended before the entry was seen to arrive.".into(),
        Instant::now(),
    )
}

async fn is_taken(console: &At, entry: &str) -> Result<(), String> {
    let said = Question::get("/continuity/arrivals?limit=200").ask(console, PATIENCE).await;
    let answer = said.map_err(|e| e.to_string())?;
    let json = answer.json();
    let items = json.get("items").and_then(|items| items.as_array());
    let is_it = |item: &serde_json::Value| item.get("id").and_then(|id| id.as_str()) == Some(entry);
    if items.is_some_and(|items| items.iter().any(is_it)) {
        return Ok(());
    }
    Err(format!("Entry {entry} is not among what arrived (status {}).", answer.status))
}

impl Tried {
    async fn add(
        &mut self,
        what: &str,
        said: impl Future<Output = std::io::Result<Answer>>,
        judge: impl FnOnce(Answer) -> Result<String, String>,
    ) {
        let began = Instant::now();
        let found = match said.await {
            Ok(answer) if answer.is_good() => judge(answer),
            Ok(answer) => Err(format!("It answered {}.", answer.status)),
            Err(e) => Err(format!("It did not answer: {e}.")),
        };
        let (ok, detail) = match found {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.trials.push(trial(what, ok, detail, began));
    }
}

fn trial(what: &str, ok: bool, detail: String, began: Instant) -> Trial {
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Trial { what: what.to_owned(), ok, detail, took_ms }
}

fn word(answer: &Answer, name: &str) -> Result<String, String> {
    let json = answer.json();
    let word = json.get(name).and_then(|value| value.as_str());
    word.map(|word| format!("{name}: {word}.")).ok_or_else(|| no(name))
}

fn verified(answer: &Answer) -> Result<String, String> {
    let json = answer.json();
    let pack = json.get("pack").ok_or_else(|| no("pack"))?;
    let age = pack.get("age_seconds").and_then(serde_json::Value::as_u64).unwrap_or_default();
    match pack.get("verified").and_then(serde_json::Value::as_bool) {
        Some(true) => Ok(format!("It is whole and {age} s old.")),
        _ => Err("The pack does not verify.".to_owned()),
    }
}

fn page(answer: &Answer) -> Result<String, String> {
    let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    if text.contains("<html") { Ok(format!("{} bytes.", text.len())) } else { Err(no("page")) }
}

fn no(what: &str) -> String {
    format!("Its answer holds no {what}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::continuity::watchdog::said::is_listed;

    #[tokio::test]
    async fn what_a_trial_says_is_what_the_pages_can_say() {
        let answer = |body: &str| Answer { status: 200, body: body.as_bytes().to_vec() };
        let pack = |whole| answer(&format!(r#"{{"pack":{{"verified":{whole},"age_seconds":7}}}}"#));
        let said = [
            word(&answer(r#"{"status":"ok"}"#), "status"),
            word(&answer(r#"{"role":"client"}"#), "role"),
            word(&answer("{}"), "role"),
            verified(&pack(true)),
            verified(&pack(false)),
            verified(&answer("{}")),
            page(&answer("<html>")),
            page(&answer("{}")),
            Ok(arrival(None, None).await.detail),
            Ok(unseen().detail),
        ];
        for said in said {
            let (Ok(said) | Err(said)) = said;
            assert!(is_listed(&said), "{said}");
        }
    }
}
