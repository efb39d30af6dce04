//! The one socket and the streams, over real connections: who is let in, what is told, and what ends with a session.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get as on_get;
use futures_util::{SinkExt, StreamExt, stream};
use ilot::app::router::Desks;
use ilot::app::socket::{self, Pace, Sockets};
use ilot::base::caller::Right;
use ilot::domains::identity;
use ilot::store::{Reader, all, journal::JOURNAL};
use ilot::web::guard::HostRules;
use ilot::web::hub::{Event, QUEUE_MAX, SOCKETS_PER_USER, To};
use ilot::web::layers::{Door, DoorOptions};
use ilot::web::meters::Meters;
use ilot::web::recognition::Recognition;
use ilot::web::routes::Spelling;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::ask::{House, PASSWORD, get, post, put};

/// What the end of a session may take until it is felt.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The other end of a socket.
pub(super) struct Line<'h> {
    house: &'h House,
    socket: WebSocketStream<TcpStream>,
}

/// Shakes hands at `/ws{rest}` with these headers; a refusal is its status and code.
fn shake<'h>(
    house: &'h House,
    at: SocketAddr,
    rest: &str,
    headers: &[(&'static str, &str)],
) -> Result<Line<'h>, (u16, String)> {
    shake_at(house, at, &format!("/ws{rest}"), headers)
}

/// As [`shake`], at any path.
pub(super) fn shake_at<'h>(
    house: &'h House,
    at: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Line<'h>, (u16, String)> {
    let mut request = format!("ws://{at}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    house.wait(async {
        let stream = TcpStream::connect(at).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Line { house, socket }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                Err((response.status().as_u16(), code))
            }
            Err(why) => panic!("no handshake: {why}"),
        }
    })
}

/// A socket whose greeting has been read.
fn seated<'h>(house: &'h House, at: SocketAddr, token: &str) -> Line<'h> {
    let mut line =
        shake(house, at, &format!("?token={token}"), &[]).unwrap_or_else(|e| panic!("{e:?}"));
    line.hears("connected_users");
    line.hears("welcome");
    line
}

impl Line<'_> {
    pub(super) fn say(&mut self, value: &Value) {
        self.send(Message::text(value.to_string()));
    }

    pub(super) fn send(&mut self, message: Message) {
        self.house.wait(self.socket.send(message)).unwrap();
    }

    pub(super) fn message(&mut self) -> Message {
        self.house.wait(async {
            loop {
                match self.socket.next().await.expect("the socket is gone").unwrap() {
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => return other,
                }
            }
        })
    }

    pub(super) fn next(&mut self) -> Value {
        let message = self.message();
        let Message::Text(text) = &message else { panic!("{message:?} instead of a text") };
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    pub(super) fn hears(&mut self, kind: &str) -> Value {
        let value = self.next();
        assert_eq!(value["type"], kind, "{value}");
        value
    }

    #[track_caller]
    fn objected(&mut self, code: &str) {
        let value = self.hears("error");
        assert_eq!(value["code"], code, "{value}");
        assert!(value["message"].is_string());
    }

    /// Whether the other end still answers.
    fn lives(&mut self) {
        self.say(&json!({"type": "ping"}));
        self.hears("pong");
    }

    #[track_caller]
    pub(super) fn closed(&mut self) -> (u16, String) {
        let message = self.message();
        let Message::Close(Some(frame)) = message else { panic!("{message:?} instead of a close") };
        (frame.code.into(), frame.reason.to_string())
    }

    /// Closed by the end of its session, within a second of `began`.
    #[track_caller]
    fn ended(&mut self, began: Instant) {
        assert_eq!(self.closed(), (4001, "session_ended".to_owned()));
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
}

fn desks(house: &House) -> &Desks {
    house.app().desks()
}

/// A door of the box's desks with routes of one's own.
fn door(house: &House, routes: Router) -> Door {
    let (desk, watch) = (desks(house).identity.clone(), desks(house).live.watch());
    let recognised =
        Recognition::by(move |request| identity::routes::recognise(&desk, request), watch);
    let options = DoorOptions {
        hosts: HostRules::default(),
        machine: None,
        meters: Meters::new().unwrap(),
        spelling: Spelling::default(),
        plain: Vec::new(),
        terse: Vec::new(),
    };
    Door::new(routes.layer(recognised), options)
}

fn impatient(house: &House, pace: Pace) -> SocketAddr {
    let (routes, _) = socket::routes(Sockets::of(desks(house), pace)).split_for_parts();
    house.listen(Some(door(house, routes)))
}

#[test]
fn every_proof_opens_it_and_the_first_messages_are_the_clients() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (bearer, cookie) = (format!("Bearer {admin}"), format!("access_token={admin}"));
    let origin = format!("http://{at}");
    for (rest, headers) in [
        (format!("?token={admin}"), vec![]),
        (String::new(), vec![("authorization", bearer.as_str())]),
        (String::new(), vec![("cookie", cookie.as_str()), ("origin", origin.as_str())]),
        // What the token says counts, whatever old cookie a browser adds.
        (format!("?token={admin}"), vec![("cookie", "access_token=ab.cd.ef")]),
    ] {
        let mut line = shake(&house, at, &rest, &headers).unwrap_or_else(|e| panic!("{e:?}"));
        let users = line.hears("connected_users")["users"].clone();
        assert_eq!((&users[0]["username"], &users[0]["connections"]), (&json!("Chef"), &json!(1)));
        assert_eq!(users[0]["connected_at"], "2026-01-15T08:00:00.000Z");
        let welcome = line.hears("welcome");
        assert_eq!(welcome["connected_users"], users);
        assert!(welcome["message"].is_string() && welcome["client_id"].is_string(), "{welcome}");
        line.lives();
        line.say(&json!({"type": "get_users"}));
        assert_eq!(line.hears("connected_users")["users"], users);
        line.say(&json!({"type": "authenticate", "token": admin}));
        assert_eq!(line.hears("authenticated")["username"], "Chef");
        drop(line);
        while desks(&house).hub.count() > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn nobody_listens_without_a_good_proof() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let cookie = format!("access_token={admin}");
    for (rest, headers, status, code) in [
        ("?token=ab.cd.ef", vec![], 401, "token_malformed"),
        ("", vec![("authorization", "Bearer ab.cd.ef")], 401, "token_malformed"),
        (
            "",
            vec![("cookie", cookie.as_str()), ("origin", "http://evil.example")],
            403,
            "cross_site",
        ),
    ] {
        let refused = shake(&house, at, rest, &headers).err().unwrap();
        assert_eq!(refused, (status, code.to_owned()), "{rest} {headers:?}");
    }
    let late = house.sign_in("chef");
    house.clock.pass(Duration::from_hours(13));
    let refused = shake(&house, at, &format!("?token={late}"), &[]).err().unwrap();
    assert_eq!(refused, (401, "token_expired".to_owned()));

    let token = house.sign_in("chef");
    let stranger = || {
        let mut line = shake(&house, at, "", &[("cookie", "access_token=ab.cd.ef")])
            .unwrap_or_else(|e| panic!("{e:?}"));
        assert!(line.hears("welcome")["message"].is_string());
        line
    };
    let mut line = stranger();
    line.lives();
    line.say(&json!({"type": "get_users"}));
    line.objected("unauthenticated");
    desks(&house).hub.publish(&Event::new("data_changed", json!({})));
    line.say(&json!({"type": "authenticate", "token": token}));
    let authenticated = line.hears("authenticated");
    assert!(authenticated["user_id"].is_string() && authenticated["username"] == "Chef");
    line.hears("connected_users");
    line.lives();
    for (shown, code, close) in
        [("ab.cd.ef", "token_malformed", 4002), (late.as_str(), "token_expired", 4001)]
    {
        let mut line = stranger();
        line.say(&json!({"type": "authenticate", "token": shown}));
        line.objected(code);
        assert_eq!(line.closed(), (close, code.to_owned()));
    }
}

#[test]
fn a_stranger_and_a_silent_peer_are_not_waited_for() {
    let (house, admin) = House::ready();
    let short = Duration::from_millis(100);
    let at = impatient(&house, Pace { greeting: short, ping: short, silence: short * 4 });
    let mut stranger = shake(&house, at, "", &[]).unwrap_or_else(|e| panic!("{e:?}"));
    stranger.hears("welcome");
    stranger.objected("unauthenticated");
    assert_eq!(stranger.closed(), (4002, "unauthenticated".to_owned()));
    // One that reads answers the pings and stays; one that does not is let go.
    let (mut awake, asleep) = (seated(&house, at, &admin), seated(&house, at, &admin));
    awake.hears("user_connected");
    let began = Instant::now();
    while desks(&house).hub.count() > 1 {
        assert!(began.elapsed() < short * 20, "a silent peer keeps its place");
        awake.lives();
        std::thread::sleep(short / 4);
    }
    assert!(began.elapsed() > short * 3, "it was let go too soon");
    awake.lives();
    drop(asleep);
}

#[test]
fn nonsense_is_answered_and_the_line_stays() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (_, viewer) = house.person(&admin, "vera", "viewer");
    let (mut line, mut other) = (seated(&house, at, &viewer), seated(&house, at, &admin));
    line.hears("user_connected");
    for (said, code) in [
        ("{", "json_malformed"),
        ("[]", "validation"),
        (r#"{"type":"broadcast"}"#, "validation"),
        (r#"{"type":"dance"}"#, "message_unknown"),
        (r#"{"type":"subscribe_session","session_id":"7"}"#, "not_found"),
        (r#"{"type":"broadcast","message":"tous"}"#, "right_missing"),
    ] {
        line.send(Message::text(said));
        line.objected(code);
    }
    line.send(Message::binary(vec![0xff; 8]));
    line.objected("json_malformed");
    line.lives();
    line.send(Message::text("x".repeat(300 * 1024)));
    assert_eq!(line.closed(), (1009, "message_too_large".to_owned()));
    assert_eq!(other.hears("user_disconnected")["data"]["username"], "vera");
}

#[test]
fn an_announcement_reaches_the_others_and_the_journal() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (_, viewer) = house.person(&admin, "vera", "viewer");
    let (mut vera, mut chef) = (seated(&house, at, &viewer), seated(&house, at, &admin));
    assert_eq!(vera.hears("user_connected")["data"]["username"], "Chef");
    chef.say(&json!({"type": "broadcast", "message": " Quai 3 fermé "}));
    let told = vera.hears("user_message");
    assert_eq!(told["data"], json!({"from": "Chef", "message": "Quai 3 fermé"}));
    assert!(told["timestamp"].as_str().unwrap().ends_with('Z'));
    chef.lives();
    let links = desks(&house).system.store.read(|view| view.list(&JOURNAL, &all(), 1000)).unwrap();
    let deed = links.iter().find(|(_, link)| link.deed == "announcement.send").unwrap();
    assert_eq!(deed.1.who, "Chef");
    assert!(deed.1.after.as_deref().unwrap().contains("Quai 3"));
    let status = house.check(get("/ws/status").by(&admin), 200, &json!({"connected_clients": 2}));
    assert_eq!(status["users"].as_array().unwrap().len(), 2, "{status}");
}

#[test]
fn what_ends_a_session_ends_its_sockets_and_no_others() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (number, one) = house.person(&admin, "vera", "viewer");
    let two = house.sign_in("vera");
    let (mut first, mut second) = (seated(&house, at, &one), seated(&house, at, &two));
    first.hears("user_connected");

    let began = Instant::now();
    house.check(post("/auth/logout", &json!({})).by(&one), 200, &json!({}));
    first.ended(began);
    second.lives();

    let began = Instant::now();
    let path = format!("/admin/users/{number}");
    house.check(put(&path, &json!({"is_active": false})).by(&admin), 200, &json!({}));
    second.ended(began);

    house.check(put(&path, &json!({"is_active": true})).by(&admin), 200, &json!({}));
    let mut third = seated(&house, at, &house.sign_in("vera"));
    let began = Instant::now();
    house.clock.pass(Duration::from_hours(13));
    third.ended(began);
    assert_eq!(desks(&house).live.count(), desks(&house).hub.count());
}

#[test]
fn every_deed_that_ends_a_session_is_felt_on_its_socket() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (number, _) = house.person(&admin, "vera", "viewer");
    let body = json!({"username": "vera", "password": PASSWORD});
    for deed in [
        "/sessions/{session}/terminate",
        "/admin/sessions/{session}/kick",
        "/admin/sessions/disconnect/vera",
        "/admin/sessions/kick-all",
        "/admin/users/{number}/offboard",
    ] {
        let signed_in = house.check(post("/auth/login", &body), 200, &json!({}));
        let mut line = seated(&house, at, signed_in["access_token"].as_str().unwrap());
        let deed = deed
            .replace("{session}", signed_in["session_id"].as_str().unwrap())
            .replace("{number}", &number.to_string());
        let began = Instant::now();
        house.check(post(&deed, &json!({})).by(&admin), 200, &json!({}));
        line.ended(began);
    }
}

#[test]
fn a_right_given_for_a_while_goes_by_time_alone() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (number, token) = house.person(&admin, "vera", "viewer");
    let mut vera = seated(&house, at, &token);
    let grant =
        json!({"right": "manage_finance", "until": "2026-01-15T09:00:00Z", "reason": "Clôture"});
    let path = format!("/admin/users/{number}/grants");
    let given = house.ask(post(&path, &grant).by(&admin));
    assert!(given.status < 300, "{}", given.json());
    let told = Event::new("data_changed", json!({})).needs(Right::ManageFinance);
    let mark = Event::new("mark", json!({}));
    let hears = |vera: &mut Line<'_>| {
        desks(&house).hub.publish(&told);
        desks(&house).hub.publish(&mark);
        let heard = vera.next()["type"] == "data_changed";
        heard.then(|| vera.hears("mark"));
        heard
    };
    let within = |what: &str, wanted: bool, vera: &mut Line<'_>| {
        let began = Instant::now();
        while hears(vera) != wanted {
            assert!(began.elapsed() < AT_ONCE, "{what}");
        }
    };
    within("the right that was given is not felt", true, &mut vera);
    house.clock.pass(Duration::from_mins(61));
    within("the right that is over is still felt", false, &mut vera);
}

#[test]
fn a_session_that_ended_before_its_socket_opened_is_not_missed() {
    let (house, admin) = House::ready();
    let caller = {
        let nobody = ilot::base::caller::Caller::nobody(None, "r");
        let door = ilot::base::caller::Door::Bearer;
        desks(&house).identity.recognise(nobody, &admin, door).unwrap()
    };
    house.check(post("/auth/logout", &json!({})).by(&admin), 200, &json!({}));
    let ends = desks(&house).live.enter(&caller).unwrap();
    let began = Instant::now();
    house.wait(ends.over().cancelled());
    assert!(began.elapsed() < AT_ONCE);
}

#[test]
fn a_right_that_is_lost_is_lost_on_open_sockets_too() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (number, token) = house.person(&admin, "paul", "planner");
    let mut paul = seated(&house, at, &token);
    desks(&house).hub.offer("session", |caller, _| caller.require(Right::EditPlanning));
    paul.say(&json!({"type": "subscribe_session", "session_id": "7"}));
    assert_eq!(paul.hears("subscribed")["session_id"], "7");
    let output = Event::new("output", json!({"data": "ls"})).flat();
    let output = output.to(To::Followers("session", "7".into()));
    desks(&house).hub.publish(&output);
    assert_eq!(paul.hears("output")["payload"], json!({"data": "ls"}));
    let secret = Event::new("secret", json!({})).needs(Right::EditPlanning);
    desks(&house).hub.publish(&secret);
    paul.hears("secret");
    let path = format!("/admin/users/{number}");
    house.check(put(&path, &json!({"role": "viewer"})).by(&admin), 200, &json!({}));
    let lost = paul.hears("unsubscribed");
    assert_eq!((&lost["session_id"], &lost["code"]), (&json!("7"), &json!("right_missing")));
    desks(&house).hub.publish(&secret);
    desks(&house).hub.publish(&output);
    paul.lives();
}

#[test]
fn one_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (mut slow, mut quick) = (seated(&house, at, &admin), seated(&house, at, &admin));
    slow.hears("user_connected");
    let large = Event::new("data_changed", json!({"filling": "x".repeat(64 * 1024)}));
    let (count, began) = (QUEUE_MAX * 2, Instant::now());
    for _ in 0..count {
        desks(&house).hub.publish(&large);
        quick.hears("data_changed");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let mut heard = 0;
    while slow.next()["type"] == "data_changed" {
        heard += 1;
    }
    // The one message that ended the loop is the word that some are missing.
    assert!(heard < count, "nothing was lost, so nothing was shown");
    desks(&house).hub.publish(&Event::new("y", json!({})));
    slow.hears("y");
}

#[test]
fn one_that_does_not_read_is_closed_with_its_session_all_the_same() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (_, token) = house.person(&admin, "vera", "viewer");
    let slow = seated(&house, at, &token);
    let large = Event::new("data_changed", json!({"filling": "x".repeat(64 * 1024)}));
    for _ in 0..QUEUE_MAX * 2 {
        desks(&house).hub.publish(&large);
    }
    let began = Instant::now();
    house.check(post("/auth/logout", &json!({})).by(&token), 200, &json!({}));
    while desks(&house).hub.count() > 0 {
        assert!(began.elapsed() < AT_ONCE, "the socket of an ended session is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(slow);
}

#[test]
fn nobody_takes_every_place_and_a_box_that_stops_says_so() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let mut lines: Vec<_> = (0..SOCKETS_PER_USER).map(|_| seated(&house, at, &admin)).collect();
    let refused = shake(&house, at, &format!("?token={admin}"), &[]).err().unwrap();
    assert_eq!(refused, (429, "too_many_sockets".to_owned()));
    let mut last = lines.pop().unwrap();
    drop(lines);
    let began = Instant::now();
    desks(&house).hub.close();
    loop {
        match last.message() {
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1001);
                break;
            }
            other => assert!(other.is_text()),
        }
    }
    assert!(began.elapsed() < AT_ONCE);
}

/// The bytes that came before the connection ended, and whether the answer ended well.
async fn rest_of(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    let well = stream.read_to_end(&mut bytes).await.is_ok();
    well && bytes.ends_with(b"0\r\n\r\n")
}

#[test]
fn a_stream_breaks_with_its_session_and_does_not_look_whole() {
    let (house, admin) = House::ready();
    let endless = || async {
        let ticks = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"tick\n")), ()))
        });
        Body::from_stream(ticks)
    };
    let short = || async {
        Body::from_stream(stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"whole"))]))
    };
    let routes = Router::new().route("/endless", on_get(endless)).route("/short", on_get(short));
    let at = house.listen(Some(door(&house, routes)));
    let other = house.sign_in("chef");
    let open = |path: &'static str, token: String, more: &'static str| async move {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stream
    };
    let close = "connection: close\r\n";
    let mut whole = house.wait(open("/short", admin.clone(), close));
    assert!(house.wait(rest_of(&mut whole)), "a stream that ends by itself ends well");
    let mut plain = house.wait(open("/endless", admin.clone(), close));
    let mut packed = house.wait(open(
        "/endless",
        admin.clone(),
        "accept-encoding: gzip\r\nconnection: close\r\n",
    ));
    let mut others = house.wait(open("/endless", other, close));
    let began = Instant::now();
    house.check(post("/auth/logout", &json!({})).by(&admin), 200, &json!({}));
    for cut in [&mut plain, &mut packed] {
        assert!(!house.wait(rest_of(cut)), "a cut stream looks whole");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
    let goes_on = house.wait(async {
        let mut bytes = [0; 256];
        others.read(&mut bytes).await.unwrap() > 0
            && tokio::time::timeout(AT_ONCE / 2, rest_of(&mut others)).await.is_err()
    });
    assert!(goes_on, "another session's stream was cut");
    // The password is only here to show that a fresh sign-in opens streams again.
    let again = house.check(
        post("/auth/login", &json!({"username": "chef", "password": PASSWORD})),
        200,
        &json!({}),
    );
    let token = again["access_token"].as_str().unwrap().to_owned();
    house.wait(open("/endless", token, close));
}

#[test]
fn an_upload_under_way_ends_with_its_session_and_leaves_nothing() {
    let (house, admin) = House::ready();
    let at = house.listen(None);
    let (_, token) = house.person(&admin, "paul", "planner");
    let head = format!(
        "POST /rag/documents HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: 8000000\r\n\r\n\
         --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n"
    );
    let mut upload = house.wait(async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; 2_000_000]).await.unwrap();
        stream
    });
    let began = Instant::now();
    while desks(&house).live.count() == 0 {
        assert!(began.elapsed() < AT_ONCE, "the upload is not watched");
    }
    let began = Instant::now();
    house.check(post("/auth/logout", &json!({})).by(&token), 200, &json!({}));
    let answer = house.wait(async {
        let mut bytes = vec![0; 4096];
        let count = upload.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    });
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("session_ended"), "{answer}");
    house.check(get("/rag/documents").by(&admin), 200, &json!({"total": 0}));
}
