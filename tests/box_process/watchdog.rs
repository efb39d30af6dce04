//! The watchdog with real processes: killed, hung, dying at once, handed signals, and left without their keeper.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::machine::{PATIENCE, Place, Reply, ask, signal_to, until};

/// Short times, so that a test need not wait for a site's.
const QUICK: &[&str] = &[
    "watchdog.probe_milliseconds=100",
    "watchdog.answer_milliseconds=1000",
    "watchdog.misses=3",
    "watchdog.steady_milliseconds=500",
    "watchdog.pause_milliseconds=100",
    "watchdog.stop_seconds=3",
    "watchdog.starts=50",
];

/// A watchdog that runs.
struct Watch<'p> {
    place: &'p Place,
    child: Child,
    /// Where the box answers, whoever stands there.
    front: SocketAddr,
    /// Where Plan B answers.
    planb: SocketAddr,
}

/// An address that nobody holds at the moment.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn get(address: SocketAddr, path: &str) -> Option<Reply> {
    ask(address, "GET", path, &[], b"")
}

fn answers(address: SocketAddr) -> bool {
    get(address, "/health").is_some_and(|reply| reply.status == 200)
}

fn is_gone(pid: u64) -> bool {
    // One that is dead and not yet reaped is as good as gone.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// Waits for a child's end, so long as a test may.
fn end_of(child: &mut Child) -> ExitStatus {
    until("the watchdog to end", || child.try_wait().unwrap())
}

impl<'p> Watch<'p> {
    fn start(place: &'p Place, args: &[&str]) -> Self {
        let (front, planb) = (free(), free());
        let (http, b) = (front.to_string(), planb.to_string());
        let mut all = vec!["watchdog"];
        if !args.contains(&"--http") {
            all.extend(["--http", http.as_str()]);
        }
        all.extend(["--planb", b.as_str()]);
        for one in QUICK {
            all.extend(["--set", one]);
        }
        all.extend(args);
        let said = fs::File::create(place.folder.path().join("watched")).unwrap();
        let child = place
            .command(&all)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { place, child, front, planb }
    }

    /// One whose main program is well.
    fn well(place: &'p Place, args: &[&str]) -> Self {
        let watch = Self::start(place, args);
        watch.until_phase("healthy");
        watch
    }

    fn state(&self) -> Value {
        let told = fs::read(self.place.data.join("planb/watchdog.json")).unwrap_or_default();
        let state: Value = serde_json::from_slice(&told).unwrap_or_default();
        // What a watchdog before this one left behind tells nothing of it.
        if state["pid"] == self.child.id() { state } else { Value::Null }
    }

    fn until_phase(&self, phase: &str) -> Value {
        until(&format!("phase {phase}: {}", self.said()), || {
            Some(self.state()).filter(|state| state["phase"] == phase)
        })
    }

    fn pid(&self, name: &str) -> u32 {
        let pid = until(name, || self.state()[name].as_u64());
        u32::try_from(pid).unwrap()
    }

    /// What the history tells, oldest first.
    fn history(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.place.data.join("planb/watchdog.jsonl")).unwrap();
        let line = |line: &str| {
            let seen: Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| seen[name].as_str().unwrap().to_owned();
            (word("what"), word("detail"))
        };
        text.lines().map(line).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.history().iter().filter(|(seen, _)| seen == what).count()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.place.folder.path().join("watched")).unwrap_or_default()
    }

    fn stop(mut self) {
        let pids = ["main_pid", "planb_pid"].map(|name| self.state()[name].as_u64());
        signal_to(self.child.id(), "-TERM");
        assert_eq!(end_of(&mut self.child).code(), Some(0), "{}", self.said());
        for pid in pids.into_iter().flatten() {
            assert!(is_gone(pid), "{pid} outlived the watchdog");
        }
        assert_eq!(self.state()["phase"], "stopped");
        self.place.ends(&["watchdog", "status"], 5);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_main_program_that_is_killed_under_load_is_stood_in_for_and_comes_back() {
    let place = Place::new();
    place.ends(&["watchdog", "status"], 5);
    let watch = Watch::well(&place, &[]);
    assert!(watch.said().contains("/ui/setup?token="), "{}", watch.said());
    let (front, stop) = (watch.front, Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::Builder::new().spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = get(front, "/health");
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let killed = watch.pid("main_pid");
    let told = place.tells(&["watchdog", "status"], 0);
    assert_eq!((&told["alive"], &told["planb_pid"]), (&json!(true), &Value::Null), "{told}");
    assert_eq!(
        (&told["phase"], &told["history"][0]["what"]),
        (&json!("healthy"), &json!("main_healthy"))
    );
    assert!(place.ends(&["watchdog", "status"], 0).contains("main_healthy"));
    signal_to(killed, "-KILL");
    let began = Instant::now();
    until("Plan B's own address", || answers(watch.planb).then_some(()));
    let own = began.elapsed();
    until("Plan B at the front", || {
        get(watch.front, "/anything").filter(|reply| reply.status == 503)
    });
    println!("after the kill Plan B answered in {own:?}, at the front in {:?}", began.elapsed());
    assert!(own < Duration::from_secs(8), "{own:?}");
    watch.until_phase("healthy");
    until("the main program at the front", || {
        get(watch.front, "/setup/state").filter(|reply| reply.status == 200)
    });
    stop.store(true, Ordering::Relaxed);
    for one in load {
        one.unwrap().join().unwrap();
    }
    assert_ne!(watch.pid("main_pid"), killed);
    let told: Vec<String> = watch.history().into_iter().map(|(what, _)| what).collect();
    let wanted = [
        "watchdog_began",
        "main_started",
        "main_healthy",
        "main_died",
        "planb_started",
        "main_started",
        "main_healthy",
        "handed_back",
    ];
    assert_eq!(told, wanted);
    // Every address of the box is told again.
    let addresses = place.data.join("run/addresses.json");
    until("the addresses", || {
        let told: Value = serde_json::from_slice(&fs::read(&addresses).ok()?).ok()?;
        (told["http"] == watch.front.to_string() && told["planb"] == watch.planb.to_string())
            .then_some(())
    });
    watch.stop();
}

#[test]
fn a_main_program_that_dies_at_once_is_capped_and_plan_b_answers_all_the_time() {
    let place = Place::new();
    let args = ["--http", "127.0.0.1:99999", "--set", "watchdog.starts=3"];
    let watch = Watch::start(&place, &args);
    until("Plan B", || answers(watch.planb).then_some(()));
    let planb = watch.pid("planb_pid");
    let state = until("the cap", || {
        assert!(answers(watch.planb), "Plan B fell silent");
        Some(watch.state()).filter(|state| state["phase"] == "resting")
    });
    assert_eq!((&state["starts_in_window"], &state["main_pid"]), (&json!(3), &Value::Null));
    assert!(state["next_start_at"].is_string(), "{state}");
    assert_eq!((watch.count("main_died"), watch.count("resting")), (3, 1));
    assert_eq!(watch.pid("planb_pid"), planb, "it was one and the same");
    assert!(answers(watch.planb));
    watch.stop();
}

#[test]
fn a_main_program_that_hangs_is_ended_and_started_again() {
    let place = Place::new();
    let watch = Watch::well(&place, &[]);
    let hung = watch.pid("main_pid");
    signal_to(hung, "-STOP");
    until("Plan B", || watch.state()["planb_pid"].as_u64());
    until("the stopped one to be gone", || is_gone(hung.into()).then_some(()));
    watch.until_phase("healthy");
    assert_ne!(watch.pid("main_pid"), hung);
    assert_eq!(watch.count("main_hung"), 1, "{:?}", watch.history());
    watch.stop();
}

#[test]
fn a_damaged_database_and_a_damaged_settings_file_leave_plan_b() {
    let place = Place::new();
    place.serve(&[]).stop();
    let store = place.data.join("ilot.redb");
    let whole = fs::read(&store).unwrap();
    fs::write(&store, vec![0x5a; whole.len()]).unwrap();
    let began = Instant::now();
    let watch = Watch::start(&place, &[]);
    until("Plan B", || answers(watch.planb).then_some(()));
    println!("with a damaged database Plan B answered in {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Whoever puts a good one in its place has the box back without a word.
    fs::write(&store, &whole).unwrap();
    watch.until_phase("healthy");
    watch.stop();

    place.write("data/ilot.toml", "[watchdog\nnonsense");
    let watch = Watch::start(&place, &[]);
    until("Plan B", || answers(watch.planb).then_some(()));
    assert!(watch.said().contains("settings file"), "{}", watch.said());
    fs::remove_file(place.data.join("ilot.toml")).unwrap();
    watch.until_phase("healthy");
    watch.stop();
}

#[test]
fn a_watchdog_that_is_killed_takes_everything_with_it() {
    let place = Place::new();
    let mut watch = Watch::well(&place, &[]);
    let main = watch.pid("main_pid");
    // One watch a folder, and no box beside it.
    place.ends(&["watchdog"], 5);
    place.ends(&["serve"], 5);
    watch.child.kill().unwrap();
    assert_eq!(watch.child.wait().unwrap().signal(), Some(9));
    until("the main program to be gone", || is_gone(main.into()).then_some(()));
    place.ends(&["watchdog", "status"], 5);
    let mut watch = Watch::well(&place, &[]);
    signal_to(watch.pid("main_pid"), "-KILL");
    let planb = watch.pid("planb_pid");
    watch.child.kill().unwrap();
    watch.child.wait().unwrap();
    until("Plan B to be gone", || is_gone(planb.into()).then_some(()));
}

#[test]
fn the_service_manager_hears_of_the_watchdog_alone() {
    let place = Place::new();
    let socket = place.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let http = free().to_string();
    let mut child = Ends(
        place
            .command(&["watchdog", "--http", &http])
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "600000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let told = |wanted: &str| {
        let mut all = String::new();
        let mut bytes = [0; 4096];
        while !all.contains(wanted) {
            let length = manager.recv(&mut bytes).unwrap();
            all += &String::from_utf8_lossy(&bytes[..length]);
            all.push('\n');
        }
        all
    };
    let before = told("READY=1");
    assert!(before.contains("EXTEND_TIMEOUT_USEC="), "{before}");
    assert!(before.contains("STATUS=the main program is well"), "{before}");
    told("WATCHDOG=1");
    // A box that is stopped at its own request would say so here too.
    signal_to(child.0.id(), "-TERM");
    told("STATUS=ending");
    assert_eq!(end_of(&mut child.0).code(), Some(0));
    manager.set_nonblocking(true).unwrap();
    let mut rest = String::new();
    let mut bytes = [0; 4096];
    while let Ok(length) = manager.recv(&mut bytes) {
        rest += &String::from_utf8_lossy(&bytes[..length]);
    }
    assert!(rest.contains("STOPPING=1") && !rest.contains("READY=1"), "{rest}");
}

#[test]
fn a_box_that_runs_already_is_left_alone() {
    let place = Place::new();
    let running = place.serve(&[]);
    place.ends(&["watchdog"], 5);
    assert_eq!(running.get("/health").status, 200);
}

// --- the original's use (plan-b.md §1.6) ----------------------------------------------------------

/// A watchdog of a Python program in a folder of its own.
fn original(folder: &Path, script: &str, port: u16, args: &[&str]) -> Child {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("main.py"), script).unwrap();
    fs::write(folder.join("src/beside.py"), "word = 'found'\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_ilot"))
        .args(["watchdog", "--target", "main.py", "--base-dir"])
        .arg(folder)
        .args(["--port", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .stderr(fs::File::create(folder.join("said")).unwrap())
        .spawn()
        .unwrap()
}

fn python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        println!("skipped: there is no python3");
    }
    there
}

/// Ends a child by its number when the test does.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_python_target_that_ends_well_ends_the_watch_and_one_that_fails_brings_plan_b() {
    if !python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free().port();
    let script = "import beside, os\nopen('seen', 'w').write(beside.word + ' ' + os.getcwd())\n";
    let mut child = Ends(original(folder.path(), script, port, &[]));
    assert_eq!(end_of(&mut child.0).code(), Some(0));
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen, format!("found {}", folder.path().canonicalize().unwrap().display()));
    assert!(folder.path().join(".runtime/watchdog.json").exists());

    // It fails until a file says otherwise: tried again while Plan B serves, and then it ends.
    let script = "import os, sys\nsys.exit(0 if os.path.exists('mended') else 1)\n";
    let mut child = Ends(original(folder.path(), script, port, &[]));
    let planb: SocketAddr = ([127, 0, 0, 1], port).into();
    until("Plan B", || answers(planb).then_some(()));
    assert_eq!(get(planb, "/status").map(|reply| reply.status), Some(401));
    fs::write(folder.path().join("mended"), "").unwrap();
    assert_eq!(end_of(&mut child.0).code(), Some(0));
    assert!(!answers(planb), "Plan B went with its watchdog");
}

#[test]
fn signals_reach_a_target_and_a_word_to_end_is_waited_for() {
    if !python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "import signal, sys, time\n\
        def note(number, frame):\n    open('got', 'a').write(f'{signal.Signals(number).name}\\n')\n\
        \x20   if number in (signal.SIGTERM, signal.SIGINT):\n        time.sleep(0.3)\n        open('got', 'a').write('bye\\n')\n        sys.exit(7)\n\
        for one in ('USR1', 'USR2', 'HUP', 'TERM', 'INT'):\n    signal.signal(getattr(signal, 'SIG' + one), note)\n\
        open('got', 'w').write('')\n\
        while True:\n    time.sleep(0.05)\n";
    let got = folder.path().join("got");
    let says = |wanted: &str| {
        until(wanted, || fs::read_to_string(&got).ok().filter(|text| text == wanted).map(drop));
    };
    for last in ["TERM", "INT"] {
        let _ = fs::remove_file(&got);
        let mut child = Ends(original(folder.path(), script, free().port(), &[]));
        says("");
        let mut wanted = String::new();
        for name in ["USR1", "USR2", "HUP"] {
            signal_to(child.0.id(), &format!("-{name}"));
            wanted += &format!("SIG{name}\n");
            says(&wanted);
        }
        signal_to(child.0.id(), &format!("-{last}"));
        // It was asked to: how it ended then is its own affair.
        assert_eq!(end_of(&mut child.0).code(), Some(0));
        says(&format!("{wanted}SIG{last}\nbye\n"));
    }
}

#[test]
fn a_target_is_asked_at_its_own_address() {
    if !python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (own, port) = (free(), free().port());
    let script = format!(
        "import http.server, os\nclass H(http.server.SimpleHTTPRequestHandler):\n    def do_GET(self):\n        \
         self.send_response(200 if not os.path.exists('unwell') else 500)\n        self.end_headers()\n\
         \x20   def log_message(self, *a):\n        pass\n\
         http.server.HTTPServer(('127.0.0.1', {}), H).serve_forever()\n",
        own.port()
    );
    let url = format!("http://{own}/health");
    let sets: Vec<&str> = QUICK.iter().flat_map(|one| ["--set", one]).collect();
    let args = [&["--health", url.as_str()][..], &sets].concat();
    let _child = Ends(original(folder.path(), &script, port, &args));
    until("the target", || answers(own).then_some(()));
    let planb: SocketAddr = ([127, 0, 0, 1], port).into();
    assert!(!answers(planb));
    // The watchdog has seen it well: before that it may take its time to start.
    until("a first answer", || {
        let told = fs::read(folder.path().join(".runtime/watchdog.json")).ok()?;
        let state: Value = serde_json::from_slice(&told).ok()?;
        (state["phase"] == "healthy").then_some(())
    });
    fs::write(folder.path().join("unwell"), "").unwrap();
    until("Plan B", || answers(planb).then_some(()));
    fs::remove_file(folder.path().join("unwell")).unwrap();
    until("the hand-back", || (answers(own) && !answers(planb)).then_some(()));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let place = Place::new();
    place.ends(&["watchdog", "--set", "nonsense=1"], 2);
    place.ends(&["watchdog", "--target", "true", "--health", "https://x/"], 2);
    place.ends(&["watchdog", "--target", "true", "--base-dir", "/nonexistent"], 2);
    place.ends(&["watchdog", "drill"], 5);
    place.ends(&["watchdog", "drill", "--seconds", "5"], 2);
}

#[test]
fn a_drill_proves_that_plan_b_works() {
    let place = Place::new();
    let watch = Watch::well(&place, &[]);
    let pack = place.data.join("planb/pack/manifest.json");
    until("a pack", || pack.exists().then_some(()));
    let wish = place.tells(&["watchdog", "drill", "--seconds", "10"], 0);
    watch.until_phase("drill");
    place.ends(&["watchdog", "drill"], 4);
    until("Plan B", || answers(watch.planb).then_some(()));
    watch.until_phase("healthy");
    let proof = place.data.join(format!("planb/drills/{}.json", wish["id"].as_str().unwrap()));
    let proof: Value = until("the proof", || serde_json::from_slice(&fs::read(&proof).ok()?).ok());
    println!("{proof:#}");
    assert_eq!(proof["ok"], true, "{proof:#}\n{}", watch.said());
    for what in ["health", "status", "pack", "pages", "entry", "front", "arrival", "return"] {
        assert!(
            proof["trials"].as_array().unwrap().iter().any(|trial| trial["what"] == what),
            "{what}: {proof:#}"
        );
    }
    let after = Duration::from_millis(proof["planb_after_ms"].as_u64().unwrap());
    assert!(after < PATIENCE, "{after:?}");
    assert!(watch.state()["starts_in_window"].as_u64() == Some(1), "a drill is no failure");
    watch.stop();
}
