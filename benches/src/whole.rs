//! A whole box in a folder of its own, listener and door included.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ilot::app::settings::Config;
use ilot::app::{App, World};
use ilot::base::clock::MachineClock;
use ilot::base::fault::Fault;
use ilot::base::health::Health;
use ilot::base::tasks::Tasks;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a box may take until it listens.
const UP_WITHIN: Duration = Duration::from_secs(10);

/// What a measurement ends with.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
/// The task that a box runs in.
pub type Ended = JoinHandle<Result<(), Fault>>;

/// Opens a box, lets `prepare` furnish it, and runs it on `on` until it is told to stop; the answer is
/// where plain HTTP listens.
///
/// # Errors
/// What the box or `prepare` says.
pub fn start(
    folder: &Path,
    stop: CancellationToken,
    on: &Runtime,
    prepare: impl FnOnce(&App) -> Result<(), Fault>,
) -> Outcome<(SocketAddr, Ended)> {
    let told = |fault: Fault| fault.to_string();
    let flags = [("listen.http", "127.0.0.1:0"), ("listen.https", "off")];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = Config::read(Some(folder.to_owned()), &flags).map_err(told)?;
    let health = Health::new(Arc::new(MachineClock));
    let tasks = Tasks::new(health.clone());
    let app = App::open(config, &World::machine().map_err(told)?, tasks, health).map_err(told)?;
    prepare(&app).map_err(told)?;
    let (up, is_up) = mpsc::channel();
    let running = on.spawn(app.run(async move { stop.cancelled().await }, move |addresses, _| {
        let _ = up.send(addresses.http);
    }));
    let address = is_up.recv_timeout(UP_WITHIN)?.ok_or("no address")?;
    Ok((address, running))
}
