//! The proxy, and the server that is not Redis.

use std::time::Duration;

use bms_redis::testing::{NotRedis, Proxy, Server};
use redis::{Client, Connection, RedisError, RedisResult, cmd};

fn connect(url: &str) -> RedisResult<Connection> {
    let limit = Duration::from_secs(10);
    let connection = Client::open(url)?.get_connection_with_timeout(limit)?;
    connection.set_read_timeout(Some(limit))?;
    Ok(connection)
}

fn is_cut(error: &RedisError) -> bool {
    error.is_connection_dropped()
}

fn refuses(proxy: &Proxy) -> bool {
    connect(proxy.url()).is_err_and(|error| error.is_connection_refusal())
}

#[test]
fn commands_pass_and_their_replies_too() {
    let server = Server::builder().password("secret").start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    let large = "x".repeat(1_000_000);
    cmd("SET").arg("key").arg(&large).query::<()>(&mut connection).unwrap();
    assert_eq!(cmd("GET").arg("key").query::<String>(&mut connection).unwrap(), large);
    let mut pipeline = redis::pipe();
    for number in 0..1_000 {
        pipeline.cmd("ECHO").arg(number);
    }
    assert_eq!(pipeline.query::<Vec<u32>>(&mut connection).unwrap(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn the_reply_of_one_command_is_dropped_after_the_server_has_run_it() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    proxy.drop_reply_of("INCRBY");
    cmd("INCR").arg("other").query::<()>(&mut connection).unwrap();
    assert_eq!(proxy.dropped(), 0);
    let error = cmd("INCRBY").arg("key").arg(5).query::<u8>(&mut connection).unwrap_err();
    assert!(is_cut(&error), "{error}");
    proxy.wait_until_dropped(1).unwrap();
    assert_eq!(server.command::<u8>(&["GET", "key"]).unwrap(), 5);
    // Once only.
    let mut connection = connect(proxy.url()).unwrap();
    assert_eq!(cmd("INCRBY").arg("key").arg(5).query::<u8>(&mut connection).unwrap(), 10);
}

#[test]
fn replies_before_the_dropped_one_of_a_pipeline_arrive() {
    use std::io::{Read as _, Write as _};

    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    proxy.drop_reply_of("second");
    let mut stream = std::net::TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let requests =
        redis::pipe().cmd("ECHO").arg("first").cmd("ECHO").arg("second").cmd("ECHO").arg("third").get_packed_pipeline();
    stream.write_all(&requests).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert_eq!(replies, "$5\r\nfirst\r\n");
}

#[test]
fn a_message_of_a_subscription_is_no_reply() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(&format!("{}?protocol=resp3", proxy.url())).unwrap();
    let (sender, messages) = std::sync::mpsc::channel();
    connection.set_push_sender(sender);
    connection.subscribe_resp3("news").unwrap();
    // Answered after the subscription, which nobody waits for.
    cmd("PING").query::<String>(&mut connection).unwrap();
    server.command::<()>(&["PUBLISH", "news", "one"]).unwrap();
    proxy.drop_reply_of("INCR");
    let error = cmd("INCR").arg("key").query::<u8>(&mut connection).unwrap_err();
    assert!(is_cut(&error), "{error}");
    assert_eq!(server.command::<u8>(&["GET", "key"]).unwrap(), 1);
    let kinds: Vec<_> = messages.try_iter().map(|push| push.kind).collect();
    assert!(kinds.contains(&redis::PushKind::Message), "{kinds:?}");
}

#[test]
fn all_connections_are_cut_and_new_ones_are_taken() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connections = [connect(proxy.url()).unwrap(), connect(proxy.url()).unwrap()];
    assert_eq!(proxy.cut(), 2);
    for connection in &mut connections {
        assert!(cmd("PING").query::<String>(connection).is_err());
    }
    assert_eq!(cmd("PING").query::<String>(&mut connect(proxy.url()).unwrap()).unwrap(), "PONG");
}

#[test]
fn connections_are_refused_until_they_are_accepted_again() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    proxy.refuse();
    assert!(cmd("PING").query::<String>(&mut connection).is_err());
    assert!(refuses(&proxy));
    proxy.accept().unwrap();
    proxy.accept().unwrap();
    assert_eq!(cmd("PING").query::<String>(&mut connect(proxy.url()).unwrap()).unwrap(), "PONG");
}

#[test]
fn a_reply_is_held_until_it_is_released() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    proxy.hold_replies();
    let waiting = std::thread::spawn(move || cmd("INCR").arg("key").query::<u8>(&mut connection));
    proxy.wait_until_held().unwrap();
    assert_eq!(server.command::<u8>(&["GET", "key"]).unwrap(), 1);
    assert!(!waiting.is_finished());
    proxy.release();
    assert_eq!(waiting.join().unwrap().unwrap(), 1);
}

#[test]
fn a_held_connection_can_be_cut() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    proxy.hold_replies();
    let waiting = std::thread::spawn(move || cmd("INCR").arg("key").query::<u8>(&mut connection));
    proxy.wait_until_held().unwrap();
    proxy.cut();
    assert!(is_cut(&waiting.join().unwrap().unwrap_err()));
}

#[test]
fn the_server_is_restarted_behind_its_proxy() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    server.kill();
    assert!(connect(proxy.url()).is_err());
    server.restart().unwrap();
    assert_eq!(cmd("PING").query::<String>(&mut connect(proxy.url()).unwrap()).unwrap(), "PONG");
}

#[test]
fn connections_end_with_their_proxy() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let mut connection = connect(proxy.url()).unwrap();
    drop(proxy);
    assert!(cmd("PING").query::<String>(&mut connection).is_err());
}

#[test]
fn what_is_not_redis_is_not_understood() {
    use std::io::{Read as _, Write as _};

    let other = NotRedis::start().unwrap();
    let error = connect(&other.url()).and_then(|mut connection| cmd("PING").query::<String>(&mut connection)).unwrap_err();
    assert_eq!(error.kind(), redis::ErrorKind::Parse, "{error:?}");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", other.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}
