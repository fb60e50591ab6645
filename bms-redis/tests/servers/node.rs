//! One server.

use std::{
    net::UdpSocket,
    panic::catch_unwind,
    path::{Path, PathBuf},
    time::Duration,
};

use bms_redis::testing::{Failure, Server};
use redis::{Client, ConnectionLike as _, TlsCertificates};

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn connect(url: &str) -> redis::RedisResult<redis::Connection> {
    let connection = Client::open(url)?.get_connection_with_timeout(Duration::from_secs(10))?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(connection)
}

/// The server's seconds since 1970 ahead of ours.
fn seconds_ahead(server: &Server) -> i64 {
    let (seconds, _): (i64, i64) = server.command(&["TIME"]).unwrap();
    seconds - std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64
}

#[test]
fn answers_on_its_port_and_is_gone_after_its_drop() {
    let server = Server::start().unwrap();
    assert!(connect(&server.url()).unwrap().check_connection());
    let (pid, directory) = (server.pid().unwrap(), server.directory().to_owned());
    assert!(is_alive(pid) && directory.exists());
    drop(server);
    assert!(!is_alive(pid) && !directory.exists());
}

#[test]
fn is_gone_after_a_panic_even_when_it_was_paused() {
    let panic = catch_unwind(|| {
        let server = Server::start().unwrap();
        server.pause().unwrap();
        std::panic::panic_any((server.pid().unwrap(), server.directory().to_owned()));
    });
    let (pid, directory) = *panic.unwrap_err().downcast::<(u32, PathBuf)>().unwrap();
    assert!(!is_alive(pid) && !directory.exists());
}

#[test]
fn many_start_at_once_each_on_its_own_port() {
    let starts: Vec<_> = (0..8).map(|_| std::thread::spawn(|| Server::start().unwrap())).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for server in &servers {
        server.command::<()>(&["SET", "port", &server.port().to_string()]).unwrap();
    }
    for server in &servers {
        assert_eq!(server.command::<u16>(&["GET", "port"]).unwrap(), server.port());
    }
}

#[test]
fn an_append_only_server_remembers_after_a_kill_and_a_plain_one_does_not() {
    for (builder, remembered) in [(Server::builder().append_only(), Some("7")), (Server::builder(), None)] {
        let server = builder.start().unwrap();
        let (port, pid) = (server.port(), server.pid());
        server.command::<()>(&["SET", "key", "7"]).unwrap();
        server.kill();
        assert!(server.pid().is_none() && connect(&server.url()).is_err());
        server.restart().unwrap();
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), pid);
        assert_eq!(server.command::<Option<String>>(&["GET", "key"]).unwrap().as_deref(), remembered);
    }
}

#[test]
fn a_running_server_is_restarted_in_place() {
    let server = Server::builder().append_only().start().unwrap();
    let pid = server.pid().unwrap();
    server.command::<()>(&["SET", "key", "7"]).unwrap();
    server.restart().unwrap();
    assert!(!is_alive(pid));
    assert_eq!(server.command::<u8>(&["GET", "key"]).unwrap(), 7);
}

#[test]
fn a_paused_server_takes_commands_and_answers_when_it_is_resumed() {
    let server = Server::start().unwrap();
    let mut connection = connect(&server.url()).unwrap();
    server.pause().unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let refusal = redis::cmd("PING").query::<String>(&mut connection).unwrap_err();
    assert!(refusal.is_timeout());
    assert!(!server.is_running());
    server.resume().unwrap();
    assert!(server.is_running());
    assert_eq!(server.command::<String>(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_server_that_is_not_there_is_not_paused() {
    let server = Server::start().unwrap();
    server.kill();
    assert!(matches!(server.pause(), Err(Failure::State(_))));
    assert!(matches!(server.command::<String>(&["PING"]), Err(Failure::Command { .. })));
    server.kill();
    server.stop().unwrap();
}

#[test]
fn the_password_is_asked_for_and_stands_in_the_url() {
    let server = Server::builder().password("p@ss \"w/ord\\").start().unwrap();
    assert!(connect(&server.url()).unwrap().check_connection());
    assert!(connect(&server.url_of("", "another")).is_err());
    let mut stranger = connect(&format!("redis://{}", server.address())).unwrap();
    let refusal = redis::cmd("GET").arg("key").query::<String>(&mut stranger).unwrap_err();
    assert_eq!(refusal.code(), Some("NOAUTH"));
}

#[test]
fn an_acl_user_may_do_what_its_line_says() {
    let server = Server::builder().user("default off").user("app on >secret ~bms:* +set +get").start().unwrap();
    let mut app = connect(&server.url_of("app", "secret")).unwrap();
    redis::cmd("SET").arg("bms:key").arg(1).query::<()>(&mut app).unwrap();
    let refusal = redis::cmd("SET").arg("other").arg(1).query::<()>(&mut app).unwrap_err();
    assert_eq!(refusal.code(), Some("NOPERM"));
    assert!(redis::cmd("GET").arg("bms:key").query::<u8>(&mut connect(&server.url()).unwrap()).is_err());
    assert_eq!(server.command::<u8>(&["GET", "bms:key"]).unwrap(), 1);
}

#[test]
fn tls_is_trusted_with_the_authority_of_this_server_only() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (server, other) = (Server::builder().tls().start().unwrap(), Server::builder().tls().start().unwrap());
    assert!(server.url().starts_with("rediss://"));
    let ping = |authority: &str| {
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority.into()) };
        let client = Client::build_with_tls(server.url(), certificates).unwrap();
        redis::cmd("PING").query::<String>(&mut client.get_connection_with_timeout(Duration::from_secs(10))?)
    };
    assert_eq!(ping(server.authority_pem().unwrap()).unwrap(), "PONG");
    assert!(ping(other.authority_pem().unwrap()).is_err());
    assert!(Server::start().unwrap().authority_pem().is_none());
}

#[test]
fn memory_is_limited() {
    let server = Server::builder().max_memory(3_000_000).config("maxmemory-policy noeviction").start().unwrap();
    let refusal = (0..100).find_map(|key| server.command::<()>(&["SETRANGE", &key.to_string(), "100000", "x"]).err());
    let Some(Failure::Command { source, .. }) = refusal else { panic!("{refusal:?}") };
    assert_eq!(source.downcast_ref::<redis::RedisError>().unwrap().code(), Some("OOM"));
}

#[test]
fn the_clock_moves_while_the_server_runs() {
    let server = Server::builder().movable_clock().start().unwrap();
    for offset in [0, -7_200, 660, -660, 0] {
        server.set_clock_offset(offset).unwrap();
        assert!((seconds_ahead(&server) - offset).abs() <= 30, "{} instead of {offset}", seconds_ahead(&server));
        let script = ["EVAL", "return redis.call('TIME')[1]", "0"];
        let in_script: i64 = server.command(&script).unwrap();
        let outside: Vec<i64> = server.command(&["TIME"]).unwrap();
        assert!((in_script - outside[0]).abs() <= 30);
    }
    let pid = server.pid().unwrap();
    let left = || Path::new(&format!("/dev/shm/faketime_shm_{pid}")).exists();
    assert!(left());
    server.kill();
    assert!(!left());
    assert!(matches!(Server::start().unwrap().set_clock_offset(1), Err(Failure::State(_))));
}

#[test]
fn the_environment_reaches_the_server() {
    // Redis writes its title over the environment that the kernel shows.
    let server = Server::builder().env("BMS_TEST_VARIABLE", "seen").config("set-proc-title no").start().unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", server.pid().unwrap())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("BMS_TEST_VARIABLE=seen"));
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let refusal = Server::builder().config("no-such-directive at all").start().unwrap_err();
    let Failure::Start { log, .. } = &refusal else { panic!("{refusal:?}") };
    assert!(log.contains("no-such-directive"));
    assert!(format!("{refusal:?}").contains("no-such-directive"));
}

#[test]
fn a_port_of_ones_own_choice_is_used_or_refused() {
    // While its UDP socket is bound, no other test is given the number.
    let reserve = |port: u16| UdpSocket::bind(("127.0.0.1", port)).ok();
    let (port, _reservation) = (12_000..22_000).find_map(|port| Some((port, reserve(port)?))).unwrap();
    let server = Server::builder().port(port).start().unwrap();
    assert_eq!(server.port(), port);
    assert!(connect(&format!("redis://127.0.0.1:{port}")).unwrap().check_connection());
    let refusal = Server::builder().port(port).start().unwrap_err();
    assert!(matches!(refusal, Failure::Start { .. }));
}
