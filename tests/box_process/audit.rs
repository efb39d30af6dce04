//! `ilot audit`: on a box that runs, on one that does not, on files without any box.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use ilot::app::schema::STEPS;
use ilot::base::clock::MachineClock;
use ilot::base::disk::MachineDisk;
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
use ilot::domains::activity::records::{VERIFIED, Verified};
use ilot::store::journal::{Head, JOURNAL};
use ilot::store::{Ground, Reader, Store, StoreOptions};

use super::machine::Place;

#[test]
fn the_journal_is_listed_exported_and_verified_by_the_line() {
    for runs in [true, false] {
        let place = Place::new();
        let password = place.folder.path().join("password");
        let password = password.to_str().unwrap();
        let running = runs.then(|| place.serve(&[]));
        place
            .ends(&["setup", "--site", "Dépôt", "--admin", "chef", "--password-file", password], 0);
        let listed = place.tells(&["audit", "list", "--deed", "user.", "--limit", "5"], 0);
        assert_eq!(listed["items"][0]["deed"], "user.add", "{listed}");
        assert!(place.ends(&["audit", "list", "--who", "console"], 0).contains("user.add"));
        assert_eq!(
            place.tells(&["audit", "list", "--since", "2000-01-01", "--deed", "é&=x"], 0)["total"],
            0
        );
        place.ends(&["audit", "list", "--since", "hier"], 2);
        let own = place.tells(&["audit", "verify"], 0);
        assert!(own["ok"] == true && own["links"].as_u64().unwrap() > 2, "{own}");

        let file = place.folder.path().join("journal.ndjson");
        let path = file.to_str().unwrap();
        place.ends(&["audit", "export", path], 0);
        place.ends(&["audit", "export", path], 4);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"site_name\":\"Dépôt\"") && text.contains("activity.export"));
        assert!(!text.contains("argon2"), "a secret in the journal");
        let verdict = place.tells(&["audit", "verify", path], 0);
        assert_eq!(verdict["fingerprint"], own["fingerprint"]);
        let key = own["fingerprint"].as_str().unwrap();
        place.ends(&["audit", "verify", path, "--key", key], 0);
        place.ends(&["audit", "verify", path, "--key", "00"], 6);
        fs::write(&file, text.replacen("user.add", "user.odd", 1)).unwrap();
        let verdict = place.tells(&["audit", "verify", path], 6);
        assert_eq!(
            (&verdict["count"], &verdict["offences"][0]["wrong"]),
            (&1.into(), &"edited".into())
        );
        assert!(place.ends(&["audit", "verify", path], 6).contains("user.odd"));
        let later = text.replacen("\"exported_at\":\"2", "\"exported_at\":\"3", 1);
        assert_ne!(later, text);
        fs::write(&file, later).unwrap();
        assert!(place.ends(&["audit", "verify", path], 6).contains("export_unsigned"));
        place.ends(&["audit", "verify", "/nonexistent"], 3);
        fs::write(&file, "nonsense").unwrap();
        place.ends(&["audit", "verify", path], 2);
        if let Some(running) = running {
            assert_eq!(running.stop().0, Some(0));
        }
    }
}

#[test]
fn a_copied_store_is_verified_without_its_box_and_stays_as_it_is() {
    let place = Place::new();
    let password = place.folder.path().join("password");
    let running = place.serve(&[]);
    let word = password.to_str().unwrap();
    place.ends(&["setup", "--site", "Dépôt", "--admin", "chef", "--password-file", word], 0);
    assert_eq!(running.stop().0, Some(0));
    let copy = place.folder.path().join("copy.redb");
    fs::copy(place.data.join("ilot.redb"), &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let path = copy.to_str().unwrap();
    let verdict = place.tells(&["audit", "verify", path], 0);
    assert!(
        verdict["last_checkpoint"]["number"] == verdict["links"],
        "signed at closing: {verdict}"
    );
    assert!(fs::read(&copy).unwrap() == before, "the copy was changed");
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let ground = Ground { clock: Arc::new(MachineClock), disk: Arc::new(MachineDisk), health };
    let store = Store::open(&copy, &ground, StoreOptions::default(), STEPS, &tasks).unwrap();
    store
        .write(|tx| {
            let mut link = tx.get(&JOURNAL, &2)?.unwrap();
            link.who = "nobody".into();
            tx.put(&JOURNAL, &2, &link)
        })
        .unwrap();
    // A walk went along links of which nothing else is left.
    let links = store.journal_head().number;
    store
        .write(move |tx| {
            let head = Head { number: links + 5, hash: [7; 32] };
            tx.put(&VERIFIED, &(), &Verified { head, ..Verified::default() })
        })
        .unwrap();
    // A copy of a store that nobody closed is mended aside, not where it lies.
    let torn = place.folder.path().join("torn.redb");
    fs::copy(&copy, &torn).unwrap();
    store.close();
    tasks.stop(Duration::from_secs(5));
    let before = fs::read(&torn).unwrap();
    for path in [path, torn.to_str().unwrap()] {
        let verdict = place.tells(&["audit", "verify", path], 6);
        assert_eq!(verdict["offences"][0]["number"], 2, "{verdict}");
        assert_eq!(verdict["offences"][0]["wrong"], "edited", "{verdict}");
        assert_eq!(verdict["offences"][1]["number"], links + 1, "{verdict}");
        assert_eq!(verdict["offences"][1]["wrong"], "cut", "{verdict}");
    }
    assert!(fs::read(&torn).unwrap() == before, "the copy was changed");
    fs::write(&torn, b"redb, but no store").unwrap();
    place.ends(&["audit", "verify", torn.to_str().unwrap()], 1);
}
