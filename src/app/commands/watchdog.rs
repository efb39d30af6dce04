//! `ilot watchdog`: runs the box and keeps it running; Plan B stands in while it is away.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Exit, Place, existing, show};
use crate::app::listen::notify;
use crate::app::logs;
use crate::app::planb::Site;
use crate::app::settings::Config;
use crate::base::clock::{Clock, MachineClock};
use crate::base::fault::{Fault, Kind};
use crate::base::health::Health;
use crate::base::tasks::Tasks;
use crate::domains::continuity::place::Place as Folder;
use crate::domains::continuity::watchdog::asking::At;
use crate::domains::continuity::watchdog::keeper::{self, Plan, Probe, Recipe};
use crate::domains::continuity::watchdog::lock::Lock;
use crate::domains::continuity::watchdog::state::{Phase, Seen, WatchdogState};
use crate::domains::continuity::watchdog::trial::Doors;
use crate::domains::continuity::watchdog::{self, drill, history, recorder};

/// Plan B's address in the original's use (plan-b.md §1.5).
const HOST: &str = "127.0.0.1";
/// Its port.
const PORT: u16 = 5055;
/// Lines of history that `status` shows.
const SHOWN: usize = 20;
/// How often the watchdog gives a sign of life when nobody listens for it.
const BEAT: std::time::Duration = std::time::Duration::from_secs(1);
/// The time to be ready that is asked for with every such sign.
const MORE_TIME: std::time::Duration = std::time::Duration::from_secs(30);
/// How long the last words may take to the disk.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);

/// Flags of `watchdog`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The command to keep running [default: this program's `serve`]; a `.py` file runs by python3.
    /// Arguments that begin with a dash follow after `--`
    #[arg(long, value_name = "CMD", num_args = 1..)]
    target: Vec<OsString>,
    /// Where the command is asked how it is; without it, it is well while it lives
    #[arg(long, value_name = "URL", requires = "target")]
    health: Option<String>,
    /// The folder that the command works in, with Plan B's files in its `.runtime`
    #[arg(long, global = true, value_name = "DIR")]
    base_dir: Option<PathBuf>,
    /// Plan B's host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Plan B's port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Log JSON lines to the terminal
    #[arg(long)]
    log_json: bool,
    /// Further arguments of the command
    #[arg(last = true, value_name = "ARG", requires = "target")]
    further: Vec<OsString>,
}

/// What else can be asked of a watchdog.
#[derive(Debug, Subcommand)]
enum Verb {
    /// How the watchdog of this folder is, and what it saw; exit code 5 when none lives
    Status,
    /// Ask it for a drill: Plan B answers for a while, and the proof is kept
    Drill {
        /// For how long, 10 to 600 seconds
        #[arg(long, default_value_t = drill::SECONDS)]
        seconds: u64,
    },
}

pub(super) fn run(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    match &flags.verb {
        None => watch(place, flags),
        Some(Verb::Status) => status(&folder(place, flags)?, place.json),
        Some(Verb::Drill { seconds }) => {
            ask_for_drill(&folder(place, flags)?, *seconds, place.json)
        }
    }
}

/// The base directory of the original's use, if this is one: it is given, or a target is and no data
/// folder.
fn base_dir(place: &Place, flags: &Flags) -> Result<Option<PathBuf>, Fault> {
    let dir = match &flags.base_dir {
        Some(dir) => dir.clone(),
        None if !flags.target.is_empty() && place.data.is_none() => PathBuf::from("."),
        None => return Ok(None),
    };
    existing(&dir).map(Some)
}

/// Plan B's folder.
fn folder(place: &Place, flags: &Flags) -> Result<Folder, Fault> {
    Ok(match base_dir(place, flags)? {
        Some(base) => Folder::of_base_dir(&base),
        None => Folder::at(place.config_in_need()?.0.data.planb()),
    })
}

fn watch(place: &Place, flags: &Flags) -> Result<Exit, Fault> {
    let (config, wrong) = place.config_in_need()?;
    let folder = folder(place, flags)?;
    if base_dir(place, flags)?.is_none() {
        config.data.create().map_err(|e| unusable(config.data.root(), &e))?;
    }
    folder.create().map_err(|e| unusable(folder.root(), &e))?;
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let tasks = Tasks::new(Health::new(clock.clone()));
    let mut log = config.settings.log.clone();
    // The main program writes the log's files; what happened here is in the history.
    (log.file, log.json) = (false, log.json || flags.log_json);
    logs::start(&log, &config.data.logs(), clock.clone(), &tasks)?;
    if let Some(wrong) = wrong {
        tracing::error!("the settings file is passed over until it is mended: {wrong}");
    }
    let _lock = match Lock::take(&folder) {
        // A disk that takes no writes any more is a reason to watch, not to stay away.
        Err(fault) if fault.kind == Kind::Broken => {
            tracing::error!("nobody will see that this watchdog lives: {fault}");
            None
        }
        lock => Some(lock?),
    };
    let plan = plan(place, flags, &config, folder.clone())?;
    if flags.target.is_empty() && UnixStream::connect(config.data.socket()).is_ok() {
        let words = format!("A box runs in {} already.", config.data.root().display());
        return Err(Fault::conflict("already_running", words));
    }
    let recorder = recorder::start(&tasks, folder, config.settings.watchdog.history_lines)?;
    // One thread, the main one: what it starts is tied to its life.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::broken("starting the runtime", e))?;
    let code = runtime.block_on(keeper::keep(plan, clock, recorder));
    tasks.stop(LAST_WORDS);
    code.map(|_| Exit::Done)
}

fn unusable(folder: &Path, cause: &std::io::Error) -> Fault {
    Fault::unavailable("folder_unusable", format!("{} cannot be used: {cause}", folder.display()))
}

fn plan(place: &Place, flags: &Flags, config: &Config, folder: Folder) -> Result<Plan, Fault> {
    let program = std::env::current_exe().map_err(|e| Fault::broken("finding the program", e))?;
    let base = base_dir(place, flags)?;
    let planb_at = planb_address(flags, config, base.is_some());
    let own = flags.target.is_empty();
    let main = if own {
        own_recipe(&program, &["serve", "--wait-for-addresses"], place, flags)
    } else {
        target_recipe(flags, base.as_deref())?
    };
    let planb = match &base {
        Some(base) => base_recipe(&program, base, flags),
        None => own_recipe(&program, &["planb"], place, flags),
    };
    let main_probe = match &flags.health {
        Some(url) => Some(probe(url)?),
        None => own.then(|| Probe { at: At::Socket(config.data.socket()), path: "/health".into() }),
    };
    let front = (base.is_none() && config.settings.continuity.front)
        .then(|| reachable(&config.settings.listen.http))
        .flatten();
    let planb_probe = planb_at.clone().or_else(|| front.clone());
    let console = own.then(|| At::Socket(config.data.socket()));
    let ready = Rc::new(Cell::new(false));
    let seen_ready = ready.clone();
    let beat = move || {
        if !seen_ready.get() {
            notify::more_time(MORE_TIME);
        }
        notify::alive();
    };
    Ok(Plan {
        program,
        told_as: told_as(&main, own),
        main,
        planb,
        main_probe,
        planb_probe: planb_probe.map(|at| Probe { at, path: "/health".into() }),
        doors: Doors { planb: planb_at, front, console },
        place: folder,
        settings: config.settings.watchdog.clone(),
        tell: Box::new(move |state| tell(state, &ready)),
        beat: (Box::new(beat), notify::pulse().unwrap_or(BEAT)),
    })
}

/// Tells the service manager: ready as soon as the main program or Plan B answers for the site.
fn tell(state: &WatchdogState, ready: &Cell<bool>) {
    notify::status(keeper::in_words(state.phase));
    match state.phase {
        Phase::Starting => {}
        Phase::Stopping | Phase::Stopped => notify::stopping(),
        _ if !ready.replace(true) => notify::ready(),
        _ => {}
    }
}

/// This program with a verb, in the place that the watchdog was given.
fn own_recipe(program: &Path, verb: &[&str], place: &Place, flags: &Flags) -> Recipe {
    let mut words = vec![program.as_os_str().to_owned()];
    words.extend(verb.iter().map(OsString::from));
    let mut flag = |name: &str, value: OsString| words.extend([OsString::from(name), value]);
    let folders = [("--data", &place.data), ("--models", &place.models)];
    for (name, value) in folders {
        if let Some(value) = value {
            flag(name, value.into());
        }
    }
    let planb = place.planb.clone().or_else(|| {
        let asked = flags.host.is_some() || flags.port.is_some();
        asked.then(|| address(flags))
    });
    let addresses = [("--http", &place.http), ("--https", &place.https), ("--planb", &planb)];
    for (name, value) in addresses {
        if let Some(value) = value {
            flag(name, value.into());
        }
    }
    for pair in &place.set {
        flag("--set", pair.into());
    }
    if place.json {
        words.push("--json".into());
    }
    if flags.log_json {
        words.push("--log-json".into());
    }
    Recipe { words, ..Recipe::default() }
}

/// A command as it may be told: what `--set` gives may be a secret.
fn told_as(recipe: &Recipe, own: bool) -> Vec<String> {
    let mut words: Vec<String> =
        recipe.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut is_setting = false;
    for word in words.iter_mut().filter(|_| own) {
        if is_setting && let Some((key, _)) = word.split_once('=') {
            *word = format!("{key}=***");
        }
        is_setting = word == "--set";
    }
    words
}

/// Plan B in a base directory.
fn base_recipe(program: &Path, base: &Path, flags: &Flags) -> Recipe {
    let port = flags.port.unwrap_or(PORT).to_string();
    let host = flags.host.as_deref().unwrap_or(HOST);
    let flags = ["--host", host, "--port", &port, "--base-dir"].map(OsString::from);
    let mut words = vec![program.as_os_str().to_owned(), "planb".into()];
    words.extend(flags);
    words.push(base.into());
    Recipe { words, ..Recipe::default() }
}

/// Somebody else's command; a Python file as the original ran it (plan-b.md §1.6).
fn target_recipe(flags: &Flags, base: Option<&Path>) -> Result<Recipe, Fault> {
    let mut words: Vec<OsString> = flags.target.iter().chain(&flags.further).cloned().collect();
    let is_python =
        words.first().is_some_and(|first| Path::new(first).extension().is_some_and(|e| e == "py"));
    // A bare word is looked for by the system; a path that leads nowhere would only die again and again.
    let file = words.first().map(|first| base.unwrap_or(Path::new("")).join(first));
    let is_path = is_python || words.first().is_some_and(|first| first.as_bytes().contains(&b'/'));
    if let Some(file) = file.filter(|file| is_path && !file.exists()) {
        let words = format!("There is no such file: {}.", file.display());
        return Err(Fault::new(Kind::NotFound, "target_missing", words));
    }
    let mut variables = Vec::new();
    if is_python {
        words.insert(0, "python3".into());
    }
    if let Some(base) = base {
        let mut path = base.join("src").into_os_string();
        if let Some(before) = std::env::var_os("PYTHONPATH").filter(|path| !path.is_empty()) {
            path.push(":");
            path.push(before);
        }
        variables.push(("PYTHONPATH".into(), path));
    }
    Ok(Recipe { words, folder: base.map(Path::to_path_buf), variables, reads: true })
}

fn address(flags: &Flags) -> String {
    let host = flags.host.as_deref().unwrap_or(HOST);
    let port = flags.port.unwrap_or(PORT);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where Plan B is reached; none where that is not known beforehand.
fn planb_address(flags: &Flags, config: &Config, in_base: bool) -> Option<At> {
    if in_base || flags.host.is_some() || flags.port.is_some() {
        return reachable(&address(flags));
    }
    // Plan B's process answers at its usual address where the main program answers at none.
    reachable(&Site::of_box(config).settings.listen.planb)
}

/// An address to ask at; none for `off`, for any free port, and for what is no address.
fn reachable(text: &str) -> Option<At> {
    let bound: std::net::SocketAddr = text.parse().ok()?;
    // What stands at every address is asked at this machine's own.
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    (bound.port() != 0)
        .then(|| At::Address(std::net::SocketAddr::new(ip, bound.port()).to_string()))
}

/// The address and path of a plain URL.
fn probe(url: &str) -> Result<Probe, Fault> {
    let wrong = || {
        Fault::invalid(
            "health_malformed",
            format!("--health is '{url}': http://HOST:PORT/PATH is expected."),
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain(host) || !plain(path) {
        return Err(wrong());
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok(Probe { at: At::Address(host), path: format!("/{path}") })
}

/// What `status` prints.
#[derive(Debug, Serialize)]
struct Told {
    alive: bool,
    #[serde(flatten)]
    state: WatchdogState,
    history: Vec<Seen>,
}

fn status(folder: &Folder, json: bool) -> Result<Exit, Fault> {
    let Some((alive, state)) = watchdog::told(folder) else {
        let words = format!("No watchdog has ever run in {}.", folder.root().display());
        return Err(Fault::new(Kind::Unavailable, "unreachable", words));
    };
    let told = Told { alive, state, history: history::latest(folder, SHOWN) };
    show::either(json, &told, || print(&told));
    Ok(if alive { Exit::Done } else { Exit::Unreachable })
}

fn print(told: &Told) {
    let state = &told.state;
    let words = if told.alive { keeper::in_words(state.phase) } else { "no watchdog lives here" };
    println!("{words}");
    println!("  since     {}", state.since.to_rfc3339());
    println!("  watchdog  {}", state.pid);
    let pid = |pid: Option<u32>| pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    println!("  main      {}", pid(state.main_pid));
    println!("  Plan B    {}", pid(state.planb_pid));
    println!("  starts    {} of {}", state.starts_in_window, state.starts_max);
    if let Some(at) = state.next_start_at {
        println!("  next      {}", at.to_rfc3339());
    }
    if let Some(end) = &state.last_end {
        println!("  last end  it {end}");
    }
    println!();
    for seen in told.history.iter().rev() {
        let pid = seen.pid.map(|pid| format!(" {pid}")).unwrap_or_default();
        println!("{} {}{pid} {}", seen.at.to_rfc3339(), seen.what, seen.detail);
    }
}

fn ask_for_drill(folder: &Folder, seconds: u64, json: bool) -> Result<Exit, Fault> {
    let wish = drill::wish(folder, &MachineClock, seconds, "console")?;
    show::either(json, &wish, || println!("drill {} of {seconds} s", wish.id));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_are_asked() {
        let at = |url: &str| probe(url).ok().map(|probe| (probe.at, probe.path));
        let address = |text: &str, path: &str| Some((At::Address(text.into()), path.into()));
        assert_eq!(at("http://localhost:8000/health"), address("localhost:8000", "/health"));
        assert_eq!(at("http://10.0.0.7"), address("10.0.0.7:80", "/"));
        assert_eq!(at("http://[::1]:8/a/b?c"), address("[::1]:8", "/a/b?c"));
        for wrong in ["https://a/", "a:80", "http://", "http:///x", "http://a b/", "http://u@h/"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_set_is_not_told() {
        let words = ["ilot", "serve", "--set", "mail.password=hush", "--http", "a=b", "--set", "x"];
        let words = words.map(OsString::from).to_vec();
        let recipe = Recipe { words, ..Recipe::default() };
        let told = told_as(&recipe, true).join(" ");
        assert_eq!(told, "ilot serve --set mail.password=*** --http a=b --set x");
        assert!(told_as(&recipe, false).contains(&"mail.password=hush".to_owned()));
    }

    #[test]
    fn what_stands_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:80"), Some(At::Address("127.0.0.1:80".into())));
        assert_eq!(reachable("[::]:80"), Some(At::Address("[::1]:80".into())));
        for nowhere in ["off", "", "127.0.0.1:0", "here"] {
            assert_eq!(reachable(nowhere), None, "{nowhere}");
        }
    }
}
