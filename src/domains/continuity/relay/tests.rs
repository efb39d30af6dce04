//! The relay against real sockets: whole messages, however they are cut, and peers that misbehave.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::*;

const PACE: Pace = Pace {
    idle: Duration::from_millis(400),
    silence: Duration::from_millis(120),
    message: Duration::from_secs(5),
    write: Duration::from_millis(500),
    send: Duration::from_millis(800),
};

/// A relay and the runtime it runs on.
struct Line {
    relay: Relay,
    runtime: tokio::runtime::Runtime,
}

impl Line {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { relay: Relay::new(&ContinuitySettings::default(), PACE), runtime }
    }

    fn start(&self, framing: Framing) -> u16 {
        let _inside = self.runtime.enter();
        self.relay.start("127.0.0.1", 0, framing).unwrap().0.port
    }

    fn send(&self, port: u16, payload: &[u8], framing: Framing) -> Result<Vec<u8>, Fault> {
        self.runtime.block_on(self.relay.send("127.0.0.1", port, payload, framing))
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A peer that does `what` with the one connection it takes.
fn peer(what: impl FnOnce(TcpStream) + Send + 'static) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::Builder::new();
    (port, thread.spawn(move || what(listener.accept().unwrap().0)).unwrap())
}

#[test]
fn the_raw_echo_gives_back_the_whole_message_however_it_is_cut() {
    let line = Line::new();
    let port = line.start(Framing::Raw);
    let mut segmented = connect(port);
    for part in [b"one ".as_slice(), b"two ", b"three"] {
        segmented.write_all(part).unwrap();
        sleep(Duration::from_millis(30));
    }
    assert_eq!(rest(&segmented), b"one two three", "ended by a silence");
    let mut closed = connect(port);
    closed.write_all(b"at once").unwrap();
    let began = Instant::now();
    closed.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&closed), b"at once");
    assert!(began.elapsed() < PACE.silence, "an end needs no silence");
    assert_eq!(
        rest(&{
            let empty = connect(port);
            empty.shutdown(Shutdown::Write).unwrap();
            empty
        }),
        b""
    );
    let whole = vec![7; MESSAGE_MAX];
    assert!(line.send(port, &whole, Framing::Raw).unwrap() == whole, "1 MiB");
    let longer = vec![8; MESSAGE_MAX + 300_000];
    let echoed = line.send(port, &longer, Framing::Raw).unwrap();
    assert_eq!(echoed.len(), MESSAGE_MAX, "the first MiB, and no reset");
}

#[test]
fn framed_messages_follow_each_other_whole() {
    let line = Line::new();
    let port = line.start(Framing::Length);
    let mut stream = connect(port);
    for message in [b"".as_slice(), b"a", &vec![9; MESSAGE_MAX]] {
        let head = u32::try_from(message.len()).unwrap().to_be_bytes();
        for byte in head {
            stream.write_all(&[byte]).unwrap();
        }
        stream.write_all(message).unwrap();
        let mut echoed = vec![0; 4 + message.len()];
        stream.read_exact(&mut echoed).unwrap();
        assert!(echoed[..4] == head && &echoed[4..] == message);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream), b"");
    assert_eq!(line.send(port, b"a message", Framing::Length).unwrap(), b"a message");
    let mut long = connect(port);
    long.write_all(&u32::MAX.to_be_bytes()).unwrap();
    assert_eq!(rest(&long), b"", "cut at once, and no memory taken");
    let mut short = connect(port);
    short.write_all(&[0, 0, 0, 9, b'x']).unwrap();
    short.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&short), b"");
}

#[test]
fn a_peer_that_hangs_is_cut_and_one_too_many_is_turned_away() {
    let line = Line::new();
    let port = line.start(Framing::Raw);
    let began = Instant::now();
    let silent = connect(port);
    assert_eq!(rest(&silent), b"");
    assert!(began.elapsed() >= PACE.idle && began.elapsed() < PACE.idle * 5);
    let crowd: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(port)).collect();
    sleep(Duration::from_millis(50));
    assert_eq!(line.relay.state().unwrap().connections, CONNECTIONS_MAX);
    let mut turned_away = connect(port);
    let _ = turned_away.write_all(b"let me in");
    let mut bytes = Vec::new();
    let closed = turned_away.read_to_end(&mut bytes);
    assert!(closed.is_err() || bytes.is_empty());
    drop(crowd);
    sleep(Duration::from_millis(100));
    assert_eq!(line.send(port, b"room again", Framing::Raw).unwrap(), b"room again");
}

#[test]
fn one_echo_runs_at_a_time_and_stopping_frees_the_port() {
    let line = Line::new();
    assert_eq!(line.relay.state(), None);
    let port = line.start(Framing::Raw);
    let _inside = line.runtime.enter();
    let (again, started) = line.relay.start("10.9.8.7", 1, Framing::Length).unwrap();
    assert_eq!((again.port, again.host.as_str(), started), (port, "127.0.0.1", false));
    let open = connect(port);
    sleep(Duration::from_millis(30));
    assert!(line.relay.stop());
    assert_eq!(rest(&open), b"", "cut");
    assert!(!line.relay.stop());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let refused = line.relay.start("127.0.0.1", port, Framing::Raw).map_err(|f| f.code);
    assert_eq!(refused.err(), Some("tcp_start_failed"));
    drop(taken);
    line.relay.start("localhost", port, Framing::Raw).unwrap();
    line.relay.wind_down();
    assert_eq!(line.relay.state(), None);
}

#[test]
fn what_a_peer_does_wrong_is_told_within_the_time_there_is() {
    let line = Line::new();
    let refused = |port, framing| {
        let began = Instant::now();
        let fault = line.send(port, b"hello", framing).err().unwrap();
        assert!(began.elapsed() < PACE.send * 3, "{}", fault.message);
        (fault.code, fault.message)
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(refused(free, Framing::Raw).1.starts_with("Connection refused"));
    let (port, mute) =
        peer(|stream| sleep(PACE.send * 2 + stream.ttl().map_or(PACE.send, |_| PACE.send)));
    assert_eq!(refused(port, Framing::Raw).1, "The peer did not answer in time.");
    mute.join().unwrap();
    let (port, long) = peer(|mut stream| {
        let _ = stream.write_all(&vec![1; MESSAGE_MAX + 1]);
        let _ = rest(&stream);
    });
    assert_eq!(
        refused(port, Framing::Raw),
        ("tcp_send_failed", "The answer is longer than 1 MiB.".into())
    );
    long.join().unwrap();
    let (port, liar) = peer(|mut stream| {
        let _ = stream.write_all(&[0, 0, 0, 9, 1, 2]);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = rest(&stream);
    });
    assert_eq!(refused(port, Framing::Length).1, "The answer broke off.");
    liar.join().unwrap();
}

#[test]
fn a_peer_that_answers_while_it_reads_and_keeps_the_line_open_is_understood() {
    let line = Line::new();
    let (port, open) = peer(|mut stream| {
        let mut asked = [0; 5];
        stream.read_exact(&mut asked).unwrap();
        for part in [b"first ".as_slice(), b"then"] {
            stream.write_all(part).unwrap();
            sleep(Duration::from_millis(40));
        }
        let _ = rest(&stream);
    });
    assert_eq!(line.send(port, b"hello", Framing::Raw).unwrap(), b"first then");
    open.join().unwrap();
    // An echo that reads a little, answers it, and reads on: nobody waits for the other for ever.
    let (port, echo) = peer(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
    });
    let big = vec![5; MESSAGE_MAX];
    assert!(line.send(port, &big, Framing::Raw).unwrap() == big);
    echo.join().unwrap();
}
